"""One small, believable edit that makes a compliant message worse.

Some flaws are only flaws against the brief: another discount, deadline or tone than it asks for, or a stand-in for a
name that it does not tell, in words that are right elsewhere. A model that does not read the brief cannot see them. A
name or sender spelt out is wrong whatever the brief, for compliant messages have stand-ins.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from retentionjax.data.messages import accept_phrases, customers, flawed_phrases
from retentionjax.data.messages.grammar import MessageDraft, Part, fits, is_plain, options, terms, write
from retentionjax.data.messages.phrases import Choice
from retentionjax.shield.brief import NAME, TONES, Brief, Tone
from retentionjax.shield.offer import OfferTerms
from retentionjax.shield.quantities import date_text

_EXCHANGEABLE = ("close", "detail", "questions", "act", "bond", "angle")
_OTHER_PERCENT = (15, 25, 30, 50)
"""What no offer of ours is."""
_TOO_LONG = 1.4
"""Times the length of the good message."""
_TRIED = 3
"""Flawed sentences of which the one is taken that suits best by length."""
_SLOTS_WITH_TONE = ("greeting", "opening", "bond", "offer", "tap", "act", "detail", "questions", "close", "sign")


@dataclass(frozen=True)
class Case:
    """What a flaw is made from."""

    brief: Brief
    draft: MessageDraft
    """Compliant."""
    split: str
    rng: Random


def spoil(flaw: str, brief: Brief, draft: MessageDraft, split: str, rng: Random) -> str | None:
    """The text of `draft` with `flaw`; None where it cannot have it (no offer to get wrong)."""
    spoilt = _SPOIL[flaw](Case(brief, draft, split, rng))
    return None if spoilt is None or write(spoilt) == write(draft) else write(spoilt)


def _wrong_offer(case: Case) -> MessageDraft | None:
    offer = case.brief.offer
    if offer.is_none:
        return None
    if offer.limited and case.rng.random() < 0.3:
        days = case.rng.choice([each for each in (*customers.OTHER_DAYS, 30) if each != offer.days])
        return case.draft.with_values(**terms(replace(offer, days=days)))
    if not is_plain(offer):
        return case.draft.with_values(offer=replace(_other(offer, case.rng), ends=None).text())
    if case.rng.random() < 0.7:
        return case.draft.with_values(discount=terms(_other(offer, case.rng))["discount"])
    return case.draft.with_values(discount=f"{case.rng.choice(_OTHER_PERCENT)}%")


def _other(offer: OfferTerms, rng: Random) -> OfferTerms:
    """Another offer of the demo than this one, and not none."""
    return rng.choice([each for each in customers.OFFERS if not each.is_none and each.discount != offer.discount])


def _invented_offer(case: Case) -> MessageDraft | None:
    if not case.brief.offer.is_none:
        return _with_sentence(case, flawed_phrases.INVENTED)
    offer = replace(_other(case.brief.offer, case.rng), days=case.rng.choice((*customers.OTHER_DAYS, 30)))
    told = replace(case.brief, offer=offer)
    place = case.draft.index("offer", "tap")
    assert place is not None
    phrase = case.rng.choice(options("offer", told, case.split, sender=False))
    spoilt = case.draft.with_part(place, Part("offer", phrase))
    return spoilt.with_values(**terms(offer))


def _missing_offer(case: Case) -> MessageDraft | None:
    if case.brief.offer.is_none:
        return None
    silent = replace(case.brief, offer=OfferTerms())
    place = case.draft.index("offer", "tap")
    assert place is not None
    spoilt = case.draft.with_part(
        place, Part("offer", case.rng.choice(options("offer", silent, case.split, sender=False)))
    )
    act = spoilt.index("act")
    if act is None:
        return spoilt
    harmless = options("close", case.brief, case.split, sender=False)
    return spoilt.with_part(act, Part("close", case.rng.choice(harmless)))


def _false_urgency(case: Case) -> MessageDraft | None:
    offer = case.brief.offer
    conditional = case.rng.random() < 0.5
    if not conditional or offer.is_none or case.brief.channel == "push":
        return _with_sentence(case, flawed_phrases.URGENCY)
    start = offer.ends or dt.date(2026, 1, 1)
    ends = date_text(start + dt.timedelta(days=case.rng.randrange(3, 300)))
    if offer.ends is not None:
        return case.draft.with_values(ends=ends)
    act = Part("act", case.rng.choice(accept_phrases.ACT_BY[case.brief.channel][case.brief.tone].of(case.split)))
    place = case.draft.index("act")
    spoilt = _before_opt_out(case.draft, act) if place is None else case.draft.with_part(place, act)
    return spoilt.with_values(ends=ends)


def _missing_opt_out(case: Case) -> MessageDraft | None:
    place = case.draft.index("optout")
    assert place is not None
    if case.rng.random() < 0.25:
        return case.draft.with_part(place)
    instead = case.rng.choice(flawed_phrases.NO_OPT_OUT[case.brief.channel].of(case.split))
    return case.draft.with_part(place, Part("optout", instead))


def _too_long(case: Case) -> MessageDraft | None:
    """More harmless sentences than the channel has room for, or half as long again."""
    spoilt = case.draft
    spare = [
        Part("close", phrase)
        for slot in ("bond", "close", "detail")
        for phrase in options(slot, case.brief, case.split, sender=False)
        if phrase not in _joined(case.draft)
    ]
    case.rng.shuffle(spare)
    enough = _TOO_LONG * len(write(case.draft))
    while fits(spoilt, case.brief) or len(write(spoilt)) < enough:
        if not spare:
            return spoilt if len(write(spoilt)) >= enough else None
        spoilt = _before_opt_out(spoilt, spare.pop())
    return spoilt


def _wrong_name(case: Case) -> MessageDraft | None:
    other = case.rng.choice(customers.others("name", case.split, case.brief.name))
    if case.brief.name is not None:
        return case.draft.with_values(name=other) if "{name}" in _joined(case.draft) else None
    named = options("greeting", replace(case.brief, first_name=other), case.split, sender=False)
    place = case.draft.index("greeting")
    if place is None:
        return None
    # A stand-in for a name that nobody told is what a model is likeliest to write.
    told = NAME if case.rng.random() < 0.5 else other
    return case.draft.with_part(place, Part("greeting", case.rng.choice(named))).with_values(name=told)


def _off_tone(case: Case) -> MessageDraft | None:
    if case.rng.random() < 0.4:
        return _with_sentence(case, flawed_phrases.OFF_TONE[case.brief.tone])
    tone: Tone = case.rng.choice([each for each in TONES if each != case.brief.tone])
    spoilt = case.draft
    for number, part in enumerate(case.draft.parts):
        if part.slot in _SLOTS_WITH_TONE:
            sender = "{sender}" in part.phrase
            if other := options(part.slot, case.brief, case.split, sender=sender, tone=tone):
                spoilt = spoilt.with_part(number, Part(part.slot, case.rng.choice(other)))
    return spoilt if fits(spoilt, case.brief) else None


def _missing_sender(case: Case) -> MessageDraft | None:
    if case.rng.random() < 0.4:
        own = case.brief.sender.name
        others = [name for name in customers.others("sender", case.split, own) if own not in name]
        return case.draft.with_values(sender=case.rng.choice(others))
    place = next(number for number, part in enumerate(case.draft.parts) if "{sender}" in part.phrase)
    slot = case.draft.parts[place].slot
    if slot != "bond":
        return case.draft.with_part(place)
    nameless = options("bond", case.brief, case.split, sender=False)
    return case.draft.with_part(place, Part("bond", case.rng.choice(nameless)))


_SPOIL: Mapping[str, Callable[[Case], MessageDraft | None]] = {
    "wrong_offer": _wrong_offer,
    "invented_offer": _invented_offer,
    "missing_offer": _missing_offer,
    "false_urgency": _false_urgency,
    "shaming": lambda case: _with_sentence(case, flawed_phrases.SHAMING),
    "missing_opt_out": _missing_opt_out,
    "too_long": _too_long,
    "wrong_name": _wrong_name,
    "leaked_score": lambda case: _with_sentence(case, flawed_phrases.SCORE),
    "off_tone": _off_tone,
    "missing_sender": _missing_sender,
}

FLAWS = tuple(_SPOIL)
"""What can be wrong with a message."""


def _with_sentence(case: Case, flawed: Choice) -> MessageDraft | None:
    """A flawed sentence for a harmless one of about its length; None where no sentence can be spared."""
    places = [
        number
        for number, part in enumerate(case.draft.parts)
        if part.slot in _EXCHANGEABLE and "{sender}" not in part.phrase and "{ends}" not in part.phrase
    ]
    if not places:
        return None
    few = case.rng.sample(flawed.of(case.split), min(_TRIED, len(flawed.of(case.split))))
    sizes = {number: len(case.draft.parts[number].phrase.format_map(dict(case.draft.values))) for number in places}
    place, phrase = min(
        ((number, phrase) for number in places for phrase in few), key=lambda pair: abs(sizes[pair[0]] - len(pair[1]))
    )
    return case.draft.with_part(place, Part("close", phrase))


def _before_opt_out(draft: MessageDraft, part: Part) -> MessageDraft:
    """`part` as the last sentence before signature and opt-out."""
    place = next(number for number, each in enumerate(draft.parts) if each.slot in ("sign", "optout"))
    return replace(draft, parts=(*draft.parts[:place], part, *draft.parts[place:]))


def _joined(draft: MessageDraft) -> str:
    return " ".join(part.phrase for part in draft.parts)
