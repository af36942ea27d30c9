"""Lagrange multipliers: the price of each cost, raised while its limit is exceeded and lowered while it is not.

Multipliers are in units of reward per unit of cost, so that at convergence they are the limits' shadow prices. The
controller's gains have no unit: its steps are shares of the multiplier at which the whole limit is worth a typical
return, so one setting serves rewards and limits of any size. The controller is Stooke, Achiam, Abbeel 2020, "Responsive
safety in RL by PID Lagrangian methods"; with only the integral gain it is plain (stochastic) gradient descent on the
dual. Adam is not offered: it would step by its learning rate whatever the size of the violation.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from retentionjax.rl import ops
from retentionjax.rl.leaves import Leaf, Number


@struct.dataclass
class Gains:
    """How multipliers answer to violations. Numeric fields are scalars or f32[K]; all can be vmapped.

    The violation is (J_c − limit) / scale, clipped to ±`violation_clip`: a random initial policy overspends many times
    over, and unclipped its first episodes would wind the integral up for the rest of the run. Multipliers below are in
    units of (size of a return) / scale, but for `initial` and `maximum`, which are multipliers as they are reported.

    A policy follows its multiplier only after ten or twenty iterations, so the integral has to be slow beside the
    proportional part (their ratio is the time, in updates, that it takes to catch up with it): with a ratio of 2 the
    two chase each other in a slow swing.
    """

    proportional: Number = 0.3
    """Multiplier per smoothed violation; acts and vanishes at once."""
    integral: Number = 0.03
    """Multiplier gained per update and violation; remembers."""
    derivative: Number = 0.0
    """Multiplier per rise of the smoothed violation over `delay` updates; falls are ignored."""
    smoothing: Number = 0.5
    """Share of the old value kept in the smoothed violation, [0, 1)."""
    initial: Number = 0.0
    """Multiplier to start from; near the expected size saves the time to get there."""
    maximum: Number = float("inf")
    """Multipliers stay in [0, maximum]."""
    violation_clip: Number = 1.0
    idle: Number = 0.02
    """Share of its limit below which a priced cost counts as given up, see `update_multipliers`; 0: never."""
    delay: int = struct.field(pytree_node=False, default=1)
    """Updates between the two values the derivative compares."""

    @classmethod
    def sgd(cls, rate: Number, **fields: Any) -> "Gains":
        """Gradient descent on the dual: λ ← clip(λ + rate · violation, 0, maximum), rate in the unit above."""
        return cls(proportional=0.0, integral=rate, derivative=0.0, smoothing=0.0, **fields)


@struct.dataclass
class Multipliers:
    """State of the K controllers."""

    value: Leaf  # f32[K], the multipliers in force
    integral: Leaf  # f32[K], kept apart from the proportional part, and itself clamped against wind-up
    smoothed: Leaf  # f32[K], smoothed violation
    history: Leaf  # f32[delay, K], the last smoothed violations, oldest first
    cost: Leaf  # f32[K], J_c last measured (0 before any episode has ended)
    collapsed: Leaf  # bool[K], the cost was given up while it had a multiplier, see `update_multipliers`


def init_multipliers(gains: Gains, limits: Float[Array, " costs"]) -> Multipliers:
    """Multipliers at `gains.initial`, 0 where the limit is infinite (the constraint is off)."""
    zeros = jnp.zeros_like(limits)
    start = jnp.where(limits == jnp.inf, 0.0, jnp.clip(zeros + gains.initial, 0.0, gains.maximum))
    history = jnp.zeros((gains.delay, *limits.shape), limits.dtype)
    return Multipliers(value=start, integral=start, smoothed=zeros, history=history, cost=zeros, collapsed=zeros > 0)


def violations(
    cost: Float[Array, " costs"], limits: Float[Array, " costs"], scales: Float[Array, " costs"]
) -> Float[Array, " costs"]:
    """(J_c − d)/d, with the given scale in place of a limit of 0, and 0 where the limit is infinite."""
    active = limits != jnp.inf  # a limit that is no number is no reason to go without one
    return jnp.where(active, (cost - jnp.where(active, limits, 0.0)) / _scale(limits, scales), 0.0)


def _scale(limits: Float[Array, " costs"], scales: Float[Array, " costs"]) -> Float[Array, " costs"]:
    """What a violation is measured by."""
    return jnp.where((limits > 0) & (limits != jnp.inf), limits, scales)


def update_multipliers(
    gains: Gains,
    multipliers: Multipliers,
    cost: Float[Array, " costs"],
    limits: Float[Array, " costs"],
    scales: Float[Array, " costs"],
    unit: Float[Array, ""],
    measured: Bool[Array, ""],
) -> Multipliers:
    """One step of the controller; everything is held where no cost was `measured` (no episode completed).

    The controller itself is `ops.pid_multiplier`, fed with the clipped violation. Where the policy gave a cost up while
    it has a multiplier (less than `gains.idle` of its limit), that multiplier is more than anything is worth: it is
    halved, so that it is gone in a few updates instead of the hundreds that the integral takes.

    Args:
        unit: size of a return.
    """
    chex.assert_equal_shape([cost, limits, scales, multipliers.value])
    error = jnp.clip(violations(cost, limits, scales), -gains.violation_clip, gains.violation_clip)
    collapsed = (limits > 0) & (limits != jnp.inf) & (cost < gains.idle * limits) & (multipliers.value > 0)
    multiplier = unit / _scale(limits, scales)
    value, integral, smoothed = ops.pid_multiplier(
        error,
        jnp.where(collapsed, multipliers.integral / 2, multipliers.integral),
        multipliers.smoothed,
        multipliers.history[0],
        proportional=gains.proportional * multiplier,
        integral_gain=gains.integral * multiplier,
        derivative=gains.derivative * multiplier,
        smoothing=gains.smoothing,
        maximum=gains.maximum,
    )
    updated = Multipliers(
        value=jnp.where(limits == jnp.inf, 0.0, value),
        integral=integral,
        smoothed=smoothed,
        history=jnp.concatenate([multipliers.history[1:], smoothed[None]]),
        cost=cost,
        collapsed=collapsed,
    )
    return jax.tree.map(lambda new, old: jnp.where(measured, new, old), updated, multipliers)
