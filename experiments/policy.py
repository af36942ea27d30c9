"""Trains the contact policy: Lagrangian PPO on the training customers, then its spend set on them exactly.

Episodes of training have expected churn and a shaped reward (see `RetentionEnv`); the figures of the summary are
those of held-out customers whose churn is sampled. Where effects are in doubt, each episode of training draws them anew
(`env.worlds`); the spend is set where they are as believed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import companies, effects
from experiments import customers as people
from experiments.config import in_range
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.checked import Checked, Count, Seed, Within
from retentionjax.checkpoint import Checkpoints
from retentionjax.company import Company
from retentionjax.company.environment import average_limits, env_params
from retentionjax.env import constraints, record, worlds
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.env.value import never_unforeseen, with_potential
from retentionjax.errors import ConfigError
from retentionjax.evaluation import baselines, doubt, learned, plots
from retentionjax.evaluation.baselines import spend_exactly
from retentionjax.evaluation.rollout import Episodes, Policy, play
from retentionjax.evaluation.statistics import Bootstrap, IntervalEstimate, plain
from retentionjax.rl import Gains, PPOConfig, device_mesh, ppo
from retentionjax.rl.config import check_ranges
from retentionjax.rl.networks import PolicyNetwork, scale_outputs
from retentionjax.tracking import progress, read_metrics

BUDGET = "campaign_budget"  # of `constraints.NAMES`, the one whose multiplier is reported and whose spend is set
DEFAULT_LIMITS = dict(zip(constraints.NAMES, constraints.DEFAULT_LIMITS, strict=True))
CAMPAIGN = 90  # days of a rollout, unless the company's campaigns are of another length
WAIT_BIASES = (-4.0, 8.0)  # where the bias that sets the spend is sought, in log-odds of the policy that learned
RAREST = 16.0  # log-odds of *wait* at which an untrained policy contacts nobody
STARTERS = 500  # customers on whom the start's spend is set
WORTHLESS = 0.1  # $ of value for a $ of spend: the budget does not bind
SETTLED = 0.5  # share of the iterations, the last ones, over which the multiplier is averaged


def campaign_settings(**differences: Any) -> PPOConfig:
    """PPO for campaigns: a rollout of 90 steps is one whole campaign, in which nothing is discounted.

    What is not here has `PPOConfig`'s default; the limits have a setting of their own.
    """
    return PPOConfig(
        # The demo's share of the attainable gain at equal cost: 98.1 to 98.5 % in 240 iterations (four seeds; on a
        # later machine 97.0 to 98.2 %), 97.3 and 97.6 % in 120 of 1,024 environments, 97.3 % in 480 of 256. In 600 of
        # 1,024, at five times the cost, 99.1 %.
        num_iterations=400,
        num_envs=512,
        num_steps=CAMPAIGN,
        num_minibatches=16,
        shuffle="envs",
        # With half of it the demo gained less, even in more iterations.
        learning_rate=4e-3,
        gamma=1.0,
        # A shorter trace leaves the multiplier far below the exact one, though the policy gains as much: presumably the
        # critic, on which it leans, sees too little of what a contact is worth later.
        gae_lambda=0.95,
        cost_gamma=1.0,
        cost_gae_lambda=0.95,
        entropy_coef=0.02,
        # Exploring all the way: a policy that is certain to wait does not notice that the multiplier fell, which then
        # comes out too low.
        entropy_coef_end=0.005,
        barrier_coef=1e-3,
        barrier_coef_end=1e-4,
        annealing=1.0,
        # A policy that starts by contacting everybody winds the multiplier up.
        null_action_bias=4.0,
        # Teaches the unmasked policy what the mask forbids.
        illegal_coef=0.1,
        average_decay=0.9,  # the averaged parameters are the ones deployed
        # It begins at $ 1 of value per $ of spend, near what a budget is worth. Slow steps: the policy takes dozens of
        # iterations to follow its multiplier, and with six times the integral the multiplier swung by a tenth about
        # its mean.
        gains=Gains(proportional=0.2, integral=0.005, initial=1.0),
    ).replace(**differences)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class PolicyConfig(Checked):
    seed: Seed = 42
    env: Mapping[str, Any] = field(default_factory=dict)
    """Constants of the environment that differ from the company's, by their names in `EnvParams`."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Average limits per customer and campaign that differ from the company's, by cost, in $, contacts and violations;
    `inf` switches one off."""
    ppo: PPOConfig = field(default_factory=campaign_settings)
    target_spend: Annotated[float, Within(0, 1, above=True)] = 0.96
    """Share of the campaign budget to spend on the training customers; held-out ones differ by a few per cent."""
    spend_tolerance: tuple[float, float] = (0.90, 1.00)
    """Allowed spend on held-out customers, as a share of the limit: lowest and highest; otherwise the stage fails."""
    sharpness: Annotated[float, Within(0, above=True)] = 1.5
    """Factor on the learned policy's logits when it is used: learning has to explore, use only pays for it."""
    tuning_replicates: Count = 4
    """Episodes per training customer that set the spend. With 2, chance alone moved spend by 1.3 %."""
    check_replicates: Count = 32
    """Episodes per held-out customer behind the summary's figures. With 16, chance alone moved spend by 1.2 %."""
    doubt_customers: Count = 2000
    """Most held-out customers used to estimate the probability of beating never contacting, in every world."""
    checkpoint_every: Count = 10
    """Iterations between checkpoints."""

    def __post_init__(self) -> None:
        """Refuses what no campaign can be."""
        super().__post_init__()
        record.from_dict(self.env)
        for name, limit in self.limits.items():
            if name not in DEFAULT_LIMITS:
                raise ConfigError(f"limits.{name}: no such cost; allowed: {', '.join(DEFAULT_LIMITS)}")
            in_range(f"limits.{name}", limit, 0.0, np.inf, open_low=name == BUDGET)
        check_ranges(self.ppo)
        if len(self.ppo.limits):  # type: ignore[arg-type]
            raise ConfigError(f"ppo.limits is {self.ppo.limits}; allowed: nothing, `limits` names each")

    def of(self, company: Company) -> "PolicyConfig":
        """These settings with every limit given, the company's where nothing else is said, and rollouts of a whole
        campaign."""
        ppo = self.ppo
        if ppo.num_steps == CAMPAIGN:
            ppo = ppo.replace(num_steps=company.horizon_days)  # type: ignore[attr-defined]
        return replace(self, limits={**average_limits(company), **self.limits}, ppo=ppo)

    @property
    def budget(self) -> float:
        """The campaign budget, $ a customer."""
        return self.limits.get(BUDGET, DEFAULT_LIMITS[BUDGET])

    @property
    def training(self) -> PPOConfig:
        """The settings as PPO takes them: limits in the order of `constraints.NAMES`; of the budget, what is spent."""
        # Only the budget's multiplier is known beforehand.
        initial = jnp.array([self.ppo.gains.initial if name == BUDGET else 0.0 for name in constraints.NAMES])
        of = {**DEFAULT_LIMITS, **self.limits, BUDGET: self.target_spend * self.budget}
        limits = tuple(of[name] for name in constraints.NAMES)
        return self.ppo.replace(limits=limits, gains=self.ppo.gains.replace(initial=initial))  # type: ignore[attr-defined]


