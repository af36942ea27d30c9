"""A company's customers as a checked table: whom a model learns from, and whom it is to decide about."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from retentionjax.company import Company, CustomersFile
from retentionjax.company.customers import DAYS
from retentionjax.company.reading import INFER, MISSING, OTHERS, Condition
from retentionjax.data.cells import MOST_INFERRED, Cells
from retentionjax.data.company_file import Mode, Opened, excluded, open_file
from retentionjax.data.departures import DAY, ONLY_LEAVERS, OR_ONE_DAY, DeparturesFile, Leaving, joined, lacks_stayers
from retentionjax.data.faults import FilesError
from retentionjax.data.schema import LEAST_CHARGE, MOST_CHARGE, Schema, Table, typed
from retentionjax.data.spelling import plain
from retentionjax.data.validation import MONEY, allowed_categories, check_both, facts

_MISSING = Condition(MISSING)
_NAMES = 20
"""Rows from which on different whole numbers in all of them may be ids."""
_THOUSANDS = f"{MOST_CHARGE:,.0f} at most; larger ones in thousands, and the money of offers and limits too"
_EXCLUDING = 'rows without one are left out by exclude: {{charge: "{}"}}'


@dataclass(frozen=True)
class CustomerTable:
    """What the file of customers says."""

    known: Table
    """Customers of whom it is known whether they left."""
    current: Table
    """Those of whom it is not known yet, without the label: to decide about."""
    left_early: Table
    """Those who left in a window that is not over, without the label; see `Leaving.label`."""
    left_out: frozenset[str]
    """Ids of customers that `exclude` leaves out."""
    departures: pd.DataFrame | None
    """One row a customer: id, `left_on` (NaT: stayed), `observed_until` (NaT: not known); None where no date tells."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def facts(self) -> pd.DataFrame:
        """Id, features, charge and time of every customer."""
        known = self.known.frame.drop(columns=str(self.known.schema.label))
        return pd.concat([known, self.current.frame, self.left_early.frame], ignore_index=True)


def read_customers(company: Company, told: DeparturesFile | None, mode: Mode) -> CustomerTable:
    """Reads and checks the customers of `company`; `told` is its file of departures, None where it has none or the file
    could not be read: nothing is known then of who left, and nothing said about that.

    Raises FilesError with every fault, DataError for a file that cannot be read at all.
    """
    customers = company.customers
    ignore = OTHERS if customers.infers_features else customers.ignore
    opened = open_file("customers", customers, customers.columns, company.currency, ignore=ignore, mode=mode)
    notes = list(opened.notes)
    if customers.infers_features:
        customers, unused = with_features(customers, opened.cells)
        notes += unused
    whole = opened.cells
    gone, said = excluded(whole, customers.exclude, {"charge": _charge(customers, whole, checked=False)})
    notes += said
    cells = whole.without(gone)
    left_out = frozenset(whole.ids(customers.id)[gone]) if customers.id and gone.any() else frozenset()
    if not cells.count:
        cells.reject("has no row that is not excluded")
        raise FilesError(cells.faults)
    values, schema = _values(customers, cells)
    leaving = _leaving(customers, cells, values, told, whole)
    label = _label(customers, cells, leaving)
    if leaving is not None:
        notes += _unobserved(customers, cells, leaving)
    if not _misread(company, cells, told):
        _check_label(customers, cells, label, leaving)
    for part in (cells, *(() if told is None else (told.cells,))):
        part.count_lines()
    if faults := [*cells.faults, *(() if told is None else told.cells.faults)]:
        raise FilesError(faults)
    dated = (
        None if leaving is None or customers.id is None else leaving.of_customers(customers.id, values[customers.id])
    )
    early = np.isnan(label) & (False if leaving is None else leaving.has_left)
    if count := np.count_nonzero(early):
        notes.append(
            f"{count:,} left within {customers.label_days} days of a snapshot, which were not over by the end of "
            "observation: nothing is learnt from them, nor decided about them"
        )
    found = _tables(opened, schema, values, label, early)
    if told is not None:
        notes += [f"departures: {note}" for note in (*told.notes, *([] if leaving is None else leaving.notes))]
    odd = (*opened.cells.warnings, *(() if told is None else told.cells.warnings))
    return CustomerTable(*found, left_out, dated, (*notes,), odd)


