"""Effects as coordinates: each a standard normal number, bent to the median and the 90 % interval of its prior.

An effect x is median + a·(e^{bz} − 1)/b with z ~ N(0, 1), a shifted log-normal, of log x where x must be positive;
a and b give the three quantiles exactly, and b = 0 is the normal distribution. In z every prior is alike, so that one
step size, one curvature and one picture serve effects in days, in log-odds and in multiples of a hazard.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from retentionjax.company.prior import COMMON, Effect
from retentionjax.env.types import EnvParams, Population

_Q95 = 1.6448536269514722
_POSITIVE = ("hazard_multiplier", "effect_days", "risk_onset", "risk_recovery", "risk_ratio")
_OF_OFFERS = ("appeal", "hazard_multiplier", "effect_days")
_SCALARS = ("contact_effect", "fatigue_hazard", "accept_fatigue", "accept_risk")
DRIFT = "churn_drift"
"""Log hazard per 30 days since the first assignment: of the log, and no constant of the environment."""
IN_A_LOG: Mapping[str, Effect] = {
    "churn_shift": Effect(0.0, -1.0, 1.0, "assumed"),
    "accept_shift": Effect(0.0, -0.5, 0.5, "assumed"),
    DRIFT: Effect(0.0, -0.5, 0.5, "assumed"),
}
"""How far a log may be from its scores. Scores that were learned from customers of whom some were contacted, or from
another window, are wrong about the level by more than a calibrated score is: an effect of contacts is told by those
who were left alone at the same time, and no score must speak for them."""
Values = Mapping[str, Any]
"""Effect by name → a number, or one number a draw."""


@struct.dataclass
class Belief:
    """The prior of P effects as numbers."""

    names: tuple[str, ...] = struct.field(pytree_node=False)
    median: Any  # f32[P], of log x where x must be positive
    scale: Any  # f32[P], a; 0 for an effect that is known
    skew: Any  # f32[P], b

    @classmethod
    def of(cls, prior: Mapping[str, Effect]) -> "Belief":
        """The belief that `prior` states (see `company.prior.resolve`)."""
        rows = [_shape(effect, _is_positive(name)) for name, effect in prior.items()]
        return cls(tuple(prior), *np.asarray(rows, np.float32).reshape(-1, 3).T)

    def values(self, z: Float[Array, "*batch P"]) -> dict[str, Array]:
        """Each effect on its own scale, from standard normal coordinates."""
        is_straight = self.skew == 0
        curved = jnp.where(is_straight, z, jnp.expm1(self.skew * z) / jnp.where(is_straight, 1.0, self.skew))
        x = self.median + self.scale * curved
        return {
            name: jnp.exp(x[..., each]) if _is_positive(name) else x[..., each] for each, name in enumerate(self.names)
        }


def _is_positive(name: str) -> bool:
    return name.partition(".")[0] in _POSITIVE


def _shape(effect: Effect, is_log: bool) -> tuple[float, float, float]:
    low, median, high = (effect.interval[0], effect.median, effect.interval[1])
    if is_log:
        low, median, high = (float(np.log(each)) for each in (low, median, high))
    below, above = median - low, high - median
    if below == 0 or above == 0 or np.isclose(below, above):
        return median, (below + above) / (2 * _Q95), 0.0  # an end at the median leaves nothing to bend
    skew = float(np.log(above / below)) / _Q95
    return median, above * skew / float(np.expm1(_Q95 * skew)), skew


def believed(effects: Values, offers: Sequence[str], params: EnvParams) -> EnvParams:
    """`params` with the effects that are leaves of the environment: acceptance, hazard, fatigue, days of effect.

    Numbers of shape () give one environment; one number a draw, shape (K,), give leaves with a leading axis of K. What
    `effects` does not name stays. Days of effect are rounded and last at least as long as the offer runs.
    """
    leaves: dict[str, Any] = {name: jnp.asarray(effects[name]) for name in _SCALARS if name in effects}
    for kind in _OF_OFFERS:
        if all(f"{kind}.{offer}" in effects for offer in offers):
            leaves[kind] = jnp.stack([jnp.asarray(effects[f"{kind}.{offer}"]) for offer in offers], axis=-1)
    if "effect_days" in leaves:
        days = jnp.round(leaves["effect_days"]).astype(jnp.int32)
        leaves["effect_days"] = jnp.maximum(days, jnp.asarray(params.offer_days, jnp.int32))
    return params.replace(**leaves)  # type: ignore[attr-defined]


def shifted(population: Population, effects: Values) -> Population:
    """`population` with its calibrated scores moved by `churn_shift` and `accept_shift`, log-odds."""

    def moved(probability: Array, shift: Any) -> Array:
        return jax.nn.sigmoid(jnp.log(probability) - jnp.log1p(-probability) + shift)

    return population.replace(  # type: ignore[attr-defined]
        churn_probability=moved(population.churn_probability, effects.get("churn_shift", 0.0)),
        accept_probability=moved(population.accept_probability, effects.get("accept_shift", 0.0)),
    )


def in_a_log(prior: Mapping[str, Effect], refused: Collection[str]) -> dict[str, Effect]:
    """`prior` with `IN_A_LOG` for what the company has not declared and the log is not `refused` to tell."""
    told = {name: each for name, each in IN_A_LOG.items() if name not in refused}
    return {**prior, **{name: each for name, each in told.items() if prior.get(name) == COMMON.get(name)}}


def learnable(prior: Mapping[str, Effect]) -> tuple[str, ...]:
    """Effects that a log can say something about: those of the likelihood whose prior leaves doubt.

    Days of effect and the risk process are declared: a log of contacts alone does not tell them apart from the size
    of an effect.
    """
    kinds = ("appeal", "hazard_multiplier", *_SCALARS, *IN_A_LOG)
    return tuple(
        name
        for name, effect in prior.items()
        if name.partition(".")[0] in kinds and effect.interval[0] < effect.interval[1]
    )
