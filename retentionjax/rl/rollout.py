"""Acting in a batch of environments and keeping the books of their episodes.

Environments follow gymnax 1.0: `step` returns (observation, state, reward, terminated, truncated, info), resets by
itself, and leaves the observation before the reset in `info["final_observation"]`. Beyond that, optional:

- `info["costs"]: f32[K]`, what the step cost by each constraint (absent: K = 0);
- `info["discount"]: f32[]`, the probability s of surviving the step. An environment that never ends an episode but
  returns s is worth the same as one that ends it with probability 1 − s, with less variance. gymnax' own
  environments return 0 where they terminate and 1 elsewhere, which says the same;
- `env.action_mask(state, params) -> bool[A]`, the legal actions of a state.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from retentionjax.errors import ConfigError
from retentionjax.rl import ops
from retentionjax.rl.leaves import Leaf
from retentionjax.rl.networks import PolicyNetwork, apply_mlp, normalise


@runtime_checkable
class Environment(Protocol):
    """The part of gymnax' interface that training uses."""

    def reset(self, key: Any, params: Any) -> tuple[Any, Any]: ...

    def step(
        self, key: Any, state: Any, action: Any, params: Any
    ) -> tuple[Any, Any, Any, Any, Any, dict[Any, Any]]: ...

    def action_space(self, params: Any) -> Any: ...


@dataclass(frozen=True)
class Specification:
    """Sizes that follow from an environment."""

    features: int  # of an observation, flattened
    actions: int
    costs: int  # K


@struct.dataclass
class RunningEpisodes:
    """Running sums of the episode each environment is in."""

    returns: Leaf  # f32[envs], Σ r weighted by the survival so far
    costs: Leaf  # f32[envs, K], Σ c weighted likewise (and by γ_c^t where costs are discounted)
    length: Leaf  # f32[envs], steps
    survival: Leaf  # f32[envs], Π s: the weight of the next reward
    cost_weight: Leaf  # f32[envs, K], the weight of the next costs


@struct.dataclass
class Simulation:
    """The environments between two rollouts."""

    env_state: Any  # the environment's own pytree, leading axis envs
    observation: Leaf  # f32[envs, features], raw
    episodes: RunningEpisodes


@struct.dataclass
class Trajectory:
    """What a rollout records; leading axes [time, envs]."""

    observation: Leaf  # f32[features], raw
    mask: Leaf | None  # bool[actions]
    action: Leaf  # i32[]
    log_probability: Leaf  # f32[], of the action under the policy that took it
    reward: Leaf  # f32[]
    costs: Leaf  # f32[K]
    discount: Leaf  # f32[], survival discount s
    terminated: Leaf  # bool[]
    truncated: Leaf  # bool[], and not terminated
    final_observation: Leaf  # f32[features], raw, the state reached, before any reset


@struct.dataclass
class Completed:
    """Sums over episodes that ended. Sums and counts, so that any number of rollouts add up to the right mean."""

    count: Leaf  # f32[]
    returns: Leaf  # f32[]
    costs: Leaf  # f32[K]
    length: Leaf  # f32[]


