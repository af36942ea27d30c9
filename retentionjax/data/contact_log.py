"""A company's log of contacts: what was assigned to whom, when, with which probability, and who accepted."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from retentionjax.company import NONE, Company, Contacts, CustomersFile
from retentionjax.data.cells import Cells
from retentionjax.data.company_file import Mode, excluded, open_file
from retentionjax.data.customer_table import CustomerTable
from retentionjax.data.faults import FilesError
from retentionjax.data.schema import Provenance, Schema, Table, typed
from retentionjax.data.validation import allowed_categories, facts, near_ids, said_near

AT, ARM, PROPENSITY, ACCEPTED = "at", "arm", "propensity", "accepted"


@dataclass(frozen=True)
class ContactLog:
    """The log as it can be trusted."""

    assignments: pd.DataFrame
    """One assignment a row: the customer's id under the customers' name (where people are joined), `at` datetime64 (NaT
    where the log has no times: rows are in their order), `arm` a Categorical over `none` and the offers, `propensity`
    float64 (NaN: not known), `accepted` float64 1, 0 or NaN (nobody contacted, or not known)."""
    responses: Table
    """Contacts whose answer is known, with the facts of the person; the label is the answer. Where offers differ, the
    treatment is the arm."""
    randomised: bool
    """Whether the log states the probabilities of its arms."""
    assume: str | None
    rank_correlation: float | None
    """Rank correlation of other people's acceptance with customers' churn; None: the log is of customers themselves."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def read_contacts(company: Company, customers: CustomerTable | None, mode: Mode) -> ContactLog:
    """Reads and checks the log; `customers` are those it is joined to, None where they could not be read.

    Raises FilesError with every fault, DataError for a file that cannot be read at all.
    """
    contacts = company.contacts
    assert contacts is not None
    people = contacts.other_people
    name = contacts.id or str(company.customers.id)
    joined = (name,) if people is None else ()
    columns = tuple(dict.fromkeys((*joined, *contacts.columns)))
    opened = open_file("contacts", contacts, columns, company.currency, ignore=contacts.ignore, mode=mode)
    gone, said = excluded(opened.cells, contacts.exclude, {})
    cells = opened.cells.without(gone)
    notes = [*opened.notes, *said]
    if people is None and customers is not None and customers.left_out:
        outside = cells.quiet().ids(name).isin(customers.left_out).to_numpy()
        notes.append(f"{int(outside.sum()):,} contacts of excluded customers left out")
        cells = cells.without(outside)
    log = _assignments(contacts, cells, (NONE, *company.offers))
    if people is None:
        log.insert(0, str(company.customers.id), _ids(cells, name, customers))
        own = {}
    else:
        own = facts(cells, people.numeric, people.categorical, people.nullable)
    cells.count_lines()
    if people is None and customers is not None and contacts.at is not None:
        if customers.departures is not None:
            _check_days(contacts.at, name, cells, log, customers.departures)
        _warn_of_order(company.customers, contacts.at, name, cells, log, customers)
    _check_answers(contacts, cells, log[ACCEPTED].to_numpy())
    _warn_of_blanks(contacts, cells, log)
    if cells.faults or (people is None and customers is None):
        raise FilesError(cells.faults)
    if people is None:
        assert customers is not None
        own, early = _facts_of(log, customers, cells, name)
        notes += early
    responses = _responses(company, log, own, customers, opened.provenance)
    return ContactLog(
        log,
        responses,
        contacts.is_randomised,
        contacts.assume,
        None if people is None else people.rank_correlation,
        tuple(notes),
        tuple(cells.warnings),
    )


def _assignments(contacts: Contacts, cells: Cells, arms: tuple[str, ...]) -> pd.DataFrame:
    if contacts.offer.column is None:
        codes = np.full(cells.count, arms.index(str(contacts.offer.value)), np.int64)
        arm = pd.Categorical.from_codes(codes, pd.Index(arms, dtype="str"))
    else:
        arm = cells.categories(contacts.offer.column, arms)
    alone = np.asarray(arm.codes) == 0
    at = np.full(cells.count, np.datetime64("NaT", "s")) if contacts.at is None else cells.dates(contacts.at, past=True)
    return pd.DataFrame(
        {
            AT: at,
            ARM: arm,
            PROPENSITY: _propensity(contacts, cells, arm),
            ACCEPTED: _accepted(contacts, cells, alone, at),
        }
    ).rename_axis("row")


