"""One step, its observation and its mask against a slow plain-Python reference written from the design.

20,000 random (state, action) pairs (100,000 at night), half reached by a random policy and half made up (any valid
combination of history, pending contact, running offer, spent account and last day), under forty perturbed sets of
constants.
"""

from dataclasses import fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from campaigns import play, random_action, random_legal, synthetic_population
from oracles import retention_reference as reference

from retentionjax.env import EnvParams, EnvState, RetentionEnv, observation
from retentionjax.env.types import NEVER, NO_OFFER
from retentionjax.env.value import never_contact_value

ENV = RetentionEnv()
SETS, CUSTOMERS = 40, 8
HORIZONS = (90, 12)  # days; every other set has the short one, for more last days
NEAR = 1e-5  # a uniform draw this near its probability may fall on either side in float32
CENT = 1e-4  # $, likewise for the account cap
MODES = {
    f"{'expected' if expected_churn else 'sampled'}-{'shaped' if shaping else 'unshaped'}": (expected_churn, shaping)
    for expected_churn in (False, True)
    for shaping in (False, True)
}
MOVING = (
    "time",
    "elevated",
    "contact_history",
    "days_since_contact",
    "pending_offer",
    "pending_days",
    "offer",
    "protection_days_left",
    "account_used",
)


def perturbed_constants(random: np.random.Generator, horizon: int) -> dict[str, Any]:
    """One set of constants, each moved within its plausible range."""
    offer_days = random.integers(1, 41, 4)
    return {
        "horizon_days": horizon,
        "tail_days": int(random.integers(0, 121)),
        "risk_window_days": int(random.integers(20, 61)),
        "risk_onset": random.uniform(0.005, 0.2),
        "risk_recovery": random.uniform(0.05, 0.6),
        "risk_ratio": random.uniform(1, 12),
        "discount": (0.0, *np.sort(random.uniform(0.01, 0.4, 3)).tolist()),
        "amount": (random.uniform(0, 10, 4) * (random.random(4) < 0.4)).tolist(),
        "cost": (random.uniform(0, 10, 4) * (random.random(4) < 0.4)).tolist(),
        "offer_days": offer_days.tolist(),
        "effect_days": (offer_days + random.integers(0, 30, 4)).tolist(),
        "delays": (0, *np.sort(random.integers(1, 8, 2)).tolist()),
        "contact_cost": random.uniform(0, 2),
        "hazard_multiplier": tuple(random.uniform(0.3, 1.2, 4).tolist()),
        "appeal": random.uniform(-1, 3, 4).tolist(),
        "accept_risk": random.uniform(-1, 2),
        "accept_fatigue": random.uniform(0, 1),
        "fatigue_hazard": random.uniform(-0.1, 0.5),
        "contact_effect": random.uniform(-0.5, 0.5),
        "contact_effect_days": int(random.integers(1, 60)),
        "cooldown_days": int(random.integers(1, 15)),
        "fatigue_window_days": int(random.integers(5, 33)),
        "fatigue_cap": int(random.integers(1, 5)),
        "account_cap": random.uniform(1, 60),
        "charge_reference": random.uniform(30, 100),
    }


def made_up_states(random: np.random.Generator, population: Any, c: dict[str, Any], n: int) -> Any:
    """EnvState of [n] customers: every field valid, most combinations out of any policy's reach."""
    horizon, offers, longest = c["horizon_days"], len(c["discount"]), max(c["delays"])
    customer = random.integers(0, CUSTOMERS, n)
    history = np.zeros(n, np.uint32)
    for bit in range(32):
        history |= (random.random(n) < random.choice([0.0, 0.03, 0.15], n)).astype(np.uint32) << np.uint32(bit)
    lowest = np.array([(int(h) & -int(h)).bit_length() for h in history])  # days since the latest contact, 0: none
    long_ago = np.where(random.random(n) < 0.5, NEVER, random.integers(33, 90, n))
    pending = random.random(n) < 0.4
    running, offer = random.random(n) < 0.5, random.integers(0, offers, n)
    protects = np.asarray(c["effect_days"])[offer]
    last = random.random(n) < 0.15
    state = {
        "time": np.where(last, horizon - 1, random.integers(0, horizon, n)).astype(np.int32),
        "customer": customer.astype(np.int32),
        "monthly_charge": np.asarray(population.monthly_charge)[customer],
        "churn_probability": np.asarray(population.churn_probability)[customer],
        "accept_probability": np.asarray(population.accept_probability)[customer],
        "elevated": random.random(n) < 0.4,
        "contact_history": history,
        "days_since_contact": np.where(lowest > 0, lowest, long_ago).astype(np.int32),
        "pending_offer": np.where(pending, random.integers(0, offers, n), NO_OFFER).astype(np.int32),
        "pending_days": np.where(pending, random.integers(0, longest + 1, n), 0).astype(np.int32),
        "offer": np.where(running, offer, NO_OFFER).astype(np.int32),
        "protection_days_left": np.where(running, random.integers(1, protects + 1), 0).astype(np.int32),
        "account_used": (random.uniform(0, 1.2, n) * c["account_cap"] * (random.random(n) < 0.8)).astype(np.float32),
    }
    return EnvState(**state)