def specify(env: Environment, env_params: Any) -> Specification:
    """Read the sizes of an environment without running it.

    Raises:
        ConfigError: the actions are not a finite set, `step` does not return gymnax 1.0's six things, observations are
            no arrays of one size, the costs no vector, reward or discount no number, the flags of an episode's end not
            bool, or the mask not one bool an action.
    """
    actions = getattr(env.action_space(env_params), "n", None)
    if actions is None:
        raise ConfigError(f"{type(env).__name__} has no discrete action space; PPO here needs one")

    def probe(key: PRNGKeyArray) -> tuple[Any, Any, Any]:
        observation, state = env.reset(key, env_params)
        mask = env.action_mask(state, env_params) if hasattr(env, "action_mask") else None
        return observation, env.step(key, state, jnp.int32(0), env_params), mask

    observation, stepped, mask = jax.eval_shape(probe, jax.random.key(0))
    if len(stepped) != len(STEPPED):
        raise ConfigError(f"{type(env).__name__}.step returns {len(stepped)} things; allowed: {', '.join(STEPPED)}")
    following, _, reward, terminated, truncated, info = stepped
    if "final_observation" not in info:
        raise ConfigError(
            f"{type(env).__name__} returns no info['final_observation']; allowed: what an episode ended in"
        )
    _require(env, "observation", observation, None, "an array")
    if not observation.size:
        raise ConfigError(f"{type(env).__name__} returns an empty observation; allowed: one number or more")
    same = f"{list(observation.shape)}, as on reset"
    _require(env, "a step's observation", following, observation.shape, same)
    _require(env, "final_observation", info["final_observation"], observation.shape, same)
    _require(env, "costs", info.get("costs"), (None,), "one axis, an entry a constraint")
    _require(env, "reward", reward, (), "a number")
    _require(env, "discount", info.get("discount"), (), "a number")
    for name, flag in {"terminated": terminated, "truncated": truncated}.items():
        _require(env, name, flag, (), "bool[]", jnp.bool_)
    _require(env, "action_mask", mask, (int(actions),), f"bool[{int(actions)}], one an action", jnp.bool_)
    costs = info["costs"].shape[0] if "costs" in info else 0
    return Specification(features=observation.size, actions=int(actions), costs=costs)


STEPPED = ("observation", "state", "reward", "terminated", "truncated", "info")


def _require(
    env: Environment, name: str, value: Any, shape: tuple[int | None, ...] | None, allowed: str, kind: Any = None
) -> None:
    """Refuse what an environment returns under `name` with another shape (None: any, or any size) or type."""
    if value is None:
        return
    if not hasattr(value, "shape"):
        raise ConfigError(f"{type(env).__name__} returns {name} as {type(value).__name__}; allowed: {allowed}")
    fits = shape is None or (
        len(value.shape) == len(shape)
        and all(want in (None, have) for want, have in zip(shape, value.shape, strict=True))
    )
    if not fits or not (kind is None or jnp.issubdtype(value.dtype, kind)):
        returned = f"{name} of shape {value.shape} and type {value.dtype}"
        raise ConfigError(f"{type(env).__name__} returns {returned}; allowed: {allowed}")


FAULTS = (
    "the reward is not finite",
    "a cost is not finite",
    "the discount is not from 0 to 1",
    "the observation is not finite",
    "the mask allows no action",
)


ROUNDING = 1e-5


def faults(trajectory: Trajectory) -> Float[Array, " faults"]:
    """How many steps had each of `FAULTS`: what is not finite, a discount that is no probability, and a mask by which
    nothing is legal."""
    unlikely = ~((trajectory.discount >= 0.0) & (trajectory.discount <= 1.0 + ROUNDING))  # NaN too
    numbers = {"reward": trajectory.reward, "cost": trajectory.costs, "observation": trajectory.final_observation}
    infinite = {name: _any_entry(~jnp.isfinite(each), trajectory.reward.ndim) for name, each in numbers.items()}
    counts = [each.sum() for each in (infinite["reward"], infinite["cost"], unlikely, infinite["observation"])]
    stuck = jnp.zeros(()) if trajectory.mask is None else (~trajectory.mask.any(-1)).sum()
    return jnp.stack([*counts, stuck]).astype(jnp.float32)


def _any_entry(bad: Array, axes: int) -> Array:
    """Whether any entry is true of what follows the first `axes` axes."""
    return bad.any(tuple(range(axes, bad.ndim)))


def start(env: Environment, env_params: Any, num_envs: int, num_costs: int, key: PRNGKeyArray) -> Simulation:
    """Reset `num_envs` environments."""
    observation, env_state = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(key, num_envs), env_params)
    # Without weak types, so that a state means the same program before and after a checkpoint.
    env_state = jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), env_state)
    return Simulation(
        env_state=env_state, observation=_flat(observation, num_envs), episodes=_new_episodes(num_envs, num_costs)
    )


