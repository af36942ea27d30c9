"""The table of customers: which column is what."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from retentionjax.checked import Checked, Within, did_you_mean
from retentionjax.company.reading import OTHERS, Categories, CellReading, Condition, DateOrColumn, File, Ignored, twice

DAYS = 30
"""Days that a charge covers, once it is read."""


@dataclass(frozen=True)
class Charge(Checked):
    """What a customer pays: a column, a sum of columns, or one value for all; exactly one of the three."""

    column: str | None = None
    sum: tuple[str, ...] = ()
    value: Annotated[float | None, Within(0, above=True)] = None
    per_days: Annotated[float, Within(0, above=True)] = DAYS
    """Days that the amount pays for; charges are converted to 30 days."""

    @staticmethod
    def shorthand(value: Any) -> dict[str, Any]:
        """A column's name, or a number for all."""
        return {"value": value} if isinstance(value, int | float) else {"column": value}

    def wrong(self) -> list[tuple[str, str]]:
        """A fault unless exactly one of `column`, `sum` and `value` is given."""
        given = [name for name in ("column", "sum", "value") if getattr(self, name) not in (None, ())]
        if len(given) == 1:
            return []
        return [("", f"has {' and '.join(given) or 'none'} of column, sum and value; allowed: exactly one")]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the file that the charge is made of."""
        return self.sum if self.column is None else (self.column,)


@dataclass(frozen=True)
class Label(Checked):
    """Whether a customer left: a column of two values, or the date of leaving and the day up to which it is known.

    A blank cell means that it is not known yet: the models do not learn from this customer, but decide about them.
    """

    column: str | None = None
    yes: str = "1"
    """The value of those who left."""
    no: str = "0"
    """The value of those who stayed."""
    date: str | None = None
    """Column of the day on which the customer left, blank for those who have not."""
    observed_until: DateOrColumn = None
    """The day up to which departures are known, or a column of it, blank where nothing is known. Needed with `date`."""

    @staticmethod
    def shorthand(value: Any) -> dict[str, Any]:
        """A column of 0 and 1 (or of true and false)."""
        return {"column": value}

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: both or neither of `column` and `date`, equal `yes` and `no`, a date without `observed_until`."""
        if (self.column is None) == (self.date is None):
            return [("", "needs either column (with yes and no) or date (with observed_until)")]
        if self.column is not None and self.yes == self.no:
            return [("yes", f"yes and no are both {self.yes!r}")]
        if self.date is not None and self.observed_until is None:
            return [("observed_until", "is missing; the day up to which departures are known, or a column of it")]
        return []


