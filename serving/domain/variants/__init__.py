"""Wordings of messages: proposed, approved, measured."""