def run(config: PolicyConfig, context: Context) -> dict[str, float]:
    """Population → training → spend → figures on held-out customers. See Stage."""
    company = companies.of(context.inputs)
    config = config.of(company)
    joined = people.join(context.inputs, company, seed=config.seed)
    constants = effects.believed(context, company, env_params(company, joined.median_charge), dict(config.env))
    people.save(joined, constants, context.artifacts)
    storage.write_json(
        context.artifacts / people.LIMITS, plain({name: config.limits[name] for name in constraints.NAMES})
    )
    params = people.with_customers(constants, joined.train)
    held_out = people.with_customers(worlds.as_believed(constants), joined.held_out)

    started = time.monotonic()
    state = train(config, people.taught(params), context)
    lines = read_metrics(context.folder / "metrics.jsonl")
    policy, spends = set_spend(config, deployed(config, state), worlds.as_believed(params), settled_multiplier(lines))
    seconds = time.monotonic() - started
    learned.save(learned.Trained(policy, ppo.critic(state, averaged=True)), context.artifacts / "policy")
    plots.learning_curve(lines, config.budget, company.currency, context.artifacts)
    who = joined.held_out["customer_id"].to_numpy(object)
    sure = sureness(config, policy, people.judged(held_out, context.artifacts), who)
    found = figures(config, policy, state, held_out, spends=spends, who=who)
    return found | price(lines, spends=spends) | sure | {"train_seconds": seconds}


