"""Contacts that are to be sent now: for whoever sends the messages."""
