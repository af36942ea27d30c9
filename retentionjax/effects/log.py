"""The log of contacts as arrays: who was assigned to what on which day, what they answered, how long they stayed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from retentionjax.company import NONE, Company
from retentionjax.company.prior import Effect
from retentionjax.data.company_tables import Tables
from retentionjax.data.contact_log import ACCEPTED, ARM, AT, PROPENSITY, ContactLog
from retentionjax.effects.likelihood import Lane
from retentionjax.env.types import NO_OFFER
from retentionjax.errors import DataError
from retentionjax.tabular import response
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import fit
from retentionjax.tabular.encoder import Encoder

LONGEST = 400
"""Days of a customer that are used; later ones say nothing about contacts that lie a year back."""
_CUSTOMERS = ("monthly_charge", "churn_probability", "accept_probability", "left_on", "observed_until")


@dataclass(frozen=True)
class Log:
    """A assignments of N customers; day 0 is a customer's first assignment."""

    offers: tuple[str, ...]
    """Names of the company's offers, in order; an arm is an index into them, NO_OFFER for `none`."""
    monthly_charge: Float[np.ndarray, " N"]
    churn_probability: Float[np.ndarray, " N"]
    """Probability as of the first assignment, by a model that has not seen this customer's outcome; so the next."""
    accept_probability: Float[np.ndarray, " N"]
    """Probability of accepting a contact without an offer."""
    followed_days: Int[np.ndarray, " N"]
    """Days up to which a departure would be known; 0 where nothing is known."""
    left_day: Int[np.ndarray, " N"]
    """Day of leaving, −1 of those who stayed."""

    customer: Int[np.ndarray, " A"]
    day: Int[np.ndarray, " A"]
    arm: Int[np.ndarray, " A"]
    accepted: Bool[np.ndarray, " A"]
    propensity: Float[np.ndarray, " A"] | None
    """Probability with which the arm was drawn; None: nobody says."""
    facts: Float[np.ndarray, "N F"] | None = None
    """Further facts of the customers, by which the balance of the arms is tested."""
    is_assumed_unconfounded: bool = False
    """Whether the user wrote `assume: no unmeasured confounding`."""
    tells_departures: bool = True
    """Whether it is known when who left. If not, customers are followed up to their last assignment, at which they were
    still there: it tells what tempts them and nothing of what keeps them."""

    @property
    def observed_days(self) -> Int[np.ndarray, " N"]:
        """Days seen of each customer, the day of leaving included."""
        return np.where(self.left_day >= 0, self.left_day + 1, self.followed_days)

    @property
    def days(self) -> int:
        """Length of the longest row of days."""
        return int(self.observed_days.max())

    def lanes(self) -> Lane:
        """The log as the likelihood takes it, on the CPU's side (numpy)."""
        shape = (len(self.monthly_charge), self.days)
        offer, accepted = np.full(shape, NO_OFFER, np.int8), np.zeros(shape, bool)
        is_within = self.day < self.days  # a control's last assignment may lie after all that is known
        where = (self.customer[is_within], self.day[is_within])
        offer[where], accepted[where] = self.arm[is_within], self.accepted[is_within]
        columns = (self.monthly_charge, self.churn_probability, self.accept_probability)
        charge, churn, accept = (column.astype(np.float32) for column in columns)
        everyone = np.ones(shape[0], bool)
        observed = self.observed_days.astype(np.int32)
        return Lane(charge, churn, accept, offer, accepted, observed, self.left_day >= 0, everyone)  # type: ignore[arg-type]


