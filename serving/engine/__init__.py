"""Decisions made in micro-batches, in one transaction each, by the bundles that serve, in a process of their own."""

from serving.engine.engine import Engine

__all__ = ["Engine"]