def sureness(config: PolicyConfig, policy: Policy, judged: EnvParams, who: np.ndarray) -> dict[str, float]:
    """The chance to gain more than never contacting, by which the bundle's gate goes, and spend over the worlds."""
    some = worlds.rows(judged, slice(None, doubt.WORLDS))
    key = jax.random.key(config.seed + 3)
    both, most = [baselines.never(), policy], config.doubt_customers
    found = doubt.measure(some, both, key, customers=most, seed=config.seed, who=who)
    return {
        "gate_probability": found.beats_never,
        "worlds": float(worlds.count(judged)),
        **found.spend.flat("spend_over_worlds"),
    }


def train(config: PolicyConfig, params: EnvParams, context: Context) -> ppo.TrainState:
    """All iterations, or those that a killed run left undone; metrics a line each, checkpoints on the way.

    Raises:
        TrainingError: something was no number, or nothing was legal; names iteration and quantity.
    """
    settings = at_budget(config, params)
    env = RetentionEnv(expected_churn=True, shaping=True)
    params = with_potential(params)
    unforeseen = float(never_unforeseen(params))
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
            line["uplift"] -= unforeseen
            tracker.log(iteration, line)
            bar.advance(
                uplift=line["uplift"], spend=line["cost_campaign_budget"], multiplier=line["multiplier_campaign_budget"]
            )
            if line[f"collapsed_{BUDGET}"]:
                print(f"[policy] iteration {iteration}: {_collapse(config, line)}", flush=True)
            if iteration % config.checkpoint_every == 0 or iteration == total:
                checkpoints.save(iteration, state)
    return state


def at_budget(config: PolicyConfig, params: EnvParams) -> PPOConfig:
    """Settings whose untrained policy spends what is to be spent, or less: `null_action_bias` is the least on *wait*.

    One that begins at many times the budget throws the multiplier about, and the iterations after it are spent on
    getting back; how much it spends depends on the number of offers and on what they cost.
    """
    settings, key = config.training, jax.random.key(config.seed)
    believed = worlds.as_believed(params)
    rows = np.unique(np.linspace(0, believed.population.size - 1, STARTERS).astype(int))
    few = believed.replace(population=believed.population.take(rows))  # type: ignore[attr-defined]
    env, least = RetentionEnv(expected_churn=True), float(settings.null_action_bias)
    unbiased = settings.replace(null_action_bias=0.0)  # type: ignore[attr-defined]
    untrained = learned.ppo(jax.jit(lambda key: ppo.untrained(env, few, unbiased, key))(key))
    target = config.target_spend * config.budget
    set_to = spend_exactly(untrained, env, few, target, between=(least, RAREST), key=key, replicates=1, steps=8)
    return settings.replace(null_action_bias=set_to.hyperparameter)  # type: ignore[attr-defined]


def deployed(config: PolicyConfig, state: ppo.TrainState) -> Policy:
    """The averaged policy, as sharp as `config` has it; its spend is still to be set."""
    return learned.ppo(sharper(config, ppo.policy(config.training, state, averaged=True)))


def sharper(config: PolicyConfig, network: PolicyNetwork) -> PolicyNetwork:
    """The network with its logits times `config.sharpness`."""
    factors = jnp.full_like(network.actor[-1].bias, config.sharpness)
    return replace(network, actor=scale_outputs(network.actor, factors))


def named(summary: Mapping[str, float]) -> dict[str, float]:
    """PPO's summary with the costs' names for their numbers; the shaped return is the uplift in $, up to what the
    potential does not foresee (`never_unforeseen`)."""
    renamed = dict(summary)
    for index, name in enumerate(constraints.NAMES):
        renamed[f"cost_{name}"] = renamed.pop(f"episode_cost_{index}")
        renamed[f"multiplier_{name}"] = renamed.pop(f"multipliers_{index}")
        renamed[f"collapsed_{name}"] = renamed.pop(f"collapsed_{index}")
    renamed["uplift"] = renamed.pop("episode_return")
    return renamed


def _collapse(config: PolicyConfig, line: Mapping[str, float]) -> str:
    """What is said of a policy that stopped contacting."""
    spend, multiplier = line[f"cost_{BUDGET}"], line[f"multiplier_{BUDGET}"]
    return (
        f"contacts hardly anybody (spend {spend:.4f} of {config.budget:.2f}); the multiplier of spend was "
        f"halved to {multiplier:.3g}"
    )


