"""Campaigns: their money, their pace."""
