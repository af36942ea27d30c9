"""The rules file: typed, versioned, and nothing in it is ignored."""

from pathlib import Path

import pytest
import yaml

from retentionjax.errors import ConfigError
from retentionjax.shield import load_rules
from retentionjax.shield.rules import CHECKS, DEFAULT


def changed(tmp_path: Path, **changes: object) -> Path:
    content = yaml.safe_load(DEFAULT.read_text(encoding="utf-8")) | changes
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def shipped(key: str) -> dict:
    return yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))[key]


def test_the_shipped_rules_have_a_severity_for_every_check() -> None:
    rules = load_rules()
    assert set(rules.checks) == set(CHECKS)
    assert set(rules.severities) == set(CHECKS) | {rule.id for rule in rules.phrases}


def test_a_copy_of_the_file_is_the_same_rules(tmp_path: Path) -> None:
    assert load_rules(changed(tmp_path)) == load_rules()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chanels": {}}, "chanels"),
        ({"format": 2}, "format is 2; allowed: 1"),
        ({"version": 1.0}, "text is wanted"),
        ({"checks": {"text.empty": "block"}}, "is missing"),
        ({"checks": shipped("checks") | {"text.emtpy": "block"}}, r"checks.text.emtpy: unknown key"),
        ({"checks": shipped("checks") | {"text.empty": "fatal"}}, "fatal"),
        ({"contact": shipped("contact") | {"capp": 3}}, "capp"),
        ({"contact": shipped("contact") | {"cap": "3"}}, "a whole number is wanted"),
        ({"channels": shipped("channels") | {"fax": {}}}, "fax"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_rules(changed(tmp_path, **changes))


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ({"id": "a", "severity": "block", "why": "b", "patterns": ["("]}, "no regular expression"),
        ({"id": "a", "severity": "block", "why": "b", "patterns": []}, "empty"),
        ({"id": "text.empty", "severity": "block", "why": "b", "patterns": ["c"]}, "given twice"),
        ({"id": "a", "severity": "block", "why": "b", "pattern": "c"}, "pattern"),
        ({"id": "a", "severity": "block", "why": "b", "patterns": ["c"], "tones": ["rude"]}, "rude"),
    ],
)
def test_a_phrase_rule_that_does_not_fit_is_named(tmp_path: Path, phrase: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_rules(changed(tmp_path, phrases=[*shipped("phrases"), phrase]))


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(DEFAULT.read_text(encoding="utf-8") + '\nversion: "2"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="'version' is given twice"):
        load_rules(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_rules(tmp_path / "none.yaml")


def test_a_rule_can_be_switched_off_or_made_a_warning(tmp_path: Path) -> None:
    from shield_briefs import SENDER

    from retentionjax.shield import Brief, Offer, check

    text = "Northwind: 10% off for 30 days, lol. Reply STOP to opt out."
    brief = Brief("sms", Offer(0.1), SENDER)
    for severity, violations in (("block", 1), ("warn", 1), ("off", 0)):
        phrases = [
            {**rule, "severity": severity} if rule["id"] == "tone.slang" else rule for rule in shipped("phrases")
        ]
        verdict = check(text, brief, load_rules(changed(tmp_path, phrases=phrases, version=severity)))
        assert len(verdict.violations) == violations
        assert verdict.passed == (severity != "block")
        assert verdict.rules_version == severity
