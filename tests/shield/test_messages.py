"""Messages that a brand may send and that it may not, a few of each kind as they were found and many neighbours."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from retentionjax.shield import Brief, OfferTerms, Sender, check

MESSAGES = yaml.load(Path(__file__).with_name("messages.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
NORTHLINE = Sender("Northline", "1 Main Street", ("northline.example",), "https://northline.example/unsubscribe")


def offer(words: str) -> OfferTerms:
    """`10 % for 30 days`, `$15 credit`, `one month free`, `twice the speed for 90 days`, or `none`."""
    if found := re.fullmatch(r"(\d+) % for (\d+) days", words):
        return OfferTerms(int(found[1]) / 100, days=int(found[2]))
    if found := re.fullmatch(r"\$(\d+) credit", words):
        return OfferTerms(amount=float(found[1]))
    if found := re.fullmatch(r"(twice the speed) for (\d+) days", words):
        return OfferTerms(say=found[1], days=int(found[2]))
    return {"one month free": OfferTerms(1.0, say="one month free"), "none": OfferTerms()}[words]


def brief(entry: dict[str, Any]) -> Brief:
    spanish = entry.get("language") == "es"
    own = {key: entry[key] for key in ("plan", "tenure") if key in entry}
    return Brief(
        entry.get("channel", "sms"),
        offer(entry.get("offer", "10 % for 30 days")),
        NORTHLINE,
        first_name=entry.get("name", "Dana"),
        facts={"plan": "fiber internet", "tenure": "14 meses" if spanish else "14 months", **own},
        language=entry.get("language", "en"),
    )


def passed(entry: str | dict[str, Any]) -> bool:
    entry = {"text": entry} if isinstance(entry, str) else entry
    asked = brief(entry)
    way_out = " Reply STOP to opt out." if asked.channel == "sms" and asked.language == "en" else ""
    return check(entry["text"] + way_out, asked, by=entry.get("by", "person")).passed


@pytest.mark.parametrize(("kind", "wanted"), [("pass", True), ("refuse", False)])
def test_each_message_is_judged_right(kind: str, wanted: bool) -> None:
    wrong = [entry for entry in MESSAGES[kind] if passed(entry) is not wanted]
    assert not wrong
