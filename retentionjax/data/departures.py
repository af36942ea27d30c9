"""Who left on which day: a file of departures, or dates in the table of customers itself. One rule holds for both."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from retentionjax.company import Company
from retentionjax.data.cells import Cells
from retentionjax.data.company_file import Mode, open_file
from retentionjax.data.faults import FilesError
from retentionjax.data.validation import near_ids, said_near

DAY = np.timedelta64(1, "D")
_FEWEST = 0.1
"""Share of those who left in the customers' time whom the customers' file must know; below it, it is another file."""
ONLY_LEAVERS = "tells only of customers who left, so that nobody is known to have stayed"
OR_ONE_DAY = "a day also for those who have not left, or observed_until as one day that holds for all"


@dataclass(frozen=True)
class DeparturesFile:
    """The file of departures, a row a customer whom it names."""

    cells: Cells
    id: str
    """Column of the ids."""
    column: str
    """Column of the day of leaving."""
    ids: pd.Series
    left_on: np.ndarray
    """datetime64[s], NaT of those who stayed."""
    until: np.ndarray
    """datetime64[s] up to which it is known, NaT where it is not."""
    observed: str | None
    """Column of `until`; None: one day holds for all."""
    everyone_until: np.datetime64 | None
    """The day up to which customers stayed whom the file does not name; None: nothing is known of them."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Leaving:
    """What is known of the leaving of each row of the customers' table."""

    cells: Cells
    """Cells that hold the dates: their faults and warnings go there."""
    column: str
    place: np.ndarray
    """Row of `cells` that tells of each row, −1 where none does."""
    left_on: np.ndarray
    """datetime64[s], NaT of those who have not left."""
    until: np.ndarray
    """datetime64[s] up to which it is known, NaT where it is not."""
    observed: str | None
    """Column of `until`; None: one day holds for all."""
    notes: tuple[str, ...] = ()

    def label(self, start: np.ndarray, days: int) -> np.ndarray:
        """float64[rows]: 1 left within `days` of the snapshot `start`, 0 stayed, NaN not known yet.

        Of a window that is not over nothing is learnt, not from those either who have left in it: they are known and
        those who will stay through it are not, so that departures would look more frequent than they are. Whoever left
        before the snapshot is a fault: the facts of that row speak of nobody. A day after the end of observation is
        odd, and warned of: nothing is learnt from it.
        """
        wrong = "is before the snapshot, for which the customers' file still has that customer"
        self._refuse(self.left_on < start, wrong)
        self._warn(_day(self.left_on) > _day(self.until))
        end = start + days * DAY
        left = (self.left_on >= start) & (self.left_on <= end)
        return np.where(self.known_until >= end, np.where(left, 1.0, 0.0), np.nan)

    @property
    def known_until(self) -> np.ndarray:
        """datetime64[s] until which it is known of each row; of one who left, as long as of anybody."""
        return np.where(self.has_left, np.fmax.reduce(self.until), self.until)

    @property
    def has_left(self) -> np.ndarray:
        """bool[rows]: whether the row's customer had left by the end of observation."""
        return ~np.isnat(self.left_on) & ~(_day(self.left_on) > _day(self.until))

    def of_customers(self, name: str, ids: pd.Series) -> pd.DataFrame:
        """One row a customer: id under `name`, `left_on` and `observed_until`, of several snapshots together."""
        rows = pd.DataFrame({name: ids.to_numpy(), "left_on": self.left_on, "observed_until": self.until})
        if rows[name].is_unique:
            return rows
        return rows.groupby(name, sort=False, as_index=False).agg({"left_on": "min", "observed_until": "max"})

    def _at(self, which: np.ndarray) -> np.ndarray:
        found = np.zeros(self.cells.count, bool)
        found[self.place[which & (self.place >= 0)]] = True
        return found

    def _refuse(self, which: np.ndarray, wrong: str) -> None:
        allowed = "a day from the snapshot on; those who left before are no rows of the customers' file"
        self.cells.refuse(self.column, self._at(which), wrong, allowed)

    def _warn(self, late: np.ndarray) -> None:
        if count := int(self._at(late).sum()):
            latest, until = _day(self.left_on[late]).max(), _day(self.until[late]).max()
            self.cells.warnings.append(
                f"{self.cells.raw.where}, column {self.column!r}: {count:,} {'day is' if count == 1 else 'days are'} "
                f"after observed_until ({until}), the last on {latest}: they count as not having left by then; a "
                "mistyped date, or is observed_until a later day?"
            )


