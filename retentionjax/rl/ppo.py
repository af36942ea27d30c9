"""Lagrangian PPO: maximise J_r subject to J_ci ≤ limit_i, in any gymnax environment with discrete actions.

Source: Ray, Achiam, Amodei 2019, "Benchmarking safe exploration" (PPO-Lagrangian); Schulman et al. 2017 (PPO); Stooke,
Achiam, Abbeel 2020 (the multipliers' controller). Everything is a pure function of arrays and keys: it can be jitted,
vmapped over keys and over the numeric fields of the config, and stopped and continued after any iteration.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from retentionjax.errors import TrainingError
from retentionjax.rl import lagrangian, ops, rollout, sharding
from retentionjax.rl.advantages import estimate_advantages
from retentionjax.rl.config import PPOConfig, check, each_cost, limits_of
from retentionjax.rl.epochs import Learner, Losses, combine, init_learner, run_epochs
from retentionjax.rl.lagrangian import Multipliers
from retentionjax.rl.leaves import Leaf
from retentionjax.rl.networks import (
    MLP,
    ActorCritic,
    Normaliser,
    PolicyNetwork,
    apply_mlp,
    init_actor_critic,
    init_normaliser,
    normalise,
    scale_outputs,
    update_normaliser,
)
from retentionjax.rl.rollout import Completed, Environment, Simulation, Trajectory

__all__ = [
    "IterationMetrics",
    "PPOConfig",
    "PolicyNetwork",
    "Train",
    "TrainState",
    "critic",
    "init",
    "make_train",
    "policy",
    "require_sound",
    "summarise",
    "train_iteration",
    "train_iterations",
    "untrained",
    "values",
]


@struct.dataclass
class TrainState:
    """Everything a run needs to continue exactly where it stopped."""

    learner: Learner  # parameters and the optimiser's state
    averaged_params: ActorCritic  # exponential mean over iterations, see `PPOConfig.average_decay`
    multipliers: Multipliers
    units: Leaf  # f32[1 + K], what the critic counts in: the size of a return, by head; 0 before any was seen
    normaliser: Normaliser | None
    simulation: Any  # Simulation; leading axis shards, where there is more than one
    key: Leaf  # PRNG key
    iteration: Leaf  # i32[], iterations done

    @property
    def params(self) -> ActorCritic:
        """The parameters in force."""
        return self.learner.params


@struct.dataclass
class IterationMetrics:
    """Metrics of one iteration, and with a leading axis of several; sums and counts where means would mislead."""

    completed: Completed  # sums over the episodes that ended
    env_steps: Leaf  # f32[]
    cost: Leaf  # f32[K], J_c as last measured
    multipliers: Leaf  # f32[K], as used by this iteration's epochs
    explained_variance: Leaf  # f32[1 + K]
    losses: Losses
    units: Leaf  # f32[1 + K]
    collapsed: Leaf  # bool[K], costs given up although they have a multiplier
    iteration: Leaf  # i32[], counted from 1
    faults: Leaf  # f32[FAULTS], how many steps of the rollout had each; the last two are 1 where they are so


FAULTS = (
    *rollout.FAULTS,
    "parameters are not finite",
    "no episode has ended in the whole run, so that no cost was measured and no limit was in force",
)
UNIT_DECAY = 0.98  # an iteration
SMALLEST_UNIT = 1e-8  # of a head that has seen nothing but 0

Train = Callable[[PRNGKeyArray], tuple[TrainState, IterationMetrics]]


def make_train(env: Environment, env_params: Any, config: PPOConfig, mesh: Mesh | None = None) -> Train:
    """A whole run as one function of a key: `config.num_iterations` iterations, metrics stacked along them.

    Raises:
        ConfigError: the config does not fit the environment, or its sizes do not divide.
        TrainingError: by the function, called outside any transformation, see `require_sound`. Under `jit` nothing can
            be raised: there `summarise` and `require_sound` say it of the metrics.
    """
    check(config, rollout.specify(env, env_params).costs)

    def train(key: PRNGKeyArray) -> tuple[TrainState, IterationMetrics]:
        state = init(env, env_params, config, key)
        return train_iterations(env, env_params, config, state, config.num_iterations, mesh)

    return train


def init(env: Environment, env_params: Any, config: PPOConfig, key: PRNGKeyArray) -> TrainState:
    """The state before the first iteration.

    Raises:
        ConfigError: the config does not fit the environment, or its sizes do not divide.
    """
    spec = rollout.specify(env, env_params)
    check(config, spec.costs)
    params = _networks(spec, config, key)
    _, reset_key, key = jax.random.split(key, 3)
    simulation = rollout.start(env, env_params, config.num_envs, spec.costs, reset_key)
    if config.shards > 1:
        simulation = jax.tree.map(lambda x: x.reshape(config.shards, -1, *x.shape[1:]), simulation)
    state = TrainState(
        learner=init_learner(params),
        averaged_params=params,
        multipliers=lagrangian.init_multipliers(config.gains, limits_of(config)),
        units=jnp.zeros(1 + spec.costs),
        normaliser=init_normaliser(spec.features) if config.normalise_observations else None,
        simulation=simulation,
        key=key,
        iteration=jnp.int32(0),
    )
    # Each leaf has a buffer of its own, so that a state can be donated: parameters and their average begin as one.
    return jax.tree.map(lambda leaf: leaf.copy(), state)


def untrained(env: Environment, env_params: Any, config: PPOConfig, key: PRNGKeyArray) -> PolicyNetwork:
    """The policy that a run begins with by `init`, without starting the run's environments.

    Raises:
        ConfigError: the config does not fit the environment, or its sizes do not divide.
    """
    spec = rollout.specify(env, env_params)
    check(config, spec.costs)
    normaliser = init_normaliser(spec.features) if config.normalise_observations else None
    return PolicyNetwork(_networks(spec, config, key).actor, normaliser, config.activation)


def _networks(spec: rollout.Specification, config: PPOConfig, key: PRNGKeyArray) -> ActorCritic:
    return init_actor_critic(
        jax.random.split(key, 3)[0],
        spec.features,
        spec.actions,
        1 + spec.costs,
        config.hidden,
        config.null_action_bias,
    )


def train_iterations(
    env: Environment, env_params: Any, config: PPOConfig, state: TrainState, iterations: int, mesh: Mesh | None = None
) -> tuple[TrainState, IterationMetrics]:
    """Runs `iterations` more iterations; metrics are stacked along a leading axis.

    Running N and then N more gives the same as running 2N at once.
    """

    def iterate(state: TrainState, _: None) -> tuple[TrainState, IterationMetrics]:
        return train_iteration(env, env_params, config, state, mesh)

    state, metrics = jax.lax.scan(iterate, state, None, length=iterations)
    return state, _sound(metrics)


def train_iteration(
    env: Environment, env_params: Any, config: PPOConfig, state: TrainState, mesh: Mesh | None = None
) -> tuple[TrainState, IterationMetrics]:
    """One rollout and what is learned from it, on all shards.

    Args:
        mesh: by `sharding.device_mesh`, one device a shard; None runs all on one device, with the same results.
    """

    def iterate(shared: TrainState, simulation: Simulation) -> tuple[tuple[TrainState, IterationMetrics], Simulation]:
        following, metrics = _iterate(env, env_params, config, replace(shared, simulation=simulation))
        return (replace(following, simulation=None), metrics), following.simulation

    shared = replace(state, simulation=None)
    (following, metrics), simulation = sharding.over_shards(iterate, shared, state.simulation, config.shards, mesh)
    return replace(following, simulation=simulation), _sound(metrics)


def _iterate(
    env: Environment, env_params: Any, config: PPOConfig, state: TrainState
) -> tuple[TrainState, IterationMetrics]:
    """Rollout → advantages → multipliers → epochs."""
    next_key, key = jax.random.split(state.key)
    rollout_key, epochs_key = jax.random.split(sharding.own_key(key, config.shards))
    simulation, trajectory, completed = rollout.collect(
        env, env_params, policy(config, state), state.simulation, _cost_weight(config), config.num_steps, rollout_key
    )
    params = replace(state.params, critic=critic(state))
    estimates = estimate_advantages(config, params, state.normaliser, trajectory, simulation.observation)
    state = _measure_units(state, estimates.target, config.shards)
    own = replace(estimates, value=estimates.value / state.units, target=estimates.target / state.units)
    completed = sharding.total(completed, config.shards)
    multipliers = _update_multipliers(config, state.multipliers, completed, state.units[0])
    samples = combine(trajectory, own, multipliers.value, config.shards)
    learner, losses = run_epochs(config, state.learner, samples, state.iteration, epochs_key)
    following = TrainState(
        learner=learner,
        averaged_params=_average(config, state.averaged_params, learner.params),
        multipliers=multipliers,
        units=state.units,
        # Statistics move only now: within an iteration, acting and learning see the same features.
        normaliser=update_normaliser(state.normaliser, trajectory.observation, config.shards),
        simulation=simulation,
        key=next_key,
        iteration=state.iteration + 1,
    )
    return following, IterationMetrics(
        completed=completed,
        env_steps=jnp.float32(config.num_steps * config.num_envs),
        cost=multipliers.cost,
        multipliers=multipliers.value,
        explained_variance=ops.explained_variance(
            sharding.moments(estimates.target - estimates.value, config.shards)[1],
            sharding.moments(estimates.target, config.shards)[1],
        ),
        losses=losses,
        units=state.units,
        collapsed=multipliers.collapsed,
        iteration=following.iteration,
        faults=_count_faults(config, trajectory, following),
    )


def _measure_units(state: TrainState, targets: Float[Array, "time envs heads"], shards: int) -> TrainState:
    """The state with the critic's units at the root mean square of the targets, if that is more; otherwise they shrink.

    The critic's outputs are rescaled so that its values stay (PopArt, van Hasselt et al. 2016, but for the mean). Units
    shrink slowly: a policy that does nothing for a while has returns of 0, and nothing could be measured by those.
    """
    mean, variance = sharding.moments(targets, shards)
    seen = jnp.sqrt(mean**2 + variance)
    units = jnp.maximum(jnp.maximum(seen, UNIT_DECAY * state.units), SMALLEST_UNIT)
    factors = jnp.where(state.units > 0, state.units / units, 1.0)

    def rescaled(params: ActorCritic) -> ActorCritic:
        return replace(params, critic=scale_outputs(params.critic, factors))

    learner = replace(state.learner, params=rescaled(state.params))
    return replace(state, units=units, learner=learner, averaged_params=rescaled(state.averaged_params))


def _count_faults(config: PPOConfig, trajectory: Trajectory, state: TrainState) -> Float[Array, " faults"]:
    """An environment that only tells the probability to survive never ends: its costs would be limited by nothing."""
    lost = ~jnp.isfinite(ravel_pytree(state.learner.params)[0]).all()
    steps, limited = state.iteration * config.num_steps, jnp.isfinite(limits_of(config)).any()
    endless = sharding.total((state.simulation.episodes.length >= steps).sum() * 1.0, config.shards)
    is_last = state.iteration == config.num_iterations
    unlimited = is_last & limited & (endless == config.num_envs)
    counts = sharding.total(rollout.faults(trajectory), config.shards)
    return jnp.concatenate([counts, jnp.stack([lost, unlimited]).astype(counts.dtype)])


def policy(config: PPOConfig, state: TrainState, *, averaged: bool = False) -> PolicyNetwork:
    """The policy of a state, for `policy_logits`; `averaged` takes the mean of its recent parameters."""
    params = state.averaged_params if averaged else state.params
    return PolicyNetwork(actor=params.actor, normaliser=state.normaliser, activation=config.activation)


def values(
    config: PPOConfig, state: TrainState, observation: Float[Array, "*batch features"]
) -> Float[Array, "*batch heads"]:
    """Estimated discounted sum of rewards (first head) and of each cost, for raw observations."""
    return apply_mlp(critic(state), normalise(state.normaliser, observation), config.activation)


def critic(state: TrainState, *, averaged: bool = False) -> MLP:
    """The critic of a state, in units of reward and costs; `averaged` takes the mean of its recent parameters."""
    params = state.averaged_params if averaged else state.params
    return scale_outputs(params.critic, state.units)


def require_sound(metrics: IterationMetrics) -> None:
    """Refuse metrics of iterations in which something was not a number, or nothing was legal.

    Raises:
        TrainingError: names the first such iteration, the quantity and in how many steps it was so.
    """
    counts, steps = np.reshape(metrics.faults, (-1, len(FAULTS))), np.reshape(metrics.env_steps, -1)
    for row in np.flatnonzero(counts.any(-1))[:1]:
        which = int(np.flatnonzero(counts[row])[0])
        share = f" in {counts[row][which]:.0f} of {steps[row]:.0f} steps" if which < len(rollout.FAULTS) else ""
        iteration = int(np.reshape(metrics.iteration, -1)[row])
        raise TrainingError(f"iteration {iteration}: {FAULTS[which]}{share}")


def _sound(metrics: IterationMetrics) -> IterationMetrics:
    """Metrics that are known by now must be sound; within a transformation they are not known yet."""
    if not isinstance(metrics.faults, jax.core.Tracer):
        require_sound(metrics)
    return metrics


def summarise(metrics: IterationMetrics) -> dict[str, float]:
    """Flat means over all leading axes. Episode means are left out where no episode ended, never reported as NaN.

    Raises:
        TrainingError: see `require_sound`.
    """
    require_sound(metrics)
    episodes = float(metrics.completed.count.sum())
    flat = {"episodes": episodes, "env_steps": float(metrics.env_steps.sum())}
    if episodes:
        flat["episode_return"] = float(metrics.completed.returns.sum()) / episodes
        flat["episode_length"] = float(metrics.completed.length.sum()) / episodes
        costs = metrics.completed.costs
        flat |= _numbered("episode_cost", costs.sum(tuple(range(costs.ndim - 1))) / episodes)
    for name in (
        "policy_loss",
        "illegal_loss",
        "entropy",
        "approx_kl",
        "clip_fraction",
        "grad_norm",
        "first_ratio_error",
    ):
        flat[name] = float(getattr(metrics.losses, name).mean())
    vectors = {
        "multipliers": metrics.multipliers,
        "value_loss": metrics.losses.value_loss,
        "explained_variance": metrics.explained_variance,
        "collapsed": metrics.collapsed,
    }
    for name, vector in vectors.items():
        flat |= _numbered(name, vector.mean(tuple(range(vector.ndim - 1))))
    return flat


def _numbered(name: str, vector: Float[Array, " entries"]) -> dict[str, float]:
    return {f"{name}_{index}": float(entry) for index, entry in enumerate(vector)}


def _cost_weight(config: PPOConfig) -> Float[Array, " costs"]:
    """Factor by which each further step of an episode counts less towards its cost."""
    return each_cost(config, config.cost_gamma if config.discounted_costs else 1.0)


def _update_multipliers(
    config: PPOConfig, multipliers: Multipliers, completed: Completed, unit: Float[Array, ""]
) -> Multipliers:
    return lagrangian.update_multipliers(
        config.gains,
        multipliers,
        cost=completed.costs / jnp.maximum(completed.count, 1.0),
        limits=limits_of(config),
        scales=each_cost(config, config.limit_scales),
        unit=unit,
        measured=completed.count > 0,
    )


def _average(config: PPOConfig, averaged: ActorCritic, params: ActorCritic) -> ActorCritic:
    decay = config.average_decay
    return jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, averaged, params)
