"""A trained PPO policy as a rule that can be played, tuned and compared."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from retentionjax import storage
from retentionjax.env import constraints, threefry
from retentionjax.env.actions import WAIT
from retentionjax.errors import BundleError
from retentionjax.evaluation.rollout import Policy, PolicyInput
from retentionjax.rl import networks

CERTAIN = 200.0  # log-odds: e^−200 is 0 in single precision
SIZES, PARAMETERS = "policy.json", "parameters.npz"
NUM_HEADS = 1 + len(constraints.NAMES)  # value heads: uplift in $, then each cost to come


@dataclass(frozen=True)
class Trained:
    """A policy ready to decide, with the value heads it was trained with."""

    policy: Policy
    critic: networks.MLP  # observation → [uplift to come in $, each cost to come]

    def values(self, observations: jax.Array) -> jax.Array:
        """f32[..., NUM_HEADS] of observations f32[..., 16]."""
        return networks.apply_mlp(self.critic, observations, self.policy.parameters.activation)


def ppo(policy: networks.PolicyNetwork, wait_bias: float = 0.0) -> Policy:
    """Actions drawn from the policy's propensities; the hyperparameter is added to the logit of *wait*.

    One number on one logit sets the spend exactly without another training run, where the multiplier alone leaves
    it within a few per cent; everything else about the policy stays.
    """
    return Policy("ppo", _ppo, hyperparameter=wait_bias, parameters=policy)


def logits(policy: Policy, situation: PolicyInput) -> jax.Array:
    """Logits of the actions, very low where the mask forbids; f32[..., actions], of one situation or a batch."""
    plain = networks.policy_logits(policy.parameters, situation.observation, situation.mask)
    return plain.at[..., WAIT].add(policy.hyperparameter)


def _ppo(policy: Policy, situations: PolicyInput, keys: jax.Array) -> jax.Array:
    return threefry.categorical(keys, logits(policy, situations))


def waiting(trained: Trained) -> Trained:
    """A policy of the sizes of `trained` that always waits, whatever it sees; its value heads say that this gains and
    costs nothing."""
    network: networks.PolicyNetwork = trained.policy.parameters
    actor, critic = (
        (*layers[:-1], jax.tree.map(jnp.zeros_like, layers[-1])) for layers in (network.actor, trained.critic)
    )
    actor = (*actor[:-1], replace(actor[-1], bias=actor[-1].bias.at[WAIT].set(CERTAIN)))
    return Trained(ppo(replace(network, actor=actor)), critic)


def save(trained: Trained, folder: epath.Path) -> None:
    """Writes `policy.json` (sizes, activation, wait bias) and `parameters.npz`, arrays by their place, into `folder`.

    Not by Orbax, which keeps training's checkpoints: its files differ from one writing to the next and name the folder
    they were written in, and equal policies are to be equal files.
    """
    network: networks.PolicyNetwork = trained.policy.parameters
    hidden = [int(layer.bias.shape[0]) for layer in network.actor[:-1]]
    sizes = {
        "observation": int(network.actor[0].kernel.shape[0]),
        "hidden": hidden,
        "actions": int(network.actor[-1].bias.shape[0]),
        "activation": network.activation,
        "wait_bias": float(trained.policy.hyperparameter),
    }
    storage.write_json(folder / SIZES, sizes)
    storage.write_arrays(folder / PARAMETERS, _named({"actor": network.actor, "critic": trained.critic}))


def load(folder: epath.Path) -> Trained:
    """What `save` wrote. Raises BundleError for files that do not fit and DataError for one missing or damaged."""
    sizes = storage.read_json(folder / SIZES)
    try:
        hidden, activation, bias = tuple(sizes["hidden"]), sizes["activation"], float(sizes["wait_bias"])
        seen, actions = int(sizes["observation"]), int(sizes["actions"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{folder / SIZES}: {error!r}; wanted: observation, hidden, actions, activation, wait_bias"
        ) from None
    like = jax.eval_shape(
        lambda key: networks.init_actor_critic(key, seen, actions, NUM_HEADS, hidden, 0.0),
        jax.random.key(0),
    )
    layers = _restored(folder / PARAMETERS, {"actor": like.actor, "critic": like.critic})
    network = networks.PolicyNetwork(
        actor=layers["actor"], normaliser=None, activation=networks.check_activation(activation)
    )
    return Trained(ppo(network, bias), layers["critic"])


def _named(tree: Any) -> dict[str, Any]:
    """Leaves by their place: `actor.0.kernel` to `critic.2.bias`."""
    return {_name(place): leaf for place, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _name(place: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(place, simple=True, separator=".")


def _restored(path: epath.Path, like: dict[str, networks.MLP]) -> dict[str, networks.MLP]:
    """The arrays in the file in the places of `like`. Raises BundleError for one that has another shape or type."""
    found, wanted = storage.read_arrays(path), _named(like)
    for name in sorted(found.keys() | wanted.keys()):
        there, needed = (
            f"{one[name].dtype}{list(one[name].shape)}" if name in one else "nothing" for one in (found, wanted)
        )
        if there != needed:
            raise BundleError(f"{path}: {name} is {there}; by {SIZES} it is {needed}")
    restored: dict[str, networks.MLP] = jax.tree_util.tree_map_with_path(
        lambda place, leaf: jnp.asarray(found[_name(place)]), like
    )
    return restored
