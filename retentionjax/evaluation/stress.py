"""If the assumptions are wrong: a policy in worlds that differ from the one it was trained in.

An axis is one assumption moved down and up; a shape is another way in which offers could differ from each other. The
world moves and the policy is not told: its inputs are those the service would have, namely facts (charge, contacts,
running offers, account, day, whether today is a bad day) as they are, and predictions (churn risk, acceptance of each
offer) by the models and constants of the base world. Churn is expected, not sampled (the same objective with less
noise); every world and policy meets the same random numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float, Int

from retentionjax.env.population import MIN_PROBABILITY
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation.rollout import CHUNK, Policy, play_chunk
from retentionjax.evaluation.statistics import Bootstrap, IntervalEstimate

ASSUMED_KNOWN = (
    "Known as they are: monthly charge, contacts, running offers, account, day, whether today is a bad day. "
    "Predicted by the models and constants of the base world: churn risk, acceptance of each offer."
)
ENV = RetentionEnv(expected_churn=True)
AT_ONCE = 10  # worlds in the one program that is compiled for a policy
Change = Callable[[EnvParams, float], EnvParams]


@dataclass(frozen=True)
class Axis:
    """One assumption and how far it is moved."""

    name: str
    title: str
    down: float
    base: float
    up: float
    least: float
    """How far down the search for the point where never-contact wins goes."""
    most: float
    """How far up it goes."""
    change: Change
    """(base world, value) → world; at `base` it changes nothing."""


@dataclass(frozen=True)
class WorldOutcome:
    """Outcome of one policy in one world, $ a customer and campaign."""

    uplift: IntervalEstimate
    """Value over never contacting in the same world, with a 95 % interval over customers."""
    spend: float


@dataclass(frozen=True)
class StressScene:
    """A world, and the hyperparameter each policy has in it (a budget is met by that and by nothing else)."""

    axis: str
    value: float
    world: EnvParams
    hyperparameters: Mapping[str, float]


def _replaced(params: EnvParams, **values: Any) -> EnvParams:
    changed: EnvParams = params.replace(**values)  # type: ignore[attr-defined]
    return changed


def _population(params: EnvParams, **columns: jax.Array) -> EnvParams:
    cut = {name: jnp.clip(column, MIN_PROBABILITY, 1 - MIN_PROBABILITY) for name, column in columns.items()}
    return _replaced(params, population=params.population.replace(**cut))  # type: ignore[attr-defined]


def _churn(params: EnvParams, shift: float) -> EnvParams:
    p = params.population.churn_probability
    return _population(params, churn_probability=jax.nn.sigmoid(jnp.log(p) - jnp.log1p(-p) + shift))


def _acceptance(params: EnvParams, factor: float) -> EnvParams:
    return _population(params, accept_probability=params.population.accept_probability * factor)


def _offer_effect(params: EnvParams, factor: float) -> EnvParams:
    """Never below 0: at 0 nobody whom an offer protects leaves, and beyond there would be more customers by the day."""
    moved = 1 - factor * (1 - jnp.asarray(params.hazard_multiplier))
    return _replaced(params, hazard_multiplier=jnp.maximum(0.0, moved))


def _lasting(params: EnvParams, factor: float) -> EnvParams:
    days = jnp.maximum(1, jnp.round(factor * jnp.asarray(params.effect_days)))
    return _replaced(params, effect_days=days.astype(jnp.int32))


def _mirrored(params: EnvParams, share: float) -> EnvParams:
    """Multipliers drawn in to their mean (share 0) or mirrored there (−1)."""
    multiplier = jnp.asarray(params.hazard_multiplier)
    moved = multiplier.mean() + share * (multiplier - multiplier.mean())
    return _replaced(params, hazard_multiplier=jnp.maximum(0.05, moved))


def _globe(params: EnvParams) -> EnvParams:
    """What the Boston Globe's trial found (arXiv 2010.15835): a free contact does nearly half, depth adds nothing."""
    share = params.discount + (params.amount + params.cost) / params.charge_reference
    found = jnp.interp(share, jnp.asarray([0.0, 0.05, 0.10, 0.20]), jnp.asarray([0.88, 0.72, 0.72, 0.74]))
    return _replaced(params, hazard_multiplier=found)


