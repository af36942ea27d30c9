"""Learning from a rollout: several passes over its samples in random minibatches."""

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from retentionjax.rl import ops, sharding
from retentionjax.rl.advantages import Estimates
from retentionjax.rl.config import PPOConfig, annealed
from retentionjax.rl.leaves import Leaf, Number
from retentionjax.rl.networks import ActorCritic, apply_mlp
from retentionjax.rl.rollout import Trajectory


@struct.dataclass
class Learner:
    """What learning changes."""

    params: ActorCritic
    opt_state: optax.OptState  # of all parameters as one vector


@struct.dataclass
class Samples:
    """What is learned from; leading axes [time, envs], and once in minibatches [samples]."""

    features: Leaf  # f32[features]
    mask: Leaf | None  # bool[actions]
    action: Leaf  # i32[]
    log_probability: Leaf  # f32[], of the action when it was taken
    advantage: Leaf  # f32[], of the Lagrangian, standardised
    value: Leaf  # f32[1 + K]
    target: Leaf  # f32[1 + K]


@struct.dataclass
class Losses:
    """Means over all minibatches of all epochs."""

    policy_loss: Leaf  # f32[]
    value_loss: Leaf  # f32[1 + K], in the critic's units
    illegal_loss: Leaf  # f32[], −log(unmasked probability of the legal actions)
    entropy: Leaf  # f32[], nats
    approx_kl: Leaf  # f32[], mean (ρ − 1) − log ρ, nats; Schulman's estimator, never negative
    clip_fraction: Leaf  # f32[], share of samples with |ρ − 1| > clip_eps
    grad_norm: Leaf  # f32[], of the actor's gradient, before it is clipped
    first_ratio_error: Leaf  # f32[], max |ρ − 1| in the first minibatch: 0 but for rounding, or something is wrong


OPTIMISER = optax.scale_by_adam(eps=1e-5)  # the learning rate is applied outside: it depends on the iteration


def init_learner(params: ActorCritic) -> Learner:
    """Parameters nothing has been learned with yet."""
    return Learner(params=params, opt_state=OPTIMISER.init(ravel_pytree(params)[0]))


def combine(trajectory: Trajectory, estimates: Estimates, multipliers: Float[Array, " costs"], shards: int) -> Samples:
    """Join all heads' advantages at the multipliers.

    Only the joined advantage is standardised, so that λ keeps its unit; see `ops.combine_advantages`.
    """
    combined = ops.combine_advantages(estimates.advantage, multipliers)
    mean, variance = sharding.moments(combined[..., None], shards)
    return Samples(
        features=estimates.features,
        mask=trajectory.mask,
        action=trajectory.action,
        log_probability=trajectory.log_probability,
        advantage=(combined - mean) / (jnp.sqrt(variance) + 1e-8),
        value=estimates.value,
        target=estimates.target,
    )


def run_epochs(
    config: PPOConfig, learner: Learner, samples: Samples, iteration: Array, key: PRNGKeyArray
) -> tuple[Learner, Losses]:
    """`num_epochs` passes over the samples in `num_minibatches` random parts, one optimiser step each."""
    exploring = config.annealing * config.num_iterations
    learning_rate = annealed(config.learning_rate, config.learning_rate_end, iteration, config.num_iterations)
    entropy_coef = annealed(config.entropy_coef, config.entropy_coef_end, iteration, exploring)
    barrier_coef = annealed(config.barrier_coef, config.barrier_coef_end, iteration, exploring)

    def minibatch(learner: Learner, batch: Samples) -> tuple[Learner, Losses]:
        gradient, losses = jax.grad(_loss, has_aux=True)(learner.params, config, batch, entropy_coef, barrier_coef)
        # One vector instead of a dozen small arrays: on CPU the optimiser's time is the number of its operations.
        flat, unravel = ravel_pytree(gradient)
        flat = sharding.mean(flat, config.shards)
        actor, critic = jnp.split(flat, [ravel_pytree(gradient.actor)[0].size])
        norm, clipped = _clip(actor, config.max_grad_norm)
        flat = jnp.concatenate([clipped, _clip(critic, config.max_grad_norm)[1]])
        updates, opt_state = OPTIMISER.update(flat, learner.opt_state)
        params = jax.tree.map(lambda p, u: p - learning_rate * u, learner.params, unravel(updates))
        return Learner(params=params, opt_state=opt_state), losses.replace(grad_norm=norm)

    def epoch(learner: Learner, deal: Array) -> tuple[Learner, Losses]:
        return jax.lax.scan(minibatch, learner, _minibatches(config, samples, deal))

    steps, envs = samples.action.shape
    units = steps * envs if config.shuffle == "samples" else envs
    learner, losses = jax.lax.scan(epoch, learner, ops.deals(key, units, config.num_minibatches, config.num_epochs))
    first = sharding.largest(losses.first_ratio_error[0, 0], config.shards)
    means = sharding.mean(jax.tree.map(lambda loss: loss.mean((0, 1)), losses), config.shards)
    return learner, means.replace(first_ratio_error=first)


def _minibatches(config: PPOConfig, samples: Samples, deal: Int[Array, "minibatches units"]) -> Samples:
    """Samples [time, envs, …] as [minibatches, samples, …], by the numbers of their samples or environments."""

    def divide(x: Array) -> Array:
        if config.shuffle == "samples":
            return x.reshape(-1, *x.shape[2:])[deal]
        return jnp.moveaxis(x[:, deal], 0, 1).reshape(config.num_minibatches, -1, *x.shape[2:])

    return jax.tree.map(divide, samples)


def _loss(
    params: ActorCritic,
    config: PPOConfig,
    batch: Samples,
    entropy_coef: Float[Array, ""],
    barrier_coef: Float[Array, ""],
) -> tuple[Float[Array, ""], Losses]:
    """Clipped surrogate + value loss − entropy + log-barrier + illegal loss, each but the first by its coefficient."""
    logits = apply_mlp(params.actor, batch.features, config.activation)
    log_probabilities = jax.nn.log_softmax(ops.mask_logits(logits, batch.mask))
    log_ratio = ops.log_probability(log_probabilities, batch.action) - batch.log_probability
    ratio = jnp.exp(log_ratio)
    value = apply_mlp(params.critic, batch.features, config.activation)
    losses = Losses(
        policy_loss=ops.clipped_surrogate(ratio, batch.advantage, config.clip_eps).mean(),
        value_loss=ops.value_loss(value, batch.value, batch.target, config.value_clip).mean(0),
        illegal_loss=ops.illegal_loss(logits, batch.mask).mean(),
        entropy=ops.entropy(log_probabilities).mean(),
        approx_kl=jnp.mean((ratio - 1.0) - log_ratio),
        clip_fraction=jnp.mean(jnp.abs(ratio - 1.0) > config.clip_eps),
        grad_norm=jnp.zeros(()),  # known once the gradient is
        first_ratio_error=jnp.max(jnp.abs(ratio - 1.0)),
    )
    loss = losses.policy_loss + config.value_coef * losses.value_loss.sum() - entropy_coef * losses.entropy
    loss += barrier_coef * ops.log_barrier(log_probabilities, batch.mask).mean()
    return loss + config.illegal_coef * losses.illegal_loss, losses


def _clip(gradient: Float[Array, " entries"], most: Number) -> tuple[Float[Array, ""], Float[Array, " entries"]]:
    """Norm of a gradient, and the gradient shortened to the norm `most` where it is longer."""
    norm = jnp.linalg.norm(gradient)
    return norm, gradient * jnp.minimum(1.0, most / jnp.maximum(norm, 1e-12))
