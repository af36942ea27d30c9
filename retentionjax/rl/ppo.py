"""Lagrangian PPO: maximise J_r subject to J_ci ≤ limit_i, in any gymnax environment with discrete actions.

Source: Ray, Achiam, Amodei 2019, "Benchmarking safe exploration" (PPO-Lagrangian); Schulman et al. 2017 (PPO); Stooke,
Achiam, Abbeel 2020 (the multiplier's controller). Everything is a pure function of arrays and keys: it can be jitted,
vmapped over keys and over the numeric fields of the config, and stopped and continued at any iteration.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from retentionjax.errors import ConfigError
from retentionjax.rl import lagrangian, ops
from retentionjax.rl.lagrangian import Gains, Multipliers
from retentionjax.rl.networks import ActorCritic, Policy, apply_mlp, check_activation, init_actor_critic
from retentionjax.rl.normalise import Normaliser, init_normaliser, normalise, update_normaliser
from retentionjax.rl.rollout import Completed, Environment, Simulation, Trajectory, collect, specify, start

Number = float | Float[Array, "..."]
SHUFFLES = ("samples", "envs")


@struct.dataclass
class PPOConfig:
    """Settings of a run. Static fields shape the program; numeric fields are data and can be vmapped.

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
    # Numeric: scalars unless a shape is given.
    learning_rate: Number = 3e-4
    learning_rate_end: Number = 0.0  # reached linearly at the last iteration
    gamma: Number = 0.99
    gae_lambda: Number = 0.95
    cost_gamma: Number = 0.99  # scalar or [K]; 1 is exact for undiscounted limits where every episode ends
    cost_gae_lambda: Number = 0.95  # scalar or [K]
    clip_eps: Number = 0.2
    value_clip: Number | None = None  # in units of the values; None: values are not clipped
    value_coef: Number = 0.5
    entropy_coef: Number = 0.01
    entropy_coef_end: Number = 0.0  # reached linearly at the last iteration
    illegal_coef: Number = 0.0  # weight of −log(unmasked probability of the legal actions); teaches what the mask does
    max_grad_norm: Number = 0.5  # of the global norm, over all parameters
    limits: Number | tuple[float, ...] = ()  # [K], cost units an episode; inf switches a constraint off
    limit_scales: Number | tuple[float, ...] = 1.0  # scalar or [K]: what a violation is measured in where a limit is 0
    gains: Gains = Gains()
    null_action_bias: Number = 0.0  # added to the initial logit of action 0
    average_decay: Number = 0.0  # averaged ← decay · averaged + (1 − decay) · params, once an iteration


@struct.dataclass
class TrainState:
    """Everything a run needs to continue exactly where it stopped."""

    params: ActorCritic
    averaged_params: ActorCritic
    opt_state: optax.OptState
    multipliers: Multipliers
    normaliser: Normaliser | None
    simulation: Simulation
    key: Array  # PRNG key
    iteration: Array  # i32[], iterations done


@struct.dataclass
class Metrics:
    """Of one iteration (a leading axis when iterations are scanned); sums and counts where means would mislead."""

    completed: Completed  # sums over the episodes that ended
    env_steps: Array  # f32[], taken in this iteration
    cost: Array  # f32[K], J_c as last measured
    multipliers: Array  # f32[K], as used by this iteration's policy update
    policy_loss: Array  # f32[]
    value_loss: Array  # f32[1 + K]
    entropy: Array  # f32[], nats
    approx_kl: Array  # f32[], mean (ρ − 1) − log ρ over the epochs, nats
    clip_fraction: Array  # f32[], share of samples with |ρ − 1| > clip_eps
    grad_norm: Array  # f32[], before clipping
    explained_variance: Array  # f32[1 + K]
    first_ratio_error: Array  # f32[], max |ρ − 1| in the first minibatch: 0 but for rounding, or something is wrong


@struct.dataclass
class Samples:
    """What the epochs learn from; leading axes [time, envs], then [samples]."""

    features: Array  # f32[features], normalised as they were when acted upon
    mask: Array | None  # bool[actions]
    action: Array  # i32[]
    log_probability: Array  # f32[]
    advantage: Array  # f32[], combined and standardised
    value: Array  # f32[1 + K]
    target: Array  # f32[1 + K]


