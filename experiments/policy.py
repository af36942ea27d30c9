"""Trains the contact policy: Lagrangian PPO on the training customers, then its spend set on them exactly.

Episodes of training have expected churn and a shaped reward (see `RetentionEnv`); the figures of the summary are
those of held-out customers whose churn is sampled.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments import customers as people
from experiments.config import in_range
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.checkpoint import Checkpoints
from retentionjax.env import constraints, record
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.env.value import with_potential
from retentionjax.evaluation import learned, plots
from retentionjax.evaluation.rollout import Episodes, Policy, play
from retentionjax.evaluation.tuning import spend_exactly
from retentionjax.rl import ppo
from retentionjax.rl.lagrangian import Gains
from retentionjax.rl.sharding import device_mesh
from retentionjax.tracking import progress, read_metrics

WAIT_BIASES = (-4.0, 8.0)  # where the bias that sets the spend is sought, in log-odds
SETTLED = 0.5  # share of the iterations, the last ones, over which the price is averaged


@dataclass(frozen=True)
class Limits:
    """Average limits a customer and campaign, by cost; `inf` switches one off."""

    campaign_budget: float = constraints.DEFAULT_LIMITS[0]
    """$ spent: discounts and contacts."""
    contact: float = constraints.DEFAULT_LIMITS[1]
    """Contacts."""
    cooldown: float = constraints.DEFAULT_LIMITS[2]
    """Contacts inside a cooldown."""
    fatigue: float = constraints.DEFAULT_LIMITS[3]
    """Contacts beyond the fatigue cap."""

    def __post_init__(self) -> None:
        """Refuses negative limits, and a budget of nothing."""
        for limit in fields(self):
            in_range(limit.name, getattr(self, limit.name), 0.0, np.inf)
        in_range("campaign_budget", self.campaign_budget, 0.0, np.inf, open_low=True)


@dataclass(frozen=True)
class Settings:
    """Of PPO; what is left out has the default of `PPOConfig`. A rollout of 90 steps is one whole campaign."""

    num_iterations: int = 200
    num_envs: int = 1024
    num_steps: int = 90
    num_epochs: int = 4
    num_minibatches: int = 32
    shuffle: Literal["samples", "envs"] = "envs"
    """What a minibatch draws; whole environments are cheaper to gather."""
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 2e-3
    learning_rate_end: float = 0.0
    gamma: float = 1.0
    gae_lambda: float = 0.95
    """For the reward and the costs alike. At 0.8 the policy gained as much, at a multiplier up to 40 % below the exact
    price: presumably the critic, on which a short trace leans, sees too little of what a contact is worth later."""
    clip_eps: float = 0.2
    value_clip: float | None = None
    value_coef: float = 0.5
    max_grad_norm: float = 50.0
    """Against accidents only. The norm, some 4, is the critic's, which counts in $, and is largest where an offer is
    accepted: a clip that bites makes those minibatches count less, so contacts seem worth less than they are. At 0.5
    two seeds gained a little less."""
    entropy_coef: float = 0.02
    entropy_coef_end: float = 0.005
    """Above 0, for a policy that is certain to wait does not notice that the price fell, and the multiplier strays."""
    null_action_bias: float = 4.0
    """Added to the initial logit of *wait*: a policy that starts by contacting everybody winds the multiplier up."""
    illegal_coef: float = 0.1
    """Teaches the unmasked policy what the mask forbids: weight of −log(share of legal actions)."""
    average_decay: float = 0.9
    """Of the averaged parameters, which are the ones deployed."""

    def __post_init__(self) -> None:
        """Ranges; the rest is checked where the program is built."""
        for name in ("gamma", "gae_lambda", "average_decay"):
            in_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("learning_rate", "clip_eps", "max_grad_norm"):
            in_range(name, getattr(self, name), 0.0, np.inf, open_low=True)
        for name in ("learning_rate_end", "value_coef", "entropy_coef", "entropy_coef_end", "illegal_coef"):
            in_range(name, getattr(self, name), 0.0, np.inf)


@dataclass(frozen=True)
class MultiplierGains:
    """Of the multipliers' controller (see `rl.lagrangian.Gains`)."""

    proportional: float = 0.3
    integral: float = 0.15
    derivative: float = 0.0
    smoothing: float = 0.8
    initial: float = 1.0
    """$ of value per $ of spend: about the budget's shadow price, so that the search starts near it."""
    maximum: float = 100.0
    violation_clip: float = 0.1
    """Small, since the first policies hardly contact: how little they spend says nothing of the price."""


