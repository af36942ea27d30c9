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
    """Phrases for the train and validation splits."""
    held_out: tuple[str, ...] = ()
    """Phrases for the test split only; none in a language that no model learns."""

    def of(self, split: str) -> tuple[str, ...]:
        """The phrases that `split` may use."""
        return self.held_out if split == "test" else self.train


PREFIX = Choice(("{sender}:", "From {sender}:"), ("This is {sender}:", "A word from {sender}:"))

GREETING: Mapping[str, Choice] = {
    "warm": Choice(
        ("Hi {name}!", "Hi {name},", "Hello {name},", "Hey {name}!", "Hi there!", "Hello!"),
        ("Hi there, {name}!", "Hello {name}!", "Hey {name},", "Hey there!", "Hi!"),
    ),
    "formal": Choice(
        ("Dear {name},", "Hello, {name}.", "Dear customer,"),
        ("Dear {name}:", "Greetings, {name}.", "Dear client,", "Greetings."),
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
            "Thank you for {tenure} with {sender}!",
            "We at {sender} are so happy to have you with us.",
            "{sender} says thanks for {tenure} together!",
            "Thanks for {tenure} with us!",
            "Thank you for {tenure} together!",
            "It's great to have you with us.",
            "Thanks for being with us!",
            "{tenure} together already. Thank you!",
            "We're so glad you've been with us for {tenure}.",
            "We love having you with us.",
        ),
        (
            "It's been a lovely {tenure} with you at {sender}!",
            "{sender} wouldn't be the same without you.",
            "Your friends at {sender} say thanks for {tenure}!",
            "What a great {tenure} it's been, thanks!",
            "It's a joy to have you with us.",
            "We're happy you're with {sender}.",
        ),
    ),
    "formal": Choice(
        (
            "{sender} thanks you for {tenure} as a customer.",
            "We at {sender} appreciate your {tenure} with us.",
            "Thank you for being a {sender} customer.",
            "On behalf of {sender}, thank you for {tenure} with us.",
            "{sender} appreciates your continued trust.",
            "We at {sender} thank you for your trust.",
            "{sender} values you as a customer.",
            "We appreciate your {tenure} with us.",
            "Thank you for {tenure} as our customer.",
            "We appreciate your continued trust.",
            "We value you as our customer.",
            "It is a pleasure to have you as our customer.",
        ),
        (
            "{sender} is grateful for your {tenure} as a customer.",
            "All of us at {sender} thank you for {tenure} as our customer.",
            "We are grateful for your {tenure} with us.",
            "Please accept our thanks for your trust.",
        ),
    ),
    "brief": Choice(
        (
            "{sender} here.",
            "It's {sender}.",
            "Thanks for {tenure} with {sender}.",
            "Thanks for {tenure} with us.",
            "Thanks for being with us.",
            "Thanks for being with {sender}.",
            "{sender} says thanks.",
            "A note from {sender}.",
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
            "As a thank-you, here's {discount} off your {plan} for {days}.",
            "For the next {days}, enjoy {discount} off your {plan}.",
            "Your {plan} can be {discount} off for {days}!",
            "We'd like to offer you {discount} off your {plan} for {days}.",
            "How does {discount} off your {plan} for {days} sound?",
            "Would you like {discount} off your {plan} for {days}?",
            "You can have {discount} off your {plan} for {days}!",
            "To thank you, we're offering {discount} off your {plan} for {days}.",
            "There's {discount} off your {plan} waiting for you, good for {days}!",
            "Enjoy {discount} off your bill for {days}.",
            "Here's a little thank-you: {discount} off your bill for {days}!",
            "We'd love to give you {discount} off your bill for {days}.",
            "As a thank-you, here's {discount} off your bill for {days}.",
            "How does {discount} off your bill for {days} sound?",
            "Would you like {discount} off your bill for {days}?",
        ),
        (
            "How about {discount} off your {plan} for {days}?",
            "Our treat: {discount} off your {plan} for {days}!",
            "We have {discount} off your {plan} for you, for {days}.",
            "To say thanks, your {plan} can be {discount} off for {days}.",
            "How about {discount} off your bill for {days}?",
            "Our treat: {discount} off your bill for {days}!",
        ),
    ),
    "formal": Choice(
        (
            "We are offering you {discount} off your {plan} for {days}.",
            "We are pleased to offer you {discount} off your {plan} for {days}.",
            "You are invited to enjoy {discount} off your {plan} for {days}.",
            "With our thanks, we offer you {discount} off your {plan} for {days}.",
            "We would be pleased to give you {discount} off your {plan} for {days}.",
            "As our customer, you can have {discount} off your {plan} for {days}.",
            "As an expression of thanks, we offer {discount} off your {plan} for {days}.",
            "We would like to offer you {discount} off your {plan} for {days}.",
            "A discount of {discount} on your {plan} is available to you for {days}.",
            "We are offering you {discount} off your bill for {days}.",
            "We are pleased to offer you {discount} off your bill for {days}.",
            "A discount of {discount} on your bill is available to you for {days}.",
            "With our thanks, we offer you {discount} off your bill for {days}.",
        ),
        (
            "Please accept {discount} off your {plan} for {days}.",
            "It is our pleasure to extend {discount} off your {plan} for {days}.",
            "You may have {discount} off your {plan} for {days}, if you wish.",
            "Please consider our offer of {discount} off your {plan} for {days}.",
            "Please accept {discount} off your bill for {days}.",
            "It is our pleasure to extend {discount} off your bill for {days}.",
            "You may have {discount} off your bill for {days}, if you wish.",
        ),
    ),
    "brief": Choice(
        (
            "{discount} off your {plan} for {days}.",
            "Your {plan}: {discount} off for {days}.",
            "For you: {discount} off your {plan} for {days}.",
            "Enjoy {discount} off your {plan} for {days}.",
            "Want {discount} off your {plan} for {days}?",
            "Our thanks: {discount} off your {plan} for {days}.",
            "Get {discount} off your {plan} for {days}.",
            "{days} of {discount} off your {plan}.",
            "{discount} off your bill for {days}.",
            "Your bill: {discount} off for {days}.",
            "Get {discount} off your bill for {days}.",
            "For you: {discount} off your bill for {days}.",
        ),
        (
            "For {days}: {discount} off your {plan}.",
            "Have {discount} off your {plan} for {days}.",
            "Our offer: {discount} off your {plan} for {days}.",
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
            "As a thank-you, here's {offer}.",
            "How does {offer} sound?",
            "Would you like {offer}?",
        ),
        ("How about {offer} on your {plan}?", "Our treat: {offer}!", "To say thanks, we have {offer} for you."),
    ),
    "formal": Choice(
        (
            "We are pleased to offer you {offer} on your {plan}.",
            "As an expression of thanks, we offer you {offer}.",
            "We would like to give you {offer}.",
            "With our thanks, we offer you {offer}.",
            "You can have {offer} on your {plan}.",
            "We are offering you {offer}.",
        ),
        (
            "Please accept {offer} on your {plan}.",
            "It is our pleasure to extend {offer} to you.",
            "You may have {offer}.",
        ),
    ),
    "brief": Choice(
        ("For your {plan}: {offer}.", "Get {offer}.", "For you: {offer}.", "Our thanks: {offer}."),
        ("Our offer: {offer}.", "Have {offer}."),
    ),
}