def collect(
    env: Environment,
    env_params: Any,
    policy: PolicyNetwork,
    simulation: Simulation,
    cost_gamma: Float[Array, " costs"],
    num_steps: int,
    key: PRNGKeyArray,
) -> tuple[Simulation, Trajectory, Completed]:
    """Act for `num_steps` in every environment.

    Args:
        cost_gamma: weight of each further step in an episode's cost: 1 for undiscounted costs.
    """

    def step(simulation: Simulation, key: PRNGKeyArray) -> tuple[Simulation, tuple[Trajectory, Completed]]:
        return _step(env, env_params, policy, simulation, cost_gamma, key)

    simulation, (trajectory, completed) = jax.lax.scan(step, simulation, jax.random.split(key, num_steps))
    return simulation, trajectory, jax.tree.map(lambda x: x.sum(0), completed)


def _step(
    env: Environment,
    env_params: Any,
    policy: PolicyNetwork,
    simulation: Simulation,
    cost_gamma: Float[Array, " costs"],
    key: PRNGKeyArray,
) -> tuple[Simulation, tuple[Trajectory, Completed]]:
    observation = simulation.observation
    num_envs = observation.shape[0]
    action_key, step_key = jax.random.split(key)
    mask = _mask(env, env_params, simulation.env_state)
    features = normalise(policy.normaliser, observation)
    logits = ops.mask_logits(apply_mlp(policy.actor, features, policy.activation), mask)
    action = ops.sample_action(action_key, logits)
    following, env_state, reward, terminated, truncated, info = jax.vmap(env.step, in_axes=(0, 0, 0, None))(
        jax.random.split(step_key, num_envs), simulation.env_state, action, env_params
    )
    transition = Trajectory(
        observation=observation,
        mask=mask,
        action=action,
        log_probability=ops.log_probability(jax.nn.log_softmax(logits), action),
        reward=reward.astype(jnp.float32),
        costs=jnp.asarray(info.get("costs", jnp.zeros((num_envs, 0))), jnp.float32),
        discount=jnp.asarray(info.get("discount", jnp.ones(num_envs)), jnp.float32),
        terminated=terminated,
        truncated=truncated & ~terminated,
        final_observation=_flat(info["final_observation"], num_envs),
    )
    episodes, completed = _account(simulation.episodes, transition, cost_gamma)
    following = Simulation(env_state=env_state, observation=_flat(following, num_envs), episodes=episodes)
    return following, (transition, completed)


def _account(
    episodes: RunningEpisodes, transition: Trajectory, cost_gamma: Float[Array, " costs"]
) -> tuple[RunningEpisodes, Completed]:
    """Add a step to the running sums; hand over and restart those of the episodes that ended."""
    running = RunningEpisodes(
        returns=episodes.returns + episodes.survival * transition.reward,
        costs=episodes.costs + episodes.cost_weight * transition.costs,
        length=episodes.length + 1.0,
        survival=episodes.survival * transition.discount,
        cost_weight=episodes.cost_weight * transition.discount[:, None] * cost_gamma,
    )
    done = transition.terminated | transition.truncated
    ended = done.astype(jnp.float32)
    completed = Completed(
        count=ended.sum(), returns=ended @ running.returns, costs=ended @ running.costs, length=ended @ running.length
    )
    fresh = _new_episodes(*running.costs.shape)
    restarted = jax.tree.map(
        lambda new, old: jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old), fresh, running
    )
    return restarted, completed


def _new_episodes(num_envs: int, num_costs: int) -> RunningEpisodes:
    return RunningEpisodes(
        returns=jnp.zeros(num_envs),
        costs=jnp.zeros((num_envs, num_costs)),
        length=jnp.zeros(num_envs),
        survival=jnp.ones(num_envs),
        cost_weight=jnp.ones((num_envs, num_costs)),
    )


def _mask(env: Environment, env_params: Any, env_state: Any) -> Array | None:
    action_mask = getattr(env, "action_mask", None)
    return None if action_mask is None else jax.vmap(action_mask, in_axes=(0, None))(env_state, env_params)


def _flat(observation: Array, num_envs: int) -> Float[Array, "envs features"]:
    return observation.reshape(num_envs, -1).astype(jnp.float32)
