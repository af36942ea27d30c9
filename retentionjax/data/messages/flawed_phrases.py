"""Sentences no compliant message holds, by flaw: those to learn from and those held out for the test split.

Each is about as long as the harmless sentence it takes the place of, and many words of each stand in harmless
sentences too, so that neither length nor a single word gives a flaw away.
"""

from collections.abc import Mapping

from retentionjax.data.messages.phrases import Choice

INVENTED = Choice(
    (
        "We'll add a router at no cost.",
        "You also get one month on us.",
        "And we'll put $20 on your account.",
        "It comes with TV for a year.",
        "You get double data as well.",
        "We'll waive your next bill too.",
        "A new phone is part of it.",
        "You'll also get $5 back each month.",
        "That includes a speed upgrade.",
    ),
    (
        "A second line is included too.",
        "Plus, $15 back from us.",
        "We'll set up a tablet for you, on the house.",
        "Your installation fee comes back as well.",
        "Premium channels are part of it.",
    ),
)

URGENCY = Choice(
    (
        "Only 3 places are left.",
        "This ends tonight!",
        "It's your last chance.",
        "Hurry, it's almost gone!",
        "Act now or lose it.",
        "It expires in 2 hours.",
        "Please treat this as a final notice.",
        "You must reply within 24 hours.",
        "We can hold it for today only.",
    ),
    (
        "Don't wait, it's gone at midnight.",
        "There are just a few left, so be quick!",
        "You have until noon to decide.",
        "We won't make this offer again.",
        "Others are taking theirs right now.",
    ),
)

SHAMING = Choice(
    (
        "Only a fool would leave.",
        "You'd regret leaving us.",
        "It would be ungrateful to go.",
        "Leaving us would be a mistake.",
        "To cancel, you have to send a signed letter.",
        "You can only cancel by calling in office hours.",
        "Don't let us down.",
        "After all we've done for you, please don't go.",
        "We'd hate to charge you for leaving.",
    ),
    (
        "Loyal people don't just walk away.",
        "Quitting is not so easy with us.",
        "You owe us that much.",
        "Going elsewhere would be foolish.",
        "A cancellation has to be made in person.",
    ),
)

SCORE = Choice(
    (
        "Our system says you may leave us.",
        "Your churn score is 0.72.",
        "You are 64% likely to cancel.",
        "You're on our at-risk list.",
        "We predict that you will leave soon.",
        "Our model rates you as high risk.",
        "Your risk of leaving is 81%.",
        "We see signs that you will cancel.",
    ),
    (
        "Our data says you're about to switch.",
        "You were flagged as likely to quit.",
        "Your probability of churn is 58%.",
        "By our forecast you'll be gone next month.",
        "Your retention score is low.",
    ),
)

OFF_TONE: Mapping[str, Choice] = {
    "warm": Choice(
        (
            "This is an automated notice.",
            "Your account has been processed.",
            "No reply is required.",
            "Be advised of the above.",
            "Take it or leave it.",
            "Refer to your contract for terms.",
        ),
        ("Your file has been updated.", "This statement is for your records.", "We have nothing to add."),
    ),
    "formal": Choice(
        (
            "Pretty sweet deal, right?",
            "You rock, buddy!",
            "It's gonna be awesome!",
            "Yay, that's super cool!",
            "No worries, we got you!",
            "LOL, who doesn't like a deal?",
        ),
        ("Woohoo, how cool is that?", "Dude, you've earned it!", "C'mon, that's a steal!"),
    ),
    "brief": Choice(
        (
            "We could go on and on about how happy we are!",
            "Words can hardly say how dear you are to us.",
            "It is with the greatest pleasure that we write.",
            "Oh, how we hope that this finds you very well!",
        ),
        ("From the bottom of our hearts, thank you so, so much!", "We beg to assure you of our highest esteem."),
    ),
}

NO_OPT_OUT: Mapping[str, Choice] = {
    "sms": Choice(
        (
            "Reply with any question.",
            "Stop by our store any time.",
            "Reply YES to opt in.",
            "We won't stop writing to you.",
            "Reply STOP to find out more.",
            "Text STOP if you like it.",
            "There's no need to opt out.",
            "Text HELP to hear it all.",
            "Reply YES to opt out of paper bills.",
            "Find out more by text.",
            "You cannot unsubscribe by text.",
        ),
        ("Send INFO to find out more.", "We never stop caring.", "It's too good to opt out.", "Don't stop, text YES."),
    ),
    "push": Choice(
        (
            "You can manage your plan in the app.",
            "See your settings for details.",
            "Manage alerts? Why would you?",
            "New settings and alerts are here.",
            "Keep alerts on in settings.",
            "Turn on all alerts in settings.",
        ),
        ("Alerts stay on for you.", "Manage your plan in settings.", "Your settings are fine."),
    ),
    "email": Choice(
        (
            "You can reply at any time.",
            "To see the details, use the link below.",
            "Prefer fewer e-mails? We'll still write.",
            "You may reach us with the link below.",
            "You are subscribed to our e-mails.",
            "You cannot unsubscribe at present.",
            "There is no need to unsubscribe, ever.",
            "Nobody who likes to save will unsubscribe.",
        ),
        (
            "If you would rather call us, the number is below.",
            "The link below lets you read more.",
            "We do not let you unsubscribe.",
        ),
    ),
}