CHECK_IN: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "How's your {plan} treating you? We'd love to hear.",
            "Is your {plan} working well for you? We'd love to hear.",
            "We'd love to help you get more from your {plan}.",
            "If you ever need a hand with your {plan}, we're right here.",
            "Is there anything we can do for you? We'd love to help!",
            "Can we help you with your {plan}? Just ask.",
            "Are you happy with your {plan}? We'd love to hear.",
            "How are things going with your {plan}? We'd love to hear.",
            "How can we do better? We'd love to hear from you.",
        ),
        (
            "Got a question about your {plan}? We're all ears!",
            "Tell us how things are with your {plan}!",
            "Is there something we can make easier for you?",
        ),
    ),
    "formal": Choice(
        (
            "Our team would be pleased to review your {plan} with you.",
            "Should you need help with your {plan}, our team is here for you.",
            "We would be glad to answer any questions about your {plan}.",
            "Please tell us if we can help you with your {plan}.",
            "If you have questions about your {plan}, our team is glad to help.",
            "We would be glad to know how we can be of help.",
            "We would welcome your comments on your {plan}.",
            "Our team would be pleased to answer any questions.",
            "We would welcome your comments on our service.",
        ),
        (
            "May we assist you with your {plan}?",
            "We invite you to discuss your {plan} with our team.",
            "Please tell us whether your {plan} meets your expectations.",
            "Please let us know how we may assist you.",
        ),
    ),
    "brief": Choice(
        (
            "Need a hand with your {plan}? Just ask.",
            "Questions about your {plan}? We can help.",
            "Is all going well with your {plan}?",
            "Happy with your {plan}? We'd like to know.",
            "How is your {plan} working for you?",
            "Is everything going well? We're here to help.",
            "Need help? Just ask.",
            "How are things going?",
            "Any questions? We can help.",
        ),
        ("Is your {plan} working well?", "Help with your {plan}? Just ask us.", "Something to fix? Tell us."),
    ),
}

