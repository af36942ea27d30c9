"""Settings of a PPO run, and the one place that checks them."""

import operator
from dataclasses import fields
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from retentionjax.errors import ConfigError
from retentionjax.rl.lagrangian import Gains
from retentionjax.rl.leaves import Number, Vector
from retentionjax.rl.networks import check_activation

SHUFFLES = ("samples", "envs")
TINY, HUGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
PER_COST = (
    "limit_scales",
    "cost_gamma",
    "cost_gae_lambda",
    *(f"gains.{field.name}" for field in fields(Gains) if field.name != "delay"),
)
SIZES = ("num_iterations", "num_envs", "num_steps", "num_epochs", "num_minibatches", "shards")
SWITCHES = ("normalise_observations", "discounted_costs")


@struct.dataclass
class PPOConfig:
    """Settings of a PPO run.

    Static fields shape the program; numeric fields are data, and a run can be vmapped over any of them.

    Defaults are those of PureJaxRL's and CleanRL's classic-control runs where they have one. The critic counts in units
    of a typical return (of the reward, and of each cost), which training measures itself.
    """

    num_iterations: int = struct.field(pytree_node=False, default=100)
    """Rollouts of the whole run, by which the schedules count."""
    num_envs: int = struct.field(pytree_node=False, default=512)
    """Environments that run side by side."""
    num_steps: int = struct.field(pytree_node=False, default=32)
    """Steps of a rollout, per environment."""
    num_epochs: int = struct.field(pytree_node=False, default=4)
    """Passes over the samples of a rollout."""
    num_minibatches: int = struct.field(pytree_node=False, default=16)
    """Minibatches an epoch."""
    hidden: tuple[int, ...] = struct.field(pytree_node=False, default=(64, 64))
    """Widths of the hidden layers, in the actor and in the critic."""
    activation: str = struct.field(pytree_node=False, default="tanh")
    """Activation between layers, one of `networks.ACTIVATIONS`."""
    shuffle: str = struct.field(pytree_node=False, default="samples")
    """What a minibatch draws: samples, or whole envs, which are cheaper to gather."""
    normalise_observations: bool = struct.field(pytree_node=False, default=False)
    """Whether observations are standardised by running moments; not needed if they are bounded."""
    discounted_costs: bool = struct.field(pytree_node=False, default=False)
    """Whether limits bound Σ γ_c^t c instead of Σ c."""
    shards: int = struct.field(pytree_node=False, default=1)
    """Groups of environments, one a device of a mesh."""
    learning_rate: Number = 3e-4
    """Step of Adam at the start of the run."""
    learning_rate_end: Number = 0.0
    """The same at the end of the run."""
    gamma: Number = 0.99
    """Discount of rewards per step."""
    gae_lambda: Number = 0.95
    """λ of generalised advantage estimation, for rewards."""
    cost_gamma: Vector = 0.99
    """Discount of costs per step, scalar or [K]; 1 is exact for undiscounted limits, if every episode ends."""
    cost_gae_lambda: Vector = 0.95
    """λ of generalised advantage estimation, for costs; scalar or [K]."""
    clip_eps: Number = 0.2
    """PPO's clip of the ratio, 1 ± this."""
    value_clip: Number = float("inf")
    """How far a value may move in one iteration, in the critic's unit."""
    value_coef: Number = 0.5
    """Weight of the value loss."""
    entropy_coef: Number = 0.01
    """Weight of the policy's entropy at the start."""
    entropy_coef_end: Number = 0.0
    """The same from the end of the `annealing` on."""
    barrier_coef: Number = 1e-3
    """Weight of the log-barrier, a floor under exploration: see `ops.log_barrier`. 0 lets a policy give an action up
    for good, and with it whatever that action alone could show."""
    barrier_coef_end: Number = 1e-5
    """The same from the end of the `annealing` on."""
    annealing: Number = 0.5
    """Share of the run over which entropy and barrier reach their ends, linearly. The learning rate takes all of it,
    so that some is left when exploration has ended."""
    illegal_coef: Number = 0.0
    """Weight of −log(unmasked probability of the legal actions); teaches what the mask does."""
    max_grad_norm: Number = 0.5
    """Largest norm of the actor's gradient, and of the critic's: clipped apart, so that neither slows the other."""
    limits: Vector = ()
    """[K], limits of the average costs per episode, in the costs' units; inf switches a constraint off."""
    limit_scales: Vector = 1.0
    """Scalar or [K]: the unit of a violation where the limit is 0."""
    gains: Gains = Gains()
    null_action_bias: Number = 0.0
    """Number added to the initial logit of action 0."""
    average_decay: Number = 0.0
    """Decay of the averaged parameters, once per iteration: averaged ← decay · averaged + (1 − decay) · params."""


