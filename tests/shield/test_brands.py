"""Messages as brands of many trades send them, and some that they may not: a good one that is refused is a fault."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.second_reader import marked, offer
from retentionjax.shield import Brief, Sender, check

MESSAGES = yaml.load(Path(__file__).with_name("brands.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
TRADES = Path(__file__).with_name("trades.txt").read_text(encoding="utf-8").splitlines()
STRANGERS = Path(__file__).with_name("stranger.txt").read_text(encoding="utf-8").splitlines()
WAY_OUT = {
    ("en", "sms"): " Reply STOP to opt out.",
    ("en", "push"): " Manage alerts in settings.",
    ("en", "email"): "\n\nYou can unsubscribe at any time with the link below.",
    ("es", "sms"): " Responda STOP para no recibir más.",
    ("es", "push"): " Puede desactivar los avisos en los ajustes.",
    ("es", "email"): "\n\nDarse de baja:",
}


def passed(entry: dict[str, Any]) -> bool:
    language = entry.get("language", "en")
    host = re.sub(r"(the | fitness| insurance| energy|[^a-z])", "", entry["sender"].lower().replace("&", "and"))
    domain = f"{host}.example"
    brief = Brief(
        entry["channel"],
        offer(entry["offer"]),
        Sender(entry["sender"], "1 Main Street", (domain,), f"https://{domain}/unsubscribe"),
        first_name=entry.get("name"),
        facts=entry.get("facts", {}),
        language=language,
    )
    return check(entry["text"] + WAY_OUT[language, entry["channel"]], brief, by=entry.get("by", "person")).passed


@pytest.mark.parametrize(("kind", "wanted"), [("pass", True), ("refuse", False)])
def test_each_message_of_a_brand_is_judged_right(kind: str, wanted: bool) -> None:
    wrong = [entry for entry in MESSAGES[kind] if passed(entry) is not wanted]
    assert not wrong


def messages(kind: str) -> Iterator[tuple[str, Brief]]:
    sender = Sender("Nobody", "1 Main Street", ("nobody.example",), "https://nobody.example/unsubscribe")
    for line in TRADES:
        if line.startswith("== "):
            name, domain = line.removeprefix("== ").split(" | ")
            sender = Sender(name, "1 Main Street", (domain,), f"https://{domain}/unsubscribe")
        elif line.startswith(f"{kind}: "):
            channel, words, customer, given, text = (
                each.strip() for each in line.removeprefix(f"{kind}: ").split("|", 4)
            )
            facts = dict(each.split("=", 1) for each in given.split(",") if each)
            ends = dt.date.fromisoformat(facts.pop("ends")) if "ends" in facts else None
            told = replace(offer(words), ends=ends)
            yield text.replace("\\n", "\n"), Brief(channel, told, sender, first_name=customer or None, facts=facts)  # type: ignore[arg-type]


def test_of_a_strangers_messages_few_good_ones_are_refused_and_most_bad_ones() -> None:
    """Written by one who knew neither rules nor the second reader's texts; neither was mended after its messages."""
    judged = [(each.bad, check(each.text, each.brief).passed) for each in marked(STRANGERS)]
    good, bad = ([passed for was_bad, passed in judged if was_bad is kind] for kind in (False, True))
    assert (len(good), len(bad)) == (200, 200)
    assert good.count(False) <= 8  # 7 when it was judged: 3.5 %
    assert bad.count(False) >= 188  # 190: 95 %


@pytest.mark.parametrize(("kind", "wanted"), [("pass", True), ("refuse", False)])
def test_each_message_of_a_trade_is_judged_right(kind: str, wanted: bool) -> None:
    judged = [(text, check(text, brief).passed) for text, brief in messages(kind)]
    assert len(judged) > 100
    assert [text for text, passed in judged if passed is not wanted] == []
