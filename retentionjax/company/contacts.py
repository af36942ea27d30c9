"""The log of past contacts, and the dates of leaving where the table of customers has none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from retentionjax.checked import Checked, Within
from retentionjax.company.offers import NONE
from retentionjax.company.reading import Categories, CellReading, Condition, DateOrColumn, File, Ignored, twice

CONFOUNDING = "no unmeasured confounding"
"""What a company must write under `assume` for a log without propensities to be used."""


@dataclass(frozen=True)
class Assigned(Checked):
    """What was assigned: a column of offer names, or the same offer in every row."""

    column: str | None = None
    value: str | None = None

    @staticmethod
    def shorthand(value: Any) -> dict[str, Any]:
        """A column's name."""
        return {"column": value}

    def wrong(self) -> list[tuple[str, str]]:
        """A fault unless exactly one of `column` and `value` is given."""
        return [("", "needs either column or value")] if (self.column is None) == (self.value is None) else []


@dataclass(frozen=True)
class Accepted(Checked):
    """Whether a contact was accepted: a column of two values, blank where nobody was contacted."""

    column: str
    yes: str = "1"
    no: str = "0"

    @staticmethod
    def shorthand(value: Any) -> dict[str, Any]:
        """A column of 0 and 1."""
        return {"column": value}

    def wrong(self) -> list[tuple[str, str]]:
        """A fault if `yes` and `no` are the same value."""
        return [("yes", f"yes and no are both {self.yes!r}")] if self.yes == self.no else []


@dataclass(frozen=True)
class OtherPeople(Checked):
    """A log about people who are not among the customers, with facts of their own.

    Their acceptance is matched to the customers by a declared rank correlation; the two tables are never joined.
    """

    rank_correlation: Annotated[float, Within(-1, 1)] = 0.0
    """Spearman's correlation between churn probability and acceptance; 0 draws them independently."""
    numeric: tuple[str, ...] = ()
    categorical: Mapping[str, Categories] = field(default_factory=dict)
    nullable: tuple[str, ...] = ()

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: no features, a feature named twice, and `nullable` names that are not features."""
        features = (*self.numeric, *self.categorical)
        found = [] if features else [("", "names no feature; needed: columns under numeric or categorical")]
        found += twice([(key, name) for key in ("numeric", "categorical") for name in getattr(self, key)])
        found += [("nullable", f"{name!r} is no feature") for name in self.nullable if name not in features]
        return found


@dataclass(frozen=True)
class Contacts(Checked):
    """The log: one assignment per row, including customers who were deliberately left alone (`none`)."""

    file: File
    offer: Assigned
    accepted: Accepted | None = None
    accepted_at: str | None = None
    """Column of the time of acceptance, blank where there was none; instead of `accepted`."""
    id: str | None = None
    """Column that names the customer; None: the same as in the table of customers."""
    at: str | None = None
    """Column with the time of assignment; None: the rows are in order of time."""
    propensity: str | None = None
    """Column with the probability with which the row's arm was drawn."""
    design: Mapping[str, Annotated[float, Within(0, 1, above=True)]] = field(default_factory=dict)
    """Probability of each arm, if it was the same for all. Without it and without `propensity` the log is
    observational."""
    assume: str | None = None
    other_people: OtherPeople | None = None
    ignore: Ignored = ()
    reading: CellReading = field(default_factory=CellReading)
    exclude: Mapping[str, Condition] = field(default_factory=dict)

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: two sources for one thing, a column in two roles, a design that does not add up to 1."""
        found = twice([(key, name) for key, name in self._roles() if name is not None])
        if (self.accepted is None) == (self.accepted_at is None):
            found.append(("", "needs either accepted or accepted_at"))
        if self.propensity is not None and self.design:
            found.append(("design", "is given beside propensity; allowed: one of the two"))
        if self.design and abs(sum(self.design.values()) - 1) > 1e-6:
            found.append(("design", f"adds up to {sum(self.design.values()):g}; allowed: 1"))
        if self.assume not in (None, CONFOUNDING):
            found.append(("assume", f"is {self.assume!r}; allowed: {CONFOUNDING!r}"))
        return found

    @property
    def is_randomised(self) -> bool:
        """Whether the log says with which probability each arm was drawn."""
        return self.propensity is not None or bool(self.design)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the file that are used, the customers' id column aside, once each."""
        named = [name for _, name in self._roles() if name is not None]
        return tuple(dict.fromkeys((*named, *self.exclude)))

    def wrong_arms(self, offers: Mapping[str, object]) -> list[tuple[str, str]]:
        """Faults: arms, of `design` or `offer.value`, that are neither `none` nor one of the `offers`."""
        arms = [("design", name) for name in self.design]
        arms += [] if self.offer.value is None else [("offer", self.offer.value)]
        allowed = ", ".join((NONE, *offers))
        return [(key, f"{name!r} is no offer; allowed: {allowed}") for key, name in arms if name not in (NONE, *offers)]

    def _roles(self) -> list[tuple[str, str | None]]:
        people = self.other_people
        facts = () if people is None else (*people.numeric, *people.categorical)
        return [
            ("id", self.id),
            ("at", self.at),
            ("offer", self.offer.column),
            ("propensity", self.propensity),
            ("accepted", None if self.accepted is None else self.accepted.column),
            ("accepted_at", self.accepted_at),
            *(("other_people", name) for name in facts),
        ]


@dataclass(frozen=True)
class Departures(Checked):
    """A file of who left and when, one customer per row."""

    file: File
    left_on: str
    """Column of the day on which the customer left, blank for those who have not."""
    observed_until: DateOrColumn
    """The day up to which departures are known: customers whom the file does not name stayed until then. Or a column of
    it: then nothing is known of those whom it does not name, or for whom it is blank."""
    id: str | None = None
    """Column that names the customer; None: the same as in the table of customers."""
    ignore: Ignored = ()
    reading: CellReading = field(default_factory=CellReading)

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: no end of observation, and a column in two roles."""
        roles = [("id", self.id), ("left_on", self.left_on), ("observed_until", self.observed_until)]
        found = twice([(key, name) for key, name in roles if isinstance(name, str)])
        if self.observed_until is None:
            found.append(("observed_until", "is missing; the day up to which departures are known, or a column of it"))
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the file that are used, the customers' id column aside."""
        named = (self.id, self.left_on, self.observed_until)
        return tuple(name for name in named if isinstance(name, str))