CLOSE: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "We're so glad you're here!",
            "We're lucky to have you.",
            "Have a lovely day!",
            "We're always happy to help.",
            "We're here if you need us.",
            "Any questions? Just ask!",
            "Have a great week!",
        ),
        ("It's great to have you.", "Have a wonderful week!", "Questions? We'd love to help!"),
    ),
    "formal": Choice(
        (
            "Thank you for your trust.",
            "We remain at your service.",
            "We value your trust.",
            "Thank you for your time.",
            "We look forward to serving you.",
            "We are glad to help with any questions.",
            "Our team is here for you.",
        ),
        ("We thank you for your attention.", "Our team is at your service.", "With thanks for your trust."),
    ),
    "brief": Choice(
        ("Thanks.", "Many thanks.", "Questions? Ask us.", "Questions? Just ask.", "Here to help.", "Thank you."),
        ("Cheers.", "Happy to help."),
    ),
}

SIGN: Mapping[str, Mapping[str, Choice]] = {
    "short": {
        "warm": Choice(
            ("Your {sender} team.", "Yours, {sender}.", "Thanks from {sender}!"), ("All of us at {sender}.",)
        ),
        "formal": Choice(
            ("Sincerely, {sender}.", "Regards, {sender}.", "Your {sender} team."),
            ("Yours truly, {sender}.", "With thanks, {sender}."),
        ),
        "brief": Choice(
            ("- {sender}.", "Thanks, {sender}.", "Best, {sender}."), ("From {sender}.", "Thanks from {sender}.")
        ),
    },
    "email": {
        "warm": Choice(
            ("Warmly,\n{sender}", "All the best,\nyour {sender} team", "Many thanks,\n{sender}"),
            ("Big thanks,\n{sender}",),
        ),
        "formal": Choice(
            ("Kind regards,\n{sender}", "Sincerely,\n{sender}", "Best regards,\n{sender}"),
            ("Respectfully,\n{sender}",),
        ),
        "brief": Choice(("{sender}", "The {sender} team", "Best,\n{sender}"), ("From {sender}",)),
    },
}

ONCE = (
    r"thank|grateful|appreciat",
    r"\btrust",
    r"\blove\b",
    r"\bjust\b",
    r"\bfor you\b",
    r"\bour (?:support )?team",
    r"\btreat",
    r"\bhere's\b",
    r"\bhere.s\b",
    r"\boffer",
    r"glad|happy|pleased",
    r"(?:have|having) you|being (?:here|with us)",
    r"would you like|you'd like it|how does|interested",
    r"\bwork",
    r"\bwant\b",
    r"question|\bask\b|\bhelp|support team|\bneed\b|tell us|fix it|a hand\b",
    r"check|review|right for you|right plan|go over",
)
"""What one phrase of an SMS or push notification may say, and no second one."""

OPT_OUT: Mapping[str, Choice] = {
    "sms": Choice(
        ("Reply STOP to opt out.", "Text STOP to opt out.", "Reply STOP to unsubscribe.", "STOP to opt out."),
        ("Text STOP to unsubscribe.", "Send STOP to opt out."),
    ),
    "push": Choice(
        (
            "Manage alerts in settings.",
            "You can manage alerts in settings.",
            "You can stop alerts in settings.",
            "Stop alerts in settings.",
            "To manage alerts, see settings.",
        ),
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