def make_train(
    env: Environment, env_params: Any, config: PPOConfig
) -> Callable[[PRNGKeyArray], tuple[TrainState, Metrics]]:
    """A whole run as one function of a key: `config.num_iterations` iterations, metrics stacked along them.

    Raises:
        ConfigError: the config does not fit the environment, or its sizes do not divide.
    """
    specify_and_check(env, env_params, config)

    def train(key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
        state = init(env, env_params, config, key)
        return train_iterations(env, env_params, config, state, config.num_iterations)

    return train


def init(env: Environment, env_params: Any, config: PPOConfig, key: PRNGKeyArray) -> TrainState:
    """The state before the first iteration.

    Raises:
        ConfigError: the config does not fit the environment, or its sizes do not divide.
    """
    spec, limits = specify_and_check(env, env_params, config)
    network_key, reset_key, key = jax.random.split(key, 3)
    params = init_actor_critic(
        network_key, spec.features, spec.actions, 1 + spec.costs, config.hidden, config.null_action_bias
    )
    return TrainState(
        params=params,
        averaged_params=params,
        opt_state=_optimiser(config).init(ravel_pytree(params)[0]),
        multipliers=lagrangian.init_multipliers(config.gains, limits),
        normaliser=init_normaliser(spec.features) if config.normalise_observations else None,
        simulation=start(env, env_params, config.num_envs, spec.costs, reset_key),
        key=key,
        iteration=jnp.int32(0),
    )


def train_iterations(
    env: Environment, env_params: Any, config: PPOConfig, state: TrainState, iterations: int
) -> tuple[TrainState, Metrics]:
    """`iterations` more iterations; metrics stacked along a leading axis. N then N more equal 2N at once."""

    def iterate(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
        return train_iteration(env, env_params, config, state)

    return jax.lax.scan(iterate, state, None, length=iterations)


def train_iteration(
    env: Environment, env_params: Any, config: PPOConfig, state: TrainState
) -> tuple[TrainState, Metrics]:
    """Rollout → advantages → multipliers → epochs."""
    rollout_key, epochs_key, key = jax.random.split(state.key, 3)
    simulation, trajectory, completed = _rollout(env, env_params, config, state, rollout_key)
    samples, advantages = _estimate_advantages(config, state, trajectory, simulation.observation)
    multipliers = _update_multipliers(config, state.multipliers, completed)
    samples = samples.replace(advantage=ops.standardise(ops.combine_advantages(advantages, multipliers.value)))
    params, opt_state, losses = _epochs(config, state, samples, epochs_key)
    return _finish(config, state, params, opt_state, multipliers, simulation, trajectory, key), Metrics(
        completed=completed,
        env_steps=jnp.float32(trajectory.reward.size),
        cost=multipliers.cost,
        multipliers=multipliers.value,
        explained_variance=ops.explained_variance(samples.value, samples.target),
        **losses,
    )


def policy(config: PPOConfig, state: TrainState, *, averaged: bool = False) -> Policy:
    """The policy of a state, for `policy_logits`; `averaged` takes the mean of its recent parameters."""
    params = state.averaged_params if averaged else state.params
    return Policy(actor=params.actor, normaliser=state.normaliser, activation=config.activation)


def values(
    config: PPOConfig, state: TrainState, observation: Float[Array, "*batch features"]
) -> Float[Array, "*batch heads"]:
    """Estimated discounted sum of rewards (first head) and of each cost, for raw observations."""
    return apply_mlp(state.params.critic, normalise(state.normaliser, observation), config.activation)


def summarise(metrics: Metrics) -> dict[str, float]:
    """Flat means over all leading axes. Episode means are left out where no episode ended, never reported as NaN."""
    episodes = float(metrics.completed.count.sum())
    flat = {"episodes": episodes, "env_steps": float(metrics.env_steps.sum())}
    if episodes:
        flat["episode_return"] = float(metrics.completed.returns.sum()) / episodes
        flat["episode_length"] = float(metrics.completed.length.sum()) / episodes
        costs = _over_leading_axes(metrics.completed.costs, jnp.sum)
        flat |= {f"episode_cost_{index}": float(cost) / episodes for index, cost in enumerate(costs)}
    for name in ("policy_loss", "entropy", "approx_kl", "clip_fraction", "grad_norm", "first_ratio_error"):
        flat[name] = float(getattr(metrics, name).mean())
    for name in ("multipliers", "value_loss", "explained_variance"):
        means = _over_leading_axes(getattr(metrics, name), jnp.mean)
        flat |= {f"{name}_{index}": float(mean) for index, mean in enumerate(means)}
    return flat


def _over_leading_axes(x: Array, reduce: Callable[..., Array]) -> Array:
    return reduce(x, axis=tuple(range(x.ndim - 1)))


def specify_and_check(env: Environment, env_params: Any, config: PPOConfig) -> tuple[Any, Float[Array, " costs"]]:
    """Sizes of the environment and the limits as f32[K].

    Raises:
        ConfigError: names the field, its value and what is allowed.
    """
    spec = specify(env, env_params)
    limits = jnp.asarray(config.limits, jnp.float32)
    if limits.shape != (spec.costs,):
        raise ConfigError(f"limits have shape {limits.shape}; the environment has {spec.costs} costs: one limit each")
    check_activation(config.activation)
    if config.shuffle not in SHUFFLES:
        raise ConfigError(f"shuffle is {config.shuffle!r}; allowed: {', '.join(SHUFFLES)}")
    for name in ("num_iterations", "num_envs", "num_steps", "num_epochs", "num_minibatches"):
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} is {getattr(config, name)}; allowed: at least 1")
    shuffled = config.num_envs * (config.num_steps if config.shuffle == "samples" else 1)
    if shuffled % config.num_minibatches:
        raise ConfigError(
            f"num_minibatches is {config.num_minibatches}; allowed: a divisor of a rollout's {shuffled} {config.shuffle}"
        )
    return spec, limits


def _rollout(
    env: Environment, env_params: Any, config: PPOConfig, state: TrainState, key: PRNGKeyArray
) -> tuple[Simulation, Trajectory, Completed]:
    costs = state.multipliers.value.shape
    weight = jnp.broadcast_to(config.cost_gamma if config.discounted_costs else 1.0, costs)
    return collect(env, env_params, policy(config, state), state.simulation, weight, config.num_steps, key)


def _estimate_advantages(
    config: PPOConfig, state: TrainState, trajectory: Trajectory, last_observation: Float[Array, "envs features"]
) -> tuple[Samples, Float[Array, "time envs heads"]]:
    """One advantage a head, each in its own unit, and the samples they belong to (`advantage` still the reward's)."""
    features = normalise(state.normaliser, trajectory.observation)
    last = values(config, state, last_observation)[None]
    value = apply_mlp(state.params.critic, features, config.activation)
    following = jnp.concatenate([value[1:], last])
    reached = _values_reached(config, state, trajectory, following)
    costs = state.multipliers.value.shape
    gammas = jnp.concatenate([jnp.reshape(config.gamma, 1), jnp.broadcast_to(config.cost_gamma, costs)])
    decays = jnp.concatenate([jnp.reshape(config.gae_lambda, 1), jnp.broadcast_to(config.cost_gae_lambda, costs)])
    onward = trajectory.discount * ~trajectory.terminated
    unbroken = ~(trajectory.terminated | trajectory.truncated)
    advantages = ops.generalised_advantages(
        rewards=jnp.concatenate([trajectory.reward[..., None], trajectory.costs], -1),
        discounts=onward[..., None] * gammas,
        values=value,
        next_values=reached,
        continues=jnp.broadcast_to(unbroken[..., None], value.shape).astype(jnp.float32),
        decay=decays,
    )
    samples = Samples(
        features=features,
        mask=trajectory.mask,
        action=trajectory.action,
        log_probability=trajectory.log_probability,
        advantage=advantages[..., 0],
        value=value,
        target=value + advantages,
    )
    return samples, advantages


def _values_reached(
    config: PPOConfig, state: TrainState, trajectory: Trajectory, following: Float[Array, "time envs heads"]
) -> Float[Array, "time envs heads"]:
    """Value of the state each step reached: the next observation's, or the final one's where an episode was cut off.

    Truncations are rare, so their final observations are valued in chunks of one row of environments until none is
    left: an environment that never truncates pays for a count and no more.
    """
    heads = following.shape[-1]
    truncated = trajectory.truncated.reshape(-1)
    final = trajectory.final_observation.reshape(truncated.shape[0], -1)
    rank = jnp.cumsum(truncated) - 1
    chunk = trajectory.truncated.shape[1]

    def value_chunk(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        done, reached = carry
        mine = truncated & (rank >= done) & (rank < done + chunk)
        index = jnp.nonzero(mine, size=chunk, fill_value=truncated.shape[0])[0]
        estimate = values(config, state, final.at[index].get(mode="clip"))
        return done + chunk, reached.at[index].set(estimate, mode="drop")

    total = truncated.sum()
    _, reached = jax.lax.while_loop(
        lambda carry: carry[0] < total, value_chunk, (jnp.zeros_like(total), following.reshape(-1, heads))
    )
    return reached.reshape(following.shape)


def _update_multipliers(config: PPOConfig, multipliers: Multipliers, completed: Completed) -> Multipliers:
    limits = jnp.asarray(config.limits, jnp.float32)
    cost = completed.costs / jnp.maximum(completed.count, 1.0)
    scales = jnp.broadcast_to(jnp.asarray(config.limit_scales, jnp.float32), limits.shape)
    return lagrangian.update_multipliers(config.gains, multipliers, cost, limits, scales, completed.count > 0)


def _epochs(
    config: PPOConfig, state: TrainState, samples: Samples, key: PRNGKeyArray
) -> tuple[ActorCritic, optax.OptState, dict[str, Array]]:
    """`num_epochs` passes over the samples in `num_minibatches` random parts, one optimiser step each."""
    optimiser = _optimiser(config)
    progress = state.iteration / config.num_iterations
    learning_rate = config.learning_rate + (config.learning_rate_end - config.learning_rate) * progress
    entropy_coef = config.entropy_coef + (config.entropy_coef_end - config.entropy_coef) * progress

    def minibatch(carry: tuple[ActorCritic, Any], batch: Samples) -> tuple[tuple[ActorCritic, Any], dict[str, Array]]:
        params, opt_state = carry
        gradient, losses = jax.grad(_loss, argnums=1, has_aux=True)(config, params, batch, entropy_coef)
        # One vector instead of a dozen small arrays: on CPU the optimiser's time is the number of its operations.
        flat_gradient, unravel = ravel_pytree(gradient)
        updates, opt_state = optimiser.update(flat_gradient, opt_state)
        params = jax.tree.map(lambda p, u: p - learning_rate * u, params, unravel(updates))
        return (params, opt_state), losses | {"grad_norm": optax.global_norm(flat_gradient)}

    def epoch(carry: tuple[ActorCritic, Any], key: PRNGKeyArray) -> tuple[tuple[ActorCritic, Any], dict[str, Array]]:
        return jax.lax.scan(minibatch, carry, _minibatches(config, samples, key))

    keys = jax.random.split(key, config.num_epochs)
    (params, opt_state), losses = jax.lax.scan(epoch, (state.params, state.opt_state), keys)
    first_ratio_error = losses.pop("ratio_error")[0, 0]
    means = {name: loss.mean((0, 1)) for name, loss in losses.items()}
    return params, opt_state, means | {"first_ratio_error": first_ratio_error}


def _minibatches(config: PPOConfig, samples: Samples, key: PRNGKeyArray) -> Samples:
    """Samples [time, envs, …] in random order as [minibatches, samples, …]."""
    if config.shuffle == "samples":
        order = ops.permutation(key, config.num_steps * config.num_envs).reshape(config.num_minibatches, -1)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[order], samples)
    order = ops.permutation(key, config.num_envs).reshape(config.num_minibatches, -1)

    def divide(x: Array) -> Array:
        return jnp.moveaxis(x[:, order], 0, 1).reshape(config.num_minibatches, -1, *x.shape[2:])

    return jax.tree.map(divide, samples)


def _loss(
    config: PPOConfig, params: ActorCritic, batch: Samples, entropy_coef: Number
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Clipped surrogate + value_coef · Σ_heads value loss − entropy_coef · entropy + illegal_coef · legal loss."""
    raw_logits = apply_mlp(params.actor, batch.features, config.activation)
    logits = ops.mask_logits(raw_logits, batch.mask)
    log_probabilities = jax.nn.log_softmax(logits)
    legal_loss = ops.legal_loss(raw_logits, batch.mask)
    log_ratio = ops.log_probability(log_probabilities, batch.action) - batch.log_probability
    ratio = jnp.exp(log_ratio)
    policy_loss = ops.clipped_surrogate(ratio, batch.advantage, config.clip_eps).mean()
    value = apply_mlp(params.critic, batch.features, config.activation)
    value_loss = ops.value_loss(value, batch.value, batch.target, config.value_clip).mean(0)
    entropy = ops.entropy(log_probabilities).mean()
    loss = policy_loss + config.value_coef * value_loss.sum() - entropy_coef * entropy
    loss += config.illegal_coef * legal_loss
    return loss, {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "approx_kl": jnp.mean((ratio - 1.0) - log_ratio),
        "clip_fraction": jnp.mean(jnp.abs(ratio - 1.0) > config.clip_eps),
        "ratio_error": jnp.max(jnp.abs(ratio - 1.0)),
    }


def _optimiser(config: PPOConfig) -> optax.GradientTransformation:
    """Adam behind a clip of the global norm. The learning rate is applied outside: it depends on the iteration."""
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_adam(eps=1e-5))


def _finish(
    config: PPOConfig,
    state: TrainState,
    params: ActorCritic,
    opt_state: optax.OptState,
    multipliers: Multipliers,
    simulation: Simulation,
    trajectory: Trajectory,
    key: PRNGKeyArray,
) -> TrainState:
    """The next state. Observation statistics move only now: within an iteration, acting and learning see the same."""
    averaged = jax.tree.map(
        lambda old, new: config.average_decay * old + (1.0 - config.average_decay) * new, state.averaged_params, params
    )
    normaliser = state.normaliser
    if normaliser is not None:
        normaliser = update_normaliser(normaliser, trajectory.observation)
    return TrainState(
        params=params,
        averaged_params=averaged,
        opt_state=opt_state,
        multipliers=multipliers,
        normaliser=normaliser,
        simulation=simulation,
        key=key,
        iteration=state.iteration + 1,
    )