def _propensity(contacts: Contacts, cells: Cells, arm: pd.Categorical) -> np.ndarray:
    if contacts.propensity is not None:
        allowed = "the probability of the row's arm, above 0 to 1"
        return cells.numbers(contacts.propensity, accept=lambda x: (x > 0) & (x <= 1), allowed=allowed)
    design = np.array([contacts.design.get(str(name), np.nan) for name in arm.categories] + [np.nan])
    found = design[np.asarray(arm.codes)]
    if contacts.design and contacts.offer.column is not None:
        outside = np.isnan(found) & (np.asarray(arm.codes) >= 0)
        cells.refuse(contacts.offer.column, outside, "has no share in the design", ", ".join(contacts.design))
    return found


def _accepted(contacts: Contacts, cells: Cells, alone: np.ndarray, at: np.ndarray) -> np.ndarray:
    """float64[rows]: 1, 0, or NaN where nobody was contacted or it is not known."""
    if contacts.accepted is not None:
        column = contacts.accepted.column
        answer = cells.flags(column, contacts.accepted.yes, contacts.accepted.no, nullable=True)
    else:
        column = str(contacts.accepted_at)
        when = cells.dates(column, nullable=True, past=True)
        days = np.isnat(when) | (when == when.astype("datetime64[D]"))  # an answer told by its day comes on that day
        told = np.where(days, at.astype("datetime64[D]").astype(at.dtype), at)
        cells.refuse(column, when < told, "is before the assignment", "a time after it")
        answer = (~np.isnat(when)).astype(np.float64)
    wrong = "says accepted where nobody was contacted"
    cells.refuse(column, alone & (answer == 1), wrong, f"blank, or 0, where the arm is {NONE!r}")
    return np.where(alone, np.nan, answer)


def _ids(cells: Cells, name: str, customers: CustomerTable | None) -> np.ndarray:
    """Whom each row is about; a stranger is a fault where the customers are known."""
    ids = cells.ids(name)
    if customers is not None:
        known = customers.facts[str(customers.known.schema.id)]
        stranger = ~ids.isin(known).to_numpy() & ~ids.isna().to_numpy()
        near = near_ids(ids[stranger], known) if stranger.any() else {}
        cells.refuse(name, stranger, "is no customer", f"an id of {customers.known.provenance.source}", said_near(near))
    return ids.to_numpy()


def _warn_of_order(
    file: CustomersFile, at: str, id_column: str, cells: Cells, log: pd.DataFrame, customers: CustomerTable
) -> None:
    """Warns of assignments that repeat an earlier row, which count double; of those before their customer joined; and,
    where dates tell who left, of those before the snapshot: who left in between is not in the customers' file."""
    found = {"repeat an earlier row's customer, time and arm": log.duplicated([file.id_name, AT, ARM]).to_numpy()}
    if isinstance(file.snapshot, dt.date):
        snapshot, day = np.datetime64(file.snapshot, "D"), log[AT].to_numpy().astype("datetime64[D]")
        if customers.departures is not None:
            found["are before the snapshot, of whose customers the file has only those who stayed"] = day < snapshot
        if file.tenure in file.dates.values():
            tenure = (
                customers.facts.set_index(file.id_name)[str(file.tenure)].reindex(log[file.id_name]).to_numpy(float)
            )
            joined = snapshot - np.ceil(np.nan_to_num(tenure, nan=1e5)).astype("timedelta64[D]")
            found["are before their customer joined"] = day < joined
    for words, which in found.items():
        if count := int(which.sum()):
            first = cells.first(which, id_column)
            said = f"assignments that {words}: {count:,}, the first in {first}"
            cells.warnings.append(f"{cells.raw.where}, column {at!r}: {said}")


def _check_days(at: str, id_column: str, cells: Cells, log: pd.DataFrame, departures: pd.DataFrame) -> None:
    """Refuses what no effect can be learnt from: two assignments of a customer on one day, and one after leaving; and
    warns of one after the end of observation, from which none is."""
    name = str(departures.columns[0])
    day = log[AT].dt.normalize()
    again = pd.DataFrame({"id": log[name], "day": day}).duplicated().to_numpy() & day.notna().to_numpy()
    cells.refuse(at, again, "is a second assignment of that customer on that day", "one assignment a customer and day")
    told = departures.set_index(name).reindex(log[name])
    left, until = (pd.to_datetime(told[each]).dt.normalize().to_numpy() for each in ("left_on", "observed_until"))
    cells.refuse(at, day.to_numpy() > left, "is after the day on which that customer left", "a day until then")
    late = (day.to_numpy() > until) & ~(day.to_numpy() > left)
    if count := int(late.sum()):
        cells.warnings.append(
            f"{cells.raw.where}, column {at!r}: {count:,} {'contact is' if count == 1 else 'contacts are'} after "
            f"observed_until, the first in {cells.first(late, id_column)}: who left after that is not known; a "
            "mistyped date, or is observed_until a later day?"
        )


