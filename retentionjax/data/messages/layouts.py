"""The orders in which a message says things.

Slots in order; `@` marks the one that names the sender. "act" says how to take the offer, and falls away without one;
"close", "bond" and "detail" are what a writer may leave out: so messages of one brief differ in length. To learn from,
a short message names its sender before its offer.
"""

from collections.abc import Mapping

from retentionjax.data.messages.phrases import Choice

LAYOUTS: Mapping[str, Choice] = {
    "short": Choice(
        (
            "prefix@ greeting offer act optout",
            "prefix@ offer act close optout",
            "prefix@ greeting bond offer act optout",
            "prefix@ greeting offer act close optout",
            "greeting bond@ offer act optout",
            "greeting bond@ offer act close optout",
        ),
        (
            "greeting offer act optout sign@",
            "prefix@ greeting offer bond act optout",
            "greeting offer act sign@ optout",
            "greeting offer act close sign@ optout",
            "greeting bond offer act optout sign@",
            "prefix@ bond offer act optout",
        ),
    ),
    "email": Choice(
        (
            "greeting bond@ offer act optout",
            "greeting bond@ offer act detail optout",
            "greeting offer detail act sign@ optout",
            "greeting bond offer act sign@ optout",
            "greeting bond offer detail act close sign@ optout",
            "greeting bond@ offer detail detail act close optout",
            "greeting bond@ offer detail act close optout",
        ),
        (
            "greeting bond@ detail offer act optout",
            "greeting offer close act sign@ optout",
            "greeting bond offer act detail close sign@ optout",
            "greeting bond@ offer close act detail optout",
        ),
    ),
}
