"""Messages from a grammar: brief → draft (a sequence of phrases) → text, by the phrases of one split."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product
from random import Random

from retentionjax.data.messages.phrases import Choice
from retentionjax.data.messages.words import WORDS
from retentionjax.errors import DataError
from retentionjax.shield.brief import ANGLED, ANGLES, Brief, Channel
from retentionjax.shield.form import basic
from retentionjax.shield.lexicon import Language
from retentionjax.shield.offer import OfferTerms
from retentionjax.shield.phrasebook import Phrasebook, tokens
from retentionjax.shield.quantities import date_text

_SMS = Choice(
    (
        "prefix@ greeting offer act optout",
        "prefix@ offer act close optout",
        "prefix@ greeting bond offer act optout",
        "prefix@ greeting offer act close optout",
        "greeting bond@ offer act optout",
        "greeting bond@ offer act close optout",
    ),
    (
        "greeting offer act optout sign@",
        "prefix@ greeting offer bond act optout",
        "greeting offer act sign@ optout",
        "greeting offer act close sign@ optout",
        "greeting bond offer act optout sign@",
        "prefix@ bond offer act optout",
    ),
)
LAYOUTS: Mapping[str, Choice] = {
    "sms": _SMS,
    "push": Choice(
        (
            *_SMS.train,
            "prefix@ opening offer act optout",
            "prefix@ opening offer act close optout",
            "prefix@ greeting tap optout",
            "prefix@ opening tap optout",
            "prefix@ greeting tap close optout",
            "prefix@ greeting bond tap optout",
            "opening@ offer act optout",
            "opening@ tap optout",
            "greeting bond@ tap optout",
        ),
        _SMS.held_out,
    ),
    "email": Choice(
        (
            "greeting bond@ offer act optout",
            "greeting bond@ offer act questions optout",
            "greeting offer detail act sign@ optout",
            "greeting bond offer act sign@ optout",
            "greeting bond offer detail act close sign@ optout",
            "greeting bond@ offer detail act questions close optout",
            "greeting bond@ offer detail act close optout",
        ),
        (
            "greeting bond@ detail offer act optout",
            "greeting offer close act sign@ optout",
            "greeting bond offer act detail close sign@ optout",
            "greeting bond@ offer close act detail optout",
        ),
    ),
}


MOST_CHARACTERS: Mapping[Language, Mapping[str, int]] = {
    "en": {"sms": 160, "push": 150},
    "es": {"sms": 201, "push": 178},
}
"""One SMS segment of GSM-7; in Spanish, which is longer, two, and with an accent in a name three. What a lock screen
shows."""
MOST_WORDS = 60
"""Most words of an e-mail's body."""
_OF_PUSH = {"opening", "tap"}
_CHECK_IN = {"offer": "check_in", "tap": "check_in_tap", "opening": "check_in_opening"}
"""Slots where nothing is offered."""
_EXCLAMATIONS = {"sms": 1, "push": 1, "email": 2}
_FIELD = re.compile(r"{(\w+)}")
_WORD = re.compile(r"[\w{}'%-]+")
_RUN = 4
_ATTEMPTS = 100
"""Attempts with any phrases; then each layout has one with its shortest phrases."""


@dataclass(frozen=True)
class Part:
    """One phrase in its place."""

    slot: str
    phrase: str
    """The phrase with its braces still unfilled."""


@dataclass(frozen=True)
class MessageDraft:
    """A message before it is text, so that one part of it can be exchanged."""

    channel: str
    parts: tuple[Part, ...]
    values: Mapping[str, str]
    """Field to text."""

    def with_values(self, **changed: str) -> "MessageDraft":
        """The same phrases about something else."""
        return replace(self, values={**self.values, **changed})

    def with_part(self, index: int, *parts: Part) -> "MessageDraft":
        """The part at `index` exchanged for `parts` (none: taken out)."""
        return replace(self, parts=(*self.parts[:index], *parts, *self.parts[index + 1 :]))

    def index(self, *slots: str) -> int | None:
        """Where the first part of one of `slots` stands."""
        return next((number for number, part in enumerate(self.parts) if part.slot in slots), None)


def values(brief: Brief) -> dict[str, str]:
    """What the braces of a phrase may name, for this brief."""
    given = {key: text for key, text in brief.known.items() if key in ("plan", "tenure")}
    given["sender"] = brief.sender.name
    if brief.name:
        given["name"] = brief.name
    return given | {key: _spelt(text, brief) for key, text in terms(brief.offer, brief.language).items()}


def terms(offer: OfferTerms, language: Language = "en") -> dict[str, str]:
    """What the braces of a phrase may name of an offer: `discount` and `days` of a plain discount, else `offer`."""
    if offer.is_none:
        return {}
    if is_plain(offer):
        told = {"discount": offer.share(language), "days": offer.span(language)}
    else:
        told = {"offer": replace(offer, ends=None).text(language)}
    return told | ({"ends": date_text(offer.ends, language)} if offer.ends else {})


