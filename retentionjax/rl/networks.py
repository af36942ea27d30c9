"""Multilayer perceptrons as plain pytrees, and the actor and critic made of them.

Plain arrays instead of a module class: the whole network is data, so it can be averaged, vmapped over seeds,
checkpointed and exported without any framework of ours on the reading side.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from retentionjax.errors import ConfigError
from retentionjax.rl.normalise import Normaliser, normalise
from retentionjax.rl.ops import mask_logits

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "swish": jax.nn.swish,
}


@struct.dataclass
class Dense:
    """One affine layer, y = x · kernel + bias."""

    kernel: Array  # f32[inputs, outputs]
    bias: Array  # f32[outputs]


MLP = tuple[Dense, ...]


@struct.dataclass
class ActorCritic:
    """Separate networks, so that the critics' large early errors cannot disturb the policy's features."""

    actor: MLP  # observation → logits [actions]
    critic: MLP  # observation → values [1 + K]: the reward's head first, then one head a cost


@struct.dataclass
class Policy:
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
    keys = jax.random.split(key, len(sizes) - 1)
    for index, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        gain = final_scale if index == len(sizes) - 2 else 2.0**0.5
        kernel = jax.nn.initializers.orthogonal(gain)(keys[index], (inputs, outputs), jnp.float32)
        layers.append(Dense(kernel=kernel, bias=jnp.zeros(outputs, jnp.float32)))
    return tuple(layers)


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
    head = actor[-1].replace(bias=actor[-1].bias.at[0].add(null_action_bias))
    critic = init_mlp(critic_key, (observation_size, *hidden, num_heads), final_scale=1.0)
    return ActorCritic(actor=(*actor[:-1], head), critic=critic)


def apply_mlp(mlp: MLP, x: Float[Array, "*batch inputs"], activation: str) -> Float[Array, "*batch outputs"]:
    """Run the layers in order with `activation` between them."""
    nonlinearity = ACTIVATIONS[activation]
    for layer in mlp[:-1]:
        x = nonlinearity(x @ layer.kernel + layer.bias)
    return x @ mlp[-1].kernel + mlp[-1].bias


def policy_logits(
    policy: Policy, observation: Float[Array, "*batch features"], mask: Bool[Array, "*batch actions"] | None = None
) -> Float[Array, "*batch actions"]:
    """Logits of the categorical policy for raw observations; `mask` False makes an action impossible."""
    return mask_logits(apply_mlp(policy.actor, normalise(policy.normaliser, observation), policy.activation), mask)