INF = float("inf")
_SHARE, _POSITIVE, _NOT_NEGATIVE = (0.0, 1.0), (TINY, INF), (0.0, INF)
RANGES = {  # of the numeric fields: lowest and highest value allowed, both included
    "learning_rate": (TINY, HUGE),
    "learning_rate_end": (0.0, HUGE),
    "gamma": _SHARE,
    "gae_lambda": _SHARE,
    "cost_gamma": _SHARE,
    "cost_gae_lambda": _SHARE,
    "clip_eps": _POSITIVE,
    "value_clip": _POSITIVE,
    "value_coef": (0.0, HUGE),
    "entropy_coef": (0.0, HUGE),
    "entropy_coef_end": (0.0, HUGE),
    "barrier_coef": (0.0, HUGE),
    "barrier_coef_end": (0.0, HUGE),
    "annealing": (TINY, 1.0),
    "illegal_coef": (0.0, HUGE),
    "max_grad_norm": _POSITIVE,
    "limits": _NOT_NEGATIVE,
    "limit_scales": (TINY, HUGE),
    "null_action_bias": (-HUGE, HUGE),
    "average_decay": _SHARE,
    "gains.proportional": (0.0, HUGE),
    "gains.integral": (0.0, HUGE),
    "gains.derivative": (0.0, HUGE),
    "gains.smoothing": (0.0, float(np.nextafter(np.float32(1.0), np.float32(0.0)))),  # at 1 it would forget nothing
    "gains.initial": (0.0, HUGE),
    "gains.maximum": _NOT_NEGATIVE,
    "gains.violation_clip": _POSITIVE,
    "gains.idle": _SHARE,
}


def check(config: PPOConfig, costs: int) -> None:
    """Refuse what cannot run. Of numeric fields that are traced only the shapes can be looked at.

    Args:
        costs: K, how many the environment has.

    Raises:
        ConfigError: names the field, its value and what is allowed.
    """
    _check_static(config)
    check_ranges(config)
    _check_shapes(config, costs)
    check_activation(config.activation)
    if config.shuffle not in SHUFFLES:
        raise ConfigError(f"shuffle is {config.shuffle!r}; allowed: {', '.join(SHUFFLES)}")
    if config.num_envs % config.shards:
        raise ConfigError(f"shards is {config.shards}; allowed: a divisor of num_envs, {config.num_envs}")
    shuffled = config.num_envs // config.shards * (config.num_steps if config.shuffle == "samples" else 1)
    if shuffled % config.num_minibatches:
        count, unit = config.num_minibatches, f"{config.shuffle} in a shard's rollout"
        raise ConfigError(f"num_minibatches is {count}; allowed: a divisor of the {shuffled} {unit}")


def _check_static(config: PPOConfig) -> None:
    """Sizes are whole numbers, switches true or false: 2.5 iterations would be rounded, "no" would be true."""
    if jax.config.jax_enable_x64:  # type: ignore[attr-defined]  # numbers would widen from one step of a loop to the next
        raise ConfigError("jax_enable_x64 is True; allowed: False, since training computes in single precision")
    for name in SWITCHES:
        if not isinstance(getattr(config, name), bool | np.bool_):
            raise ConfigError(f"{name} is {getattr(config, name)!r}; allowed: True or False")
    if not isinstance(config.hidden, tuple | list):
        raise ConfigError(f"hidden is {config.hidden!r}; allowed: a tuple or list of widths")
    if not isinstance(config.gains, Gains):
        raise ConfigError(f"gains is {config.gains!r}; allowed: Gains(…)")
    sizes = {name: getattr(config, name) for name in SIZES} | {"gains.delay": config.gains.delay}
    for name, size in [*sizes.items(), *(("hidden", width) for width in config.hidden)]:
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise ConfigError(f"{name} is {size!r}; allowed: at least 1, a whole number")


