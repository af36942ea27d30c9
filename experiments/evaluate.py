"""Plays every policy on held-out customers under common random numbers: is the learned one better than a simple rule?

Each rule is tuned on the training customers to spend what the learned policy was set to spend there. On a sample of
the held-out customers the learned policy is also compared with the exact optimum: `optimum` in evaluation.json holds
the fields of `evaluation.optimum.Regret` and `learned_multiplier`. `artifacts/bundle/` is the bundle, with these
figures.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import numpy as np

from experiments import companies
from experiments import customers as people
from experiments.stage import Context, Stage
from retentionjax import bundle as bundles
from retentionjax import storage
from retentionjax.checked import Checked, Count, Seed, Within
from retentionjax.env import actions, worlds
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation import baselines, business, doubt, learned, optimum, plots
from retentionjax.evaluation.baselines import spend_exactly
from retentionjax.evaluation.rollout import Episodes, Policy, daily_spend, play
from retentionjax.evaluation.statistics import Bootstrap, IntervalEstimate, plain
from retentionjax.tracking import progress


@dataclass(frozen=True)
class TLearner(Checked):
    """Settings of the uplift baseline."""

    episodes: Count = 300_000
    """Logged by a random policy, one decision each."""
    trees: Count = 30
    depth: Count = 3
    learning_rate: Annotated[float, Within(0, 1, above=True)] = 0.15


@dataclass(frozen=True)
class EvaluateConfig(Checked):
    seed: Seed = 42
    replicates: Count = 72
    """Episodes a held-out customer and policy: 72 make about 100,000 on the real data."""
    tuning_replicates: Count = 2
    """Episodes a training customer by which a rule's spend is set."""
    tuning_steps: Count = 12
    """Bisections of a rule's hyperparameter."""
    thompson_rounds: Count = 5
    """Campaigns on the training customers from which the bandit learns."""
    t_learner: TLearner = TLearner()
    worlds: Count = doubt.WORLDS
    """Draws of the effects, none of which taught the policy, in which every policy is judged; 1: as believed."""
    doubt_customers: Count = 2000
    """Held-out customers at most who are played in each of them."""
    optimum_customers: Count = 64
    """Held-out customers on whom the exact optimum is found; about a second of CPU each."""
    optimum_replicates: Count = 2000
    """Episodes of each of them under the learned policy."""


def run(config: EvaluateConfig, context: Context) -> dict[str, float]:
    """Tune → play → compare. Writes evaluation.json and the pictures; prints the table. See Stage."""
    folder = context.inputs["policy"] / "artifacts"
    _, train = people.load(folder, "train")
    held_table, believed = people.load(folder, "held_out")
    held_out = some_worlds(config, people.judged(believed, folder))
    budget = people.budget(folder)
    ours = learned.load(folder / "policy").policy
    learned_multiplier = storage.read_json(context.inputs["policy"] / "summary.json")["multiplier_campaign_budget"]

    target = spend_on_training(config, train, ours)
    with ThreadPoolExecutor(1) as beside:  # the plays leave a core to the optimum
        sought = beside.submit(distance_to_optimum, config, believed, ours, budget, learned_multiplier, target)
        policies = [baselines.never(), *rules(config, train, target), ours]
        episodes = play_all(config, held_out, policies)
        with progress("exact optimum", 1) as bar:
            regret = sought.result()
            bar.advance()
    who = held_table["customer_id"].to_numpy(object)
    bootstrap = Bootstrap(who, seed=config.seed)
    charge = held_table["monthly_charge"].to_numpy()
    metrics, paired = business.compared(episodes, charge, bootstrap)
    doubted = doubt_of(config, held_out, policies, episodes, who)
    if doubted.worlds > 1:  # what is not known is part of these intervals
        metrics = {
            name: each | ({"uplift": doubted.uplift[name]} if name != "never" else {}) for name, each in metrics.items()
        }
        paired = dict(doubted.paired)
    currency = companies.of(context.inputs).currency
    title = f"Held-out customers ({context.data_source} data), {currency} a customer and campaign"
    footer = regret if isinstance(regret, str) else optimum.sentences(regret, learned_multiplier, currency)
    business.show(metrics, paired, title=title, footer=footer)
    segments = business.by_segment(episodes, held_table["churn_probability"], charge, config.seed, who)
    full = {
        "policies": plain(metrics),
        "paired_ppo_minus": plain(paired),
        "segments": plain(segments),
        "hyperparameters": {policy.name: float(policy.hyperparameter) for policy in policies},
        "rows": len(held_table),
        "customers": held_table["customer_id"].nunique(),
        "replicates": config.replicates,
        **(
            {}
            if isinstance(regret, str)
            else {"optimum": regret.to_dict() | {"learned_multiplier": learned_multiplier}}
        ),
    }
    storage.write_json(context.artifacts / "evaluation.json", full)
    pictures(config, context, held_out, policies, metrics, budget)
    figures = summary(metrics, paired, episodes) | chances(doubted)
    figures |= {} if isinstance(regret, str) else _attained(regret, learned_multiplier)
    measured = {"evaluate": {"data_source": context.data_source, **figures}}
    bundles.with_metrics(context.inputs["bundle"] / "artifacts/bundle", context.artifacts / "bundle", measured)
    return figures


