"""What a message says to the reason why its reader may leave (the brief's angle); see `phrases`.

None of it promises anything that the offer does not hold, so that it may stand beside any offer, and beside none.
"""

from collections.abc import Mapping

from retentionjax.data.messages.phrases import Choice

ANGLE: Mapping[str, Mapping[str, Choice]] = {
    "price": {
        "warm": Choice(
            (
                "Is your plan still right for you? Let's check together.",
                "We'd love to review your plan with you.",
                "Want us to review your plan? Just ask!",
            ),
            ("Let's check that your plan is right.", "Is it still the right plan? Ask us!"),
        ),
        "formal": Choice(
            (
                "Our team would be glad to review your plan with you.",
                "We can review your plan with you.",
                "We would be glad to check that your plan is right for you.",
            ),
            ("We can check your plan.", "Our team can review your plan."),
        ),
        "brief": Choice(
            ("Is your plan right for you?", "Let's check your plan together.", "Right plan? Let's check."),
            ("We can review your plan.", "Is it the right plan? Ask us."),
        ),
    },
    "contract": {
        "warm": Choice(
            (
                "Your contract stays the same.",
                "Your contract stays just as it is.",
                "Questions about your contract? Just ask!",
            ),
            ("Your contract stays as it is now.", "We can explain your contract!"),
        ),
        "formal": Choice(
            (
                "Your contract remains unchanged.",
                "The terms of your contract remain the same.",
                "We would be glad to explain your contract.",
            ),
            ("Your contract is not affected.", "Your contract remains as it is."),
        ),
        "brief": Choice(
            ("Same contract as now.", "Your contract stays the same.", "Contract questions? Ask us."),
            ("Your contract stays as is.", "We can explain your contract."),
        ),
    },
    "support": {
        "warm": Choice(
            (
                "If something isn't working, we'd love to fix it.",
                "Need a hand? A real person is here to help.",
                "Something not working well? Tell us!",
            ),
            ("Let a real person help.", "Is something not right? Tell us!"),
        ),
        "formal": Choice(
            (
                "If something is not working well, we can help.",
                "Our support team is at your service.",
                "Our support team can help you.",
            ),
            ("Our support team will gladly help.", "Our team can help."),
        ),
        "brief": Choice(
            ("Something not working? Tell us.", "Need support? Ask us.", "Need a hand? A real person can help."),
            ("Need a hand? Tell us.", "Our support team can help."),
        ),
    },
    "unused": {
        "warm": Choice(
            (
                "Want to get more from your service? Just ask!",
                "Not using your service much? We'd love to help.",
                "Not sure how to use your plan? Just ask us!",
            ),
            ("Let us help you enjoy it more.", "Not using it yet? We can help."),
        ),
        "formal": Choice(
            (
                "Our team would gladly help you get more from your service.",
                "We can help you get more from your service.",
                "We can help you use your plan.",
            ),
            ("Our team can help you start.", "We can help you use it."),
        ),
        "brief": Choice(
            (
                "Get more from your service: ask us.",
                "Need help using it? Ask us.",
                "Not using it much? We can help.",
            ),
            ("We can help you start.", "Get more from it: ask us."),
        ),
    },
}
