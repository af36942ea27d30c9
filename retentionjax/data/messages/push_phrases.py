"""Phrases of push notifications only: openings in a greeting's place, and an offer with how to take it; see `phrases`.

A lock screen is read at a glance, so that much of what else is said there is alike. Nothing is held out: the layouts of
the test split have no place for these.
"""

from collections.abc import Mapping

from retentionjax.data.messages.phrases import Choice

ANSWER = r"\btap\b|\bask\b"
"""How a push notification is answered, of which it says one: nobody can write back to it."""

OPENING: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "This is for you, {name}!",
            "{name}, here's a thank-you!",
            "A treat for you, {name}!",
            "Thanks for {tenure} with us, {name}!",
            "{name}, thanks for being with us!",
            "This is for you!",
            "A little treat for you!",
            "A thank-you from {sender}, {name}!",
            "{name}, this is for you from {sender}!",
            "{sender} says thanks, {name}!",
            "A treat from {sender}, {name}!",
            "A thank-you from {sender}!",
            "A little treat from {sender}!",
        )
    ),
    "formal": Choice(
        (
            "Thank you for your trust, {name}.",
            "{name}, we have an offer for you.",
            "We have an offer for you.",
            "An offer from {sender}, {name}.",
            "{name}, {sender} thanks you for your trust.",
            "An offer from {sender}.",
        )
    ),
    "brief": Choice(
        (
            "Thanks, {name}.",
            "This is for you, {name}.",
            "An offer for you, {name}.",
            "An offer for you.",
            "From {sender}, for you, {name}.",
            "{sender} here, {name}.",
            "An offer from {sender}.",
        )
    ),
}
CHECK_IN_OPENING: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "A quick hello, {name}!",
            "Thanks for {tenure} with us, {name}!",
            "{name}, thanks for being with us!",
            "Great to have you with us, {name}!",
            "A quick hello!",
            "A quick hello from {sender}, {name}!",
            "{sender} says thanks, {name}!",
            "A quick hello from {sender}!",
        )
    ),
    "formal": Choice(
        (
            "Thank you for your trust, {name}.",
            "{name}, we value you as our customer.",
            "Thank you for being our customer.",
            "A note from {sender}, {name}.",
            "A note from {sender}.",
        )
    ),
    "brief": Choice(("Thanks, {name}.", "A quick note, {name}.", "A quick note.", "{sender} here, {name}.")),
}

TAP: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "Tap for {discount} off your {plan} for {days}!",
            "Tap to get {discount} off your {plan} for {days}.",
            "Tap to enjoy {discount} off your {plan} for {days}.",
            "Tap to save {discount} on your {plan} for {days}.",
            "Tap and enjoy {days} of {discount} off your {plan}.",
            "One tap and it's yours: {discount} off your {plan} for {days}.",
            "{discount} off your {plan} for {days} is just a tap away!",
            "Want {discount} off your {plan} for {days}? Just tap!",
            "{discount} off your {plan} for {days}? Tap to say yes!",
            "Tap to get {discount} off your bill for {days}.",
            "Want {discount} off your bill for {days}? Just tap!",
            "One tap and it's yours: {discount} off your bill for {days}.",
        )
    ),
    "formal": Choice(
        (
            "Please tap to accept {discount} off your {plan} for {days}.",
            "To accept {discount} off your {plan} for {days}, please tap.",
            "Tap to accept our offer of {discount} off your {plan} for {days}.",
            "To enjoy {discount} off your {plan} for {days}, simply tap.",
            "Please tap to accept {discount} off your bill for {days}.",
            "To enjoy {discount} off your bill for {days}, simply tap.",
        )
    ),
    "brief": Choice(
        (
            "Tap for {discount} off your {plan} for {days}.",
            "Tap to get {discount} off your {plan} for {days}.",
            "Tap to save {discount} on your {plan} for {days}.",
            "{discount} off your {plan} for {days}: tap to accept.",
            "Want {discount} off your {plan} for {days}? Tap.",
            "Tap for {discount} off your bill for {days}.",
            "{discount} off your bill for {days}: tap to accept.",
        )
    ),
}
OTHER_TAP: Mapping[str, Choice] = {
    "warm": Choice(
        ("Tap to get {offer}!", "Want {offer}? Just tap!", "One tap and it's yours: {offer}.", "Tap for {offer}!")
    ),
    "formal": Choice(("Please tap to accept {offer}.", "To accept {offer}, please tap.", "Tap to enjoy {offer}.")),
    "brief": Choice(("Tap for {offer}.", "Tap to get {offer}.", "Want {offer}? Tap.")),
}
CHECK_IN_TAP: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "Tap to tell us how things are going with your {plan}.",
            "How's your {plan} treating you? Tap to tell us!",
            "Need a hand with your {plan}? We're a tap away!",
            "Got a question about your {plan}? Tap to ask us.",
            "Is all well with your {plan}? Tap to let us know.",
            "How can we help with your {plan}? Tap to tell us.",
            "How are we doing? Tap to tell us!",
            "Need a hand? We're a tap away!",
        )
    ),
    "formal": Choice(
        (
            "Please tap to tell us how your {plan} is working for you.",
            "If you have questions about your {plan}, please tap.",
            "Please tap to tell us how we can be of help.",
            "If you have any questions, please tap.",
        )
    ),
    "brief": Choice(
        (
            "Questions about your {plan}? Tap to ask.",
            "How is your {plan} working? Tap to tell us.",
            "Need help with your {plan}? Tap.",
            "Any questions? Tap to ask.",
            "How are we doing? Tap to tell us.",
        )
    ),
}
