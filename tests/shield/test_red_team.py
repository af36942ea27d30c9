"""The red team's messages: every one judged right, by the rules it was meant to break."""

import dataclasses
import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from shield_briefs import SENDER

from retentionjax.shield import Brief, OfferTerms, check, grounding
from retentionjax.shield.lexicon import Contexts

MESSAGES = yaml.load(Path(__file__).with_name("red_team.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
KNOWN = {language: grounding._contexts(language) for language in ("en", "es")}


def brief(entry: dict[str, Any]) -> Brief:
    ends = entry.get("ends")
    return Brief(
        channel=entry.get("channel", "sms"),
        offer=OfferTerms(
            float(entry.get("discount", 0.1)),
            ends=ends and dt.date.fromisoformat(ends),
            **{key: entry[key] for key in ("amount", "say", "days", "currency") if key in entry},
        ),
        sender=SENDER,
        tone=entry.get("tone", "warm"),
        first_name=entry.get("name", "Maria"),
        facts={"plan": "fiber internet", "tenure": "14 months", **entry.get("facts", {})},
        language=entry.get("language", "en"),
    )


def text(entry: dict[str, Any]) -> str:
    return entry["text"] if "text" in entry else f"Northwind: Hi Maria, {entry['body']} Reply STOP to opt out."


def mistakes(entries: Sequence[dict[str, Any]]) -> Iterator[str]:
    for number, entry in enumerate(entries, 1):
        verdict = check(text(entry), brief(entry), by=entry.get("by", "person"))
        wanted = set(entry.get("rules", []))
        if verdict.passed != (not wanted) or not wanted <= set(verdict.blocking):
            found = [f"{each.rule} ({each.detail})" for each in verdict.violations if each.severity == "block"]
            yield f"{number}. {text(entry)!r}: wanted {sorted(wanted) or 'to pass'}, found {found}"


def test_all_are_judged_right() -> None:
    wrong = list(mistakes(MESSAGES))
    assert not wrong, "\n".join(wrong)


def test_good_and_bad_messages_are_both_many() -> None:
    good = sum("rules" not in entry for entry in MESSAGES)
    assert good >= 50
    assert len(MESSAGES) - good >= 100


def test_every_blocking_rule_is_attacked() -> None:
    from retentionjax.shield import load_rules

    attacked = {(entry.get("language", "en"), rule) for entry in MESSAGES for rule in entry.get("rules", [])}
    rules = load_rules()
    blocking = {
        (language, rule.id)
        for language, phrasing in rules.languages.items()
        for rule in phrasing.phrases
        if rule.severity in ("block", "models")
    } | {("en", check) for check, severity in rules.checks.items() if severity in ("block", "models")}
    blocking.remove(
        ("en", "text.phrase")
    )  # strikes only beside a book of approved texts: tests/decide/test_phrasebook.py
    assert blocking <= attacked, sorted(blocking - attacked)


@dataclasses.dataclass
class Noted:
    """A pattern that notes whether any text it is asked about holds it."""

    regex: re.Pattern[str]
    met: bool = False

    def __getattr__(self, method: str) -> Any:
        def asked(*arguments: Any) -> Any:
            self.met = self.met or any(isinstance(each, str) and self.regex.search(each) for each in arguments)
            return getattr(self.regex, method)(*arguments)

        return asked


@pytest.fixture(scope="module")
def heard() -> Mapping[str, Sequence[dict[str, Any]]]:
    """Context → the messages that hold it: no other message can be judged otherwise without it."""
    noted = {language: {name: Noted(each) for name, each in known.items()} for language, known in KNOWN.items()}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grounding, "_contexts", noted.__getitem__)
        for entry in MESSAGES:
            list(mistakes([entry]))
            for name, pattern in noted[entry.get("language", "en")].items():
                if pattern.met:
                    found[name].append(entry)
                pattern.met = False
    return found


@pytest.mark.parametrize("context", [each.name for each in dataclasses.fields(Contexts)])
def test_no_context_of_grounding_can_be_deleted_unseen(
    context: str, heard: Mapping[str, Sequence[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = {language: {**each, context: re.compile("(?!)")} for language, each in KNOWN.items()}
    monkeypatch.setattr(grounding, "_contexts", deaf.__getitem__)
    assert any(mistakes(heard[context]))
