"""The rules files: typed, versioned, and nothing in them is ignored."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from shield_briefs import SENDER

from retentionjax.errors import ConfigError
from retentionjax.shield import Brief, OfferTerms, check, load_rules
from retentionjax.shield.phrasing import CHECKS
from retentionjax.shield.rules import DEFAULT, language_file

BRIEF = Brief("sms", OfferTerms(0.1), SENDER)
TEXT = "Northwind: 10% off for 30 days{}. Reply YES. Reply STOP to opt out."


def shipped(language: str | None = None) -> dict[str, Any]:
    return deepcopy(_shipped(language))


@cache
def _shipped(language: str | None) -> dict[str, Any]:
    path = DEFAULT if language is None else DEFAULT.with_name(f"rules.{language}.yaml")
    found: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return found


def written(language: str | None, changes: dict[str, Any] | None) -> str:
    return yaml.dump(shipped(language) | (changes or {}), Dumper=yaml.CSafeDumper, allow_unicode=True)


def copy(folder: Path, *, general: dict[str, Any] | None = None, english: dict[str, Any] | None = None) -> Path:
    """The shipped rules with keys exchanged."""
    path = folder / "house.yaml"
    for target, language, changes in (
        (path, None, general),
        (folder / "house.en.yaml", "en", english),
        (folder / "house.es.yaml", "es", None),
    ):
        target.write_text(written(language, changes), encoding="utf-8")
    return path


def with_phrase(**changes: Any) -> list[dict[str, Any]]:
    """The house's own rule beside one of those shipped: the hundred others would be compiled for every test."""
    beside = [each for each in shipped("en")["phrases"] if each["id"] == "offer.gift"]
    return [*beside, {"id": "house.word", "severity": "block", "why": "house style"} | changes]


def test_the_shipped_rules_have_a_severity_for_every_check_in_every_language() -> None:
    rules = load_rules()
    assert set(rules.checks) == set(CHECKS)
    for language, phrasing in rules.languages.items():
        ids = {name for spoken, name in rules.severities if spoken == language}
        assert ids == set(CHECKS) | {rule.id for rule in phrasing.phrases}


