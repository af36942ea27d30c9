"""Decisions: asked for, simulated, read, explained."""

from serving.domain.decisions.controllers import decisions_router

__all__ = ["decisions_router"]
