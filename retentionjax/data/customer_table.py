"""A company's customers as a checked table: whom a model learns from, and whom it is to decide about."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from retentionjax.company import Company, CustomersFile, Departures
from retentionjax.company.customers import DAYS
from retentionjax.company.reading import INFER, OTHERS, Condition
from retentionjax.data.cells import MOST_INFERRED, Cells
from retentionjax.data.company_file import Mode, Opened, excluded, open_file
from retentionjax.data.faults import Fault, FilesError
from retentionjax.data.schema import Schema, Table, typed
from retentionjax.data.validation import MONEY, allowed_categories, check_both, facts
from retentionjax.errors import DataError

_DAY = np.timedelta64(1, "D")
_MISSING = Condition("missing")


@dataclass(frozen=True)
class CustomerTable:
    """What the file of customers says."""

    known: Table
    """Customers of whom it is known whether they left."""
    current: Table
    """Those of whom it is not known yet, without the label: to decide about."""
    left_out: frozenset[str]
    """Ids of customers that `exclude` leaves out."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def facts(self) -> pd.DataFrame:
        """Id, features, charge and time of every customer, known or current."""
        label = str(self.known.schema.label)
        return pd.concat([self.known.frame.drop(columns=label), self.current.frame], ignore_index=True)


def read_customers(company: Company, departures: pd.DataFrame | None, mode: Mode) -> CustomerTable:
    """Reads and checks the customers of `company`; `departures` as `read_departures` gives them.

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
    label = _label(company, cells, values, departures)
    _check_label(customers, cells, label)
    if cells.raw.broken:
        cells.faults.insert(0, Fault(cells.raw, "", np.arange(len(cells.raw.broken)), "", ""))
    if cells.faults:
        raise FilesError(cells.faults)
    return _tables(opened, schema, values, label, left_out, (*notes,))


def read_departures(departures: Departures, customers: CustomersFile, currency: str, mode: Mode) -> pd.DataFrame:
    """One row a customer: the id under the customers' name, `left_on` (NaT: stayed) and `observed_until`.

    Raises FilesError with every fault, DataError for a file that cannot be read at all, or from which nobody could be
    known to have stayed.
    """
    name = departures.id or str(customers.id)
    columns = tuple(dict.fromkeys((name, *departures.columns)))
    opened = open_file("departures", departures, columns, currency, ignore=departures.ignore, mode=mode)
    cells = opened.cells
    ids = cells.ids(name)
    cells.once(name, ids)
    left_on = cells.dates(departures.left_on, nullable=True)
    until = _day(departures.observed_until, cells)
    if cells.faults:
        raise FilesError(cells.faults)
    if isinstance(departures.observed_until, str) and cells.count and not np.isnat(left_on).any():
        raise DataError(
            "departures: the file names only customers who left, so that nobody is known to have stayed; name the "
            f"others too, or give observed_until as one day, not as the column {departures.observed_until!r}"
        )
    return pd.DataFrame({str(customers.id): ids, "left_on": left_on, "observed_until": until})


def observed(company: Company, departures: pd.DataFrame, ids: Any) -> pd.DataFrame:
    """`left_on` and `observed_until` of each of `ids`, in their order.

    Customers whom the file does not name have stayed until the day that holds for the whole file; where each row has
    a day of its own, nothing is known of them: NaT. Were they unknown in the first case too, a model would learn from
    leavers alone.
    """
    assert company.departures is not None
    found = departures.set_index(str(company.customers.id)).reindex(ids)
    if not isinstance(company.departures.observed_until, str):
        found["observed_until"] = np.datetime64(company.departures.observed_until, "s")
    return found


def with_features(customers: CustomersFile, cells: Cells) -> tuple[CustomersFile, list[str]]:
    """`customers` whose features are the columns without another role: numbers, and texts whose values repeat."""
    numeric, categorical, notes = [], {}, []
    taken = {*customers.columns, *(() if isinstance(customers.ignore, str) else customers.ignore)}
    charge = customers.charge.columns
    for name in cells.raw.names:
        kind = cells.raw.table[name].type
        if name in taken and not (name in charge and len(charge) == 1):
            continue
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            numeric.append(name)
        elif pa.types.is_string(kind) or pa.types.is_boolean(kind):
            distinct = len(cells.raw.table[name].unique())
            if distinct <= MOST_INFERRED and 2 * distinct <= cells.raw.rows:
                categorical[name] = INFER
            else:
                notes.append(f"column {name!r} is no feature: {distinct:,} different texts")
        else:
            notes.append(f"column {name!r} is no feature: dates are named under dates")
    features = [name for name in (*numeric, *categorical) if name not in charge]
    nullable = tuple(name for name in features if cells.fits(name, _MISSING).any())
    return replace(customers, numeric=tuple(numeric), categorical=categorical, nullable=nullable), notes


def _values(customers: CustomersFile, cells: Cells) -> tuple[dict[str, Any], Schema]:
    """Id, features, charge and snapshot of each row by the names of the table, and the schema that says which is
    which; faults go to `cells`."""
    values: dict[str, Any] = {}
    panel = isinstance(customers.snapshot, str)
    numbered = pd.Series(np.arange(1, cells.count + 1).astype(str), dtype="str")
    values[customers.id_name] = ids = numbered if customers.id is None else cells.ids(customers.id)
    snapshot = None if customers.snapshot is None else _day(customers.snapshot, cells)
    if panel:
        values[str(customers.snapshot)] = snapshot
    if customers.id is not None:
        keys = pd.DataFrame({"id": ids, "at": snapshot}) if panel else ids
        cells.once(customers.id, keys, "every id once a snapshot" if panel else "every id once")
    charge = customers.charge_name
    numeric = [name for name in customers.numeric if name != charge]
    values |= facts(cells, numeric, customers.categorical, customers.nullable)
    for name, feature in customers.dates.items():
        values[feature] = (snapshot - cells.dates(name, nullable=feature in customers.nullable)) / _DAY
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


def _charge(customers: CustomersFile, cells: Cells, *, checked: bool) -> np.ndarray:
    """float64[rows] of the charge of 30 days; a charge of 0 or less is a fault if `checked`."""
    charge = customers.charge
    if charge.value is not None:
        return np.full(cells.count, charge.value * DAYS / charge.per_days)
    probe = cells if checked else cells.quiet()
    if charge.column is not None:
        accept = (lambda x: x > 0) if checked else None
        mend = f'{MONEY}; rows without one are left out by exclude: {{charge: "<= 0"}}'
        return probe.numbers(charge.column, accept=accept, allowed=mend) * DAYS / charge.per_days
    total = np.sum([probe.numbers(name) for name in charge.sum], axis=0)
    if checked:
        mend = 'a sum above 0; rows without one are left out by exclude: {charge: "<= 0"}'
        cells.refuse(
            charge.sum[0], ~np.isnan(total) & (total <= 0), "makes, with the others, a charge of 0 or less", mend
        )
    return total * DAYS / charge.per_days


def _day(day: dt.date | str | None, cells: Cells) -> np.ndarray:
    """datetime64[s][rows] of a date that is the same for all, or of a column."""
    if isinstance(day, str):
        return cells.dates(day)
    return np.full(cells.count, np.datetime64(day, "s"))


def _label(company: Company, cells: Cells, values: dict[str, Any], departures: pd.DataFrame | None) -> np.ndarray:
    """float64[rows]: 1 left, 0 stayed, NaN not known yet."""
    customers = company.customers
    label = customers.left
    if label is not None and label.column is not None:
        return cells.flags(label.column, label.yes, label.no, nullable=True)
    if label is not None and label.date is not None:
        left_on = cells.dates(label.date, nullable=True)
        until = _day(label.observed_until, cells)
    elif departures is not None:
        of = observed(company, departures, values[str(customers.id)])
        left_on = of["left_on"].to_numpy().astype("datetime64[s]")
        until = of["observed_until"].to_numpy().astype("datetime64[s]")
    else:
        return np.full(cells.count, np.nan)
    start = _day(customers.snapshot, cells.quiet())
    early = left_on < start
    if label is not None and label.date is not None:
        cells.refuse(label.date, early, "is before the snapshot", "a day from the snapshot on; others under exclude")
    end = start + customers.label_days * _DAY
    left = (left_on >= start) & (left_on <= end)
    return np.where(left, 1.0, np.where(until >= end, 0.0, np.nan))


def _check_label(customers: CustomersFile, cells: Cells, label: np.ndarray) -> None:
    yes, no = ("1", "0") if customers.left is None else (customers.left.yes, customers.left.no)
    column = customers.left.column or customers.left.date if customers.left is not None else None
    if np.isnan(label).all():
        wrong = "tells of no customer whether they left; a model has nothing to learn from"
        cells.reject(wrong, name=column or "")
    elif column is not None:
        check_both(cells, column, label, yes, no)
    elif len(alike := np.unique(label[~np.isnan(label)])) == 1:  # by the file of departures
        wrong = (
            f"of all {np.count_nonzero(~np.isnan(label)):,} of whom it is known for {customers.label_days} days, "
            f"{'everybody left' if alike[0] else 'everybody stayed'}; wait until others are known too"
        )
        cells.reject(wrong)


def _tables(
    opened: Opened,
    schema: Schema,
    values: dict[str, Any],
    label: np.ndarray,
    left_out: frozenset[str],
    notes: tuple[str, ...],
) -> CustomerTable:
    known = ~np.isnan(label)
    learnt = typed(schema, _rows({**values, str(schema.label): label}, known))
    now = typed(replace(schema, label=None), _rows(values, ~known))
    return CustomerTable(
        Table("customers", learnt, schema, replace(opened.provenance, rows=len(learnt))),
        Table("current", now, replace(schema, name="current", label=None), replace(opened.provenance, rows=len(now))),
        left_out,
        notes,
        tuple(opened.cells.warnings),
    )


def _rows(values: dict[str, Any], kept: np.ndarray) -> dict[str, Any]:
    """The rows where `kept` is true; the very columns where that is all of them, for a million rows are many."""
    if kept.all():
        return values
    return {
        name: column[kept].reset_index(drop=True) if isinstance(column, pd.Series) else column[kept]
        for name, column in values.items()
    }