def test_a_copy_of_the_files_is_the_same_rules(tmp_path: Path) -> None:
    assert load_rules(copy(tmp_path)) == load_rules()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chanels": {}}, "chanels"),
        ({"format": 1}, "format is 1; allowed: 4"),
        ({"version": 1.0}, "text is wanted"),
        ({"checks": {"text.empty": "block"}}, "is missing"),
        ({"checks": shipped()["checks"] | {"text.emtpy": "block"}}, r"checks.text.emtpy: unknown key"),
        ({"checks": shipped()["checks"] | {"text.empty": "fatal"}}, "is 'fatal'; allowed: block, doubt"),
        ({"contact": shipped()["contact"] | {"capp": 3}}, "capp"),
        ({"contact": shipped()["contact"] | {"cap": "3"}}, "a whole number is wanted"),
        ({"contact": shipped()["contact"] | {"country_zones": {}}}, "contact.country_zones: no zone of AU"),
        ({"channels": shipped()["channels"] | {"fax": {}}}, "fax"),
        ({"languages": ["en", "fr"]}, r"house.fr.yaml: no such file"),
        ({"languages": ["tlh"]}, r"house.tlh.yaml: no such file"),
        ({"languages": []}, "languages is empty"),
        ({"function_words": {"en": ["the"]}}, "function_words: none of es"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_rules(copy(tmp_path, general=changes))


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ({"patterns": ["("]}, "no regular expression"),
        ({"words": ["fine"], "harmless": ["("]}, "no regular expression"),
        ({"patterns": ["(?i)a|b"]}, "no regular expression"),
        ({"patterns": ["a)|(?:b"]}, "no regular expression"),
        ({"patterns": ["c", "(?:very )?"]}, r"phrases\[house.word\]: '\(\?:very \)\?' matches the empty text"),
        ({"words": ["fine"], "only_with": ["a|"]}, "matches the empty text"),
        ({}, "is empty; at least one of words and patterns"),
        ({"words": ["..."]}, "'...' holds no word"),
        ({"id": "text.empty", "words": ["c"]}, "given twice"),
        ({"id": "offer.gift", "words": ["c"]}, "given twice"),
        ({"pattern": "c"}, "pattern"),
        ({"words": ["c"], "tones": ["rude"]}, "rude"),
        ({"words": ["c"], "unless_offered": ["pony"]}, "pony"),
        ({"words": [True]}, "text is wanted"),
    ],
)
def test_a_phrase_rule_that_does_not_fit_is_named(tmp_path: Path, phrase: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_rules(copy(tmp_path, english={"phrases": with_phrase(**phrase)}))


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = copy(tmp_path)
    for file in (path, tmp_path / "house.es.yaml"):
        file.write_text(file.read_text(encoding="utf-8") + "\nwords: {}\nwords: {}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match="is given twice"):
            load_rules(path)
        copy(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_rules(tmp_path / "none.yaml")


def test_a_language_that_the_rules_do_not_speak_is_refused_by_name(tmp_path: Path) -> None:
    rules = load_rules(copy(tmp_path, general={"languages": ["en"]}))
    with pytest.raises(ConfigError, match="no rules for the language 'es'; allowed: en"):
        check("Hola", Brief("sms", OfferTerms(0.1), SENDER, language="es"), rules)
    with pytest.raises(ConfigError, match=r"Brief\.language is 'fr'; allowed: en, es"):
        Brief("sms", OfferTerms(0.1), SENDER, language="fr")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("severity", "violations", "by_person", "by_model"),
    [("block", 1, False, False), ("models", 1, True, False), ("warn", 1, True, True), ("off", 0, True, True)],
)
def test_a_severity_says_whose_text_is_blocked(
    tmp_path: Path, severity: str, violations: int, by_person: bool, by_model: bool
) -> None:
    phrases = with_phrase(words=["thanks a bunch"], severity=severity)
    rules = load_rules(copy(tmp_path, general={"version": severity}, english={"phrases": phrases}))
    rules = rules.approving(["thanks a bunch"])
    text = TEXT.format(", thanks a bunch")
    for by, passes in (("person", by_person), ("model", by_model)):
        verdict = check(text, BRIEF, rules, by=by)  # type: ignore[arg-type]
        assert ("house.word" not in verdict.blocking) is passes
        assert [each.rule for each in verdict.violations].count("house.word") == violations
        assert verdict.rules_version == severity


@pytest.mark.parametrize(
    ("words", "said", "struck"),
    [
        ("synergy", "synergy", True),
        ("synergy", "SYNERGY", True),
        ("synergy", "s.y.n.e.r.g.y", True),
        ("synergy", "synergy's", True),
        ("synergy", "synergyx", False),
        ("win-win", "win win", True),
        ("win win", "win-win", True),
        ("win win", "win. Win", False),
        ("señal", "senal", True),
    ],
)
def test_a_word_is_added_without_a_regular_expression(tmp_path: Path, words: str, said: str, struck: bool) -> None:
    rules = load_rules(copy(tmp_path, english={"phrases": with_phrase(words=[words])}))
    assert ("house.word" in check(TEXT.format(f", {said}"), BRIEF, rules).blocking) is struck


def test_a_harmless_wording_spares_what_is_within_it(tmp_path: Path) -> None:
    phrases = with_phrase(words=["synergy"], harmless=["no synergy at all"])
    rules = load_rules(copy(tmp_path, english={"phrases": phrases}))
    assert "house.word" not in check(TEXT.format(", no synergy at all"), BRIEF, rules).blocking
    assert "house.word" in check(TEXT.format(", no synergy at all and synergy"), BRIEF, rules).blocking


def test_words_of_approved_texts_may_be_used_by_a_model() -> None:
    text = TEXT.format(", marvellously")
    assert check(text, BRIEF, by="model").blocking == ("text.word",)
    assert check(text, BRIEF).passed
    rules = load_rules().approving(["Marvellously done, {name}"])
    assert check(text, BRIEF, rules, by="model").passed
    assert check(text, BRIEF, by="model").blocking == ("text.word",)


def test_the_rules_of_a_language_stand_beside_the_general_ones() -> None:
    from etils import epath

    assert language_file(epath.Path("/x/house.yaml"), "es") == epath.Path("/x/house.es.yaml")
