"""All words of the grammar, by language."""

from collections.abc import Mapping
from dataclasses import dataclass

from retentionjax.data.messages import (
    accept_phrases,
    angle_phrases,
    email_phrases,
    phrases,
    push_phrases,
    spanish_email_phrases,
    spanish_phrases,
    spanish_reply_phrases,
)
from retentionjax.data.messages.phrases import Choice
from retentionjax.shield.brief import CHANNELS
from retentionjax.shield.lexicon import Language

Slots = Mapping[str, Mapping[str, Choice]]
"""Slot → tone → phrases; or channel → tone → phrases."""


@dataclass(frozen=True)
class Vocabulary:
    """What one language says in each slot."""

    prefix: Choice
    short: Slots
    """Slots of SMS and push notifications; no `opening` and `tap` in a language that lacks these layouts."""
    email: Slots
    act: Slots
    """How to accept, by channel."""
    act_by: Slots
    """The same where there is a last day."""
    angle: Slots
    """What is said to a reason to leave, by reason."""
    opt_out: Mapping[str, Choice]
    """How to opt out, by channel."""
    unchanged: str
    """A pattern of what is said of an offer only: that nothing else changes."""
    once: Mapping[str, tuple[str, ...]]
    """Channel → patterns of which no message holds one in two phrases."""


WORDS: Mapping[Language, Vocabulary] = {
    "en": Vocabulary(
        prefix=phrases.PREFIX,
        short={
            "greeting": phrases.GREETING,
            "bond": phrases.BOND,
            "offer": phrases.OFFER,
            "other_offer": phrases.OTHER_OFFER,
            "check_in": phrases.CHECK_IN,
            "detail": email_phrases.DETAIL,  # of a message that is to be too long
            "questions": email_phrases.QUESTIONS,
            "close": phrases.CLOSE,
            "sign": phrases.SIGN["short"],
            "opening": push_phrases.OPENING,
            "check_in_opening": push_phrases.CHECK_IN_OPENING,
            "tap": push_phrases.TAP,
            "other_tap": push_phrases.OTHER_TAP,
            "check_in_tap": push_phrases.CHECK_IN_TAP,
        },
        email={
            "greeting": phrases.GREETING,
            "bond": email_phrases.BOND,
            "offer": email_phrases.OFFER,
            "other_offer": phrases.OTHER_OFFER,
            "check_in": email_phrases.CHECK_IN,
            # What is asked between an offer and its acceptance parts them.
            "detail": {
                tone: Choice(tuple(each for each in choice.train if "question" not in each.lower()), choice.held_out)
                for tone, choice in email_phrases.DETAIL.items()
            },
            "questions": email_phrases.QUESTIONS,
            "close": email_phrases.CLOSE,
            "sign": phrases.SIGN["email"],
        },
        act=accept_phrases.ACT,
        act_by=accept_phrases.ACT_BY,
        angle=angle_phrases.ANGLE,
        opt_out=phrases.OPT_OUT,
        unchanged=email_phrases.UNCHANGED,
        once={
            "email": email_phrases.ONCE,
            "sms": (email_phrases.UNCHANGED, *phrases.ONCE),
            "push": (email_phrases.UNCHANGED, *phrases.ONCE, push_phrases.ANSWER),
        },
    ),
    "es": Vocabulary(
        prefix=spanish_phrases.PREFIX,
        short=spanish_phrases.SHORT,
        email=spanish_email_phrases.EMAIL,
        act=spanish_reply_phrases.ACT,
        act_by=spanish_reply_phrases.ACT_BY,
        angle=spanish_reply_phrases.ANGLE,
        opt_out=spanish_phrases.OPT_OUT,
        unchanged=spanish_phrases.UNCHANGED,
        once=dict.fromkeys(CHANNELS, spanish_phrases.ONCE),
    ),
}