def _spelt(text: str, brief: Brief) -> str:
    return basic(text) if brief.channel == "sms" else text


def is_plain(offer: OfferTerms) -> bool:
    """Whether it is a discount without words of the company's own."""
    return offer.kinds == {"discount"}


def draft(brief: Brief, split: str, rng: Random, *, for_model: bool = False) -> MessageDraft:
    """A random draft for `brief` that keeps its channel's length once filled in. Raises DataError if there is none.

    `for_model`: without the layouts of push notifications alone, which a model would see too seldom to learn.
    """
    masked = brief.mask()
    layouts = [slots for layout in LAYOUTS[brief.channel].of(split) if (slots := _slots(masked, layout)) is not None]
    if for_model:
        layouts = [slots for slots in layouts if _OF_PUSH.isdisjoint(slot for slot, _ in slots)]
    shortest = rng.sample(layouts, len(layouts))
    for number in range(_ATTEMPTS + len(layouts)):
        short = number >= _ATTEMPTS
        slots = shortest[number - _ATTEMPTS] if short else rng.choice(layouts)
        attempt = _attempt(masked, slots, split, rng, short=short)
        if attempt is not None and fits(attempt, brief) and not _says_twice(attempt):
            return attempt
    raise DataError(f"no message of this grammar is short enough for {brief}; shorten its names and facts")


def fits(draft: MessageDraft, brief: Brief) -> bool:
    """Whether a message is as short as its channel asks, with its names filled in."""
    text = brief.fill(write(draft))
    if brief.channel == "email":
        return len(text.split()) <= MOST_WORDS
    return len(text) <= MOST_CHARACTERS[brief.language][brief.channel]


def _says_twice(draft: MessageDraft) -> bool:
    """Whether it says `_RUN` words in a row twice, or one phrase fewer by one that the phrase before it says."""
    runs = _runs(write(draft), _RUN)
    said = [set(_runs(part.phrase, _RUN - 1)) for part in draft.parts]
    return len(set(runs)) < len(runs) or any(one & other for one, other in pairwise(said))


def _may_follow(phrase: str, parts: Sequence[Part], brief: Brief, split: str) -> bool:
    """Whether it says nothing that is said once and stands in `parts`, nor of nothing offered that nothing changes."""
    if split == "test":  # too few phrases are held out
        return True
    said = _said_once(phrase, brief.language, brief.channel)
    if brief.offer.is_none and WORDS[brief.language].unchanged in said:
        return False
    return all(said.isdisjoint(_said_once(part.phrase, brief.language, brief.channel)) for part in parts)


@lru_cache(maxsize=8192)
def _said_once(phrase: str, language: Language, channel: Channel) -> frozenset[str]:
    """What the phrase says of that which a message on the channel says once."""
    topics = WORDS[language].once.get(channel, ())
    return frozenset(topic for topic in topics if re.search(topic, basic(phrase), re.IGNORECASE))


def _runs(text: str, length: int) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]


def write(draft: MessageDraft) -> str:
    """The text of a draft, with stand-ins for the names (`Brief.fill`).

    One line, or for an e-mail paragraphs; only so many exclamation marks as are no shouting.
    """
    text = ""
    for number, part in enumerate(draft.parts):
        slots = [part.slot for part in draft.parts]
        separator = _separator(draft.channel, slots, number) if text else ""
        phrase = part.phrase
        named_first = number and slots[number - 1] == "prefix"  # "Harbor: Your plan", as of a heading
        if separator == " " and part.slot != "greeting" and not named_first and text.endswith((",", ":", "-")):
            phrase = _lower(phrase)
        text += separator + phrase.format_map(dict(draft.values))
    loud, *rest = text.split("!")
    for number, calm in enumerate(rest):
        loud += ("!" if number < _EXCLAMATIONS[draft.channel] else ".") + calm
    return loud


def options(
    slot: str, brief: Brief, split: str, *, sender: bool, tone: str | None = None, short: bool = False
) -> list[str]:
    """Phrases that may fill `slot`, naming the sender or not; those that name most of plan and person come alone.

    `short`: the plan may be left out.
    """
    known = values(brief)
    found = [
        _spelt(phrase, brief)
        for phrase in _choice(slot, brief, tone or brief.tone).of(split)
        if (named := set(_FIELD.findall(phrase))) <= set(known) and ("sender" in named) == sender
    ]
    for field in ("name",) if short else ("name", "plan"):
        found = [phrase for phrase in found if f"{{{field}}}" in phrase] or found
    return found


