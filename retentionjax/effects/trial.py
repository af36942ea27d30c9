"""A trial known as a table only: arm, customers, departures, days. Its counts are all that its likelihood needs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int

from retentionjax import storage
from retentionjax.company.offers import NONE
from retentionjax.company.prior import Effect
from retentionjax.effects import belief, likelihood
from retentionjax.effects.likelihood import Lane
from retentionjax.effects.posterior import Evidence, Posterior, from_evidence
from retentionjax.effects.refusals import FEWEST_DEPARTURES, Refusal
from retentionjax.env.types import NO_OFFER, EnvParams, Population
from retentionjax.errors import DataError

COLUMNS = ("arm", "customers", "departures", "days")
_PEOPLE = 64
"""Customers, spread over the population by risk, who stand for all of it."""


@dataclass(frozen=True)
class Trial:
    """R arms of a randomised trial: one contact on day 0, its offer applied to everybody in the arm without asking."""

    offers: tuple[str, ...]
    arm: Int[np.ndarray, " R"]
    """Index of the offer, NO_OFFER for those left alone."""
    customers: Int[np.ndarray, " R"]
    departures: Int[np.ndarray, " R"]
    days: Int[np.ndarray, " R"]
    """Days from the contact to the count."""


class _Chunk(NamedTuple):
    lanes: Lane  # [R, people, …]
    customers: Float[Array, " R"]
    departures: Float[Array, " R"]


def read(path: str | os.PathLike[str], offers: Sequence[str]) -> Trial:
    """The CSV table at `path`, arms by names of `offers` or `none`. Raises DataError with line, column and value."""
    try:
        table = pd.read_csv(storage.in_memory(os.fspath(path)))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except ValueError as error:
        raise DataError(f"{path}: no CSV table: {error}") from None
    if missing := [name for name in COLUMNS if name not in table]:
        raise DataError(f"{path}: lacks {', '.join(missing)}; needed: {', '.join(COLUMNS)}")
    codes = {NONE: NO_OFFER} | {name: index for index, name in enumerate(offers)}
    if table.empty:
        raise DataError(f"{path}: has no arm")
    for line, row in enumerate(table.itertuples(index=False), start=2):
        if str(row.arm) not in codes:
            raise DataError(f"{path}, line {line}, arm: {row.arm!r}; allowed: {', '.join(codes)}")
        counts: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS[1:]}
        for name, value in counts.items():
            if not (isinstance(value, int | float) and value >= (name != "departures") and float(value).is_integer()):
                raise DataError(f"{path}, line {line}, {name}: {value!r}; allowed: a whole number")
        if counts["departures"] > counts["customers"]:
            raise DataError(f"{path}, line {line}, departures: {row.departures} of {row.customers} customers")
    arm = table["arm"].astype(str).map(codes)
    return Trial(tuple(offers), *(each.to_numpy(np.int64) for each in (arm, *(table[name] for name in COLUMNS[1:]))))


def estimate(trial: Trial, prior: Mapping[str, Effect], params: EnvParams, *, seed: int = 0) -> Posterior:
    """The posterior of the effects on leaving that `trial` can tell; `params.population` are its customers."""
    customers, departures = (jnp.asarray(each, jnp.float32) for each in (trial.customers, trial.departures))
    chunk = _Chunk(_lanes(trial, params), customers, departures)
    chunks = jax.tree.map(lambda column: jnp.asarray(column)[None], chunk)
    refused = _refusals(trial, prior, params)
    return from_evidence(Evidence(chunks, of_trial), trial.offers, prior, params, refused, seed=seed)


def of_trial(chunk: _Chunk, effects: belief.Values, params: EnvParams) -> Array:
    """Binomial log-likelihood of the departures of each arm."""
    stays = staying(chunk.lanes, effects, params)
    return (chunk.departures * jnp.log1p(-stays) + (chunk.customers - chunk.departures) * jnp.log(stays)).sum()


def staying(lanes: Lane, effects: belief.Values, params: EnvParams) -> Float[Array, " R"]:
    """P(stay to the end) of each arm, over its people."""
    people = Population(lanes.monthly_charge, lanes.churn_probability, lanes.accept_probability)
    moved = belief.shifted(people, effects)
    lanes = lanes._replace(churn_probability=moved.churn_probability)
    return jnp.exp(likelihood.customers(lanes, params).log_likelihood).mean(axis=1)


def expected_departures(trial: Trial, effects: belief.Values, params: EnvParams) -> Float[np.ndarray, " R"]:
    """Share of each arm's customers who leave, by the model with `effects`."""
    params = belief.believed(effects, trial.offers, params)
    return 1 - np.asarray(staying(_lanes(trial, params), effects, params), np.float64)


def _lanes(trial: Trial, params: EnvParams) -> Lane:
    people = params.population
    rows = np.argsort(np.asarray(people.churn_probability), kind="stable")
    chosen = rows[np.linspace(0, len(rows) - 1, min(_PEOPLE, len(rows))).round().astype(int)]
    arms, size, length = len(trial.arm), len(chosen), int(trial.days.max())

    def everyone(column: Any) -> Array:
        return jnp.broadcast_to(jnp.asarray(column)[chosen], (arms, size))

    def by_arm(column: Any) -> Array:
        return jnp.broadcast_to(jnp.asarray(column)[:, None], (arms, size))

    offer = np.full((arms, size, length), NO_OFFER, np.int8)
    offer[:, :, 0] = trial.arm[:, None]
    return Lane(
        everyone(people.monthly_charge),
        everyone(people.churn_probability),
        everyone(people.accept_probability),
        jnp.asarray(offer),
        jnp.asarray(offer != NO_OFFER),
        by_arm(trial.days.astype(np.int32)),
        jnp.zeros((arms, size), bool),
        jnp.zeros((arms, size), bool),
    )


def _refusals(trial: Trial, prior: Mapping[str, Effect], params: EnvParams) -> tuple[Refusal, ...]:
    known = belief.learnable(prior)
    asked = tuple(name for name in known if name.startswith(("appeal.", "accept_")))
    found = [Refusal("not_asked", asked, "the offer was applied without asking")]
    found.append(Refusal("one_contact", ("fatigue_hazard",), "nobody was contacted more than once"))
    if NO_OFFER not in trial.arm:
        left_alone = ("contact_effect", *(name for name in known if name.startswith("hazard_multiplier.")))
        found.append(Refusal("no_control", left_alone, "nobody was deliberately left alone"))
    for index, offer in enumerate(trial.offers):
        name, rows = f"hazard_multiplier.{offer}", trial.arm == index
        if not rows.any():
            found.append(Refusal("never_offered", (name,), f"{offer} was never assigned"))
        elif trial.days[rows].max() < int(np.asarray(params.effect_days)[index]):
            found.append(Refusal("short_observation", (name,), f"counted before {offer} stopped working"))
        elif (few := int(trial.departures[rows].sum())) < FEWEST_DEPARTURES:
            found.append(Refusal("few_departures", (name,), f"{few} left after {offer}; needed: {FEWEST_DEPARTURES}"))
    kept = ((each, tuple(name for name in each.effects if name in known)) for each in found)
    return tuple(Refusal(each.name, effects, each.reason) for each, effects in kept if effects)
