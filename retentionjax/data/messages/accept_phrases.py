"""How an offer is accepted, by channel and tone: ACT, and ACT_BY where there is a last day; see `phrases`.

Every message with an offer holds one of these: an offer that says no way to take it is none.
"""

from collections.abc import Mapping

from retentionjax.data.messages.phrases import Choice

ACT: Mapping[str, Mapping[str, Choice]] = {
    "sms": {
        "warm": Choice(
            (
                "Just reply YES and it's yours.",
                "Text YES and we'll set it up!",
                "Reply YES and we'll do the rest.",
                "Reply YES if you'd like it.",
            ),
            ("To say yes, just reply YES!", "Send YES and we'll get it going."),
        ),
        "formal": Choice(
            (
                "Please reply YES to accept.",
                "To accept, please reply YES.",
                "Simply reply YES to accept.",
                "If you wish to accept, please reply YES.",
            ),
            ("Please respond YES to accept.", "To accept, respond YES."),
        ),
        "brief": Choice(
            ("Reply YES to accept.", "Text YES to accept.", "Reply YES to start.", "Reply YES if you want it."),
            ("Text YES to get it.", "To accept, text YES."),
        ),
    },
    "push": {
        "warm": Choice(
            (
                "Tap and it's yours!",
                "Tap to say yes!",
                "Just tap to start.",
                "Tap to add it.",
                "Tap if you'd like it.",
                "Say yes with one tap!",
                "One tap and it's done.",
                "Tap and we'll do the rest.",
                "Interested? Tap to accept.",
            ),
            ("One tap and you're set!",),
        ),
        "formal": Choice(
            (
                "Please tap to accept.",
                "Simply tap to accept.",
                "To accept, please tap.",
                "If you wish to accept, please tap.",
                "One tap is all it takes to accept.",
            ),
            ("Tap to confirm, please.",),
        ),
        "brief": Choice(
            ("Tap to accept.", "Tap to start.", "Tap if you want it.", "Tap to add it.", "Tap to say yes."),
            ("Tap to get it.",),
        ),
    },
    "email": {
        "warm": Choice(
            (
                "Just reply to this e-mail and it's yours.",
                "Would you like it? Reply to this e-mail and say yes!",
                "Reply with a yes and we'll set it up for you.",
                "Write back with a quick yes and we'll do the rest.",
            ),
            ("Send us a yes by reply and we'll get it going!", "Write back with a yes and you're all set."),
        ),
        "formal": Choice(
            (
                "To accept, please reply to this e-mail.",
                "Please reply to this e-mail to confirm.",
                "Should you wish to accept, a short reply is enough.",
                "If you wish to accept, please reply with a yes.",
            ),
            ("Your acceptance by return e-mail is all we need.", "Please respond to this message to accept."),
        ),
        "brief": Choice(
            ("Reply to accept.", "Reply yes to start.", "To accept, just reply yes."),
            ("Reply yes and it is set.", "To accept, write back."),
        ),
    },
}

ACT_BY: Mapping[str, Mapping[str, Choice]] = {
    "sms": {
        "warm": Choice(
            (
                "Just reply YES by {ends}!",
                "Text YES by {ends} and it's yours.",
                "Reply YES by {ends} if you'd like it!",
            ),
            ("Send YES by {ends} to get it going!", "To say yes, reply YES by {ends}!"),
        ),
        "formal": Choice(
            ("Please reply YES by {ends}.", "To accept, please reply YES by {ends}."),
            ("Please respond YES by {ends}.",),
        ),
        "brief": Choice(("Reply YES by {ends}.", "YES by {ends} to accept."), ("Text YES by {ends}.",)),
    },
    "push": {
        "warm": Choice(
            ("Tap by {ends} and it's yours!", "Just tap by {ends}!"), ("One tap by {ends} and you're set!",)
        ),
        "formal": Choice(("Please tap to accept by {ends}.",), ("Simply tap by {ends}.",)),
        "brief": Choice(("Tap by {ends}.",), ("Tap to get it by {ends}.",)),
    },
    "email": {
        "warm": Choice(
            ("Just reply to this e-mail by {ends} and it's yours!", "Reply with a yes by {ends}!"),
            ("Write back with a yes by {ends}!", "To say yes, reply by {ends}."),
        ),
        "formal": Choice(
            ("To accept, please reply to this e-mail by {ends}.", "Please reply by {ends} to accept."),
            ("To accept, please respond to this e-mail by {ends}.", "Please send us your reply by {ends}."),
        ),
        "brief": Choice(("Reply by {ends} to accept.", "Reply yes by {ends}."), ("To accept, write back by {ends}.",)),
    },
}