def from_frames(
    contacts: pd.DataFrame,
    customers: pd.DataFrame,
    offers: Sequence[str],
    *,
    design: Mapping[str, float] | None = None,
    is_assumed_unconfounded: bool = False,
    tells_departures: bool = True,
) -> Log:
    """The log in `contacts` of the people in `customers`.

    `contacts`, one assignment a row: customer (an index value of `customers`), at (a time), offer (a name of `offers`
    or `none`), accepted (0 or 1; missing is 0), and propensity unless `design` states it by arm. `customers`:
    monthly_charge, churn_probability, accept_probability, left_on and observed_until (times; the first missing where
    nobody left, the second where nothing is known), and any further columns as facts. Customers without an assignment
    are left out. Raises DataError naming row, column and value.
    """
    _need(contacts, ("customer", "at", "offer", "accepted"), "contacts")
    _need(customers, _CUSTOMERS, "customers")
    rows = contacts.reset_index(drop=True)
    position = customers.index.get_indexer(pd.Index(rows["customer"]))
    _refuse(rows, position < 0, "customer", "not in the table of customers")
    codes = {NONE: NO_OFFER} | {name: index for index, name in enumerate(offers)}
    _refuse(rows, ~rows["offer"].isin(list(codes)).to_numpy(), "offer", f"allowed: {', '.join(codes)}")
    kept, customer = np.unique(position, return_inverse=True)
    people = customers.iloc[kept]
    at = pd.to_datetime(rows["at"]).dt.normalize()
    first = at.groupby(customer).min()
    day = (at - first.to_numpy()[customer]).dt.days.to_numpy()
    followed = _days_after(_known_until(people), first) + 1
    left = _days_after(people["left_on"], first)
    gone = np.where(people["left_on"].notna(), left, day.max(initial=0))  # −1: before the first assignment
    _refuse(rows, day > gone[customer], "at", "after the customer left")
    _refuse(
        rows,
        pd.Series(zip(customer, day, strict=True)).duplicated().to_numpy(),
        "at",
        "a second assignment on that day",
    )
    followed = np.clip(followed, 0, LONGEST)
    extra = people.drop(columns=list(_CUSTOMERS))
    return Log(
        offers=tuple(offers),
        monthly_charge=people["monthly_charge"].to_numpy(np.float64),
        churn_probability=people["churn_probability"].to_numpy(np.float64),
        accept_probability=people["accept_probability"].to_numpy(np.float64),
        followed_days=followed,
        left_day=np.where(left < followed, left, -1),
        customer=customer,
        day=day,
        arm=rows["offer"].map(codes).to_numpy(np.int64),
        accepted=rows["accepted"].fillna(0).to_numpy(np.float64) > 0,
        propensity=_propensity(rows, design),
        facts=_numbers(extra) if extra.shape[1] else None,
        is_assumed_unconfounded=is_assumed_unconfounded,
        tells_departures=tells_departures,
    )


def _propensity(rows: pd.DataFrame, design: Mapping[str, float] | None) -> np.ndarray | None:
    if design:
        _refuse(rows, ~rows["offer"].isin(list(design)).to_numpy(), "offer", f"design has {', '.join(design)}")
        return rows["offer"].map(dict(design)).to_numpy(np.float64)
    if "propensity" not in rows:
        return None
    propensity = rows["propensity"].to_numpy(np.float64)
    _refuse(rows, ~((propensity > 0) & (propensity <= 1)), "propensity", "allowed: above 0 to 1")
    return propensity


def _known_until(people: pd.DataFrame) -> pd.Series:
    """Time until which it is known whether each left; of one who left it is known as long as of anybody.

    Where a file says of leavers that they were observed until they left, a window after an assignment would else hold
    those who stayed through it, and none who left in it.
    """
    until, left_on = (pd.to_datetime(people[name]) for name in ("observed_until", "left_on"))
    return until.mask(left_on.notna() & ~(left_on > until), until.max())


def _days_after(times: pd.Series, first: pd.Series) -> np.ndarray:
    """Whole days from each customer's first assignment, −1 where the time is missing or earlier."""
    days = (pd.to_datetime(times).dt.normalize().to_numpy() - first.to_numpy()).astype("timedelta64[D]")
    return np.where(np.isnat(days), -1, days.astype(np.int64)).clip(-1)


def _numbers(facts: pd.DataFrame) -> np.ndarray:
    """Facts as columns of numbers: categories as indicators, what is missing as the column's mean."""
    table = pd.get_dummies(facts, dtype=np.float64).to_numpy(np.float64)
    return np.where(np.isnan(table), np.nanmean(table, axis=0), table)


def _need(frame: pd.DataFrame, columns: Sequence[str], table: str) -> None:
    if missing := [name for name in columns if name not in frame]:
        raise DataError(f"the table of {table} lacks {', '.join(missing)}; needed: {', '.join(columns)}")


def _refuse(rows: pd.DataFrame, is_wrong: np.ndarray, column: str, what: str) -> None:
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        raise DataError(f"contacts, row {row}, {column}: {rows[column].iloc[row]!r}; {what}")