def some_worlds(config: EvaluateConfig, params: EnvParams) -> EnvParams:
    """`params` with at most so many worlds as are asked for; where one is, that which is as believed."""
    if config.worlds == 1:
        return worlds.as_believed(params)
    return worlds.rows(params, slice(None, config.worlds))


def doubt_of(
    config: EvaluateConfig,
    held_out: EnvParams,
    policies: list[Policy],
    episodes: Mapping[str, Episodes],
    who: np.ndarray,
) -> doubt.Doubt:
    """What the policies gain in worlds that taught none of them; of the one world there may be, `episodes` tell."""
    if worlds.count(held_out) == 1:
        value = {name: doubt.by_world(played.value, 1) for name, played in episodes.items()}
        return doubt.judge(value, doubt.by_world(episodes["ppo"].spend, 1), seed=config.seed, who=who)
    key = jax.random.key(config.seed + 3)
    with progress("play in every world", len(policies), "policies") as bar:
        found = doubt.measure(held_out, policies, key, customers=config.doubt_customers, seed=config.seed, who=who)
        bar.advance(len(policies))
    return found


def chances(doubted: doubt.Doubt) -> dict[str, float]:
    """The keys of summary.json that say how sure it is."""
    return {
        "probability_beats_never": doubted.beats_never,
        "probability_beats_best_rule": doubted.beats_best_rule,
        "worlds": float(doubted.worlds),
        **doubted.spend.flat("spend_ppo_over_worlds"),
    }


def distance_to_optimum(
    config: EvaluateConfig,
    held_out: EnvParams,
    ours: Policy,
    budget: float,
    learned_multiplier: float,
    target: float,
) -> optimum.Regret | str:
    """The learned policy and the exact optimum on a sample of the held-out customers, fewer the more there is to
    remember of past contacts; a sentence where it cannot be found.

    The exact shadow price is that of the training customers, on whom ours spends `target`, as the learned one is.
    """
    try:
        count = optimum.within_time(held_out, config.optimum_customers)
        return optimum.measure(
            optimum.sample(held_out, count, config.seed),
            ours,
            budget,
            jax.random.key(config.seed + 2),
            replicates=config.optimum_replicates,
            multiplier=learned_multiplier,
            spend_of_all=target,
        )
    except optimum.UnsolvableError as error:
        return optimum.unsolved(error)


def _attained(regret: optimum.Regret, learned_multiplier: float) -> dict[str, float]:
    """The optimum's keys of summary.json: those of the 64 customers end in `_sample`."""
    return {
        **regret.share.flat("share_of_attainable_gain"),
        **regret.uplift.flat("uplift_ppo_sample"),
        "spend_ppo_sample": regret.spend,
        "uplift_optimum_sample": regret.at_spend.uplift,
        "shadow_price_exact": regret.shadow_price,
        "shadow_price_exact_sample": regret.at_limit.shadow_price,
        "multiplier_learned": learned_multiplier,
    }


def spend_on_training(config: EvaluateConfig, train: EnvParams, ours: Policy) -> float:
    """$ a training customer and campaign, under the random numbers by which the rules are set."""
    key = _keys(config)[-1]
    return float(np.mean(play(RetentionEnv(), train, ours, key, replicates=config.tuning_replicates).spend))


