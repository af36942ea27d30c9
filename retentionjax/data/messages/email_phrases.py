"""The e-mail register: whole sentences, a reason for writing, and what does not change; see `phrases`."""

from collections.abc import Mapping

from retentionjax.data.messages.phrases import Choice

BOND: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "Thank you so much for {tenure} with us at {sender}.",
            "You've been with {sender} for {tenure}, and it means a lot to all of us.",
            "All of us at {sender} are so happy to have you with us.",
            "We're so glad that you chose {sender}, and we'd love to say thank you.",
            "Here at {sender} we're grateful for {tenure} with you.",
            "You've been with us for {tenure}, and we'd love to say thank you.",
            "It's great to have you with us, and we'd love to say thank you.",
            "We're so happy to have you as our customer.",
        ),
        (
            "It's been a lovely {tenure} with you here at {sender}, and we're grateful.",
            "All of us at {sender} would love to say thank you for being here.",
            "What a lovely {tenure} it's been with you!",
            "We're so happy that you're with us, and we'd love to say so.",
        ),
    ),
    "formal": Choice(
        (
            "On behalf of {sender}, we thank you for {tenure} as our customer.",
            "We at {sender} appreciate your {tenure} as our customer.",
            "{sender} would like to thank you for being our customer.",
            "{sender} values you as a customer, and we would like to thank you.",
            "You have been our customer for {tenure}, and we thank you.",
            "We appreciate your {tenure} with us and would like to thank you.",
            "We value you as our customer and would like to thank you for your trust.",
        ),
        (
            "We at {sender} are grateful for your {tenure} as our customer.",
            "At {sender} we are grateful for your continued trust in our team.",
            "We are grateful for your {tenure} with us and for your trust.",
            "It is our pleasure to serve you, and we thank you for your trust.",
        ),
    ),
    "brief": Choice(
        (
            "{tenure} with {sender}: thank you.",
            "Thank you for being with {sender}.",
            "This is a short note from your team at {sender}.",
            "Thanks for {tenure} with us.",
            "We have a short note for you.",
        ),
        (
            "After {tenure} with {sender}, a short thank you.",
            "From your team at {sender}.",
            "After {tenure} with us: thank you.",
            "Just a note to say thanks.",
        ),
    ),
}

OFFER: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "To say thank you, we'd love to give you {discount} off your {plan} for {days}.",
            "We'd like to offer you {discount} off your {plan} for {days}.",
            "For the next {days}, your {plan} can be {discount} off.",
            "We'd love to give you {discount} off your {plan} for the next {days}.",
            "How does {discount} off your {plan} for the next {days} sound?",
            "To say thank you, we'd love to give you {discount} off your bill for {days}.",
            "How does {discount} off your bill for the next {days} sound?",
        ),
        (
            "Would {discount} off your {plan} for {days} make you smile?",
            "Our thank-you to you is {discount} off your {plan} for {days}.",
            "Our thank-you to you is {discount} off your bill for {days}.",
        ),
    ),
    "formal": Choice(
        (
            "We are pleased to offer you a discount of {discount} on your {plan} for {days}.",
            "As a customer, you are invited to enjoy {discount} off your {plan} for {days}.",
            "With thanks for your trust, we offer you {discount} off your {plan} for {days}.",
            "We would be pleased to give you {discount} off your {plan} for the next {days}.",
            "As an expression of our thanks, we offer you {discount} off your {plan} for {days}.",
            "We are pleased to offer you a discount of {discount} on your bill for {days}.",
            "With thanks for your trust, we offer you {discount} off your bill for {days}.",
        ),
        (
            "Please accept, with our thanks, {discount} off your {plan} for {days}.",
            "It is our pleasure to offer you {discount} off your {plan} for {days}.",
            "If you wish, your {plan} will be {discount} off for {days}.",
            "Please accept, with our thanks, {discount} off your bill for {days}.",
        ),
    ),
    "brief": Choice(
        (
            "You can have {discount} off your {plan} for {days}.",
            "Our offer to you: {discount} off your {plan} for {days}.",
            "For the next {days}, enjoy {discount} off your {plan}.",
            "We can give you {discount} off your {plan} for {days}.",
            "You can have {discount} off your bill for {days}.",
            "Our offer to you: {discount} off your bill for {days}.",
        ),
        (
            "Here is {discount} off your {plan} for {days}.",
            "Your {plan} can be {discount} off for {days}.",
            "Here is {discount} off your bill for {days}.",
        ),
    ),
}