def with_features(customers: CustomersFile, cells: Cells) -> tuple[CustomersFile, list[str]]:
    """`customers` whose features are the columns without another role: numbers, and texts whose values repeat.

    A column of numbers and texts is one of numbers, whose texts are faults.
    """
    numeric: list[str] = []
    categorical, notes = {}, []
    taken = {*customers.columns, *(() if isinstance(customers.ignore, str) else customers.ignore)}
    charge = customers.charge.columns
    for spelt in cells.raw.names:
        name = plain(spelt)
        if name in taken and not (name in charge and len(charge) == 1):
            continue
        role, note = ("numeric", "") if name in charge else _role(customers.file, spelt, cells)
        if role == "numeric":
            numeric.append(name)
        elif role == "categorical":
            categorical[name] = INFER
        notes += [f"column {name!r} {note}"] if note else []
    features = [name for name in (*numeric, *categorical) if name not in charge]
    nullable = tuple(name for name in features if cells.fits(name, _MISSING).any())
    nullable += tuple(made for name, made in customers.dates.items() if cells.fits(name, _MISSING).any())
    found = replace(customers, numeric=tuple(numeric), categorical=categorical, nullable=nullable, ignore=OTHERS)
    return found, notes


def _role(frame: pd.DataFrame, name: str, cells: Cells) -> tuple[str, str]:
    """What a column of a DataFrame can be, `numeric`, `categorical` or neither, and what is to be said of it."""
    if name not in cells.raw.table.column_names:
        return "", f"is no feature: it holds {frame[name].dtype}, neither numbers nor text"
    column = cells.raw.table[name]
    kind, distinct = column.type, len(column.unique())
    if pa.types.is_integer(kind) and distinct == cells.raw.rows >= _NAMES:
        return "numeric", "is another whole number in every row: if it names customers, say so by id, or ignore it"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "numeric", ""
    if not (pa.types.is_string(kind) or pa.types.is_boolean(kind)):
        return "", "is no feature: dates are named under dates"
    if pd.api.types.infer_dtype(frame[name], skipna=True).startswith("mixed"):
        return "numeric", ""
    if distinct > MOST_INFERRED or 2 * distinct > cells.raw.rows:
        numbers = ", all of them numbers: name it under numeric if it is to be one" * cells.are_numbers(name)
        return "", f"is no feature: {distinct:,} different texts{numbers}"
    if pa.types.is_string(kind) and distinct > 2 and cells.are_numbers(name):
        return "categorical", f"holds numbers as text: each of {distinct} is a category; name it under numeric if not"
    return "categorical", ""


def _values(customers: CustomersFile, cells: Cells) -> tuple[dict[str, Any], Schema]:
    """Id, features, charge and snapshot of each row by the names of the table, and the schema that says which is
    which; faults go to `cells`."""
    values: dict[str, Any] = {}
    panel = isinstance(customers.snapshot, str)
    numbered = pd.Series(np.arange(1, cells.count + 1).astype(str), dtype="str")
    values[customers.id_name] = ids = numbered if customers.id is None else cells.ids(customers.id)
    snapshot = None if customers.snapshot is None else cells.days(customers.snapshot)
    if panel:
        values[str(customers.snapshot)] = snapshot
    if customers.id is not None:
        keys = pd.DataFrame({"id": ids, "at": snapshot}) if panel else ids
        cells.once(customers.id, keys, "every id once a snapshot" if panel else "every id once")
    charge = customers.charge_name
    numeric = [name for name in customers.numeric if name != charge]
    values |= facts(cells, numeric, customers.categorical, customers.nullable)
    for name, feature in customers.dates.items():
        dates = cells.dates(name, nullable=feature in customers.nullable)
        values[feature] = (snapshot - dates) / DAY
        late = np.asarray(dates, "datetime64[D]") > np.asarray(snapshot, "datetime64[D]")
        _check_order(customers, cells, name, late)
    if customers.tenure in numeric:
        cells.refuse(customers.tenure, values[customers.tenure] < 0, "is below 0", "0 or more: it is the tenure")
    values[charge] = _charge(customers, cells, checked=True)
    label = customers.left
    schema = Schema(
        name="customers",
        id=customers.id_name,
        label=customers.label_name,
        positive="1" if label is None or label.column is None else label.yes,
        negative="0" if label is None or label.column is None else label.no,
        charge=charge,
        tenure=customers.tenure,
        numeric=(*customers.numeric, *customers.dates.values()),
        categorical=allowed_categories(values, customers.categorical),
        nullable=customers.nullable,
        time=str(customers.snapshot) if panel else None,
    )
    return values, schema