def _check_answers(contacts: Contacts, cells: Cells, answers: np.ndarray) -> None:
    """Refuses a log from which acceptance cannot be learnt: without any answer, or with one and the same only."""
    column = contacts.accepted_at if contacts.accepted is None else contacts.accepted.column
    known = np.unique(answers[~np.isnan(answers)])
    if len(known) == 2 or cells.faults:
        return
    said = "no contact was" if not known[-1:].any() else "every contact was"
    wrong = f"{said} accepted, as far as it is filled in" if len(known) else "is blank wherever somebody was contacted"
    cells.reject(wrong, "yes and no, both: fill in 'no' for those who were contacted and did not", name=str(column))


def _warn_of_blanks(contacts: Contacts, cells: Cells, log: pd.DataFrame) -> None:
    """Says how many contacts have no answer: what keeps customers is estimated as if those had been refused."""
    if contacts.accepted is None:
        return  # a blank time of acceptance is the answer no
    contacted = (log[ARM] != NONE).to_numpy() & log[ARM].notna().to_numpy()
    blank = contacted & log[ACCEPTED].isna().to_numpy()
    if blank.any():
        counts = "each counts as not accepted where effects are estimated" if contacts.other_people is None else ""
        cells.warnings.append(
            f"{cells.raw.where}, column {contacts.accepted.column!r}: {int(blank.sum()):,} of {int(contacted.sum()):,} "
            f"contacts have no answer, the first in {cells.first(blank)}: acceptance is not learnt from them"
            f"{counts and f', and {counts}'}"
        )


def _facts_of(
    log: pd.DataFrame, customers: CustomerTable, cells: Cells, id_column: str
) -> tuple[dict[str, Any], list[str]]:
    """The facts of each row's customer: of several snapshots, the last before the assignment, and none after it."""
    schema, table = customers.known.schema, customers.facts
    name, time = str(schema.id), schema.time
    columns = [each for each in (*schema.features, str(schema.charge)) if each != name]
    columns = list(dict.fromkeys(columns))
    if time is None:
        place = pd.Index(table[name]).get_indexer(log[name])
    else:
        order = table.assign(_place=np.arange(len(table))).sort_values(time)
        left = log.assign(_row=np.arange(len(log))).sort_values(AT, na_position="first")
        left = left[left[AT].notna()]
        found = pd.merge_asof(left, order[[name, time, "_place"]], left_on=AT, right_on=time, by=name)
        place = np.full(len(log), -1)
        place[found["_row"].to_numpy()] = found["_place"].fillna(-1).to_numpy().astype(np.int64)
    notes = []
    if (early := place < 0).any():
        where = f"the first in {cells.first(early, id_column)}"
        what = f"{int(early.sum()):,} contacts before their customer's first snapshot, {where}"
        notes.append(f"{what}: no facts are known of that day, and acceptance is not learnt from them")
    known = table[columns].iloc[np.maximum(place, 0)].reset_index(drop=True)
    known["_known"] = place >= 0
    return {str(each): known[each].array if each != "_known" else known[each] for each in known}, notes


def _responses(
    company: Company,
    log: pd.DataFrame,
    own: dict[str, Any],
    customers: CustomerTable | None,
    provenance: Provenance,
) -> Table:
    """The contacts whose answer is known, with the facts of the person."""
    contacts = company.contacts
    assert contacts is not None
    accepted = contacts.accepted
    label = ACCEPTED if accepted is None else accepted.column
    yes, no = ("1", "0") if accepted is None else (accepted.yes, accepted.no)
    roles: dict[str, Any] = {"label": label, "positive": yes, "negative": no}
    if contacts.offer.column is not None:
        roles |= {"treatment": ARM, "arms": (NONE, *company.offers)}
    if contacts.at is not None:
        roles |= {"time": AT}
    people = contacts.other_people
    if people is not None:
        categorical = allowed_categories(own, people.categorical)
        schema = Schema("contacts", numeric=people.numeric, categorical=categorical, nullable=people.nullable, **roles)
    else:
        assert customers is not None
        schema = replace(customers.known.schema, name="contacts", **roles)
    kept = log[ACCEPTED].notna().to_numpy() & np.asarray(own.pop("_known", True))
    columns = {**own, label: log[ACCEPTED].to_numpy(), ARM: log[ARM].array, AT: log[AT].to_numpy()}
    if people is None:
        columns[str(schema.id)] = log[str(schema.id)]
    rows = {name: column[kept] for name, column in columns.items()}
    if people is None:
        rows[str(schema.id)] = rows[str(schema.id)].reset_index(drop=True)
    return Table("contacts", typed(schema, rows), schema, replace(provenance, rows=int(kept.sum())))
