"""Who may do what: connections, API keys, roles, request rates, bodies that are refused."""