def _check_order(customers: CustomersFile, cells: Cells, name: str, late: np.ndarray) -> None:
    """Refuses a date of joining after the snapshot, and warns of other dates of which a few are after it: where most
    are, they are the ends of contracts or the like, which lie ahead."""
    if customers.dates[name] == customers.tenure:
        until = "its row's snapshot" if isinstance(customers.snapshot, str) else f"the snapshot, {customers.snapshot}"
        cells.refuse(name, late, "is after the snapshot", f"a day until {until}: tenure is counted from it")
    elif 0 < (count := int(late.sum())) < cells.count / 2:
        cells.warnings.append(
            f"{cells.raw.where}, column {name!r}: {count:,} {'date is' if count == 1 else 'dates are'} after the "
            f"snapshot, the first in {cells.first(late, customers.id or name)}: days before it are below 0; a mistyped "
            "date, or a fact of a later day?"
        )


def _charge(customers: CustomersFile, cells: Cells, *, checked: bool) -> np.ndarray:
    """float64[rows] of the charge of 30 days; a charge of 0 or less is a fault if `checked`."""
    charge = customers.charge
    if charge.value is not None:
        same = charge.value * DAYS / charge.per_days
        if checked and not LEAST_CHARGE <= same <= MOST_CHARGE:
            cells.reject(f"customers.charge makes {same:g} in {DAYS} days", f"{LEAST_CHARGE:g} to {MOST_CHARGE:,.0f}")
        return np.full(cells.count, same)
    probe = cells if checked else cells.quiet()
    accept = (lambda x: x > 0) if checked and charge.column is not None else None
    allowed, mend = f"{MONEY}; {_EXCLUDING.format('<= 0')}", f"{MONEY}; {_EXCLUDING.format(MISSING)}"
    parts = [probe.numbers(name, accept=accept, allowed=allowed, mend=mend) for name in charge.columns]
    total: np.ndarray = np.sum(parts, axis=0)
    large = total * DAYS / charge.per_days > MOST_CHARGE
    if checked:
        probe.refuse(charge.columns[0], large & np.isfinite(total), "makes too large a charge of 30 days", _THOUSANDS)
        small = (total > 0) & (total * DAYS / charge.per_days < LEAST_CHARGE)
        probe.refuse(charge.columns[0], small, "makes too small a charge of 30 days", f"{LEAST_CHARGE:g} or more")
    if checked and charge.column is None:
        wrong = ~np.isnan(total) & (total <= 0)
        cells.refuse(charge.sum[0], wrong, "makes, with the others, a charge of 0 or less", f"a sum above 0; {allowed}")
    return total * DAYS / charge.per_days


def _leaving(
    customers: CustomersFile, cells: Cells, values: dict[str, Any], told: DeparturesFile | None, whole: Cells
) -> Leaving | None:
    """What is known of who left when; None where no date tells it."""
    label = customers.left
    if label is not None and label.date is not None:
        left_on = cells.dates(label.date, nullable=True)
        until = cells.days(label.observed_until, nullable=True)
        observed = label.observed_until if isinstance(label.observed_until, str) else None
        return Leaving(cells, label.date, np.arange(cells.count), left_on, until, observed)
    if label is None and told is not None:
        start = cells.quiet().days(customers.snapshot)
        return joined(told, values[customers.id_name], start, whole.quiet().ids(str(customers.id)))
    return None


def _label(customers: CustomersFile, cells: Cells, leaving: Leaving | None) -> np.ndarray:
    """float64[rows]: 1 left, 0 stayed, NaN not known yet."""
    if leaving is not None:
        return leaving.label(cells.quiet().days(customers.snapshot), customers.label_days)
    label = customers.left
    if label is not None and label.column is not None:
        return cells.flags(label.column, label.yes, label.no, nullable=True)
    return np.full(cells.count, np.nan)