@dataclass(frozen=True)
class CustomersFile(Checked):
    """The file of customers and the meaning of its columns, one customer (or one snapshot of a customer) a row."""

    file: File
    charge: Charge
    left: Label | None = None
    """Who left; None where a file of departures tells."""
    window_days: Annotated[int | None, Within(1, 3650)] = None
    """Days that the label covers. Required with a label column; with dates of leaving, 30 by default."""
    id: str | None = None
    """Column that names the customer; None: rows are numbered."""
    snapshot: DateOrColumn = None
    """The day that the facts describe, or a column of such days if a customer has several rows."""
    tenure: str | None = None
    """A numeric feature that tells how long someone has been a customer; splits are stratified by it."""
    numeric: tuple[str, ...] = ()
    categorical: Mapping[str, Categories] = field(default_factory=dict)
    dates: Mapping[str, str] = field(default_factory=dict)
    """Column of dates → name of a numeric feature: the days from that date to the snapshot."""
    nullable: tuple[str, ...] = ()
    """Features whose cells may be empty."""
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Categorical features; the report compares how customers with different values are treated. A value may be given
    words: `{gender: {}, senior: {"0": under 65, "1": 65 or older}}`."""
    ignore: Ignored = ()
    reading: CellReading = field(default_factory=CellReading)
    exclude: Mapping[str, Condition] = field(default_factory=dict)
    """Conditions for leaving out a row, by column; `charge` is the charge of 30 days."""

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: a column in two roles or in none, a label without its window, dates without a snapshot."""
        return [*self._wrong_columns(), *self._wrong_times()]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, numeric first; dates count as the numbers they become."""
        return (*self.numeric, *self.dates.values(), *self.categorical)

    @property
    def label_days(self) -> int:
        """Days that the label covers."""
        return DAYS if self.window_days is None else self.window_days

    @property
    def id_name(self) -> str:
        """Column of the table that names the customer; rows are numbered under it where the file has none."""
        return self.id or ("customer_id" if "customer_id" not in self.columns else "row_number")

    @property
    def charge_name(self) -> str:
        """Column of the table that holds the charge of 30 days: the file's own, or one that is made."""
        if self.charge.column is not None and self.charge.per_days == DAYS:
            return self.charge.column
        return "charge" if "charge" not in self.columns else "charge_per_30_days"

    @property
    def label_name(self) -> str:
        """Column of the table that tells who left."""
        return "left" if self.left is None or self.left.column is None else self.left.column

    @property
    def infers_features(self) -> bool:
        """Whether features are those columns of a DataFrame that have no other role."""
        named = self.numeric or self.categorical or (self.dates and self.ignore == OTHERS)
        return not named and not isinstance(self.file, str)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the file that are used, once each."""
        label = (
            (None, None, None) if self.left is None else (self.left.column, self.left.date, self.left.observed_until)
        )
        named = (self.id, *self.charge.columns, *label, self.snapshot, *self.numeric, *self.categorical, *self.dates)
        excluded = [name for name in self.exclude if name != "charge"]
        return tuple(dict.fromkeys(name for name in (*named, *excluded) if isinstance(name, str)))

    def _wrong_columns(self) -> list[tuple[str, str]]:
        label = None if self.left is None else self.left.column or self.left.date
        roles = [("id", self.id), ("left", label), ("snapshot", self.snapshot)]
        facts = [
            *(("numeric", name) for name in self.numeric),
            *(("categorical", name) for name in self.categorical),
            *(("dates", name) for name in self.dates.values()),
        ]
        found = twice([(key, name) for key, name in [*roles, *facts] if isinstance(name, str)])
        found += [
            ("charge", f"column {name!r} is named twice: {key} has it too")
            for key, name in roles
            if name is not None and name in self.charge.columns
        ]
        if not self.features and not self.infers_features:
            found.append(("", "names no feature; needed: columns under numeric, categorical or dates"))
        for name in () if self.infers_features else self.nullable:
            if name not in self.features:
                allowed = ", ".join(self.features)
                found.append(
                    ("nullable", f"{name!r} is no feature{did_you_mean(name, self.features)}; allowed: {allowed}")
                )
            elif name in self.charge.columns:
                found.append(("nullable", f"{name!r} is the charge, which nobody can be without"))
        if (
            self.tenure is not None
            and not self.infers_features
            and self.tenure not in (*self.numeric, *self.dates.values())
        ):
            found.append(("tenure", f"{self.tenure!r} is none of the numeric features"))
        found += [
            ("groups", f"{name!r} is no categorical feature")
            for name in self.groups
            if not self.infers_features and name not in self.categorical
        ]
        if not isinstance(self.ignore, str):
            found += [
                ("ignore", f"column {name!r} is named twice: to be used, and to be ignored")
                for name in self.ignore
                if name in self.columns
            ]
        return found

    def _wrong_times(self) -> list[tuple[str, str]]:
        found = []
        if self.left is not None and self.left.column is not None and self.window_days is None:
            label = self.left.column
            found.append(("window_days", f"is missing; the days that {label!r} speaks of, such as 30 or 365"))
        if self.snapshot is None:
            if self.dates:
                found.append(("snapshot", "is missing; dates become days before it"))
            if self.left is not None and self.left.date is not None:
                found.append(("snapshot", "is missing; who left is counted from it"))
        elif isinstance(self.snapshot, dt.date) and self.left is not None:
            until = self.left.observed_until
            if isinstance(until, dt.date) and until < self.snapshot:
                found.append(("left.observed_until", f"{until} is before the snapshot, {self.snapshot}"))
        return found
