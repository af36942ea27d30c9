"""PPO on text: rollout → rewards and advantages → multiplier → epochs → KL price.

The details are those that published implementations were found to depend on (Huang et al. 2024, "The N implementation
details of RLHF with PPO"), with two additions: a cost with its own critic under a Lagrangian limit (PPO-Lag, Ray et al.
2019), and one copy of the base weights for policy, reference, reward model and critics.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, PRNGKeyArray

from retentionjax.checkpoint import Checkpoints
from retentionjax.errors import ConfigError
from retentionjax.language import experience as rollout
from retentionjax.language import loop, losses, packing, precision, stepwise
from retentionjax.language.experience import Costs, Texts
from retentionjax.language.hub import Model
from retentionjax.language.lora import Adapter
from retentionjax.language.optimiser import LearnerState, init_learner
from retentionjax.language.ppo_config import SafetyConfig, TextPPOConfig
from retentionjax.language.ppo_epochs import critic_optimiser, init_critic, run_epochs
from retentionjax.language.reward import RewardModel
from retentionjax.rl import lagrangian
from retentionjax.rl.lagrangian import Gains, Multipliers
from retentionjax.rl.leaves import Leaf
from retentionjax.tracking import Tracker


@struct.dataclass
class Multiplier:
    """State of λ: its controller, and the costs that it is told the mean of."""

    controller: Multipliers  # of one cost
    costs: Leaf  # f32[window], mean costs of the last iterations, newest last
    measured: Leaf  # i32[], how many of them are data

    @property
    def value(self) -> Array:
        """λ, f32[], reward a cost."""
        return self.controller.value[0]


@struct.dataclass
class PPOState:
    """All that a run goes on from."""

    policy: LearnerState
    critic: LearnerState
    coefficient: Leaf  # f32[], β, reward a nat
    multiplier: Multiplier
    key: Leaf  # an iteration's own is folded from it
    episodes: Leaf  # i32[], texts drawn


def train(
    model: Model,
    policy_adapter: Adapter,
    reward_model: RewardModel,
    prompts: Sequence[np.ndarray],
    costs: Costs,
    config: TextPPOConfig,
    key: PRNGKeyArray,
    *,
    tracker: Tracker | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> tuple[Adapter, list[dict[str, float]]]:
    """The policy after `iterations` rollouts, and each iteration's metrics (with `resume`, of those made now).

    Args:
        policy_adapter: the fine-tuned model; the policy starts there and, by default, stays near it.
        prompts: token sequences, chat template included.
        costs: of the texts written (special tokens removed) and the numbers of their prompts, one float each; 0 or 1
            for a limit on the share of texts.

    Raises:
        ConfigError: the reward model's adapter reaches below the policy's, so that they share no trunk.
        DataError: no prompts, an empty one, or costs of another shape.
    """
    _check(policy_adapter, reward_model)
    tokenizer, history = model.tokenizer, list[dict[str, float]]()
    eos, pad = int(tokenizer.eos_token_id), int(tokenizer.pad_token_id)
    rows = packing.pad_left(prompts, pad, config.multiple)  # so that every rollout has the same shape
    fast = stepwise.take_apart(model.decoder, config.batch)
    reference = policy_adapter if config.reference == "start" else None
    run_key, order_key = jax.random.split(key)
    seed = int(jax.random.bits(order_key, (), jnp.uint32))

    def step(state: PPOState, number: int) -> tuple[PPOState, dict[str, float]]:
        started = time.monotonic()
        own = jax.random.split(jax.random.fold_in(state.key, number))
        numbers = rollout.choose(rows, config, number, seed)
        texts = rollout.draw(fast, state.policy.params, rows, numbers, config, own[0], eos=eos, pad=pad)
        found = jnp.asarray(rollout.costs_of(costs, rollout.written(tokenizer, texts), numbers))
        drawn = time.monotonic()
        state, metrics = iterate(model, config, state, reference, reward_model, texts, found, number, own[1])
        metrics |= {"episode": float(state.episodes)} | _speeds(texts, started, drawn, time.monotonic())
        history.append(metrics)
        return state, metrics

    state, _ = loop.run(
        "PPO on text",
        init(config, policy_adapter, reward_model, run_key),
        config.iterations,
        step,
        unit="rollouts",
        shown=("objective/scores", "objective/kl", "objective/cost", "objective/lambda"),
        tracker=tracker,
        checkpoints=checkpoints,
        checkpoint_every=config.checkpoint_every,
        resume=resume,
    )
    return state.policy.params, history


def _speeds(texts: Texts, started: float, drawn: float, ended: float) -> dict[str, float]:
    """Seconds of both halves of an iteration, and what was done in them."""
    return {
        "eps": texts.mask.shape[0] / (ended - started),
        "time/rollout_tokens_per_second": float(texts.mask.sum()) / (drawn - started),
        "time/rollout": drawn - started,
        "time/update": ended - drawn,
    }


def init(config: TextPPOConfig, policy: Adapter, reward_model: RewardModel, key: PRNGKeyArray) -> PPOState:
    """The state before the first iteration."""
    scorer = reward_model.scorer
    critic = init_critic(config, scorer.weight, scorer.bias, reward_model.mean, reward_model.std)
    return PPOState(
        policy=init_learner(config.optimiser, policy),
        critic=init_learner(critic_optimiser(config), critic),
        coefficient=jnp.float32(config.kl.initial),
        multiplier=init_multiplier(config.safety),
        key=key,
        episodes=jnp.int32(0),
    )


def iterate(
    model: Model,
    config: TextPPOConfig,
    state: PPOState,
    reference: Adapter | None,
    reward_model: RewardModel,
    texts: Texts,
    costs: Array,
    number: int,
    key: PRNGKeyArray,
) -> tuple[PPOState, dict[str, float]]:
    """What one rollout teaches: the multiplier first, then the policy at its price, then β."""
    policy, critic = state.policy, state.critic
    judgement, own = rollout.judge(
        model.decoder,
        policy.params,
        reference,
        reward_model,
        critic.params,
        texts,
        layers=policy.params.first_layer,
        temperature=config.temperature,
        # Rounded operands make a token's log-probability depend on the program that computes it, by up to some 0.05:
        # so policy and reference are taken from one.
        recompute=precision.of(model.decoder) == "bfloat16",
    )
    texts = replace(texts, log_probs=own)
    multiplier = update_multiplier(config.safety, state.multiplier, costs.mean())
    learned, measured = rollout.learn_from(config, texts, judgement, costs, state.coefficient, multiplier.value)
    policy, critic, metrics = run_epochs(model.decoder, config, policy, critic, learned, number, key)
    coefficient = losses.update_coefficient(config.kl, state.coefficient, measured["objective/kl"], config.batch)
    metrics |= {name: float(value) for name, value in measured.items()}
    metrics |= {
        "objective/kl_coef": float(state.coefficient),
        "objective/lambda": float(multiplier.value),
        "objective/cost_window": float(windowed(multiplier)),
    }
    episodes = state.episodes + config.batch
    return PPOState(policy, critic, coefficient, multiplier, state.key, episodes), metrics


# --- the price of a violation ---------------------------------------------------------------------------------


def init_multiplier(config: SafetyConfig) -> Multiplier:
    """λ at its start, 0 where the constraint is off."""
    controller = lagrangian.init_multipliers(_gains(config), jnp.array([config.limit]))
    return Multiplier(controller, jnp.zeros(config.window), jnp.int32(0))


def windowed(multiplier: Multiplier) -> Array:
    """Mean cost of the last iterations, f32[]."""
    return multiplier.costs.sum() / jnp.clip(multiplier.measured, 1, multiplier.costs.shape[0])


def update_multiplier(config: SafetyConfig, multiplier: Multiplier, cost: Array) -> Multiplier:
    """λ from the windowed mean cost, by the controller of `rl.lagrangian`; held at 0 where it is off."""
    recent = jnp.concatenate([multiplier.costs[1:], cost[None]])
    following = replace(multiplier, costs=recent, measured=multiplier.measured + 1)
    limits, one = jnp.array([config.limit]), jnp.ones(1)
    unit = jnp.float32(config.limit if np.isfinite(config.limit) else 1.0)  # the gains are in reward a cost
    recently = windowed(following)[None]
    measured = jnp.ones((), bool)
    controller = lagrangian.update_multipliers(
        _gains(config), multiplier.controller, recently, limits, one, unit, measured
    )
    return replace(following, controller=controller)


def _gains(config: SafetyConfig) -> Gains:
    return Gains(
        proportional=config.proportional,
        integral=config.integral,
        smoothing=config.smoothing,
        initial=config.initial,
        maximum=config.maximum,
        violation_clip=config.violation_clip,
        idle=0.0,  # no message blocked in some rollouts is as it should be
    )


def _check(policy: Adapter, reward_model: RewardModel) -> None:
    below = reward_model.scorer.adapter.first_layer
    if reward_model.clicks is not None and below != policy.first_layer:
        raise ConfigError(
            f"the reward model's first_layer is {below}; allowed: {policy.first_layer}, the policy's, since its click "
            "head reads the states of the layers below both"
        )
    if below < policy.first_layer:
        raise ConfigError(
            f"the reward model's first_layer is {below}; allowed: {policy.first_layer}, the policy's, or above, since "
            "both read the states of the frozen layers below it"
        )
