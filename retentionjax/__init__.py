"""RetentionJax: whom to contact, with which offer, and when, under a budget."""

__version__ = "0.1.0"
