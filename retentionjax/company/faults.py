"""What is wrong with a company's description, or with settings, collected: a person mends all of it at once."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from retentionjax.errors import ConfigError


@dataclass(frozen=True)
class KeyFault:
    """A value that cannot be used."""

    path: str
    """Keys from the top, as `offers.ten.discount`; empty for the file as a whole."""
    wrong: str
    """Value, what is wrong with it, and what is allowed, in words."""

    def __str__(self) -> str:
        """The fault without the file, as `limits.budget: -1 is out of range; allowed: 0 or more`."""
        return f"{self.path}: {self.wrong}" if self.path else self.wrong


class CompanyError(ConfigError):
    """Every fault of a company's description or of settings, a line each. `faults` holds them."""

    def __init__(self, faults: Iterable[KeyFault], where: str = "") -> None:
        """`where` is the file; empty for a description made in Python."""
        self.faults = tuple(faults)
        start = f"{where}: " if where else ""
        super().__init__("\n".join(f"{start}{fault}" for fault in self.faults))


def did_you_mean(given: str, allowed: Collection[str]) -> str:
    """`; did you mean 'budget'?` where one of `allowed` is near, otherwise empty."""
    folded = {each.strip().casefold(): each for each in allowed}
    near = difflib.get_close_matches(given.strip().casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def listing(allowed: Sequence[str], most: int = 20) -> str:
    """`allowed` for a message, cut after `most`."""
    named = ", ".join(repr(value) for value in allowed[:most])
    return named if len(allowed) <= most else f"{named} and {len(allowed) - most} more"