@dataclass(frozen=True)
class PolicyConfig:
    """Settings of the stage."""

    seed: int = 42
    rank_correlation: float = 0.0
    """Of churn risk and acceptance, declared: the two data sets are different people."""
    env: Mapping[str, float] = field(default_factory=dict)
    """Constants of the retention model that differ from `EnvParams`, by name."""
    limits: Limits = field(default_factory=Limits)
    ppo: Settings = field(default_factory=Settings)
    multipliers: MultiplierGains = field(default_factory=MultiplierGains)
    target_spend: float = 0.96
    """Share of the campaign budget to spend, on the training customers: held-out ones differ by a few per cent."""
    spend_tolerance: tuple[float, float] = (0.90, 1.00)
    """Gate: spend on held-out customers over the limit; outside it the stage fails."""
    tuning_replicates: int = 2
    """Episodes a training customer by which the spend is set."""
    check_replicates: int = 16
    """Episodes a held-out customer behind the summary's figures."""
    checkpoint_every: int = 10
    """Iterations."""

    def __post_init__(self) -> None:
        """Refuses what no campaign can be."""
        in_range("rank_correlation", self.rank_correlation, -1.0, 1.0)
        in_range("target_spend", self.target_spend, 0.0, 1.0, open_low=True)
        for name in ("tuning_replicates", "check_replicates", "checkpoint_every"):
            in_range(name, getattr(self, name), 1, np.inf)
        record.from_dict(self.env)


def run(config: PolicyConfig, context: Context) -> dict[str, float]:
    """Population → training → spend → figures on held-out customers. See Stage."""
    joined = people.join(context.inputs, rank_correlation=config.rank_correlation, seed=config.seed)
    constants = record.from_dict(config.env)
    people.save(joined, record.to_dict(constants), context.artifacts)
    storage.write_json(
        context.artifacts / "limits.json", {name: _finite(limit) for name, limit in asdict(config.limits).items()}
    )
    params = people.with_customers(constants, joined.train)
    held_out = people.with_customers(constants, joined.held_out)

    started = time.monotonic()
    settings = ppo_config(config)
    state = train(config, settings, params, context)
    policy = set_spend(config, learned.ppo(ppo.policy(settings, state, averaged=True)), params)
    seconds = time.monotonic() - started
    learned.save(learned.Trained(policy, state.averaged_params.critic), context.artifacts / "policy")
    lines = read_metrics(context.folder / "metrics.jsonl")
    plots.learning_curve(lines, config.limits.campaign_budget, context.artifacts)
    price = settled_price(lines)
    return figures(config, policy, state, held_out) | {"price_campaign_budget": price, "train_seconds": seconds}


def ppo_config(config: PolicyConfig) -> ppo.PPOConfig:
    """The settings as PPO takes them: limits in the order of `constraints.NAMES`."""
    limits = asdict(config.limits)
    initial = jnp.array([config.multipliers.initial, 0.0, 0.0, 0.0])  # only the budget's price is known beforehand
    return ppo.PPOConfig(
        **asdict(config.ppo),
        limits=tuple(limits[name] for name in constraints.NAMES),
        gains=Gains(**asdict(config.multipliers) | {"initial": initial}),
        cost_gamma=1.0,
        cost_gae_lambda=config.ppo.gae_lambda,
    )


def train(config: PolicyConfig, settings: ppo.PPOConfig, params: EnvParams, context: Context) -> ppo.TrainState:
    """All iterations, or those that a killed run left undone; metrics a line each, checkpoints on the way."""
    env = RetentionEnv(expected_churn=True, shaping=True)
    params = with_potential(params)
    checkpoints = Checkpoints(context.checkpoints)
    state = jax.jit(lambda key: ppo.init(env, params, settings, key))(jax.random.key(config.seed))
    step = checkpoints.latest_step() if context.resume else None
    if step is not None:
        state = checkpoints.restore(state, step)
    # One device a group of environments where there are enough; the result is the same on one.
    mesh = device_mesh(settings.shards) if 1 < settings.shards <= jax.device_count() else None
    iterate = jax.jit(lambda params, state: ppo.train_iteration(env, params, settings, state, mesh))
    total = settings.num_iterations
    with context.tracker(step) as tracker, progress("policy", total, "iterations") as bar:
        bar.advance(step or 0)
        for iteration in range((step or 0) + 1, total + 1):
            state, metrics = iterate(params, state)
            line = named(ppo.summarise(metrics))
            tracker.log(iteration, line)
            bar.advance(
                uplift=line["uplift"], spend=line["cost_campaign_budget"], price=line["multiplier_campaign_budget"]
            )
            if iteration % config.checkpoint_every == 0 or iteration == total:
                checkpoints.save(iteration, state)
    return state


