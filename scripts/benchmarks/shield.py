"""The shield's speed: milliseconds of one core a message, all checks, on the templates of every channel and offer.

The bar is 1 ms an SMS. What was sought in a wording is kept for the next customer, so a wording met for the first time
is timed as well, and so are messages that hold a card and a telephone number, which take a closer look.
"""

import itertools
import statistics
import time
from collections.abc import Callable

from retentionjax.shield import Brief, OfferTerms, Sender, check, render
from retentionjax.shield.brief import CHANNELS, TONES

ROUNDS = 30
SENDER = Sender("Northwind", "1 Main Street, Springfield", ("northwind.example",), "https://northwind.example/leave")
FACTS = {"plan": "fiber internet", "tenure": "14 months", "charge": "$70.35"}
OFFERS = (
    OfferTerms(),
    OfferTerms(0.05),
    OfferTerms(0.10),
    OfferTerms(1.0, say="one month free"),
    OfferTerms(amount=15.0),
    OfferTerms(say="twice the speed", days=90),
)
NAMES = ("Maria", "José", "Мария", None)


def run() -> dict[str, float]:
    """Median over the rounds of the mean time a message, in milliseconds of CPU time."""
    briefs = [
        Brief(channel, offer, SENDER, tone, name, FACTS)
        for channel, offer, tone, name in itertools.product(CHANNELS, OFFERS, TONES, NAMES)
    ]
    passing = [(render(brief), brief) for brief in briefs]
    sms = [each for each in passing if each[1].channel == "sms"]
    numbers = [(f"{text} Card 4111 1111 1111 1111, call 212-736-5000.", brief) for text, brief in passing]
    return {
        "messages": float(len(briefs)),
        "milliseconds_per_sms": _milliseconds(check, sms),
        "milliseconds_per_sms_met_first": _milliseconds(check, sms, anew=True),
        "milliseconds_per_message": _milliseconds(check, passing),
        "milliseconds_per_message_with_personal_data": _milliseconds(check, numbers),
        "milliseconds_per_template": _milliseconds(lambda _, brief: render(brief), passing),
    }


def _milliseconds(
    call: Callable[[str, Brief], object], messages: list[tuple[str, Brief]], *, anew: bool = False
) -> float:
    rounds = []
    for number in range(ROUNDS):
        tail = " " * number * anew
        start = time.process_time()
        for text, brief in messages:
            call(text + tail, brief)
        rounds.append((time.process_time() - start) / len(messages) * 1e3)
    return statistics.median(rounds)
