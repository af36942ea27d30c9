"""Lagrange multipliers: the price of each cost, raised while its limit is exceeded and lowered while it is not.

Multipliers are in units of reward per unit of cost, so that at convergence they are the limits' shadow prices.
The controller is Stooke, Achiam, Abbeel 2020, "Responsive safety in RL by PID Lagrangian methods"; with only the
integral gain it is plain (stochastic) gradient descent on the dual. Adam is not offered: it would step by its
learning rate whatever the size of the violation.
"""

import chex
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from retentionjax.rl import ops
from retentionjax.rl.leaves import Leaf


@struct.dataclass
class Gains:
    """How multipliers answer to violations. Numeric fields are scalars or f32[K]; all can be vmapped.

    The violation is (J_c − limit) / scale, clipped to ±`violation_clip`: a random initial policy overspends many times
    over, and unclipped its first episodes would wind the integral up for the rest of the run.
    """

    proportional: Leaf = 0.1  # price per smoothed violation; acts and vanishes at once
    integral: Leaf = 0.01  # price gained per update and violation; remembers
    derivative: Leaf = 0.0  # price per rise of the smoothed violation over `delay` updates; falls are ignored
    smoothing: Leaf = 0.0  # share of the old value kept in the smoothed violation, [0, 1)
    initial: Leaf = 0.0  # starting price; near the expected size saves the time to get there
    maximum: Leaf = 100.0  # multipliers stay in [0, maximum]
    violation_clip: Leaf = 0.5
    delay: int = struct.field(pytree_node=False, default=1)  # updates between the two values the derivative compares

    @classmethod
    def sgd(cls, rate: Leaf, **fields: Leaf) -> "Gains":
        """Gradient descent on the dual: λ ← clip(λ + rate · violation, 0, maximum)."""
        return cls(proportional=0.0, integral=rate, derivative=0.0, smoothing=0.0, **fields)


@struct.dataclass
class Multipliers:
    """State of the K controllers."""

    value: Leaf  # f32[K], the multipliers in force
    integral: Leaf  # f32[K], kept apart from the proportional part, and itself clamped against wind-up
    smoothed: Leaf  # f32[K], smoothed violation
    history: Leaf  # f32[delay, K], the last smoothed violations, oldest first
    cost: Leaf  # f32[K], J_c last measured (0 before any episode has ended)


def init_multipliers(gains: Gains, limits: Float[Array, " costs"]) -> Multipliers:
    """Multipliers at `gains.initial`, 0 where the limit is infinite (the constraint is off)."""
    zeros = jnp.zeros_like(limits)
    start = jnp.where(jnp.isfinite(limits), jnp.clip(zeros + gains.initial, 0.0, gains.maximum), 0.0)
    history = jnp.zeros((gains.delay, *limits.shape), limits.dtype)
    return Multipliers(value=start, integral=start, smoothed=zeros, history=history, cost=zeros)


def violations(
    cost: Float[Array, " costs"], limits: Float[Array, " costs"], scales: Float[Array, " costs"]
) -> Float[Array, " costs"]:
    """(J_c − d)/d, with the given scale in place of a limit of 0, and 0 where the limit is infinite."""
    active = jnp.isfinite(limits)
    unit = jnp.where(active & (limits > 0), limits, scales)
    return jnp.where(active, (cost - jnp.where(active, limits, 0.0)) / unit, 0.0)


def update_multipliers(
    gains: Gains,
    multipliers: Multipliers,
    cost: Float[Array, " costs"],
    limits: Float[Array, " costs"],
    scales: Float[Array, " costs"],
    measured: Bool[Array, ""],
) -> Multipliers:
    """One step of the controller; everything is held where no cost was `measured` (no episode completed).

    The controller itself is `ops.pid_multiplier`, fed with the clipped violation.
    """
    chex.assert_equal_shape([cost, limits, scales, multipliers.value])
    error = jnp.clip(violations(cost, limits, scales), -gains.violation_clip, gains.violation_clip)
    value, integral, smoothed = ops.pid_multiplier(
        error,
        multipliers.integral,
        multipliers.smoothed,
        multipliers.history[0],
        proportional=gains.proportional,
        integral_gain=gains.integral,
        derivative=gains.derivative,
        smoothing=gains.smoothing,
        maximum=gains.maximum,
    )
    updated = Multipliers(
        value=jnp.where(jnp.isfinite(limits), value, 0.0),
        integral=integral,
        smoothed=smoothed,
        history=jnp.concatenate([multipliers.history[1:], smoothed[None]]),
        cost=cost,
    )
    return jax.tree.map(lambda new, old: jnp.where(measured, new, old), updated, multipliers)
