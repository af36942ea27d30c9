"""`retentionjax messages check "TEXT"`: which rules a text breaks, where and why, and whether it may be sent."""

import argparse
import datetime as dt
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from retentionjax.errors import ConfigError
from retentionjax.shield.brief import CHANNELS, FACTS, TONES, Brief, Channel, Sender, Tone
from retentionjax.shield.checking import check
from retentionjax.shield.lexicon import LANGUAGES, Language
from retentionjax.shield.offer import OfferTerms
from retentionjax.shield.phrasebook import Phrasebook
from retentionjax.shield.quantities import CURRENCIES
from retentionjax.shield.reading import fold, read
from retentionjax.shield.rules import Rules, load_rules
from retentionjax.shield.templates import render
from retentionjax.shield.verdict import Verdict

_OFFER = re.compile(
    r"(?P<none>none)|(?P<percent>\d+(?:\.\d+)?) ?%|(?P<amount>\d+(?:\.\d+)?) ?(?P<currency>[A-Z]{3})", re.IGNORECASE
)
_LONGEST = 60
"""Characters of a text that a line shows."""
_AS = {
    "plan": "fiber internet",
    "tenure": "14 months",
    "contract": "month to month",
    "services": "TV and phone",
    "charge": "$65.00",
    "saving": "$8",
}
"""An acceptable value of each of FACTS."""
_REFUSED = 1
"""Exit status for a text that may not be sent."""


_NORTHWIND = Sender("Northwind", "Northwind", ("northwind.example",), "https://northwind.example/unsubscribe")


@dataclass(frozen=True)
class Voice:
    """How a company speaks to its customers, and what it offers them."""

    sender: Sender = _NORTHWIND
    channels: tuple[Channel, ...] = CHANNELS
    """Channels that it uses, the usual one first."""
    tone: Tone = "warm"
    language: Language = "en"
    offers: Mapping[str, OfferTerms] = field(default_factory=dict)


