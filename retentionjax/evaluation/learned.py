"""A trained PPO policy as a rule that can be played, tuned and compared."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from etils import epath

from retentionjax import storage
from retentionjax.checkpoint import Checkpoints
from retentionjax.env import constraints, threefry
from retentionjax.env.actions import WAIT
from retentionjax.errors import BundleError
from retentionjax.evaluation.rollout import Policy, PolicyInput
from retentionjax.rl import networks

CERTAIN = 200.0  # log-odds: e^−200 is 0 in single precision
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
    actor, critic = (_constant(layers) for layers in (network.actor, trained.critic))
    actor = (*actor[:-1], replace(actor[-1], bias=actor[-1].bias.at[WAIT].set(CERTAIN)))
    return Trained(ppo(replace(network, actor=actor)), critic)


def _constant(layers: networks.MLP) -> networks.MLP:
    return (*layers[:-1], jax.tree.map(jnp.zeros_like, layers[-1]))


def save(trained: Trained, folder: epath.Path) -> None:
    """Writes `policy.json` (sizes, activation, wait bias) and the parameters (Orbax) into `folder`."""
    network: networks.PolicyNetwork = trained.policy.parameters
    hidden = [int(layer.bias.shape[0]) for layer in network.actor[:-1]]
    sizes = {
        "observation": int(network.actor[0].kernel.shape[0]),
        "hidden": hidden,
        "actions": int(network.actor[-1].bias.shape[0]),
        "activation": network.activation,
        "wait_bias": float(trained.policy.hyperparameter),
    }
    storage.write_json(folder / "policy.json", sizes)
    Checkpoints(folder / "parameters", keep=1).save(0, (network.actor, trained.critic))


def load(folder: epath.Path) -> Trained:
    """What `save` wrote. Raises BundleError or CheckpointError for files that are missing or do not fit."""
    sizes = storage.read_json(folder / "policy.json")
    try:
        hidden, activation, bias = tuple(sizes["hidden"]), sizes["activation"], float(sizes["wait_bias"])
        seen, actions = int(sizes["observation"]), int(sizes["actions"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{folder / 'policy.json'}: {error!r}; wanted: observation, hidden, actions, activation, wait_bias"
        ) from None
    like = jax.eval_shape(
        lambda key: networks.init_actor_critic(key, seen, actions, NUM_HEADS, hidden, 0.0),
        jax.random.key(0),
    )
    actor, critic = Checkpoints(folder / "parameters", keep=1).restore((like.actor, like.critic))
    network = networks.PolicyNetwork(actor=actor, normaliser=None, activation=networks.check_activation(activation))
    return Trained(ppo(network, bias), jax.tree.map(jnp.asarray, critic))
