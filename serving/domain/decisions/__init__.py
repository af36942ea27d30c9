"""Decisions: asked for, simulated, read, explained."""