def phrasebook(brief: Brief, split: str = "train") -> Phrasebook:
    """What every message for `brief` is made of, of any length, with stand-ins for its names and facts."""
    masked = brief.mask()
    filled = values(masked) | {fact: f"{{{fact}}}" for fact in masked.known}
    book = Phrasebook(frozenset())
    for layout, short in product(LAYOUTS[brief.channel].of(split), (False, True)):
        slots = _slots(masked, layout) or []
        choices = []
        for number, (slot, named) in enumerate(slots):
            break_ = _separator(brief.channel, [name for name, _ in slots], number) if number else ""
            phrases = options(slot, masked, split, sender=named, short=short)
            choices.append([break_ + phrase.format_map(filled) for phrase in phrases])
        if all(choices) and choices:
            book |= Phrasebook.of(*choices)
    return book


def speaks_to(angle: str, text: str, language: Language = "en") -> bool:
    """Whether `text` says one of the phrases, of any tone, that the train split has for the angle."""
    said = f" {' '.join(tokens(text))} "
    phrases_of = (phrase for choice in WORDS[language].angle[angle].values() for phrase in choice.of("train"))
    return any(f" {' '.join(tokens(phrase))} " in said for phrase in phrases_of)


def _attempt(
    brief: Brief, slots: Sequence[tuple[str, bool]], split: str, rng: Random, *, short: bool
) -> MessageDraft | None:
    parts: list[Part] = []
    filled = values(brief)
    for slot, named in slots:
        used = {part.phrase for part in parts}
        known = options(slot, brief, split, sender=named, short=short)
        found = [each for each in known if each not in used and _may_follow(each, parts, brief, split)]
        if not found:
            return None
        phrase = min(found, key=lambda each: len(each.format_map(filled))) if short else rng.choice(found)
        parts.append(Part(slot, phrase))
    return MessageDraft(brief.channel, tuple(parts), filled)


def _slots(brief: Brief, layout: str) -> list[tuple[str, bool]] | None:
    """The slots of a layout and whether each names the sender; None where it has no place for what the brief asks."""
    slots = _with_angle(layout.split(), brief)
    if slots is None:
        return None
    named = [(each.removesuffix("@"), each.endswith("@")) for each in slots]
    bare = {slot for slot, _ in named}
    nobody_named = brief.name and bare.isdisjoint(("greeting", "opening"))
    if nobody_named or not bare & _OF_PUSH <= set(WORDS[brief.language].short):
        return None
    if "tap" in bare and brief.offer.ends is not None:  # one phrase has no room for a last day as well
        return None
    if brief.offer.is_none:  # nothing to accept, and a check-in asks once whether there are questions
        named = [each for place, each in enumerate(named) if each[0] != "act" and each not in named[:place]]
    return named


def _with_angle(slots: list[str], brief: Brief) -> list[str] | None:
    """The slots with what the brief's angle asks for in the place of a pleasantry; None where it has no such place."""
    if brief.angle not in ANGLES or brief.channel not in ANGLED:
        return slots
    place = next((slots.index(slot) for slot in ("close", "detail", "bond") if slot in slots), None)
    if place is None:
        return None
    others = [*slots[:place], *slots[place + 1 :]]
    after = others.index("act") + 1  # before it, it would part the offer from how to accept it
    return [*others[:after], "angle", *others[after:]]


def _choice(slot: str, brief: Brief, tone: str) -> Choice:
    words, none = WORDS[brief.language], brief.offer.is_none
    if slot == "angle":
        return words.angle[brief.angle or ""][tone]
    if slot == "act":
        return (words.act if brief.offer.ends is None else words.act_by)[brief.channel][tone]
    if slot == "prefix":
        return words.prefix
    if slot == "optout":
        return words.opt_out[brief.channel]
    if slot in ("offer", "tap"):
        slot = _CHECK_IN[slot] if none else slot if is_plain(brief.offer) else f"other_{slot}"
    elif slot == "opening" and none:
        slot = _CHECK_IN[slot]
    elif slot == "detail" and none:
        slot = "questions"
    return (words.email if brief.channel == "email" else words.short)[slot][tone]


def _separator(channel: str, slots: Sequence[str], number: int) -> str:
    if channel != "email":
        return " "
    return "\n\n" if slots[number - 1] in ("greeting", "sign") or slots[number] in ("sign", "optout") else " "


def _lower(phrase: str) -> str:
    """Begins in lower case what begins a sentence, but neither a field nor a word in capitals."""
    opening, word = phrase[: len(phrase) - len(phrase.lstrip("¿¡"))], phrase.lstrip("¿¡")
    starts_word = word[:1].isupper() and (len(word) < 2 or not word[1].isupper())
    return opening + word[0].lower() + word[1:] if starts_word else phrase
