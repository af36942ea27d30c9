"""What can go wrong at a boundary, in words for the person who meets it.

Each message says what was wrong, where, and what is allowed. The command line prints the message and exits
with status 2; anything else that is raised is a defect of ours.
"""


class RetentionJaxError(Exception):
    """Root of the errors a user can cause and mend."""


class DataError(RetentionJaxError):
    """A file, table, row or value that does not fit its schema."""


class ConfigError(RetentionJaxError):
    """A setting that is unknown, of the wrong type or out of range."""


class TrainingError(RetentionJaxError):
    """A training run that went wrong: its environment returned what is no number, or nothing was legal."""


class BundleError(RetentionJaxError):
    """A bundle that is damaged, incomplete or of an unknown format."""


class ConflictError(RetentionJaxError):
    """A file that somebody else changed between our reading it and our writing it; nothing of ours was written."""


class CheckpointError(RetentionJaxError):
    """A checkpoint that is missing or does not fit the state to be restored."""


class ModelError(RetentionJaxError):
    """A language model, its configuration, weights or adapter that is unknown, damaged or not supported."""