def main(arguments: Sequence[str], book: Callable[[Brief, Rules], Phrasebook], voice: Callable[[str], Voice]) -> int:
    """Checks a text; returns the exit status. `book` gives what is approved of a brief's kind, `voice` that of the
    company in a file. Raises ConfigError for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="retentionjax messages check", description="Says which rules a text breaks, and why."
    )
    _arguments(parser)
    asked = parser.parse_args(list(arguments))
    return _check(asked, Voice() if asked.company is None else voice(asked.company), book)


def offer_of(
    words: str,
    named: Mapping[str, OfferTerms] = MappingProxyType({}),
    *,
    say: str | None = None,
    days: int | None = None,
    ends: str | None = None,
) -> OfferTerms:
    """The offer of `none`, `10%`, `15 USD` or the name of one, with the company's words for it. Raises ConfigError for
    other words.

    Without `days`, what `say` alone names is given once, and all else runs as `named` has it, or 30 days.
    """
    terms = named.get(words) or _unnamed(words, named, say)
    return replace(
        terms, say=terms.say if say is None else say, days=terms.days if days is None else days, ends=_last_day(ends)
    )


def _unnamed(words: str, named: Mapping[str, OfferTerms], say: str | None) -> OfferTerms:
    found = _OFFER.fullmatch(words.strip())
    if found is None:
        others = "".join(f", {name}" for name in named)
        raise ConfigError(f"--offer is {words!r}; allowed: none, 10%, 15 USD ({', '.join(CURRENCIES)}){others}")
    return OfferTerms(
        float(found["percent"] or 0) / 100,
        amount=float(found["amount"] or 0),
        currency=(found["currency"] or "USD").upper(),
        say=say,
        days=None if say and not found["percent"] else OfferTerms.days,
    )


def _last_day(ends: str | None) -> dt.date | None:
    last = None
    if ends is not None:
        try:
            last = dt.date.fromisoformat(ends)
        except ValueError:
            raise ConfigError(f"--ends is {ends!r}; allowed: a day such as 2026-12-31") from None
        if last < (today := dt.datetime.now(dt.UTC).date()):
            raise ConfigError(f"--ends is {ends}, which is over; allowed: {today} or later")
    return last


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", help="the message; of an e-mail the body without the footer")
    usual = Voice()
    parser.add_argument(
        "--company", metavar="company.yaml", help="company whose sender, channel, tone, language and offers apply"
    )
    parser.add_argument(
        "--offer",
        default="none",
        metavar="OFFER",
        help="none, 10%%, 15 USD, or the name of one of the company's offers [none]",
    )
    parser.add_argument("--say", help="the company's words for the offer, such as `one month free`")
    parser.add_argument(
        "--days", type=int, help="how many days the offer runs [the company's; given once if only --say names it; 30]"
    )
    parser.add_argument("--ends", metavar="DAY", help="last day to accept, such as 2026-12-31")
    parser.add_argument("--name", help="the customer's first name")
    parser.add_argument("--fact", action="append", default=[], metavar="KEY=VALUE", help=f"one of {', '.join(FACTS)}")
    parser.add_argument("--channel", choices=CHANNELS, help=f"how it is sent [the company's, or {usual.channels[0]}]")
    parser.add_argument("--tone", choices=TONES, help=f"the tone asked for [the company's, or {usual.tone}]")
    parser.add_argument("--language", choices=LANGUAGES, help=f"its language [the company's, or {usual.language}]")
    parser.add_argument("--sender", help=f"the sender named in the message [the company's, or {usual.sender.name}]")
    parser.add_argument(
        "--domain", help=f"the domain its links may go to [the company's, or {usual.sender.domains[0]}]"
    )
    parser.add_argument("--by", choices=("person", "model"), default="person", help="who wrote it [person]")
    parser.add_argument("--rules", metavar="FILE", help="a rules.yaml, with its languages beside it")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def _check(asked: argparse.Namespace, voice: Voice, book: Callable[[Brief, Rules], Phrasebook]) -> int:
    sender = voice.sender if asked.sender is None else replace(voice.sender, name=asked.sender)
    if asked.domain is not None:
        sender = replace(sender, domains=(asked.domain,), unsubscribe_url=f"https://{asked.domain}/unsubscribe")
    brief = Brief(
        _channel(asked.channel, voice),
        offer_of(asked.offer, voice.offers, say=asked.say, days=asked.days, ends=asked.ends),
        sender,
        asked.tone or voice.tone,
        asked.name,
        _facts(asked.fact),
        language=asked.language or voice.language,
    )
    if asked.name and brief.name is None:
        raise ConfigError(f"--name is {asked.name!r}; allowed: one to four words of letters, as 'Ana María'")
    for key, value in brief.facts.items():
        if key not in brief.known:
            raise ConfigError(f"--fact {key} is {value!r}; allowed: at most 40 plain characters, as {_AS[key]!r}")
    rules = load_rules(asked.rules)
    verdict = check(asked.text, brief, rules, by=asked.by, book=book(brief, rules))
    print(_as_json(verdict) if asked.json else _as_text(asked.text, verdict, render(brief, rules)))
    return 0 if verdict.passed else _REFUSED


def _channel(asked: Channel | None, voice: Voice) -> Channel:
    channel = asked or voice.channels[0]
    if channel not in voice.channels:
        raise ConfigError(f"--channel is {channel!r}; allowed: {', '.join(voice.channels)}, the company's")
    return channel


def _facts(given: Sequence[str]) -> Mapping[str, str]:
    facts = {}
    for each in given:
        key, sign, value = each.partition("=")
        if not sign:
            raise ConfigError(f"--fact is {each!r}; allowed: KEY=VALUE, as plan=DSL")
        facts[key] = value
    return facts


def _as_text(text: str, verdict: Verdict, template: str) -> str:
    lines = [
        f"{each.severity:5}  {each.rule:20} {_shown(text[each.start : each.end])!r}: {each.detail}"
        for each in verdict.violations
    ]
    if (folded := read(text).folded) != text.lower():
        lines.append(f"read as: {fold(folded)}")
    if not verdict.passed:
        lines.append(f"a message that passes: {template}")
    if verdict.passed:
        outcome = "may be sent"
    elif verdict.doubting:
        outcome = f"may be sent as a wording that another person approves despite {', '.join(verdict.doubting)}"
    else:
        outcome = f"may not be sent: {', '.join(verdict.blocking)}"
    return "\n".join([*lines, f"{outcome} (rules {verdict.rules_version})"])


def _shown(words: str) -> str:
    return textwrap.shorten(words, _LONGEST, placeholder=" …")


def _as_json(verdict: Verdict) -> str:
    violations = [
        {"rule": each.rule, "severity": each.severity, "start": each.start, "end": each.end, "detail": each.detail}
        for each in verdict.violations
    ]
    return json.dumps({"passed": verdict.passed, "rules_version": verdict.rules_version, "violations": violations})