CHECK_IN: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "We'd love to know how things are going with your {plan}.",
            "Is your {plan} working well for you? If not, we'd love to help.",
            "If there's anything that we can do better, we'd love to hear from you.",
            "How's your {plan} working out for you? We'd love to hear.",
            "If you have a question, just write back and we'll be happy to help.",
        ),
        (
            "Tell us how your {plan} is working for you, and how we can do better.",
            "We'd be so happy to hear how things are going.",
        ),
    ),
    "formal": Choice(
        (
            "We would welcome your comments on your {plan} and on our service.",
            "Our team would be pleased to review your {plan} with you at any time.",
            "If you have any questions about your {plan}, please reply to this e-mail.",
            "Please let us know if there is anything that our team can do for you.",
            "We would be grateful to know whether our service meets your expectations.",
        ),
        (
            "Please tell us whether your {plan} meets your expectations.",
            "We would be glad to hear from you if there is anything we can do better.",
        ),
    ),
    "brief": Choice(
        (
            "Is your {plan} working well for you? If not, please tell us.",
            "If you have a question about your {plan}, just reply.",
            "How can we help you with your {plan}?",
            "If we can help, just reply.",
            "Can we help you with anything?",
            "How is your {plan} working for you?",
            "How is our service working for you?",
        ),
        (
            "Tell us if we can help you with your {plan}.",
            "Is all well with your {plan}? If not, just reply.",
            "Tell us if we can help.",
        ),
    ),
}

DETAIL: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "There's nothing to fill in, and your plan stays just as it is.",
            "Got a question? Write back and a real person will answer.",
            "Everything else about your service stays the way you like it.",
            "Nothing else about your plan changes.",
            "Any questions? We're happy to help.",
        ),
        ("Nothing else changes, so you can carry on as you were.", "If anything's unclear, we're happy to chat."),
    ),
    "formal": Choice(
        (
            "All other terms of your service remain unchanged.",
            "Should you have questions, our team will be pleased to answer them.",
            "There are no forms to fill in.",
            "This does not alter your current agreement.",
            "Your service remains just as it is.",
        ),
        ("The remainder of your agreement is not affected.", "Our team will gladly provide further information."),
    ),
    "brief": Choice(
        ("Nothing else changes.", "No forms.", "Same service as now.", "Questions? Just reply."),
        ("The rest stays as it is.", "No paperwork."),
    ),
}

QUESTIONS: Mapping[str, Choice] = {
    "warm": Choice(
        ("Got a question? Write back and a real person will answer.", "Any questions? We're happy to help."),
        ("If anything's unclear, we're happy to chat.",),
    ),
    "formal": Choice(
        (
            "Should you have questions, our team will be pleased to answer them.",
            "Please reply to this e-mail with any questions.",
        ),
        ("Our team will gladly provide further information.",),
    ),
    "brief": Choice(("Questions? Just reply.", "Just reply if we can help."), ("Any question? Write back.",)),
}
"""Stands for DETAIL where nothing is offered: what does not change is said of an offer."""

UNCHANGED = r"nothing else|stay|remain|unchanged|\bsame\b|not alter|not affected|nothing to fill|no forms"
ONCE = (
    UNCHANGED,
    r"question|need a hand|\bhelp|write back and|tell us|just ask|ask us|just reply|fix it",
    r"glad|happy|pleased",
    r"how does|w(?:e'd|ould you) like",
    r"\bwork",
    r"thank|grateful|appreciat",
    r"should you|\bour (?:support )?team",
    r"\bfor you\b",
    r"check|review|right for you",
    r"write back",
)
"""What one phrase of an e-mail may say, and no second one; the first not where nothing is offered."""

CLOSE: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "We're so glad you're here, and we're always happy to help.",
            "If you ever need a hand, we're right here.",
            "Have a lovely week!",
            "Thank you for being with us!",
        ),
        ("It's been great to have you with us.", "Have a wonderful day, and thank you for being here!"),
    ),
    "formal": Choice(
        (
            "We remain at your service and thank you for your trust.",
            "We look forward to hearing from you.",
            "We thank you for your time and for your trust.",
            "Our team will be pleased to help with any questions.",
        ),
        ("With our thanks, we remain at your service.", "We look forward to hearing your comments."),
    ),
    "brief": Choice(
        ("Thank you.", "Questions? Just reply.", "We're here to help.", "Thanks for your time."),
        ("Many thanks from all of us.", "Happy to help."),
    ),
}
