"""What each step was worth: advantages and value targets, a head for the reward and one a cost."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from retentionjax.rl import ops
from retentionjax.rl.config import PPOConfig, each_head
from retentionjax.rl.leaves import Leaf
from retentionjax.rl.networks import ActorCritic, Normaliser, apply_mlp, normalise
from retentionjax.rl.rollout import Trajectory


@struct.dataclass
class Estimates:
    """Estimates of every step, leading axes [time, envs]. Heads: reward, then one a cost, each in its own unit."""

    features: Leaf  # f32[features], observations as the networks see them
    advantage: Leaf  # f32[1 + K]
    value: Leaf  # f32[1 + K], by the critic that the rollout began with
    target: Leaf  # f32[1 + K], what the critic should have said


def estimate_advantages(
    config: PPOConfig,
    params: ActorCritic,
    normaliser: Normaliser | None,
    trajectory: Trajectory,
    last_observation: Float[Array, "envs features"],
) -> Estimates:
    """Generalised advantage estimates for every head.

    Args:
        last_observation: raw, where the rollout stopped.
    """
    features = normalise(normaliser, trajectory.observation)
    value = apply_mlp(params.critic, features, config.activation)
    last = apply_mlp(params.critic, normalise(normaliser, last_observation), config.activation)
    following = jnp.concatenate([value[1:], last[None]])
    survival = trajectory.discount * ~trajectory.terminated
    unbroken = (~(trajectory.terminated | trajectory.truncated)).astype(jnp.float32)
    advantage = ops.generalised_advantages(
        rewards=jnp.concatenate([trajectory.reward[..., None], trajectory.costs], -1),
        discounts=survival[..., None] * each_head(config, config.gamma, config.cost_gamma),
        values=value,
        next_values=_values_reached(config, params, normaliser, trajectory, following),
        continues=jnp.broadcast_to(unbroken[..., None], value.shape),
        decay=each_head(config, config.gae_lambda, config.cost_gae_lambda),
    )
    return Estimates(features=features, advantage=advantage, value=value, target=value + advantage)


def _values_reached(
    config: PPOConfig,
    params: ActorCritic,
    normaliser: Normaliser | None,
    trajectory: Trajectory,
    following: Float[Array, "time envs heads"],
) -> Float[Array, "time envs heads"]:
    """Value of the state each step reached: the next observation's, or the final one's where an episode was cut off.

    Cuts are rare, so their final observations are valued `envs` at a time until none is left: an environment that
    never truncates pays for a count and no more.
    """
    truncated = trajectory.truncated.reshape(-1)
    final = trajectory.final_observation.reshape(truncated.shape[0], -1)
    chunk = trajectory.truncated.shape[1]
    total, rank = truncated.sum(), jnp.cumsum(truncated) - 1

    def value_chunk(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        done, reached = carry
        chosen = truncated & (rank >= done) & (rank < done + chunk)
        index = jnp.nonzero(chosen, size=chunk, fill_value=truncated.shape[0])[0]
        features = normalise(normaliser, final.at[index].get(mode="clip"))
        value = apply_mlp(params.critic, features, config.activation)
        return done + chunk, reached.at[index].set(value, mode="drop")

    start = (jnp.zeros_like(total), following.reshape(truncated.shape[0], -1))
    _, reached = jax.lax.while_loop(lambda carry: carry[0] < total, value_chunk, start)
    return reached.reshape(following.shape)