def half_legal(key: jax.Array, state: EnvState, mask: jax.Array) -> jax.Array:
    """Any action on one half of the customers, any legal one on the other."""
    own = jnp.where(state.customer % 2 == 0, random_legal(key, state, mask), random_action(key, state, mask))
    return own.astype(jnp.int32)


def reached_states(random: np.random.Generator, params: EnvParams, n: int) -> Any:
    """EnvState of [sets, n] customers met by a random policy on eight random days; `params` of [sets]."""
    customers = random.integers(0, CUSTOMERS, (SETS, n // 8))
    elevated = random.random(customers.shape) < 0.2

    def states_of(params: EnvParams, customers: Any, elevated: Any) -> EnvState:
        return play(ENV, params, half_legal, customers, elevated=elevated, days=max(HORIZONS)).states

    states = jax.tree.map(np.asarray, jax.jit(jax.vmap(states_of))(params, customers, elevated))  # [sets, days, n // 8]
    days = (random.random((8, SETS)) * np.asarray(params.horizon_days)).astype(int)
    picked = [jax.tree.map(lambda field, day=day: field[np.arange(SETS), day], states) for day in days]
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *picked)


def morning(state: dict[str, Any]) -> reference.Morning:
    """The reference's notes of one customer's `EnvState` (fields as Python numbers)."""
    day, history, since = state["time"], state["contact_history"], state["days_since_contact"]
    contacts = {day - 1 - bit for bit in range(32) if history >> bit & 1}
    if since < NEVER:
        contacts.add(day - since)
    has_pending, has_offer = state["pending_offer"] != NO_OFFER, state["offer"] != NO_OFFER
    return reference.Morning(
        day=day,
        elevated=state["elevated"],
        contacts=tuple(sorted(contacts)),
        due=(day + state["pending_days"], state["pending_offer"]) if has_pending else None,
        running=(state["offer"], day + state["protection_days_left"] - 1) if has_offer else None,
        account_used=state["account_used"],
    )


def night(evening: reference.Morning) -> tuple[Any, ...]:
    """The reference's notes as the fields of an `EnvState`, in the order of `MOVING`."""
    ages = [evening.day - contact for contact in evening.contacts]
    has_pending, has_offer = evening.due is not None, evening.running is not None
    return (
        evening.day,
        evening.elevated,
        sum(1 << (age - 1) for age in ages if age <= 32),
        min(ages, default=NEVER),
        evening.due[1] if has_pending else NO_OFFER,
        evening.due[0] - evening.day if has_pending else 0,
        evening.running[0] if has_offer else NO_OFFER,
        evening.running[1] - evening.day + 1 if has_offer else 0,
        evening.account_used,
    )


def records(states: Any) -> list[dict[str, Any]]:
    names = [field.name for field in fields(EnvState) if field.name != "world"]  # the reference knows one
    columns = [np.asarray(getattr(states, name)).tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def flat(array: Any) -> np.ndarray:
    """[sets, pairs, …] -> [all pairs, …]"""
    array = np.asarray(array)
    return array.reshape(-1, *array.shape[2:])


def by_name(step: Any) -> Any:
    """(observation, moving fields of the state, reward, terminated, info)"""
    observed, after, reward, terminated, info = step
    return observed, {name: getattr(after, name) for name in MOVING}, reward, terminated, info


def stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)


def potentials(params: EnvParams) -> jax.Array:
    """f32[sets, longest horizon + 1, customers, 2]: the environment's Φ; rows past a set's horizon are 0."""
    which = np.array([HORIZONS.index(int(days)) for days in params.horizon_days])
    return tables(params)[which, np.arange(SETS)]


@jax.jit
def tables(params: EnvParams) -> jax.Array:
    """The tables of `potentials`, whatever a set's horizon, for each of `HORIZONS`."""
    tables = []
    for days in HORIZONS:
        one = partial(
            lambda days, params: never_contact_value(params.population, params.replace(horizon_days=days)), days
        )
        table = jax.vmap(one)(params)
        tables.append(jnp.pad(table, ((0, 0), (0, max(HORIZONS) - days), (0, 0), (0, 0))))
    return jnp.stack(tables)


class Batch:
    """Random pairs [sets, pairs], with what every mode of the environment makes of them."""

    def __init__(self, pairs: int, seed: int = 7) -> None:
        random = np.random.default_rng(seed)
        self.constants = [perturbed_constants(random, HORIZONS[i % len(HORIZONS)]) for i in range(SETS)]
        self.constants[0] = {"horizon_days": 90}  # the defaults, too
        self.populations = [synthetic_population(CUSTOMERS, seed=seed + i) for i in range(SETS)]
        each = [
            EnvParams(
                population=population, **{k: jnp.asarray(v) if isinstance(v, tuple | list) else v for k, v in c.items()}
            )
            for population, c in zip(self.populations, self.constants, strict=True)
        ]
        self.params = stacked(each)
        self.params = jax.tree.map(jnp.asarray, self.params)
        self.params = self.params.replace(potential=potentials(self.params))
        made_up = stacked(
            [
                made_up_states(random, population, vars(reference.Constants()) | c, pairs // 2)
                for population, c in zip(self.populations, self.constants, strict=True)
            ]
        )
        reached = reached_states(random, self.params, pairs // 2)
        self.states = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), made_up, reached)
        self.pairs = pairs
        shape = (SETS, pairs)
        self.actions = np.where(random.random(shape) < 0.3, 0, random.integers(0, 13, shape)).astype(np.int32)
        self.keys = jax.random.split(jax.random.key(seed), shape)
        self.luck = np.asarray(jax.jit(jax.vmap(jax.vmap(lambda key: jax.random.uniform(key, (3,)))))(self.keys))

        @partial(jax.vmap, in_axes=0)
        @partial(jax.vmap, in_axes=(0, 0, 0, None))
        def step_in_every_mode(key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams) -> Any:
            envs = {
                mode: RetentionEnv(expected_churn=expected_churn, shaping=shaping)
                for mode, (expected_churn, shaping) in MODES.items()
            }
            return {mode: env.step_env(key, state, action, params) for mode, env in envs.items()}

        steps = jax.jit(step_in_every_mode)(self.keys, self.states, self.actions, self.params)
        self.steps = {mode: jax.tree.map(flat, by_name(result)) for mode, result in steps.items()}

    def mask(self, env: RetentionEnv) -> np.ndarray:
        return np.asarray(jax.jit(jax.vmap(jax.vmap(env.action_mask, (0, None))))(self.states, self.params))


class Expected:
    """What the reference says of a batch, as arrays [pairs of all sets]."""

    def __init__(self, batch: Batch) -> None:
        rows: dict[str, list[Any]] = {}
        for i, changed in enumerate(batch.constants):
            c = reference.Constants(**changed)
            population = batch.populations[i]
            customers = [
                reference.Customer(*row)
                for row in zip(
                    population.monthly_charge.tolist(),
                    population.churn_probability.tolist(),
                    population.accept_probability.tolist(),
                    strict=True,
                )
            ]
            potentials = [reference.never_contact_values(customer, c) for customer in customers]
            states = records(jax.tree.map(lambda field, i=i: field[i], batch.states))
            actions, luck = batch.actions[i].tolist(), batch.luck[i].tolist()
            for state, action, uniforms in zip(states, actions, luck, strict=True):
                customer, start = customers[state["customer"]], morning(state)
                outcome = reference.step(customer, start, action, reference.Luck(*uniforms), c)
                for name, value in vars(outcome).items():
                    rows.setdefault(name, []).append(value)
                table = potentials[state["customer"]]
                rises = 1 - c.risk_recovery if start.elevated else c.risk_onset
                calm, elevated = table[start.day + 1]
                rows.setdefault("potential", []).append(table[start.day][start.elevated])
                rows.setdefault("potential_next", []).append((1 - rises) * calm + rises * elevated)
                rows.setdefault("observation", []).append(reference.observation(customer, outcome.evening, c))
                rows.setdefault("mask", []).append(reference.mask(customer, start, c))
                dues = [reference.commitment(customer, o, c) + c.contact_cost for o in range(len(c.discount))]
                left = c.account_cap - start.account_used
                rows.setdefault("account_is_close", []).append(min(abs(due - left) for due in dues) < CENT)
        self.nights = [night(evening) for evening in rows.pop("evening")]
        self.rows = {name: np.asarray(values) for name, values in rows.items()}
        self.clear = self.rows["margins"].min(axis=1) > NEAR

    def __getattr__(self, name: str) -> np.ndarray:
        return self.rows[name]


@pytest.fixture(scope="module", params=[512, pytest.param(2512, marks=pytest.mark.slow)])
def pairs(request: pytest.FixtureRequest) -> tuple[Batch, Expected]:
    batch = Batch(request.param)
    return batch, Expected(batch)


def test_the_pairs_cover_what_they_claim(pairs: tuple[Batch, Expected]) -> None:
    batch, expected = pairs
    assert len(expected.clear) == SETS * batch.pairs > 20_000
    assert expected.clear.mean() > 0.999
    for share in (
        expected.contact.mean(),
        expected.accepted.mean(),
        1 - expected.stays.mean(),
        expected.last_day.mean(),
        expected.costs[:, 2].mean(),
        expected.costs[:, 3].mean(),
        (flat(batch.states.pending_offer) != NO_OFFER).mean(),
        (flat(batch.states.offer) != NO_OFFER).mean(),
        1 - expected.mask[:, 1:].mean(),
        expected.mask[:, 1:].mean(),
    ):
        assert share > 0.01


@pytest.mark.parametrize("mode", MODES)
def test_a_step_is_the_reference_step(pairs: tuple[Batch, Expected], mode: str) -> None:
    batch, expected = pairs
    expected_churn, shaping = MODES[mode]
    _, _, reward, terminated, info = batch.steps[mode]
    survival = expected.survival if expected_churn else expected.stays.astype(float)
    value = expected.reward_expected if expected_churn else expected.reward
    shaped = value + shaping * (survival * expected.potential_next - expected.potential)
    costs = expected.costs_expected if expected_churn else expected.costs
    clear = expected.clear
    for name, ours, theirs in (
        ("value", info["value"], value),
        ("reward", reward, shaped),
        ("costs", info["costs"], costs),
        ("discount", info["discount"], survival),
    ):  # float32 of a few hundred dollars
        np.testing.assert_allclose(ours[clear], theirs[clear], rtol=2e-5, atol=2e-4, err_msg=name)
    ends = expected.last_day if expected_churn else expected.last_day | ~expected.stays
    np.testing.assert_array_equal(terminated[clear], ends[clear])
    np.testing.assert_array_equal(info["contact"][clear], expected.contact[clear])
    np.testing.assert_array_equal(info["accepted"][clear], expected.accepted[clear])


@pytest.mark.parametrize("mode", MODES)
def test_the_next_morning_is_the_reference_morning(pairs: tuple[Batch, Expected], mode: str) -> None:
    batch, expected = pairs
    observed, after, *_ = batch.steps[mode]
    clear = expected.clear
    for name, column in zip(MOVING, zip(*expected.nights, strict=True), strict=True):
        tolerance = CENT if name == "account_used" else 0
        np.testing.assert_allclose(after[name][clear], np.asarray(column)[clear], atol=tolerance, err_msg=name)
    bounded = np.clip(expected.observation, *observation.bounds(4))
    np.testing.assert_allclose(observed[clear], bounded[clear], rtol=1e-4, atol=1e-5)


def test_the_mask_is_the_reference_mask(pairs: tuple[Batch, Expected]) -> None:
    batch, expected = pairs
    sure = ~expected.account_is_close
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(flat(batch.mask(RetentionEnv()))[sure], expected.mask[sure])


def test_without_the_mask_every_action_is_legal(pairs: tuple[Batch, Expected]) -> None:
    batch, _ = pairs
    assert batch.mask(RetentionEnv(masked=False)).all()


def test_the_potential_is_the_reference_recursion(pairs: tuple[Batch, Expected]) -> None:
    batch, _ = pairs
    for i, (changed, population) in enumerate(zip(batch.constants, batch.populations, strict=True)):
        c = reference.Constants(**changed)
        columns = (population.monthly_charge, population.churn_probability, population.accept_probability)
        for j, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            table = reference.never_contact_values(reference.Customer(*row), c)
            np.testing.assert_allclose(batch.params.potential[i, : len(table), j], table, rtol=5e-5, atol=1e-3)
