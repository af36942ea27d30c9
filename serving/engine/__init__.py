"""Decisions made in micro-batches on one thread, in one transaction each, by the bundles that serve."""

from serving.engine.engine import Engine

__all__ = ["Engine"]