def check_ranges(config: PPOConfig) -> None:
    """Refuse numbers that mean nothing: see `RANGES`. What is traced has no value yet and is left alone.

    Raises:
        ConfigError: names the field, its value and what is allowed.
    """
    for name, (low, high) in RANGES.items():
        value = operator.attrgetter(name)(config)
        if not _is_known(value):
            continue
        if not _is_number(value):  # text too, though NumPy would read it
            raise ConfigError(f"{name} is {value!r}; allowed: {_in_words(low, high)}")
        numbers = np.asarray(value, np.float64)
        if not np.all((numbers >= low) & (numbers <= high)):
            raise ConfigError(f"{name} is {value}; allowed: {_in_words(low, high)}")
    initial, maximum = config.gains.initial, config.gains.maximum
    if _is_known(initial) and _is_known(maximum) and np.any(np.asarray(initial) > np.asarray(maximum)):
        raise ConfigError(f"gains.initial is {initial}; allowed: at most gains.maximum, {maximum}")


def _is_known(value: Any) -> bool:
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))


def _is_number(value: Any) -> bool:
    """Whether `value` is a real number, or several."""
    try:
        kind = np.asarray(value if np.size(value) else 0.0).dtype
    except (TypeError, ValueError):  # rows of different lengths
        return False
    return any(jnp.issubdtype(kind, real) for real in (jnp.floating, jnp.integer))


def _in_words(low: float, high: float) -> str:
    least = {-HUGE: "any", TINY: "above 0"}.get(low, f"at least {low:g}")
    below_one = f", below {high:.0f}" if 0.999 < high < 1 else f", at most {high:g}"
    most = {INF: ", inf included", HUGE: ", finite"}.get(high, below_one)
    return f"a number, {least}{most}"


def _check_shapes(config: PPOConfig, costs: int) -> None:
    limits = jnp.shape(jnp.asarray(config.limits))
    if limits != (costs,):
        raise ConfigError(f"limits has shape {limits}; the environment has {costs} costs: one limit for each")
    for name in PER_COST:
        shape = jnp.shape(jnp.asarray(operator.attrgetter(name)(config)))
        if shape not in ((), (costs,)):
            raise ConfigError(f"{name} has shape {shape}; allowed: a scalar or one number for each of {costs} costs")
    for name in RANGES.keys() - {"limits", *PER_COST}:
        shape = jnp.shape(jnp.asarray(getattr(config, name)))
        if shape != ():
            raise ConfigError(f"{name} has shape {shape}; allowed: a scalar")


def limits_of(config: PPOConfig) -> Float[Array, " costs"]:
    """The limits as an array."""
    return jnp.asarray(config.limits, jnp.float32)


def each_cost(config: PPOConfig, number: Vector) -> Float[Array, " costs"]:
    """A setting that is a scalar or one number a cost, as one number a cost."""
    return jnp.broadcast_to(jnp.asarray(number, jnp.float32), limits_of(config).shape)


def each_head(config: PPOConfig, reward: Number, cost: Vector) -> Float[Array, " heads"]:
    """The reward's number, then each cost's."""
    return jnp.concatenate([jnp.reshape(jnp.asarray(reward, jnp.float32), 1), each_cost(config, cost)])


def annealed(start: Number, end: Number, iteration: Array, iterations: Number) -> Float[Array, ""]:
    """`start` at iteration 0, `end` from `iterations` on, linear in between."""
    progress = jnp.clip(iteration / iterations, 0.0, 1.0)
    return jnp.asarray(start + (end - start) * progress, jnp.float32)