def _unobserved(customers: CustomersFile, cells: Cells, leaving: Leaving) -> list[str]:
    """Says of how many rows nothing is known: they are later than all that is known of who left, or it is nowhere said
    until when that is known."""
    late = cells.quiet().days(customers.snapshot) > leaving.until
    unnamed = leaving.place < 0
    blank = np.isnat(leaving.known_until)
    why = {"snapshots after observed_until": late & isinstance(customers.snapshot, str)}
    why["rows of customers whom the departures do not name"] = blank & unnamed
    why[f"rows whose {leaving.observed!r} is blank"] = blank & ~unnamed
    named = customers.id or (customers.snapshot if isinstance(customers.snapshot, str) else "")
    return [
        f"{which.sum():,} {words}, the first in {cells.first(which, named)}: not known yet"
        for words, which in why.items()
        if which.any()
    ]


def _misread(company: Company, cells: Cells, told: DeparturesFile | None) -> bool:
    """Whether cells that tell who left could not be read: that nobody, or everybody, left may follow from it alone."""
    customers = company.customers
    if company.departures is not None and (told is None or told.cells.faults):
        return True
    left = () if customers.left is None else (customers.left.column, customers.left.date, customers.left.observed_until)
    named = (customers.id if told is not None else None, customers.snapshot, *left)
    spelt = {cells.spelt(name) for name in named if isinstance(name, str)}
    return any(fault.column in spelt for fault in cells.faults)


def _check_label(customers: CustomersFile, cells: Cells, label: np.ndarray, leaving: Leaving | None) -> None:
    yes, no = ("1", "0") if customers.left is None else (customers.left.yes, customers.left.no)
    column = customers.left.column or customers.left.date if customers.left is not None else None
    if np.isnan(label).all():
        wrong = "tells of no customer whether they left; a model has nothing to learn from"
        if leaving is not None and not np.isnat(leaving.known_until).all():
            until = np.nanmax(leaving.known_until.astype("datetime64[D]"))
            wrong += (
                f": no customer's {customers.label_days} days from the snapshot were over by the end of observation, "
                f"{until}; allowed: earlier snapshots, a later observed_until, or a shorter window_days"
            )
        cells.reject(wrong, name=column or "")
    elif leaving is not None and lacks_stayers(leaving.observed, leaving.left_on, leaving.until):
        leaving.cells.reject(ONLY_LEAVERS, OR_ONE_DAY, name=str(leaving.observed))
    elif column is not None:
        check_both(cells, column, label, yes, no)
    elif len(alike := np.unique(label[~np.isnan(label)])) == 1:  # by the file of departures
        wrong = (
            f"of all {np.count_nonzero(~np.isnan(label)):,} of whom it is known for {customers.label_days} days, "
            f"{'everybody left' if alike[0] else 'everybody stayed'}; wait until others are known too"
        )
        cells.reject(wrong)


def _tables(
    opened: Opened, schema: Schema, values: dict[str, Any], label: np.ndarray, early: np.ndarray
) -> tuple[Table, Table, Table]:
    """Whom it is known of, the current ones, and those who left early."""
    known = ~np.isnan(label)
    learnt = typed(schema, _rows({**values, str(schema.label): label}, known))

    def unlabelled(name: str, kept: np.ndarray) -> Table:
        rows = typed(replace(schema, label=None), _rows(values, kept))
        return Table(name, rows, replace(schema, name=name, label=None), replace(opened.provenance, rows=len(rows)))

    table = Table("customers", learnt, schema, replace(opened.provenance, rows=len(learnt)))
    return table, unlabelled("current", ~known & ~early), unlabelled("left_early", early)


def _rows(values: dict[str, Any], kept: np.ndarray) -> dict[str, Any]:
    """The rows where `kept` is true; the very columns where that is all of them, for a million rows are many."""
    if kept.all():
        return values
    return {
        name: column[kept].reset_index(drop=True) if isinstance(column, pd.Series) else column[kept]
        for name, column in values.items()
    }