def _scaled(name: str) -> Change:
    return lambda params, factor: _replaced(params, **{name: getattr(params, name) * factor})


AXES = (
    Axis("churn", "churn log-odds ±0.5", -0.5, 0.0, 0.5, -5.0, 5.0, _churn),
    Axis("acceptance", "acceptance ×0.8 / 1.2", 0.8, 1.0, 1.2, 0.0, 5.0, _acceptance),
    Axis("appeal", "acceptance gained by an offer ×0.5 / 1.5", 0.5, 1.0, 1.5, 0.0, 5.0, _scaled("appeal")),
    Axis("offer_effect", "effect of an offer on the hazard ×0.5 / 1.5", 0.5, 1.0, 1.5, 0.0, 1.8, _offer_effect),
    Axis("effect_days", "how long an offer protects ×0.5 / 2", 0.5, 1.0, 2.0, 0.1, 4.0, _lasting),
    Axis("risk_ratio", "hazard on bad days ×0.5 / 1.5", 0.5, 1.0, 1.5, 0.17, 5.0, _scaled("risk_ratio")),
    Axis("accept_risk", "readier to accept on bad days ×0 / 2", 0.0, 1.0, 2.0, -2.0, 5.0, _scaled("accept_risk")),
    Axis("accept_fatigue", "tired of answering ×0 / 2", 0.0, 1.0, 2.0, 0.0, 20.0, _scaled("accept_fatigue")),
    Axis("fatigue_hazard", "driven away by contacts ×0 / 2", 0.0, 1.0, 2.0, 0.0, 20.0, _scaled("fatigue_hazard")),
)


SHAPES: Mapping[str, tuple[str, Callable[[EnvParams], EnvParams]]] = {
    "shape_flat": ("every offer works as the average one does", lambda params: _mirrored(params, 0.0)),
    "shape_globe": ("offers work as in the Boston Globe's trial", _globe),
    "shape_inverted": ("the offers that work best work least", lambda params: _mirrored(params, -1.0)),
}
"""Shape by name: what is said of it, and (base world) → world."""


def scenes(base: EnvParams, axes: Sequence[Axis], hyperparameters: Mapping[str, float]) -> list[StressScene]:
    """The base world, then each axis down and up and each shape, with the policies as they are."""
    ends = [(axis, value) for axis in axes for value in (axis.down, axis.up)]
    return [
        StressScene("base", 1.0, base, hyperparameters),
        *(at(base, axis, value, hyperparameters) for axis, value in ends),
        *(StressScene(name, 1.0, change(base), hyperparameters) for name, (_, change) in SHAPES.items()),
    ]


def at(base: EnvParams, axis: Axis, value: float, hyperparameters: Mapping[str, float]) -> StressScene:
    """One point of an axis."""
    return StressScene(axis.name, value, axis.change(base, value), hyperparameters)


def play(
    believed: EnvParams,
    scenes: Sequence[StressScene],
    policies: Sequence[Policy],
    key: jax.Array,
    *,
    replicates: int,
    advance: Callable[[int], object] = lambda episodes: None,
    who: npt.ArrayLike | None = None,
) -> list[dict[str, WorldOutcome]]:
    """Each scene's outcome of every policy but `never`, which must be among them; `advance(n)` after n episodes.

    `who`: id of each row of the population, where a customer may have several.
    """
    size = believed.population.size
    value: dict[str, np.ndarray] = {}
    spend: dict[str, np.ndarray] = {}
    for policy in policies:
        parts = []
        for start in range(0, len(scenes), AT_ONCE):
            some = list(scenes[start : start + AT_ONCE])
            parts.append([column[: len(some)] for column in _means(_filled(some), believed, policy, key, replicates)])
            advance(size * replicates * len(some))
        value[policy.name], spend[policy.name] = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    bootstrap = Bootstrap(size if who is None else who)
    names = [policy.name for policy in policies if policy.name != "never"]
    return [
        {
            name: WorldOutcome(bootstrap.mean(value[name][row] - value["never"][row]), float(spend[name][row].mean()))
            for name in names
        }
        for row in range(len(scenes))
    ]


