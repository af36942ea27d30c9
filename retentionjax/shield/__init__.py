"""The shield: what a message to a customer may say, whom it may reach and when.

A Brief describes the message; `check` judges a text against it, `render` writes one that always passes.
"""

from retentionjax.shield.brief import Brief, Channel, Sender, Tone
from retentionjax.shield.checking import check, grounded
from retentionjax.shield.contact import Permission, Recipient, may_contact
from retentionjax.shield.offer import OfferTerms
from retentionjax.shield.rules import Rules, load_rules
from retentionjax.shield.templates import footer, render, render_checked
from retentionjax.shield.verdict import Verdict, Violation

__all__ = [
    "Brief",
    "Channel",
    "OfferTerms",
    "Permission",
    "Recipient",
    "Rules",
    "Sender",
    "Tone",
    "Verdict",
    "Violation",
    "check",
    "footer",
    "grounded",
    "load_rules",
    "may_contact",
    "render",
    "render_checked",
]
