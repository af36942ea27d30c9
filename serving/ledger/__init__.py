"""The ledger: consent, contacts, offers, money, decisions and outcomes in SQL."""