def read_departures(company: Company, mode: Mode) -> DeparturesFile:
    """Reads and checks the company's file of departures.

    Raises FilesError with every fault, such as that nobody is known to have stayed, DataError for a file that cannot be
    read at all.
    """
    departures = company.departures
    assert departures is not None
    name = departures.id or str(company.customers.id)
    columns = tuple(dict.fromkeys((name, *departures.columns)))
    opened = open_file("departures", departures, columns, company.currency, ignore=departures.ignore, mode=mode)
    cells = opened.cells
    ids = cells.ids(name)
    cells.once(name, ids)
    left_on = cells.dates(departures.left_on, nullable=True)
    until = cells.days(departures.observed_until, nullable=True)
    cells.count_lines()
    if cells.faults:
        raise FilesError(cells.faults)
    observed = departures.observed_until if isinstance(departures.observed_until, str) else None
    if cells.count and lacks_stayers(observed, left_on, until):
        cells.reject(ONLY_LEAVERS, OR_ONE_DAY, name=str(observed))
        raise FilesError(cells.faults)
    everyone = np.datetime64(departures.observed_until, "s") if observed is None else None
    return DeparturesFile(cells, name, departures.left_on, ids, left_on, until, observed, everyone, opened.notes)


def lacks_stayers(column: str | None, left_on: np.ndarray, until: np.ndarray) -> bool:
    """Whether nobody is known to have stayed, for `column` (None: one day holds for all) tells only of leavers until
    when they were observed: a model would learn from those alone."""
    return column is not None and not (np.isnat(left_on) & ~np.isnat(until)).any()


def joined(told: DeparturesFile, ids: pd.Series, start: np.ndarray, everyone: pd.Series) -> Leaving:
    """What the file tells of the customers `ids` with snapshots `start`; a note counts its ids that are nobody's.

    `everyone` are the ids of the whole customers' file, excluded ones too. Customers whom the file does not name have
    stayed until the day that holds for the whole file; where each row has a day of its own, nothing is known of them.
    Were they unknown in the first case too, a model would learn from leavers alone.
    """
    stranger = ~told.ids.isin(everyone).to_numpy()
    _check_strangers(told, stranger, everyone, start)
    place = pd.Index(told.ids).get_indexer(ids)
    found = place >= 0
    others = np.datetime64("NaT", "s") if told.everyone_until is None else told.everyone_until
    left_on = np.where(found, told.left_on[place], np.datetime64("NaT", "s"))
    until = np.where(found, told.until[place], others)
    strangers = int(stranger.sum())
    whose = f"{strangers:,} of them of no customer in the customers' file" if strangers else "all of known customers"
    note = f"{len(stranger):,} ids, {whose}"
    return Leaving(told.cells, told.column, place, left_on, until, told.observed, (note,))


def _check_strangers(told: DeparturesFile, stranger: np.ndarray, everyone: pd.Series, start: np.ndarray) -> None:
    """Refuses ids that are a customer's but for how they are written, and a file of other people altogether."""
    if not stranger.any():
        return
    near = near_ids(told.ids[stranger], everyone)
    odd = told.ids.isin(list(near)).to_numpy() & stranger
    if odd.any():
        told.cells.refuse(told.id, odd, "is no customer", "ids as the customers' file writes them", said_near(near))
        return
    theirs = np.isnat(told.left_on) | (told.left_on >= start.min())  # earlier ones need not be in the file any more
    known = int((theirs & ~stranger).sum())
    if known < _FEWEST * theirs.sum():
        who = f"{known:,} of the {int(theirs.sum()):,} who stayed, or left from the snapshot on, are"
        told.cells.reject(f"{who} in the customers' file: are these ids of the same customers?", name=told.id)


def _day(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[D]")
