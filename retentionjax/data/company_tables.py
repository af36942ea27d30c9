"""Everything a company's files say, checked: customers to learn from and to decide about, its log, its departures."""

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import pandas as pd

from retentionjax import storage
from retentionjax.company import Company
from retentionjax.data import customer_table
from retentionjax.data.cells import after
from retentionjax.data.company_file import Mode, open_file
from retentionjax.data.contact_log import ContactLog, read_contacts
from retentionjax.data.customer_table import CustomerTable, read_customers
from retentionjax.data.departures import read_departures
from retentionjax.data.faults import Fault, FilesError, rejects
from retentionjax.data.schema import Table
from retentionjax.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class Tables:
    """A company's files as they can be trusted."""

    customers: Table
    """Those of whom it is known whether they left; the label is 1 where they did."""
    current: Table
    """Those of whom it is not known yet: to decide about, not to learn from."""
    left_early: Table
    """Those who left before their window was over: not to learn churn from, nor to decide about; in a log they are."""
    contacts: ContactLog | None
    departures: pd.DataFrame | None
    """One row a customer: id, `left_on` (NaT: stayed), `observed_until` (NaT: not known); None where no date tells."""
    notes: tuple[str, ...]
    """What was left out, with counts."""
    warnings: tuple[str, ...]
    """What is legal and odd in how the files are written."""


def read(company: Company, *, mode: Mode | None = None, rejected: str | os.PathLike[str] | None = None) -> Tables:
    """Reads and checks every file that `company` names; `rejected` is where the rows with faults are written as CSV.

    Raises FilesError with every fault of every file: file, line, column, value and what is allowed.
    """
    places = mode or Mode()
    faults: list[Fault] = []
    others = _not_over(company, places.today)

    def attempt(part: Callable[[], T]) -> T | None:
        try:
            return part()
        except FilesError as error:
            faults.extend(error.faults)
        except DataError as error:
            others.append(str(error))
        return None

    departures, contacts = None, None
    if company.departures is not None:
        departures = attempt(lambda: read_departures(company, places))
    customers = attempt(lambda: read_customers(company, departures, places))
    if company.contacts is not None:
        contacts = attempt(lambda: read_contacts(company, customers, places))
    if faults and rejected is not None:
        storage.write_bytes(storage.as_path(rejected), rejects(faults))
    if faults or others or customers is None:
        raise FilesError(faults, others)
    return _tables(customers, contacts)


def with_features(company: Company) -> tuple[Company, list[str]]:
    """`company` with its features named: of a DataFrame of which none is, the columns without another role; and what is
    to be said of the others."""
    customers = company.customers
    if not customers.infers_features:
        return company, []
    opened = open_file("customers", customers, customers.columns, company.currency)
    found, notes = customer_table.with_features(customers, opened.cells)
    return replace(company, customers=found), notes


def used_columns(company: Company, name: str) -> tuple[str, ...]:
    """Columns that are read of `customers`, `contacts` or `departures`, whose features are named."""
    part = getattr(company, name)
    ids = (company.customers.id,) if name != "customers" and part.id is None else ()
    return tuple(dict.fromkeys(each for each in (*ids, *part.columns) if each is not None))


def _not_over(company: Company, today: dt.date) -> list[str]:
    """A sentence for each day of the description that is not over: whoever is not known to leave until then would count
    as having stayed."""
    left, departures = company.customers.left, company.departures
    days = {
        "customers.snapshot": company.customers.snapshot,
        "customers.left.observed_until": None if left is None else left.observed_until,
        "departures.observed_until": None if departures is None else departures.observed_until,
    }
    wrong, allowed = after(today)
    return [
        f"{key}: {day} {wrong}; allowed: {allowed}"
        for key, day in days.items()
        if isinstance(day, dt.date) and day > today
    ]


def _tables(customers: CustomerTable, contacts: ContactLog | None) -> Tables:
    log = () if contacts is None else tuple(f"contacts: {note}" for note in contacts.notes)
    odd = () if contacts is None else contacts.warnings
    return Tables(
        customers.known,
        customers.current,
        customers.left_early,
        contacts,
        customers.departures,
        (*customers.notes, *log),
        (*customers.warnings, *odd),
    )
