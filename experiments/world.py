"""A company that lives: customers whom `RetentionEnv` moves, day by day, by effects that only this file is told.

What leaves it is what a company knows of its customers: ids and facts, today's trouble among them, what they answered
and who left. Beside the customers as they are treated live their twins, whom nobody contacts and who meet the same
luck: the difference is what the contacts truly did, which no company ever sees.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from etils import epath
from jaxtyping import Bool, Float

from retentionjax import storage
from retentionjax.env import EnvParams, EnvState, RetentionEnv, actions, dynamics, population
from retentionjax.env.retention import draws_of, new_customer
from retentionjax.evaluation.rollout import CHUNK, Policy, play_chunk

DAY = 86_400.0  # seconds
CHARGE, TROUBLE = "fee", "trouble"
RISK, ACCEPTS = "true_risk", "true_acceptance"  # columns of `people` that no company has
_ENV = RetentionEnv(masked=False)
_EXPECTED = RetentionEnv(expected_churn=True)
_REPLICATES = 32
_UNSEEN = 0.3  # standard deviation, in log-odds, of what no fact tells


@dataclass
class Twins:
    """The same customers lived through in one of two ways; a row each."""

    states: EnvState
    there: Bool[np.ndarray, " N"]
    value: Float[np.ndarray, " N"]
    """$ since the campaign began."""


@dataclass
class World:
    """N customers at a time: a place whose customer left is filled by a new one when the next campaign begins."""

    truth: EnvParams
    """Effects and constants; the population is filled in here."""
    random: np.random.Generator
    people: pd.DataFrame
    """Customer_id, fee, facts without trouble, and the two true probabilities; a row a place."""
    served: Twins
    alone: Twins
    known: int = 0
    """Customers there have ever been."""
    day: int = 0
    """Day of the campaign, from 0, out of `days`."""
    days: int = 90

    @classmethod
    def founded(cls, truth: EnvParams, customers: int, seed: int) -> "World":
        """A company of new customers."""
        random = np.random.default_rng(seed)
        people = strangers(customers, 0, random)
        truth = truth.replace(population=population_of(people))  # type: ignore[attr-defined]
        nobody = Twins(_states(truth, random.random(customers)), np.zeros(customers, bool), np.zeros(customers))
        world = cls(truth, random, people, nobody, nobody)
        world.begin()
        return world

    def begin(self, days: int = 90) -> None:
        """A campaign of so many days begins: new customers where others left, and twins who are, so far, alike."""
        gone = np.flatnonzero(~self.served.there)
        new = strangers(len(gone), self.known, self.random)
        self.known += len(gone)
        self.people = pd.concat([self.people[self.served.there], new.set_axis(gone)]).sort_index()
        population = population_of(self.people)
        # A day longer: on its last the environment adds what comes after, which is reckoned apart (`difference`).
        self.truth = self.truth.replace(population=population, horizon_days=days + 1)  # type: ignore[attr-defined]
        fresh, size = _states(self.truth, self.random.random(len(self.people))), len(self.people)
        states = jax.tree.map(lambda old, made: np.where(self.served.there, old, made), self.served.states, fresh)
        states = states.replace(time=np.zeros(size, np.int32))
        everybody = np.ones(size, bool)
        self.served = Twins(states, everybody, np.zeros(size))
        self.alone = Twins(states, everybody.copy(), np.zeros(size))
        self.day, self.days = 0, days

    def table(self) -> pd.DataFrame:
        """Everybody with today's facts, as the company's systems know them."""
        shown = self.people.drop(columns=[RISK, ACCEPTS])
        return shown.assign(**{TROUBLE: np.asarray(self.served.states.elevated).astype(int)})

    def live(self, contacts: Mapping[int, int]) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
        """One day on which the customers in `contacts` (place → offer) are contacted; who accepted, who left."""
        asked = np.zeros(len(self.people), np.int32)
        for place, offer in contacts.items():
            asked[place] = actions.encode(offer, 0, self.truth)
        key = jax.random.key(int(self.random.integers(2**31)))
        before = self.served.there
        self.served, accepted = _lived(self.served, key, asked, self.truth)
        self.alone, _ = _lived(self.alone, key, np.zeros_like(asked), self.truth)
        self.day += 1
        return accepted, before & ~self.served.there

    def difference(self, among: Bool[np.ndarray, " N"]) -> dict[str, float]:
        """What the contacts did to the customers `among`, against their twins: each a customer, and how many these are.

        `kept` is a share; `dollars` are of the campaign's days, `worth` those and what stayers will pay in the
        environment's tail of days after it.
        """
        kept = (self.served.there.astype(float) - self.alone.there)[among]
        dollars = (self.served.value - self.alone.value)[among]
        charge, risk = (self.people[name].to_numpy()[among] for name in (CHARGE, RISK))
        later = np.asarray(dynamics.residual_value(charge, risk, self.truth), float)
        worth = dollars + kept * later
        count = int(among.sum())
        found = {"kept": kept, "dollars": dollars, "worth": worth}
        return {"customers": count} | {name: float(each.sum() / max(count, 1)) for name, each in found.items()}

    def save(self, folder: epath.Path) -> None:
        """Writes all of it into `folder`."""
        storage.write_bytes(folder / "people.parquet", self.people.to_parquet(index=False))
        state = {name: value for name, value in vars(self.served.states).items() if value is not None}
        storage.write_arrays(folder / "states.npz", {**state, "there": self.served.there})
        storage.write_json(folder / "luck.json", {"state": self.random.bit_generator.state, "known": self.known})

    @classmethod
    def load(cls, folder: epath.Path, truth: EnvParams) -> "World":
        """What `save` wrote, between two campaigns."""
        people = pd.read_parquet(storage.in_memory(folder / "people.parquet"))
        arrays = storage.read_arrays(folder / "states.npz")
        there, luck = arrays.pop("there"), storage.read_json(folder / "luck.json")
        random = np.random.default_rng()
        random.bit_generator.state = luck["state"]
        twins = Twins(EnvState(**arrays), there, np.zeros(len(there)))
        return cls(truth, random, people, twins, twins, luck["known"])


def strangers(count: int, known: int, random: np.random.Generator) -> pd.DataFrame:
    """New customers: facts, and the probabilities to leave in 30 days and to accept that they only partly tell."""
    months, calls = random.uniform(0, 60, count).round(1), random.poisson(1.0, count)
    is_plus = random.random(count) < 0.5
    leave = -0.6 - 0.03 * months + 0.35 * calls - 0.4 * is_plus + _UNSEEN * random.standard_normal(count)
    accept = -0.9 - 0.01 * months + 0.6 * is_plus + _UNSEEN * random.standard_normal(count)
    return pd.DataFrame(
        {
            "customer_id": [f"c{number:06d}" for number in range(known, known + count)],
            CHARGE: random.uniform(30, 110, count).round(2),
            "months": months,
            "calls": calls,
            "plan": np.where(is_plus, "plus", "basic"),
            RISK: 1 / (1 + np.exp(-leave)),
            ACCEPTS: 1 / (1 + np.exp(-accept)),
        }
    )


def population_of(people: pd.DataFrame) -> Any:
    """Charges and true probabilities as the environment takes them."""
    return population.build(*(people[name].to_numpy() for name in (CHARGE, RISK, ACCEPTS)))


def _states(truth: EnvParams, luck: Float[np.ndarray, " N"]) -> EnvState:
    elevated = jnp.asarray(luck) < dynamics.elevated_share(truth)
    states = jax.vmap(new_customer, (0, 0, None))(jnp.arange(len(luck)), elevated, truth)
    found: EnvState = jax.tree.map(np.asarray, states)
    return found


def _lived(twins: Twins, key: jax.Array, asked: np.ndarray, truth: EnvParams) -> tuple[Twins, Bool[np.ndarray, " N"]]:
    states, stays, accepted, value = jax.tree.map(np.asarray, _one_day(key, twins.states, asked, truth))
    earned = twins.value + twins.there * value
    return Twins(states, twins.there & stays, earned), twins.there & accepted


@jax.jit
def _one_day(key: jax.Array, states: EnvState, asked: jax.Array, truth: EnvParams) -> Any:
    luck = jax.vmap(draws_of)(jax.random.split(key, asked.shape[0]))
    _, after, _, _, info = jax.vmap(_ENV.step_with, (0, 0, 0, None))(luck, states, asked, truth)
    return after, info["discount"] > 0, info["accepted"], info["value"]


# --- a policy in the true world --------------------------------------------------------------------------------------


def played(policy: Policy, true: EnvParams, believed: EnvParams) -> tuple[np.ndarray, np.ndarray]:
    """(value, spend) of each customer, $ a campaign, in the true world by a policy that sees what is believed."""
    size = true.population.size
    everyone = np.repeat(np.arange(size, dtype=np.int32), _REPLICATES)
    parts = []
    for start in range(0, len(everyone), CHUNK):
        some = np.resize(everyone[start : start + CHUNK], CHUNK)
        key = jax.random.fold_in(jax.random.key(7), start)
        value, spend = _play(true, policy, key, jnp.asarray(some), believed, int(true.horizon_days))
        parts.append(np.stack([value, spend]))
    columns = np.concatenate(parts, axis=1)[:, : len(everyone)].astype(np.float64)
    value, spend = columns.reshape(2, size, _REPLICATES).mean(axis=2)
    return value, spend


@partial(jax.jit, static_argnames="days")
def _play(
    true: EnvParams, policy: Policy, key: jax.Array, customers: jax.Array, believed: EnvParams, days: int
) -> tuple[jax.Array, jax.Array]:
    episodes, _ = play_chunk(_EXPECTED, true, policy, key, customers, days, believed)
    return episodes.value, episodes.spend
