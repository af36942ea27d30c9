"""What is wrong with a description or a file, collected: a person mends all of it at once or not at all."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from retentionjax.errors import ConfigError, DataError

SHOWN = 20
"""Faults of one kind that a message lists."""


@dataclass(frozen=True)
class KeyFault:
    """A value of company.yaml that cannot be used."""

    path: str
    """Keys from the top, as `offers.ten.discount`; empty for the file as a whole."""
    wrong: str
    """Value, what is wrong with it, and what is allowed, in words."""

    def __str__(self) -> str:
        """The fault without the file, as `limits.budget: -1 is out of range; allowed: 0 or more`."""
        return f"{self.path}: {self.wrong}" if self.path else self.wrong


class CompanyError(ConfigError):
    """Every fault of a company's description, a line each. `faults` holds them."""

    def __init__(self, faults: Iterable[KeyFault], where: str = "") -> None:
        """`where` is the file; empty for a description made in Python."""
        self.faults = tuple(faults)
        start = f"{where}: " if where else ""
        super().__init__("\n".join(f"{start}{fault}" for fault in self.faults))


@dataclass(frozen=True)
class CellFault:
    """A cell, line or column of a file that cannot be used."""

    where: str
    """The file, as the person who named it knows it."""
    place: str
    """`line 7` of a text file, `row 7` of a table; empty for the file as a whole."""
    column: str
    """As the file spells it, stray spaces included; empty for a whole line."""
    value: str
    """As the file has it; empty where there is nothing to show."""
    wrong: str
    """What is wrong, as `is not a number`."""
    allowed: str
    row: int = -1
    """Row of the table, from 0; −1 for none."""

    @property
    def kind(self) -> tuple[str, str, str]:
        """By which faults are alike: the same thing wrong with the same column."""
        return (self.where, self.column, self.wrong)

    def __str__(self) -> str:
        """`customers.csv, line 7, column 'fee': 'abc' is not a number; allowed: dollars above 0`."""
        place = ", ".join(
            part for part in (self.where, self.place, f"column {self.column!r}" if self.column else "") if part
        )
        shown = f"{self.value!r} " if self.column and self.place else ""
        return f"{place}: {shown}{self.wrong}" + (f"; allowed: {self.allowed}" if self.allowed else "")


class FilesError(DataError):
    """Every fault of a company's files, of which the message shows the first 20 of each kind. `faults` holds all."""

    def __init__(self, faults: Sequence[CellFault]) -> None:
        """`faults` in the order of file and line."""
        self.faults = tuple(faults)
        super().__init__("\n".join(shown(faults)))


def shown(faults: Iterable[CellFault], most: int = SHOWN) -> list[str]:
    """The first `most` faults of each kind, a line each, and a line for how many more of that kind there are."""
    kinds: dict[tuple[str, str, str], list[CellFault]] = {}
    for fault in faults:
        kinds.setdefault(fault.kind, []).append(fault)
    lines = []
    for (where, column, wrong), alike in kinds.items():
        lines += [str(fault) for fault in alike[:most]]
        if len(alike) > most:
            of = f", column {column!r}" if column else ""
            lines.append(f"{where}{of}: {len(alike) - most:,} more of this kind ({wrong})")
    return lines


def did_you_mean(given: str, allowed: Collection[str]) -> str:
    """`; did you mean 'budget'?` where one of `allowed` is near, otherwise empty."""
    folded = {each.strip().casefold(): each for each in allowed}
    near = difflib.get_close_matches(given.strip().casefold(), folded, n=1, cutoff=0.7)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def listing(allowed: Sequence[str], most: int = 20) -> str:
    """`allowed` for a message, cut after `most`."""
    named = ", ".join(repr(value) for value in allowed[:most])
    return named if len(allowed) <= most else f"{named} and {len(allowed) - most} more"
