"""Multilayer perceptrons as plain pytrees, and the actor and critic made of them.

Plain arrays instead of a module class: the whole network is data, so it can be averaged, vmapped over seeds,
checkpointed and exported without any framework of ours on the reading side.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from retentionjax.errors import ConfigError
from retentionjax.rl import sharding
from retentionjax.rl.leaves import Leaf
from retentionjax.rl.ops import mask_logits

# --- normalised observations -----------------------------------------------------------------------------------------
# Source: Chan, Golub, LeVeque 1979 (merging two samples' moments), the form stable in float32.


CLIP = 10.0  # standard deviations; an unseen magnitude must not blow up the policy's input
EPSILON = 1e-6  # added to the variance: a feature that never moves stays 0, instead of 0/0


@struct.dataclass
class Normaliser:
    """Moments of the observations seen so far."""

    count: Leaf  # f32[]
    mean: Leaf  # f32[features]
    variance: Leaf  # f32[features]


def init_normaliser(features: int) -> Normaliser:
    """Statistics of nothing: the first update overwrites them, and until then `normalise` is the identity."""
    return Normaliser(count=jnp.zeros(()), mean=jnp.zeros(features), variance=jnp.ones(features))


def normalise(
    normaliser: Normaliser | None, observation: Float[Array, "*batch features"]
) -> Float[Array, "*batch features"]:
    """Observation in standard deviations from the mean, clipped to ±10; unchanged when there is no normaliser."""
    if normaliser is None:
        return observation
    scaled = (observation - normaliser.mean) / jnp.sqrt(normaliser.variance + EPSILON)
    return jnp.clip(scaled, -CLIP, CLIP)


def update_normaliser(
    normaliser: Normaliser | None, observations: Float[Array, "*batch features"], shards: int = 1
) -> Normaliser | None:
    """Merge a batch of raw observations, and those of the other shards, into the running moments."""
    if normaliser is None:
        return None
    mean, variance = sharding.moments(observations, shards)
    count = jnp.float32(shards * observations.size // observations.shape[-1])
    total = normaliser.count + count
    delta = mean - normaliser.mean
    squares = normaliser.variance * normaliser.count + variance * count + delta**2 * normaliser.count * count / total
    return Normaliser(count=total, mean=normaliser.mean + delta * count / total, variance=squares / total)


# --- networks -------------------------------------------------------------------------------------------------------


@jax.custom_jvp
def tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """tanh with its derivative as 1 − y², which runs twice as fast on CPU as the form autodiff picks."""
    return jnp.tanh(x)


tanh.defjvps(lambda tangent, y, _: tangent * (1.0 - y * y))

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": tanh,
    "relu": jax.nn.relu,
    "swish": jax.nn.swish,
}


@struct.dataclass
class Dense:
    """One affine layer, y = x · kernel + bias."""

    kernel: Leaf  # f32[inputs, outputs]
    bias: Leaf  # f32[outputs]


MLP = tuple[Dense, ...]
BLOCK = 128  # rows of a batch summed at a time into a kernel's gradient


@struct.dataclass
class ActorCritic:
    """Separate networks, so that the critics' large early errors cannot disturb the policy's features."""

    actor: MLP  # observation → logits [actions]
    critic: MLP  # observation → values [1 + K]: the reward's head first, then one head a cost


@struct.dataclass
class PolicyNetwork:
    """All that acting needs: the actor and the observation statistics it was trained with."""

    actor: MLP
    normaliser: Normaliser | None
    activation: str = struct.field(pytree_node=False)


def check_activation(name: str) -> str:
    """Return `name` if it is a known activation, else raise ConfigError."""
    if name not in ACTIVATIONS:
        raise ConfigError(f"activation is {name!r}; allowed: {', '.join(ACTIVATIONS)}")
    return name


def init_mlp(key: PRNGKeyArray, sizes: Sequence[int], final_scale: float) -> MLP:
    """Orthogonal kernels (gain √2, `final_scale` for the last layer) and zero biases.

    Source: Andrychowicz et al. 2020, "What matters in on-policy RL"; Engstrom et al. 2020. A small final scale
    makes the initial policy nearly uniform (before the null-action bias) and the initial values nearly zero.
    """
    layers = []
    shapes = list(itertools.pairwise(sizes))
    most = max(inputs * outputs for inputs, outputs in shapes)
    # All layers' draws in one: XLA takes 0.6 s to compile a call of `normal`, and a draw hangs on key and place alone.
    draws = jax.vmap(lambda key: jax.random.normal(key, (most,)))(jax.random.split(key, len(shapes)))
    for index, (inputs, outputs) in enumerate(shapes):
        gain = final_scale if index == len(shapes) - 1 else 2.0**0.5
        kernel = gain * _orthogonal(draws[index, : inputs * outputs], inputs, outputs)
        layers.append(Dense(kernel=kernel, bias=jnp.zeros(outputs, jnp.float32)))
    return tuple(layers)


def _orthogonal(draws: Float[Array, " entries"], inputs: int, outputs: int) -> Float[Array, "inputs outputs"]:
    """A matrix with orthonormal rows or columns out of normal `draws`, as `jax.nn.initializers.orthogonal` makes it
    (Mezzadri 2007), one factorisation at a time under `vmap`.

    LAPACK's batched QR waits in XLA's thread pool for threads of that same pool: with as many batches at once as
    there are threads (2 on 2 cores, actor and critic, seeds vmapped) it waits for ever.
    """

    def one(draws: Float[Array, " entries"]) -> Float[Array, "inputs outputs"]:
        q, r = jnp.linalg.qr(draws.reshape(max(inputs, outputs), min(inputs, outputs)))
        tall = q * jnp.sign(jnp.diagonal(r))
        return tall.T if inputs < outputs else tall

    kernel: Float[Array, "inputs outputs"] = jax.custom_batching.sequential_vmap(one)(draws)
    return kernel


def init_actor_critic(
    key: PRNGKeyArray,
    observation_size: int,
    num_actions: int,
    num_heads: int,
    hidden: Sequence[int],
    null_action_bias: float | Float[Array, ""],
) -> ActorCritic:
    """Initial networks; `null_action_bias` is added to the logit of action 0 (nothing done, nothing spent)."""
    actor_key, critic_key = jax.random.split(key)
    actor = init_mlp(actor_key, (observation_size, *hidden, num_actions), final_scale=0.01)
    head = replace(actor[-1], bias=actor[-1].bias.at[0].add(null_action_bias))
    critic = init_mlp(critic_key, (observation_size, *hidden, num_heads), final_scale=1.0)
    return ActorCritic(actor=(*actor[:-1], head), critic=critic)


def apply_mlp(mlp: MLP, x: Float[Array, "*batch inputs"], activation: str) -> Float[Array, "*batch outputs"]:
    """Run the layers in order with `activation` between them."""
    nonlinearity = ACTIVATIONS[activation]
    for layer in mlp[:-1]:
        x = nonlinearity(_affine(x, layer.kernel, layer.bias))
    return _affine(x, mlp[-1].kernel, mlp[-1].bias)


def scale_outputs(mlp: MLP, factors: Float[Array, " outputs"]) -> MLP:
    """The network whose outputs are `factors` times those of `mlp`."""
    last = mlp[-1]
    return (*mlp[:-1], Dense(kernel=last.kernel * factors, bias=last.bias * factors))


def policy_logits(
    policy: PolicyNetwork,
    observation: Float[Array, "*batch features"],
    mask: Bool[Array, "*batch actions"] | None = None,
) -> Float[Array, "*batch actions"]:
    """Logits of the categorical policy for raw observations; `mask` False makes an action impossible.

    NaN where no action is legal.

    Raises:
        ConfigError: the mask has more or fewer entries than there are actions.
    """
    actions = policy.actor[-1].bias.shape[-1]
    if mask is not None and mask.shape[-1] != actions:
        raise ConfigError(f"the mask has {mask.shape[-1]} entries; allowed: {actions}, one an action")
    return mask_logits(apply_mlp(policy.actor, normalise(policy.normaliser, observation), policy.activation), mask)


@jax.custom_vjp
def _affine(
    x: Float[Array, "*batch inputs"], kernel: Float[Array, "inputs outputs"], bias: Float[Array, " outputs"]
) -> Float[Array, "*batch outputs"]:
    """x · kernel + bias; its backward pass is written out, since training on CPU spends most of its time there."""
    return x @ kernel + bias


def _affine_forward(x: Array, kernel: Array, bias: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel + bias, (x, kernel)


def _affine_backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array, Array]:
    x, kernel = saved
    rows, flat = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    # A product with ones sums the bias's gradient three times faster than a reduction does.
    return gradient @ kernel.T, _kernel_gradient(rows, flat), jnp.ones(flat.shape[0]) @ flat


def _kernel_gradient(
    x: Float[Array, "rows inputs"], gradient: Float[Array, "rows outputs"]
) -> Float[Array, "inputs outputs"]:
    """xᵀg, summed over blocks of rows where that is faster.

    XLA's CPU product is slow at contracting many rows into a small matrix: 284 µs for [64, 1024] × [1024, 64], and
    146 µs in blocks of 128 rows, provided that the smaller side comes first. Large kernels ([128, 128]) lose by it.
    """
    inputs, outputs = x.shape[1], gradient.shape[1]
    if x.shape[0] % BLOCK or min(inputs, outputs) > 64:
        return x.T @ gradient
    x, gradient = x.reshape(-1, BLOCK, inputs), gradient.reshape(-1, BLOCK, outputs)
    if inputs <= outputs:
        return jnp.einsum("kbi,kbo->kio", x, gradient).sum(0)
    return jnp.einsum("kbi,kbo->koi", x, gradient).sum(0).T


_affine.defvjp(_affine_forward, _affine_backward)
