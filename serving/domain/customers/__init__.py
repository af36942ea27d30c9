"""One customer: consent, and all that the ledger holds."""