def _keys(config: EvaluateConfig) -> jax.Array:
    """Keys of the log, of the bandit, and of setting the spend."""
    return jax.random.split(jax.random.key(config.seed), 3)


def rules(config: EvaluateConfig, train: EnvParams, target: float) -> list[Policy]:
    """The baselines, those that learn taught on the training customers, all set to spend `target` there."""
    key_log, key_bandit, key_spend = _keys(config)
    scale = {"uplift": float(train.charge_reference) / 65}  # its hyperparameter is money
    env = RetentionEnv()  # as the campaigns to come, so that each rule is compiled once
    steps = len(baselines.RANGES) * config.tuning_steps + config.thompson_rounds + 2
    with progress("tune the rules", steps, "steps") as bar:
        bandit = baselines.learn_thompson(
            env,
            train,
            key_bandit,
            rounds=config.thompson_rounds,
            churn_probability=0.5,
            advance=bar.advance,
        )
        settings = config.t_learner
        log = baselines.log_random_contacts(env, train, key_log, episodes=settings.episodes)
        bar.advance()
        models = baselines.fit_t_learner(
            log,
            offers=actions.offers(train),
            trees=settings.trees,
            depth=settings.depth,
            learning_rate=settings.learning_rate,
            seed=config.seed,
        )
        bar.advance()
        untuned = [
            baselines.greedy(),  # first and last: the second finds the program that the first had compiled
            baselines.random(),
            baselines.threshold(),
            bandit,
            baselines.t_learner(models),
            baselines.greedy_fatigue(),
        ]

        def tuned(policy: Policy) -> Policy:
            low, high = (end * scale.get(policy.name, 1.0) for end in baselines.RANGES[policy.name])
            sizes: Any = {"replicates": config.tuning_replicates, "steps": config.tuning_steps}
            return spend_exactly(
                policy, env, train, target, between=(low, high), key=key_spend, advance=bar.advance, **sizes
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # each is compiled and played on one core
            return list(pool.map(tuned, untuned))


def play_all(config: EvaluateConfig, held_out: EnvParams, policies: list[Policy]) -> dict[str, Episodes]:
    """Every policy on every held-out customer, the random numbers of (episode, day) the same for all."""
    count = held_out.population.size * config.replicates
    key = jax.random.key(config.seed + 1)
    env = RetentionEnv()
    played = {}
    with progress("play on held-out customers", count * len(policies), "episodes") as bar:
        for policy in policies:
            played[policy.name] = play(env, held_out, policy, key, replicates=config.replicates, advance=bar.advance)
    return played


def pictures(
    config: EvaluateConfig,
    context: Context,
    held_out: EnvParams,
    policies: list[Policy],
    metrics: Mapping[str, business.Metrics],
    budget: float,
) -> None:
    """Writes pacing.png and comparison.png."""
    env, key = RetentionEnv(), jax.random.key(config.seed + 1)
    with progress("pace", len(policies), "policies") as bar:
        daily = {}
        for policy in policies:
            daily[policy.name] = daily_spend(env, held_out, policy, key, replicates=config.replicates)
            bar.advance()
    currency = companies.of(context.inputs).currency
    plots.pacing(daily, budget, currency, context.artifacts)
    plots.comparison(
        {name: each["uplift"] for name, each in metrics.items() if name != "never"},
        {name: each["nrr"] for name, each in metrics.items()},
        currency,
        context.artifacts,
    )


def summary(
    metrics: Mapping[str, business.Metrics], paired: Mapping[str, IntervalEstimate], episodes: Mapping[str, Episodes]
) -> dict[str, float]:
    """The flat keys of summary.json, each mean with its 95 % interval."""
    flat = {f"uplift_{name}": metrics[name]["uplift"].mean for name in ("ppo", "greedy_fatigue", "greedy")}
    flat["episodes"] = float(episodes["ppo"].value.size)
    for name, each in metrics.items():
        for key in ("net_value", "spend", "uplift", "nrr"):
            flat |= each[key].flat(f"{key}_{name}")
    for name, estimate in paired.items():
        flat |= estimate.flat(f"paired_ppo_minus_{name}")
    return flat


STAGE = Stage("evaluate", EvaluateConfig, run, needs=("data", "policy", "bundle"))

if __name__ == "__main__":
    STAGE.main()
