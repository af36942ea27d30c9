"""The shield: what a message to a customer may say, whom it may reach and when."""

from retentionjax.shield.brief import Brief, Channel, Offer, Sender, Tone

__all__ = ["Brief", "Channel", "Offer", "Sender", "Tone"]
