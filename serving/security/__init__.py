"""Who may do what: API keys, roles, request rates, strict reading of bodies, headers."""
