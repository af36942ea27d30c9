"""The words of the grammar: for each slot and tone, phrases to learn from and phrases held out for the test split.

Braces are filled from the brief: {name} {sender} {plan} {tenure} {discount} ("10%") {days} ("30 days") {ends}
("June 30, 2026"), and {offer} where it is no plain discount ("one month free"). A phrase is only used where the brief
has what it names. Plain GSM-7 characters throughout, so that an SMS stays one segment. `Tone` "any" serves every tone.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """Phrases that mean the same."""

    train: tuple[str, ...]
    """For the train and validation splits."""
    held_out: tuple[str, ...]
    """For the test split only."""

    def of(self, split: str) -> tuple[str, ...]:
        """The phrases that `split` may use."""
        return self.held_out if split == "test" else self.train


PREFIX = Choice(("{sender}:", "{sender} here:", "From {sender}:"), ("This is {sender}:", "A word from {sender}:"))

GREETING: Mapping[str, Choice] = {
    "warm": Choice(
        ("Hi {name}!", "Hi {name},", "Hello {name},", "Hey {name}!", "{name}, hello!", "Hi there!", "Hello!"),
        ("Hi there, {name}!", "Hello {name}!", "Hey {name},", "Hey there!", "Hi!"),
    ),
    "formal": Choice(
        ("Dear {name},", "Good day, {name}.", "Dear {name}:", "Dear customer,", "Dear subscriber,"),
        ("Good day {name},", "Greetings, {name}.", "Dear client,", "Good day."),
    ),
    "brief": Choice(("Hi {name}.", "Hello {name}.", "Hi {name},", "Hi."), ("Hi {name}:", "{name} -", "Hello.")),
}

BOND: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "Thanks for {tenure} with {sender}!",
            "Thanks so much for {tenure} with us at {sender}.",
            "You've been with {sender} for {tenure}, and it means a lot.",
            "Thanks for choosing {sender}!",
            "It's {sender}, and we're so glad to have you.",
            "All of us at {sender} love having you here.",
            "{sender} here, with a thank-you for {tenure} together!",
            "Thanks for {tenure} with us!",
            "{tenure} together already. Thank you!",
            "We're so glad you've been with us for {tenure}.",
            "We love having you with us.",
        ),
        (
            "It's been a lovely {tenure} with you at {sender}!",
            "{sender} wouldn't be the same without you.",
            "Your friends at {sender} say thanks for {tenure}!",
            "What a great {tenure} it's been, thanks!",
            "It's a joy to have you around.",
            "We're happy you're part of {sender}.",
        ),
    ),
    "formal": Choice(
        (
            "{sender} thanks you for {tenure} as a customer.",
            "We at {sender} appreciate your {tenure} with us.",
            "Thank you for being a {sender} customer.",
            "On behalf of {sender}, thank you for your {tenure} of custom.",
            "{sender} appreciates your continued custom.",
            "We appreciate your {tenure} with us.",
            "Thank you for your {tenure} as our customer.",
            "We appreciate your continued custom.",
        ),
        (
            "{sender} is grateful for your {tenure} of custom.",
            "We write from {sender} to thank you for {tenure} as our customer.",
            "We are grateful for your {tenure} with us.",
            "Please accept our thanks for your custom.",
        ),
    ),
    "brief": Choice(
        (
            "{sender} here.",
            "It's {sender}.",
            "{tenure} with {sender}: thanks.",
            "A quick note.",
            "{tenure} with us: thanks.",
        ),
        (
            "This is {sender}.",
            "Note from {sender}.",
            "From {sender}, after {tenure}.",
            "After {tenure}: thanks.",
            "In short:",
        ),
    ),
}

OFFER: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "Enjoy {discount} off your {plan} for {days}.",
            "Here's {discount} off your {plan} for the next {days}!",
            "We'd love to give you {discount} off your {plan} for {days}.",
            "As a thank-you, take {discount} off your {plan} for {days}.",
            "Let us treat you to {discount} off your {plan} for {days}.",
            "For the next {days}, we'd like to take {discount} off your {plan}.",
            "There's {discount} off your {plan} waiting for you, good for {days}!",
            "Enjoy {discount} off your bill for {days}.",
            "Here's a little thank-you: {discount} off your bill for {days}!",
            "We'd love to take {discount} off your bill for {days}.",
        ),
        (
            "How about {discount} off your {plan} for {days}?",
            "Our treat: {discount} off your {plan} for {days}!",
            "We've set aside {discount} off your {plan} for {days}.",
            "To say thanks, your {plan} can be {discount} off for {days}.",
            "How about {discount} off your bill for {days}?",
            "Our treat: {discount} off your bill for {days}!",
        ),
    ),
    "formal": Choice(
        (
            "We offer you {discount} off your {plan} for {days}.",
            "We are pleased to offer you {discount} off your {plan} for {days}.",
            "You are invited to take {discount} off your {plan} for {days}.",
            "As an expression of thanks, we offer {discount} off your {plan} for {days}.",
            "We would like to take {discount} off the price of your {plan} for {days}.",
            "A discount of {discount} on your {plan} is available to you for {days}.",
            "We are pleased to offer you {discount} off your bill for {days}.",
            "A discount of {discount} on your bill is available to you for {days}.",
        ),
        (
            "Please accept {discount} off your {plan} for {days}.",
            "It is our pleasure to extend {discount} off your {plan} for {days}.",
            "You may have {discount} off your {plan} for {days}, if you wish.",
            "Please consider our offer of {discount} off your {plan} for {days}.",
            "It is our pleasure to extend {discount} off your bill for {days}.",
            "You may have {discount} off your bill for {days}, if you wish.",
        ),
    ),
    "brief": Choice(
        (
            "{discount} off your {plan} for {days}.",
            "Your {plan}: {discount} off for {days}.",
            "{discount} off {plan}, {days}.",
            "Get {discount} off your {plan} for {days}.",
            "{days} of {discount} off your {plan}.",
            "{discount} off your bill for {days}.",
            "Your bill: {discount} off for {days}.",
        ),
        (
            "For {days}: {discount} off your {plan}.",
            "Take {discount} off {plan} for {days}.",
            "Offer: {discount} off, {days}, on your {plan}.",
            "For {days}: {discount} off your bill.",
        ),
    ),
}

OTHER_OFFER: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "Enjoy {offer} on your {plan}.",
            "We'd love to give you {offer} on your {plan}!",
            "Here's a little thank-you: {offer}!",
            "Enjoy {offer}.",
        ),
        ("How about {offer} on your {plan}?", "Our treat: {offer}!", "To say thanks, we have {offer} for you."),
    ),
    "formal": Choice(
        (
            "We are pleased to offer you {offer} on your {plan}.",
            "As an expression of thanks, we offer you {offer}.",
            "We would like to give you {offer}.",
            "We offer you {offer}.",
        ),
        (
            "Please accept {offer} on your {plan}.",
            "It is our pleasure to extend {offer} to you.",
            "You may have {offer}.",
        ),
    ),
    "brief": Choice(
        ("For your {plan}: {offer}.", "Get {offer}.", "For you: {offer}."), ("Take {offer}.", "Offer: {offer}.")
    ),
}

CHECK_IN: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "How's your {plan} treating you?",
            "Is your {plan} doing all you'd like? We'd love to hear.",
            "We'd love to help you get more from your {plan}.",
            "If your {plan} ever needs a hand, we're right here.",
            "Anything we can do for you? We'd love to help!",
        ),
        (
            "Got a wish for your {plan}? We're all ears!",
            "Tell us how you're getting on with your {plan}!",
            "Is there something we can make easier for you?",
        ),
    ),
    "formal": Choice(
        (
            "Our team would be pleased to review your {plan} with you.",
            "Should your {plan} require attention, our team is at your service.",
            "We would welcome your comments on your {plan}.",
            "Our team would be pleased to answer any questions.",
            "We would welcome your comments on our service.",
        ),
        (
            "May we assist you with your {plan}?",
            "We invite you to discuss your {plan} with our team.",
            "Please tell us whether your {plan} meets your expectations.",
            "Kindly let us know how we may assist you.",
        ),
    ),
    "brief": Choice(
        (
            "Need help with your {plan}? Just ask.",
            "Questions on your {plan}? We can help.",
            "All well with your {plan}?",
            "Need help? Just ask.",
            "Any questions? We can help.",
        ),
        ("Your {plan} working well?", "Help with your {plan} is a text away.", "Something to fix? Tell us."),
    ),
}

ACT: Mapping[str, Mapping[str, Choice]] = {
    "sms": {
        "warm": Choice(
            ("Just reply YES and it's yours.", "Text YES and we'll set it up!", "Say YES and we'll do the rest."),
            ("A quick YES is all it takes!", "Send YES and we'll get it going."),
        ),
        "formal": Choice(
            ("Please reply YES to accept.", "To accept, please reply YES.", "Kindly reply YES to proceed."),
            ("Please respond YES to accept.", "A reply of YES will suffice."),
        ),
        "brief": Choice(("Reply YES.", "YES to accept.", "Reply YES to start."), ("Text YES.", "YES to get it.")),
    },
    "push": {
        "warm": Choice(("Tap and it's yours!", "Tap to say yes!", "Just tap to start."), ("One tap and you're set!",)),
        "formal": Choice(("Please tap to accept.", "Kindly tap to proceed."), ("Tap to confirm, please.",)),
        "brief": Choice(("Tap to accept.", "Tap to start."), ("Tap to get it.",)),
    },
    "email": {
        "warm": Choice(
            (
                "Just reply to this e-mail and it's yours.",
                "Like the sound of it? Hit reply and say yes!",
                "Write back with a quick yes and we'll do the rest.",
            ),
            ("Drop us a yes by reply and we'll get it going!", "Send a yes back and you're all set."),
        ),
        "formal": Choice(
            (
                "To accept, please reply to this e-mail.",
                "Kindly confirm by reply to this e-mail.",
                "Should you wish to accept, a short reply is sufficient.",
            ),
            ("Your acceptance by return e-mail is all we need.", "Please respond to this message to accept."),
        ),
        "brief": Choice(
            ("Reply to accept.", "Reply yes to start.", "A short reply is enough."),
            ("Reply and it is set.", "To accept, write back."),
        ),
    },
}

ACT_BY: Mapping[str, Mapping[str, Choice]] = {
    "sms": {
        "warm": Choice(
            ("Just reply YES by {ends}!", "Text YES by {ends} and it's yours.", "Say YES by {ends}!"),
            ("Send YES by {ends} to get it going!", "A quick YES by {ends} is all it takes!"),
        ),
        "formal": Choice(
            ("Please reply YES by {ends}.", "To accept, kindly reply YES by {ends}."),
            ("Please respond YES by {ends}.",),
        ),
        "brief": Choice(("Reply YES by {ends}.", "YES by {ends} to accept."), ("Text YES by {ends}.",)),
    },
    "push": {
        "warm": Choice(
            ("Tap by {ends} and it's yours!", "Just tap by {ends}!"), ("One tap by {ends} and you're set!",)
        ),
        "formal": Choice(("Please tap to accept by {ends}.",), ("Kindly tap by {ends}.",)),
        "brief": Choice(("Tap by {ends}.",), ("Tap to get it by {ends}.",)),
    },
    "email": {
        "warm": Choice(
            ("Just reply to this e-mail by {ends} and it's yours!", "Hit reply and say yes by {ends}!"),
            ("Write back with a yes by {ends}!", "You've got until {ends} to reply with a yes."),
        ),
        "formal": Choice(
            ("To accept, please reply to this e-mail by {ends}.", "Kindly confirm by reply until {ends}."),
            ("Acceptance by return e-mail is possible until {ends}.", "Please respond to this e-mail by {ends}."),
        ),
        "brief": Choice(("Reply by {ends} to accept.", "Reply yes by {ends}."), ("To accept, write back by {ends}.",)),
    },
}

CLOSE: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "We're so glad you're here!",
            "We're lucky to have you.",
            "Have a lovely day!",
            "We're always happy to help.",
        ),
        ("Sending you a smile!", "It's great to have you.", "Have a wonderful week!"),
    ),
    "formal": Choice(
        (
            "Thank you for your trust.",
            "We remain at your service.",
            "We value your custom.",
            "Thank you for your consideration.",
            "We look forward to serving you.",
        ),
        ("We thank you for your attention.", "Our team is at your disposal.", "With thanks for your confidence."),
    ),
    "brief": Choice(
        ("Thanks.", "Many thanks.", "Questions? Ask us.", "Questions? Just ask.", "Here to help."),
        ("Cheers.", "Happy to help."),
    ),
}

DETAIL: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "There's nothing to fill in, and your plan stays just as it is.",
            "Got a question? Write back and a real person will answer.",
            "Everything else about your service stays the way you like it.",
            "We picked this because we'd love to keep things easy for you.",
        ),
        ("Nothing else changes, so you can carry on as you were.", "If anything's unclear, we're happy to chat."),
    ),
    "formal": Choice(
        (
            "All other terms of your service remain unchanged.",
            "Should you have questions, our team will be pleased to answer them.",
            "No further steps are required on your part.",
            "This does not alter your current agreement.",
        ),
        ("The remainder of your agreement is not affected.", "Our team will gladly provide further information."),
    ),
    "brief": Choice(
        ("Nothing else changes.", "No forms.", "Same service as now.", "Questions? Just reply."),
        ("The rest stays as it is.", "No paperwork."),
    ),
}

SIGN: Mapping[str, Mapping[str, Choice]] = {
    "short": {
        "warm": Choice(
            ("Your {sender} team.", "Yours, {sender}.", "- your friends at {sender}."), ("Your pals at {sender}.",)
        ),
        "formal": Choice(
            ("Sincerely, {sender}.", "Regards, {sender}.", "Your {sender} team."),
            ("Yours truly, {sender}.", "From {sender}."),
        ),
        "brief": Choice(("- {sender}.", "{sender}.", "Best, {sender}."), ("({sender})", "All at {sender}.")),
    },
    "email": {
        "warm": Choice(
            ("Warmly,\n{sender}", "All the best,\nyour {sender} team", "Many thanks,\n{sender}"),
            ("Big thanks,\n{sender}",),
        ),
        "formal": Choice(
            ("Kind regards,\n{sender}", "Sincerely,\n{sender}", "Yours faithfully,\n{sender}"),
            ("Respectfully,\n{sender}",),
        ),
        "brief": Choice(("{sender}", "The {sender} team", "Best,\n{sender}"), ("From {sender}",)),
    },
}

OPT_OUT: Mapping[str, Choice] = {
    "sms": Choice(
        ("Reply STOP to opt out.", "Text STOP to opt out.", "Reply STOP to unsubscribe.", "STOP to opt out."),
        ("Text STOP to unsubscribe.", "Send STOP to opt out."),
    ),
    "push": Choice(
        ("Manage alerts in settings.", "You can manage alerts in settings."),
        ("Manage alerts in settings.", "Manage alerts in your settings."),
    ),
    "email": Choice(
        (
            "You can unsubscribe at any time below.",
            "To unsubscribe, use the link below.",
            "Prefer fewer e-mails? Unsubscribe below.",
            "Unsubscribe any time with the link below.",
            "You may unsubscribe using the link below.",
        ),
        ("If you would rather not hear from us, unsubscribe below.", "The link below lets you unsubscribe."),
    ),
}
