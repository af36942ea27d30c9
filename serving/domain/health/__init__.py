"""Is it alive, may it be sent requests, and its metrics."""
