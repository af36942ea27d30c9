"""Effects as coordinates: each a standard normal number, bent to the median and the 90 % interval of its prior.

An effect x is median + a·s + b·(√(s² + c²) − c), of log x where x must be positive; a and b give the three quantiles
exactly, and b = 0 is symmetric. s = q·sinh(z/2)/sinh(q/2) with z ~ N(0, 1) and q its quantile of 95 %. So both tails go
on, each with its own width, and are heavier than a normal distribution's: a log that says otherwise than the prior is
heard, however sure that was (O'Hagan and Pericchi 2012, "Bayesian heavy-tailed models and conflict resolution"). In z
every prior is alike, so that one step size, one curvature and one picture serve effects in days, in log-odds and in
multiples of a hazard.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from retentionjax.company.prior import COMMON, RANGES, Effect
from retentionjax.env.types import EnvParams, Population

_Q95 = 1.6448536269514722
_STEEPEST = 0.8
"""|b|/a at most, where the interval allows it: at 1 the shorter tail would be flat."""
_POSITIVE = ("hazard_multiplier", "effect_days", "risk_onset", "risk_recovery", "risk_ratio")
_PROBABILITIES = ("risk_onset", "risk_recovery")
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
    bend: Any  # f32[P], c: how far about the median the one tail becomes the other

    @classmethod
    def of(cls, prior: Mapping[str, Effect]) -> "Belief":
        """The belief that `prior` states (see `company.prior.resolve`)."""
        rows = [_shape(effect, _is_positive(name)) for name, effect in prior.items()]
        return cls(tuple(prior), *np.asarray(rows, np.float32).reshape(-1, 4).T)

    def values(self, z: Float[Array, "*batch P"]) -> dict[str, Array]:
        """Each effect on its own scale, from standard normal coordinates."""
        s = _Q95 / float(np.sinh(_Q95 / 2)) * jnp.sinh(z / 2)
        x = self.median + self.scale * s + self.skew * (jnp.sqrt(s * s + self.bend**2) - self.bend)
        return {name: _unbent(name, x[..., each]) for each, name in enumerate(self.names)}


def _unbent(name: str, x: Array) -> Array:
    """The effect itself; a probability, whose upper tail knows of no 1, is one still."""
    if name in _PROBABILITIES:
        return jnp.minimum(jnp.exp(x), RANGES[name].high)
    return jnp.exp(x) if _is_positive(name) else x


def _is_positive(name: str) -> bool:
    return name.partition(".")[0] in _POSITIVE


def _shape(effect: Effect, is_log: bool) -> tuple[float, float, float, float]:
    low, median, high = (effect.interval[0], effect.median, effect.interval[1])
    if is_log:
        low, median, high = (float(np.log(each)) for each in (low, median, high))
    below, above = median - low, high - median
    scale = (below + above) / (2 * _Q95)
    if below == 0 or above == 0:  # an end at the median leaves nothing to bend
        return median, scale, 0.0, 1.0
    lean = abs(above - below) / (above + below)
    reach = min(max(lean / _STEEPEST, 1e-6), 0.999)  # (√(q² + c²) − c)/q at which |b|/a is as steep as it may be
    bend = min(1.0, _Q95 * (1 - reach**2) / (2 * reach))
    return median, scale, (above - below) / (2 * (float(np.hypot(_Q95, bend)) - bend)), bend


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
