"""The red team's messages: every one judged right, by the rules it was meant to break."""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from shield_briefs import SENDER

from retentionjax.shield import Brief, OfferTerms, check, grounding
from retentionjax.shield.lexicon import Contexts

MESSAGES = yaml.safe_load(Path(__file__).with_name("red_team.yaml").read_text(encoding="utf-8"))


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


def mistakes(asked: Callable[[Sequence[str]], bool] = lambda rules: True) -> Iterator[str]:
    for number, entry in enumerate(MESSAGES, 1):
        if not asked(entry.get("rules", ())):
            continue
        verdict = check(text(entry), brief(entry), by=entry.get("by", "person"))
        wanted = set(entry.get("rules", []))
        if verdict.passed != (not wanted) or not wanted <= set(verdict.blocking):
            found = [f"{each.rule} ({each.detail})" for each in verdict.violations if each.severity == "block"]
            yield f"{number}. {text(entry)!r}: wanted {sorted(wanted) or 'to pass'}, found {found}"


def test_all_are_judged_right() -> None:
    wrong = list(mistakes())
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


@pytest.mark.parametrize("context", [each.name for each in dataclasses.fields(Contexts)])
def test_no_context_of_grounding_can_be_deleted_unseen(context: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {language: grounding._contexts(language) for language in ("en", "es")}
    deaf = {language: {**each, context: re.compile("(?!)")} for language, each in known.items()}
    monkeypatch.setattr(grounding, "_contexts", lambda language: deaf[language])
    assert any(mistakes(lambda rules: not rules or any(rule.startswith(("offer.", "facts.")) for rule in rules)))
