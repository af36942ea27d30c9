"""Retention messages made by a grammar: briefs, compliant messages, and preference pairs of one flaw each."""

from retentionjax.data.messages.corpus import SOURCE, CorpusMessage, Pair, generate, pairs
from retentionjax.data.messages.customers import Audience, briefs
from retentionjax.data.messages.flaws import FLAWS

__all__ = ["FLAWS", "SOURCE", "Audience", "CorpusMessage", "Pair", "briefs", "generate", "pairs"]
