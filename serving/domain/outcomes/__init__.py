"""What happened after decisions."""
