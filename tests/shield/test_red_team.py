"""The red team's messages: at least 99 % judged right, and every mistake named."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from shield_briefs import SENDER

from retentionjax.shield import Brief, Offer, check

MESSAGES = yaml.safe_load(Path(__file__).with_name("red_team.yaml").read_text(encoding="utf-8"))


def brief(entry: dict[str, Any]) -> Brief:
    ends = entry.get("ends")
    return Brief(
        channel=entry.get("channel", "sms"),
        offer=Offer(
            float(entry.get("discount", 0.1)),
            ends=ends and dt.date.fromisoformat(ends),
            **{key: entry[key] for key in ("amount", "say", "days", "currency") if key in entry},
        ),
        sender=SENDER,
        tone=entry.get("tone", "warm"),
        first_name=entry.get("name", "Maria"),
        facts={"plan": "fiber internet", "tenure": "14 months", **entry.get("facts", {})},
    )


def text(entry: dict[str, Any]) -> str:
    return entry["text"] if "text" in entry else f"Northwind: Hi Maria, {entry['body']} Reply STOP to opt out."


def mistakes() -> Iterator[str]:
    for number, entry in enumerate(MESSAGES, 1):
        verdict = check(text(entry), brief(entry))
        wanted = set(entry.get("rules", []))
        if verdict.passed != (not wanted) or not wanted <= set(verdict.blocking):
            found = [f"{each.rule} ({each.detail})" for each in verdict.violations if each.severity == "block"]
            yield f"{number}. {text(entry)!r}: wanted {sorted(wanted) or 'to pass'}, found {found}"


def test_at_least_99_percent_are_judged_right() -> None:
    wrong = list(mistakes())
    print(f"{len(MESSAGES)} messages, {len(wrong)} judged wrong", *wrong, sep="\n")
    assert len(MESSAGES) >= 150
    assert len(wrong) <= 0.01 * len(MESSAGES), "\n".join(wrong)


def test_good_and_bad_messages_are_both_many() -> None:
    good = sum("rules" not in entry for entry in MESSAGES)
    assert good >= 50
    assert len(MESSAGES) - good >= 100


def test_every_blocking_rule_is_attacked() -> None:
    from retentionjax.shield import load_rules

    attacked = {rule for entry in MESSAGES for rule in entry.get("rules", [])}
    blocking = {rule for rule, severity in load_rules().severities.items() if severity == "block"}
    assert blocking <= attacked, sorted(blocking - attacked)