def named(summary: Mapping[str, float]) -> dict[str, float]:
    """PPO's summary with the costs' names for their numbers; the shaped return is the uplift in $."""
    renamed = dict(summary)
    for index, name in enumerate(constraints.NAMES):
        renamed[f"cost_{name}"] = renamed.pop(f"episode_cost_{index}")
        renamed[f"multiplier_{name}"] = renamed.pop(f"multipliers_{index}")
    renamed["uplift"] = renamed.pop("episode_return")
    return renamed


def set_spend(config: PolicyConfig, policy: Policy, params: EnvParams) -> Policy:
    """The policy with the bias on *wait* at which training customers spend the target share of the budget."""
    low, high = WAIT_BIASES
    steps = 14
    with progress("set the spend", steps, "steps") as bar:
        return spend_exactly(
            policy,
            RetentionEnv(expected_churn=True),
            params,
            config.target_spend * config.limits.campaign_budget,
            low=low,
            high=high,
            key=jax.random.key(config.seed + 1),
            replicates=config.tuning_replicates,
            steps=steps,
            advance=bar.advance,
        )


def settled_price(lines: Sequence[Mapping[str, float | None]]) -> float:
    """The budget's shadow price as learned, $ of value for the next $ of budget: the multiplier's mean at the end.

    The multiplier moves about its limit; the averages of a primal-dual method converge where its iterates need not
    (Nedić and Ozdaglar 2009, "Subgradient methods for saddle-point problems").

    Args:
        lines: of metrics.jsonl, an iteration each.
    """
    last = lines[-max(1, round(SETTLED * len(lines))) :]
    return float(np.mean(np.array([line["multiplier_campaign_budget"] for line in last], np.float64)))


def figures(config: PolicyConfig, policy: Policy, state: ppo.TrainState, held_out: EnvParams) -> dict[str, float]:
    """Spend and violations on held-out customers, with the mask and without; raises ConfigError at the gate."""
    size = held_out.population.size * config.check_replicates
    key = jax.random.key(config.seed + 2)
    with progress("check on held-out customers", 2 * size, "episodes") as bar:
        masked, raw = (
            play(
                RetentionEnv(masked=mask),
                held_out,
                policy,
                key,
                replicates=config.check_replicates,
                advance=bar.advance,
            )
            for mask in (True, False)
        )
    spend_ratio = float(np.mean(masked.spend)) / config.limits.campaign_budget
    in_range(
        "spend_ratio (gate spend_tolerance, held-out spend / campaign_budget)", spend_ratio, *config.spend_tolerance
    )
    steps = int(state.iteration) * config.ppo.num_envs * config.ppo.num_steps
    return {
        "spend_ratio": spend_ratio,
        "violations_masked": float(violations(masked) + masked.account_violations.sum()),
        "violations_raw_per_contact": float(violations(raw) / max(1.0, raw.contacts.sum())),
        "contacts_per_customer": float(np.mean(masked.contacts)),
        "multiplier_campaign_budget": float(state.multipliers.value[0]),
        "wait_bias": float(policy.knob),
        "env_steps": float(steps),
    }


def violations(episodes: Episodes) -> Any:
    """Contacts inside a cooldown or beyond the fatigue cap, all episodes together."""
    return episodes.cooldown_violations.sum() + episodes.fatigue_violations.sum()


def price_of(summary: Mapping[str, float]) -> float:
    """What the next $ of budget returns, by the stage's summary; by the last multiplier in runs that did not say."""
    return float(summary.get("price_campaign_budget", summary["multiplier_campaign_budget"]))


def _finite(limit: float) -> float | None:
    """A limit as JSON holds it: null for none."""
    return limit if np.isfinite(limit) else None


STAGE = Stage("policy", PolicyConfig, run, needs=("churn", "acceptance"))

if __name__ == "__main__":
    STAGE.main()