def in_chunks(lanes: Lane, size: int) -> Lane:
    """Lanes as [chunks, size, …], the last one filled up with customers of whom nothing was seen."""
    count = len(lanes.monthly_charge)
    chunks = -(-count // size)
    extra = chunks * size - count

    def cut(column: np.ndarray) -> jax.Array:
        filled = np.concatenate([column, np.repeat(column[:1], extra, axis=0)]) if extra else column
        return jnp.asarray(filled.reshape(chunks, size, *column.shape[1:]))

    unseen = np.concatenate([np.asarray(lanes.observed_days), np.zeros(extra, np.int32)])
    offer = np.concatenate([np.asarray(lanes.offer), np.full((extra, lanes.offer.shape[1]), NO_OFFER, np.int8)])
    cuts = Lane(*(cut(np.asarray(column)) for column in lanes))
    return cuts._replace(
        observed_days=jnp.asarray(unseen.reshape(chunks, size)),
        offer=jnp.asarray(offer.reshape(chunks, size, -1)),
    )


# --- a company's files as a log --------------------------------------------------------------------------------------


_FOLDS = 3
_SEED = 42
_WIDTH = 3.2897072539029444  # standard deviations in a 90 % interval


def of_company(company: Company, tables: Tables, prior: dict[str, Effect]) -> Log | str:
    """The log of `company`, scores cross-fitted: a model that has not seen a customer's outcomes speaks of them.

    A sentence instead where the files cannot tell what effects there are, whatever is in them.
    """
    contacts = tables.contacts
    if contacts is None:
        return "there is no log of contacts"
    if contacts.rank_correlation is not None:
        return "the log is of other people, of whom it is not known who left"
    if contacts.assignments[AT].isna().any():
        return "the log does not say when who was assigned"
    name = str(company.customers.id)
    people = _people(company, tables, contacts, prior).set_index(name, drop=True)
    assignments = contacts.assignments
    rows = pd.DataFrame(
        {
            "customer": assignments[name].to_numpy(),
            "at": assignments[AT].to_numpy(),
            "offer": assignments[ARM].astype(str).to_numpy(),
            "accepted": assignments[ACCEPTED].to_numpy(),
        }
    )
    if contacts.randomised:
        rows["propensity"] = assignments[PROPENSITY].to_numpy()
    return from_frames(
        rows,
        people,
        list(company.offers),
        is_assumed_unconfounded=contacts.assume is not None,
        tells_departures=tables.departures is not None,
    )


def _people(company: Company, tables: Tables, contacts: ContactLog, prior: dict[str, Effect]) -> pd.DataFrame:
    """One row a customer: id, charge, scores, when they left and how long that would be known, features as facts."""
    known, current = tables.customers, pd.concat([tables.current.frame, tables.left_early.frame])
    schema = known.schema
    name, label = str(schema.id), str(schema.label)
    encoder = Encoder(schema.numeric, schema.categorical, schema.nullable)
    churn = fit(known.frame, known.frame[label], encoder, BoosterConfig(), seed=_SEED, who=known.frame[name])
    assert churn.out_of_fold is not None
    frame = pd.concat([known.frame.drop(columns=label), current], ignore_index=True)
    later = churn.predict(current) if len(current) else np.empty(0)
    frame["churn_probability"] = np.concatenate([churn.out_of_fold.probability, later])
    if schema.time is not None:  # several snapshots of one customer: the first
        frame = frame.sort_values(schema.time, kind="stable")
    frame = frame.drop_duplicates(name).reset_index(drop=True)
    frame["accept_probability"] = _acceptance(company, contacts, frame, name, prior)
    if tables.departures is None:
        frame["left_on"] = pd.NaT
        frame["observed_until"] = frame[name].map(contacts.assignments.groupby(name)[AT].max())
    else:
        frame[["left_on", "observed_until"]] = tables.departures.set_index(name).reindex(frame[name]).to_numpy()
    facts = [each for each in schema.features if each != schema.charge]
    kept = [name, "churn_probability", "accept_probability", "left_on", "observed_until", *facts]
    return frame[kept].assign(monthly_charge=frame[str(schema.charge)].to_numpy(np.float64))


def _acceptance(
    company: Company, contacts: ContactLog, people: pd.DataFrame, name: str, prior: dict[str, Effect]
) -> np.ndarray:
    """P(accept a contact without an offer) of each of `people`, by models that have not seen their answers."""
    answers = contacts.responses
    schema = answers.schema
    offers = [NONE, *company.offers]
    believed = [prior[f"appeal.{offer}"] for offer in company.offers]
    appeal = response.Appeal(
        np.array([each.median for each in believed]),
        np.array([(each.interval[1] - each.interval[0]) / _WIDTH for each in believed]),
    )
    arm = answers.frame[schema.treatment].astype(str) if schema.treatment else pd.Series(offers[1], answers.frame.index)
    offer = arm.map({each: place - 1 for place, each in enumerate(offers)}).to_numpy(np.int64)
    fold = np.random.default_rng(_SEED).permutation(len(people)) % _FOLDS
    of_answer = fold[pd.Index(people[name]).get_indexer(answers.frame[schema.id])]
    found = np.empty(len(people))
    for number in range(_FOLDS):
        others = of_answer != number
        model = response.fit(
            answers.frame[others],
            answers.frame[str(schema.label)].to_numpy()[others],
            offer[others],
            appeal,
            Encoder(schema.numeric, schema.categorical, schema.nullable),
            BoosterConfig(),
            seed=_SEED,
            who=answers.frame[schema.id][others],
        )
        inside = fold == number
        found[inside] = model.classifier.predict(people[inside])
    return found