def _filled(scenes: list[StressScene]) -> list[StressScene]:
    """`AT_ONCE` of them, the last repeated: compiling for another number costs more than playing these."""
    return scenes + [scenes[-1]] * (AT_ONCE - len(scenes))


def stack(worlds: Sequence[EnvParams]) -> EnvParams:
    """Worlds as one `EnvParams` whose every leaf has a leading axis: one compiled program for all of them."""
    stacked: EnvParams = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *worlds)
    return stacked


def _means(
    scenes: list[StressScene], believed: EnvParams, policy: Policy, key: jax.Array, replicates: int
) -> tuple[np.ndarray, np.ndarray]:
    """Value and spend of each customer [$ a campaign], mean over replicates; f64[scenes, customers]."""
    worlds = stack([scene.world for scene in scenes])
    hyperparameters = jnp.asarray(
        [scene.hyperparameters.get(policy.name, policy.hyperparameter) for scene in scenes], jnp.float32
    )
    size, days = believed.population.size, int(believed.horizon_days)
    customers = np.repeat(np.arange(size, dtype=np.int32), replicates)
    parts = []
    for start in range(0, len(customers), CHUNK):
        chunk = customers[start : start + CHUNK]
        padded = np.resize(chunk, CHUNK) if len(customers) > CHUNK else chunk
        chunk_key = jax.random.fold_in(key, start)
        played = _play_worlds(worlds, hyperparameters, believed, policy, chunk_key, jnp.asarray(padded), days)
        parts.append([np.asarray(column, np.float64)[:, : len(chunk)] for column in played])
    joined = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
    value, spend = (column.reshape(len(hyperparameters), size, replicates).mean(axis=2) for column in joined)
    return value, spend


@partial(jax.jit, static_argnames=("days",))
def _play_worlds(
    worlds: EnvParams,
    hyperparameters: Float[Array, " worlds"],
    believed: EnvParams,
    policy: Policy,
    key: jax.Array,
    customers: Int[Array, " episodes"],
    days: int,
) -> tuple[Float[Array, "worlds episodes"], Float[Array, "worlds episodes"]]:
    """World after world, for side by side they would not fit a cache."""

    def one(scene: tuple[EnvParams, jax.Array]) -> tuple[jax.Array, jax.Array]:
        world, hyperparameter = scene
        set_to: Policy = policy.replace(hyperparameter=hyperparameter)  # type: ignore[attr-defined]
        episodes, _ = play_chunk(ENV, world, set_to, key, customers, days, believed)
        return episodes.value, episodes.spend

    value, spend = jax.lax.map(one, (worlds, hyperparameters))
    return value, spend


def break_even(
    uplift: Callable[[list[float]], list[float]], base: float, extreme: float, *, rounds: int = 2
) -> float | None:
    """Value at which the uplift turns negative on the way from `base` to `extreme`; None if it is positive there.

    Bisection, cut into `AT_ONCE` places at a time since so many worlds are played as one: each round narrows the
    bracket tenfold. The value returned is the end of the bracket that is harmful.
    """
    good, bad = base, extreme
    for _ in range(rounds):
        places = np.linspace(good, bad, AT_ONCE + 1)[1:].tolist()
        harmful = [not each > 0 for each in uplift(places)]
        if not any(harmful):
            return None
        first = harmful.index(True)
        good, bad = ([good, *places])[first], places[first]
    return bad
