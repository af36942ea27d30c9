"""What can be seen of the service: its log, its metrics, its traces."""
