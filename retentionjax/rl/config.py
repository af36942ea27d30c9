"""Settings of a PPO run, and the one place that checks them."""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from retentionjax.errors import ConfigError
from retentionjax.rl.lagrangian import Gains
from retentionjax.rl.leaves import Leaf
from retentionjax.rl.networks import check_activation

SHUFFLES = ("samples", "envs")
SIZES = ("num_iterations", "num_envs", "num_steps", "num_epochs", "num_minibatches", "shards")


@struct.dataclass
class PPOConfig:
    """Static fields shape the program; numeric fields are data, and a run can be vmapped over any of them.

    Defaults are those of PureJaxRL's and CleanRL's classic-control runs where they have one.
    """

    # Static: sizes and choices.
    num_iterations: int = struct.field(pytree_node=False, default=100)  # rollouts of the whole run, for the schedules
    num_envs: int = struct.field(pytree_node=False, default=512)
    num_steps: int = struct.field(pytree_node=False, default=32)  # a rollout, per environment
    num_epochs: int = struct.field(pytree_node=False, default=4)
    num_minibatches: int = struct.field(pytree_node=False, default=16)  # an epoch
    hidden: tuple[int, ...] = struct.field(pytree_node=False, default=(64, 64))  # of the actor and of the critic each
    activation: str = struct.field(pytree_node=False, default="tanh")
    shuffle: str = struct.field(pytree_node=False, default="samples")  # what a minibatch draws: samples or whole envs
    normalise_observations: bool = struct.field(pytree_node=False, default=False)  # not needed where they are bounded
    discounted_costs: bool = struct.field(pytree_node=False, default=False)  # limits bound Σ γ_c^t c instead of Σ c
    shards: int = struct.field(pytree_node=False, default=1)  # groups of environments, one a device of a mesh
    # Numeric: scalars unless a shape is given.
    learning_rate: Leaf = 3e-4
    learning_rate_end: Leaf = 0.0
    gamma: Leaf = 0.99
    gae_lambda: Leaf = 0.95
    cost_gamma: Leaf = 0.99  # scalar or [K]; 1 is exact for undiscounted limits, but only where every episode ends
    cost_gae_lambda: Leaf = 0.95  # scalar or [K]
    clip_eps: Leaf = 0.2
    value_clip: Leaf = None  # in units of the values; None: values are not clipped
    value_coef: Leaf = 0.5
    entropy_coef: Leaf = 0.01
    entropy_coef_end: Leaf = 0.0
    annealing: Leaf = 1.0  # share of the run over which the two above are reached, linearly; held from there
    illegal_coef: Leaf = 0.0  # weight of −log(unmasked probability of the legal actions); teaches what the mask does
    max_grad_norm: Leaf = 0.5  # of the global norm, over all parameters
    limits: Leaf = ()  # [K], cost units an episode; inf switches a constraint off
    limit_scales: Leaf = 1.0  # scalar or [K]: the unit of a violation where the limit is 0
    gains: Gains = Gains()
    null_action_bias: Leaf = 0.0  # added to the initial logit of action 0
    average_decay: Leaf = 0.0  # averaged ← decay · averaged + (1 − decay) · params, once an iteration


def check(config: PPOConfig, costs: int) -> None:
    """Refuse what cannot run; numeric fields may be traced, so only their shapes are looked at.

    Args:
        costs: K, how many the environment has.

    Raises:
        ConfigError: names the field, its value and what is allowed.
    """
    _check_costs(config, costs)
    check_activation(config.activation)
    if config.shuffle not in SHUFFLES:
        raise ConfigError(f"shuffle is {config.shuffle!r}; allowed: {', '.join(SHUFFLES)}")
    for name in SIZES:
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} is {getattr(config, name)}; allowed: at least 1")
    if config.num_envs % config.shards:
        raise ConfigError(f"shards is {config.shards}; allowed: a divisor of num_envs, {config.num_envs}")
    shuffled = config.num_envs // config.shards * (config.num_steps if config.shuffle == "samples" else 1)
    if shuffled % config.num_minibatches:
        count, unit = config.num_minibatches, f"{config.shuffle} in a shard's rollout"
        raise ConfigError(f"num_minibatches is {count}; allowed: a divisor of the {shuffled} {unit}")


def _check_costs(config: PPOConfig, costs: int) -> None:
    limits = jnp.shape(jnp.asarray(config.limits))
    if limits != (costs,):
        raise ConfigError(f"limits has shape {limits}; the environment has {costs} costs: one limit for each")
    for name in ("limit_scales", "cost_gamma", "cost_gae_lambda"):
        shape = jnp.shape(jnp.asarray(getattr(config, name)))
        if shape not in ((), (costs,)):
            raise ConfigError(f"{name} has shape {shape}; allowed: a scalar or one number for each of {costs} costs")
    if config.gains.delay < 1:
        raise ConfigError(f"gains.delay is {config.gains.delay}; allowed: at least 1 update")


def limits_of(config: PPOConfig) -> Float[Array, " costs"]:
    """The limits as an array."""
    return jnp.asarray(config.limits, jnp.float32)


def each_cost(config: PPOConfig, number: Leaf) -> Float[Array, " costs"]:
    """A setting that is a scalar or one number a cost, as one number a cost."""
    return jnp.broadcast_to(jnp.asarray(number, jnp.float32), limits_of(config).shape)


def each_head(config: PPOConfig, reward: Leaf, cost: Leaf) -> Float[Array, " heads"]:
    """The reward's number, then each cost's."""
    return jnp.concatenate([jnp.reshape(jnp.asarray(reward, jnp.float32), 1), each_cost(config, cost)])


def annealed(config: PPOConfig, start: Leaf, end: Leaf, iteration: Array) -> Float[Array, ""]:
    """`start` at iteration 0, `end` from the share `annealing` of the run on, linear in between."""
    progress = jnp.clip(iteration / (config.annealing * config.num_iterations), 0.0, 1.0)
    return jnp.asarray(start + (end - start) * progress, jnp.float32)