def set_spend(config: PolicyConfig, policy: Policy, params: EnvParams, multiplier: float) -> tuple[Policy, bool]:
    """The policy with the bias on *wait* at which training customers spend the target share of the budget, and True.

    No policy is made to spend what it would rather keep: where the next $ of budget returns less than `WORTHLESS` of
    itself, and where contacts that it would not have made bring less than they cost, it is left as it was learned, or
    as near as the budget allows, and False.
    """
    env, key = RetentionEnv(expected_churn=True), jax.random.key(config.seed + 1)
    binds = multiplier > WORTHLESS
    between = (config.sharpness * WAIT_BIASES[0] if binds else 0.0, config.sharpness * WAIT_BIASES[1])
    steps = 14
    with progress("set the spend", steps, "steps") as bar:
        spent = spend_exactly(
            policy,
            env,
            params,
            config.target_spend * config.budget,
            between=between,
            key=key,
            replicates=config.tuning_replicates,
            steps=steps,
            advance=bar.advance,
        )
    if binds and float(spent.hyperparameter) < 0:
        left: Policy = spent.replace(hyperparameter=0.0)  # type: ignore[attr-defined]
        kept, made = (play(env, params, each, key, replicates=config.tuning_replicates).value for each in (left, spent))
        if np.mean(kept) > np.mean(made):
            return left, False
    return spent, binds


def price(lines: Sequence[Mapping[str, float | None]], *, spends: bool) -> dict[str, float]:
    """What the next $ of the budget returns, and how far that swung; 0 where the policy would not spend it all."""
    return {
        "multiplier_campaign_budget": settled_multiplier(lines) if spends else 0.0,
        "multiplier_campaign_budget_sd": multiplier_swing(lines),
    }


def settled_multiplier(lines: Sequence[Mapping[str, float | None]]) -> float:
    """The budget's shadow price as learned, $ of value for the next $ of budget: the multiplier's mean at the end.

    The multiplier moves about its limit; the averages of a primal-dual method converge where its iterates need not
    (Nedić and Ozdaglar 2009, "Subgradient methods for saddle-point problems").

    Args:
        lines: of metrics.jsonl, an iteration each.
    """
    return float(np.mean(_settled(lines)))


def multiplier_swing(lines: Sequence[Mapping[str, float | None]]) -> float:
    """Standard deviation of the multiplier over the iterations of which `settled_multiplier` is the mean."""
    return float(np.std(_settled(lines)))


def _settled(lines: Sequence[Mapping[str, float | None]]) -> Any:
    last = lines[-max(1, round(SETTLED * len(lines))) :]
    return np.array([line["multiplier_campaign_budget"] for line in last], np.float64)


def figures(
    config: PolicyConfig,
    policy: Policy,
    state: ppo.TrainState,
    held_out: EnvParams,
    *,
    spends: bool,
    who: np.ndarray | None = None,
) -> dict[str, float]:
    """Spend and violations on held-out customers, with the mask and without; raises ConfigError at the gate, whose
    lower end is for a policy that `spends` its budget (see `set_spend`)."""
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
    customers = Bootstrap(held_out.population.size if who is None else who, seed=config.seed)
    ratio = IntervalEstimate(*(spend / config.budget for spend in customers.mean(masked.spend)))
    of = f"with other customers {ratio.low:.3f} to {ratio.high:.3f}, at 95 %"
    in_range(
        f"spend_ratio (gate spend_tolerance, held-out spend / campaign_budget; {of})",
        ratio.mean,
        config.spend_tolerance[0] if spends else 0.0,
        config.spend_tolerance[1],
    )
    steps = int(state.iteration) * config.ppo.num_envs * config.ppo.num_steps
    return {
        **ratio.flat("spend_ratio"),
        "violations_masked": float(violations(masked) + masked.account_violations.sum()),
        "violations_raw_per_contact": float(violations(raw) / max(1.0, raw.contacts.sum())),
        "contacts_per_customer": float(np.mean(masked.contacts)),
        "wait_bias": float(policy.hyperparameter),
        "env_steps": float(steps),
    }


def violations(episodes: Episodes) -> Any:
    """Contacts inside a cooldown or beyond the fatigue cap, all episodes together."""
    return episodes.cooldown_violations.sum() + episodes.fatigue_violations.sum()


STAGE = Stage("policy", PolicyConfig, run, needs=("data", "churn", "acceptance", "effects"))

if __name__ == "__main__":
    STAGE.main()
