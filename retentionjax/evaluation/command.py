"""`retentionjax evaluate --bundle DIR [--customers FILE]`: is the bundle's policy better than simple rules, on whom?

Without customers it shows what was measured when the bundle was made. With a table of them (whatever training reads,
columns as in the bundle's schema) it scores them, simulates campaigns under common random numbers, and sets each rule
to spend on these customers what the policy spends. It warns where they are no longer those the models were trained on;
where the table has a label column, also where the predictions no longer fit.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # heavy, and `--help` needs none of them
    import jax
    import pandas as pd

    from retentionjax.bundle.loading import Bundle
    from retentionjax.decide.record_facts import Features
    from retentionjax.evaluation.rollout import Policy, PolicyInput

_AT_ONCE = 1024  # customers scored at once


def main(arguments: Sequence[str]) -> int:
    """Runs `evaluate` with `arguments`; raises BundleError, DataError or ConfigError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax evaluate", description=__doc__)
    parser.add_argument("--bundle", required=True, metavar="DIR")
    parser.add_argument(
        "--customers", metavar="FILE", help="customers to evaluate on: CSV, Parquet or whatever training reads"
    )
    parser.add_argument(
        "--budget",
        type=float,
        metavar="MONEY",
        help="another campaign budget per customer, if the bundle supports other budgets",
    )
    parser.add_argument("--replicates", type=int, default=16, help="simulated campaigns per customer and policy (16)")
    parser.add_argument(
        "--optimum-customers", type=int, default=64, help="customers whose exact optimum to find (64; 0: skip it)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args(list(arguments))
    from retentionjax.bundle.loading import load
    from retentionjax.errors import ConfigError

    for name, least in (("replicates", 1), ("optimum_customers", 0)):
        if (given := getattr(parsed, name)) < least:
            raise ConfigError(f"--{name.replace('_', '-')} is {given}; allowed: {least} or more")
    bundle = load(parsed.bundle)
    bundle = bundle if parsed.budget is None else bundle.at_budget(parsed.budget)
    if bundle.manifest.synthetic:
        print("SYNTHETIC DATA: no figure describes real customers")
    if parsed.customers is None:
        _show_recorded(bundle)
    else:
        _compare(bundle, read(parsed.customers, bundle), parsed.replicates, parsed.seed, parsed.optimum_customers)
    return 0


def read(path: str, bundle: "Bundle") -> "pd.DataFrame":
    """A table of customers as training reads it. Raises DataError naming the file that cannot be read."""
    from retentionjax.decide.as_read import read_rows

    return read_rows(path, bundle.company.customers.reading)[0].to_pandas()


def _show_recorded(bundle: "Bundle") -> None:
    figures = bundle.manifest.metrics.get("evaluate", {})
    names = [key.removeprefix("uplift_") for key in figures if key.startswith("uplift_")]
    names = [name for name in names if not name.endswith(("_low", "_high", "_sample"))]  # policies on all customers
    if not names:
        print(
            "This bundle holds no evaluation: give it --customers, or --bundle the run's folder once `evaluate` is done"
        )
        return
    print(f"Measured on held-out customers ({bundle.company.currency} a customer and campaign):")
    for name in sorted(names, key=lambda name: -figures[f"uplift_{name}"]):
        low, high = figures[f"uplift_{name}_low"], figures[f"uplift_{name}_high"]
        uplift, spend = figures[f"uplift_{name}"], figures[f"spend_{name}"]
        print(f"  {name:<16} uplift over never {uplift:+7.2f} [{low:+.2f}, {high:+.2f}]   spend {spend:5.2f}")
    if "share_of_attainable_gain" in figures:
        print(f"  of the exact optimum's gain at the same spend ppo has {figures['share_of_attainable_gain']:.1%}")
        exact, learned = figures["shadow_price_exact"], figures["multiplier_learned"]
        print(f"  the next unit of budget returns {exact:.2f} (exact shadow price; learned: {learned:.2f})")


def _compare(bundle: "Bundle", frame: "pd.DataFrame", replicates: int, seed: int, optimum_customers: int) -> None:
    import jax
    import numpy as np

    from retentionjax.data.schema import counted
    from retentionjax.decide.program import Decider
    from retentionjax.env import population
    from retentionjax.env.retention import RetentionEnv
    from retentionjax.evaluation import baselines, business
    from retentionjax.evaluation.baselines import spend_exactly
    from retentionjax.evaluation.rollout import Policy, play
    from retentionjax.evaluation.statistics import Bootstrap

    features = checked(bundle, frame)
    scores = Decider(bundle, sizes=(_AT_ONCE,)).score(features)
    people = population.build(features.monthly_charge, *(np.asarray(each, np.float64) for each in scores))
    params: Any = bundle.params.replace(population=people)  # type: ignore[attr-defined]
    as_parameters: Any = jax.tree_util.Partial  # a function as a pytree, which policies' parameters must be
    ours = Policy("ppo", _act, parameters=as_parameters(bundle.decide.run))
    env, key = RetentionEnv(), jax.random.key(seed)
    played = {"ppo": play(env, params, ours, key, replicates=replicates)}
    played["never"] = play(env, params, baselines.never(), key, replicates=replicates)
    target = float(played["ppo"].spend.mean())
    for rule in (baselines.threshold(), baselines.greedy(), baselines.greedy_fatigue()):
        between, few = baselines.RANGES[rule.name], min(4, replicates)
        tuned = spend_exactly(rule, env, params, target, between=between, key=key, replicates=few, steps=12)
        played[rule.name] = play(env, params, tuned, key, replicates=replicates)
    ids = features.customer_id
    bootstrap = Bootstrap(np.array(ids, object), seed=seed)
    metrics, paired = business.compared(played, features.monthly_charge, bootstrap)
    footer = _attained(bundle, params, ours, target, optimum_customers, seed) if optimum_customers else ""
    business.show(
        metrics,
        paired,
        title=f"{counted(len(ids), len(set(ids)))}, {bundle.company.currency} a customer and campaign",
        footer=footer,
    )


def _attained(bundle: "Bundle", params: Any, ours: "Policy", spend: float, count: int, seed: int) -> str:
    """How much of the attainable gain the policy has on a sample of the customers, in words; `spend` is that on all."""
    import jax

    from retentionjax.evaluation import optimum
    from retentionjax.tracking import progress

    limit, multiplier = (
        bundle.manifest.limits["campaign_budget"],
        bundle.manifest.multipliers.get("campaign_budget", 0.0),
    )
    try:
        sample = optimum.sample(params, optimum.within_time(params, count), seed)
        with progress("exact optimum", optimum.SOLUTIONS * sample.population.size, "campaigns") as bar:
            regret = optimum.measure(
                sample,
                ours,
                float("inf") if limit is None else limit,
                jax.random.key(seed),
                replicates=2000,
                multiplier=multiplier,
                spend_of_all=spend,
                advance=bar.advance,
            )
    except optimum.UnsolvableError as error:
        return optimum.unsolved(error)
    return optimum.sentences(regret, multiplier, bundle.company.currency)


def checked(bundle: "Bundle", frame: "pd.DataFrame") -> "Features":
    """The customers' facts, after a word on whether they are those the models were trained on."""
    from retentionjax.bundle import drift
    from retentionjax.decide.facts import Facts, as_frame

    references = drift.read(bundle)
    frame, known = drift.labels(references, frame, bundle.company.customers.reading)
    features = Facts.of(bundle).frame(frame)
    drift.show(drift.compare(bundle, references, as_frame(bundle.schema, features), known), len(features.values))
    return features


def _act(policy: "Policy", situations: "PolicyInput", keys: "jax.Array") -> "jax.Array":
    import jax
    import jax.numpy as jnp

    propensities, _ = policy.parameters(situations.observation, situations.mask)
    return jax.vmap(lambda key, p: jax.random.categorical(key, jnp.log(p)))(keys, propensities)
