"""The policy in worlds that differ from the one it was trained in, without being told; and where never-contact wins.

Beside it the strongest simple rule, `greedy_fatigue`, set to the same spend.

Writes stress.json, which the report draws. `summary.json`: `uplift_<policy>_base`, `uplift_<policy>_<axis>_down` and
`_up`, `uplift_<policy>_shape_<flat, globe or inverted>` (each with `_low` and `_high`), `worst_uplift_ppo`, `worlds`,
`worlds_ppo_gains` (its whole interval above 0), `worlds_ppo_leads` (ahead of the rule), `break_even_found` and, where
it was, `break_even_<axis>`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from experiments import customers as people
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.checked import Checked, Count, Seed
from retentionjax.env.types import EnvParams
from retentionjax.evaluation import baselines, learned, rollout, stress
from retentionjax.evaluation.baselines import spend_exactly
from retentionjax.evaluation.rollout import Policy
from retentionjax.evaluation.stress import AXES, ENV, SHAPES, Axis, StressScene, WorldOutcome
from retentionjax.tracking import progress

BUDGET = "budget"
RANGES = {**baselines.RANGES, "ppo": (-4.0, 20.0)}
"""Range in which each policy's hyperparameter is sought."""
WAY = 10
"""Points along the most harmful axis."""


@dataclass(frozen=True)
class StressConfig(Checked):
    replicates: Count = 2
    """Episodes a held-out customer, world and policy, with expected churn."""
    budgets: tuple[float, float] = (0.7, 1.3)
    """Times the budget it was trained for; each policy's hyperparameter is set anew to spend it."""
    tuning_replicates: Count = 1
    tuning_steps: Count = 8
    """Bisections of a hyperparameter."""
    rounds: Count = 2
    """Rounds in which the point where never-contact wins is narrowed down, tenfold each."""
    seed: Seed = 42

    def wrong(self) -> list[tuple[str, str]]:
        """A fault unless the shares are one below and one above the budget."""
        low, high = self.budgets
        wrong = f"{self.budgets}; allowed: above 0 to 1, and 1 to 100"
        return [] if 0 < low <= 1 <= high <= 100 else [("budgets", wrong)]


def run(config: StressConfig, context: Context) -> dict[str, float]:
    """Tune → every world → the worst axis to its end. See Stage."""
    folder = context.inputs["policy"] / "artifacts"
    _, train = people.load(folder, "train")
    table, base = people.load(folder, "held_out")
    limit = people.budget(folder)
    ours = learned.load(folder / "policy").policy
    policies = [baselines.never(), ours, baselines.greedy_fatigue()]
    hyperparameters = tuned(config, train, policies[1:], limit)
    scenes = stress.scenes(base, AXES, hyperparameters[1.0])
    scenes += [StressScene(BUDGET, share, base, hyperparameters[share]) for share in config.budgets]
    key = jax.random.key(config.seed)
    episodes = base.population.size * config.replicates * len(scenes) * len(policies)
    with progress("worlds", episodes, "episodes") as bar:
        who = table["customer_id"].to_numpy(object)
        outcomes = stress.play(base, scenes, policies, key, replicates=config.replicates, advance=bar.advance, who=who)
    worst = min(range(len(scenes)), key=lambda row: outcomes[row]["ppo"].uplift.mean)
    harm = descend(config, base, scenes, outcomes, policies, hyperparameters[1.0], key)
    summary = summarise(scenes, outcomes, harm)
    storage.write_json(context.artifacts / "stress.json", record(scenes, outcomes, worst, harm, limit))
    show(scenes[worst], outcomes[worst], harm)
    return summary


def tuned(
    config: StressConfig, train: EnvParams, policies: Sequence[Policy], limit: float
) -> dict[float, dict[str, float]]:
    """Hyperparameter of each policy by share of the budget, set on the training customers; PPO keeps its own at the
    whole.
    """
    key = jax.random.key(config.seed + 1)
    shares = (config.budgets[0], 1.0, config.budgets[1])
    ours = policies[0]
    whole = float(np.mean(rollout.play(ENV, train, ours, key, replicates=config.tuning_replicates).spend))
    hyperparameters: dict[float, dict[str, float]] = {share: {} for share in shares}
    with progress("set the budgets", len(shares) * len(policies) * config.tuning_steps, "steps") as bar:
        for share in shares:
            for policy in policies:
                if policy.name == ours.name and share == 1.0:
                    hyperparameters[share][policy.name] = float(ours.hyperparameter)
                    bar.advance(config.tuning_steps)
                    continue
                set_to = spend_exactly(
                    policy,
                    ENV,
                    train,
                    share * min(limit, whole),
                    between=RANGES[policy.name],
                    key=key,
                    replicates=config.tuning_replicates,
                    steps=config.tuning_steps,
                    advance=bar.advance,
                )
                hyperparameters[share][policy.name] = float(set_to.hyperparameter)
    return hyperparameters


@dataclass(frozen=True)
class Harm:
    """The assumption that hurts most, followed to its end."""

    axis: Axis
    extreme: float
    values: list[float]
    uplift: dict[str, list[float]]
    """Uplift of each policy at `values`."""
    crossing: float | None
    """Value from which on never-contact wins; None: nowhere up to `extreme`."""


def descend(
    config: StressConfig,
    base: EnvParams,
    scenes: Sequence[StressScene],
    outcomes: Sequence[Mapping[str, WorldOutcome]],
    policies: Sequence[Policy],
    hyperparameters: Mapping[str, float],
    key: jax.Array,
) -> Harm:
    """The worst scene of an axis of the world, the way on from there, and the point where never-contact wins."""
    by_name = {axis.name: axis for axis in AXES}
    rows = [row for row, scene in enumerate(scenes) if scene.axis in by_name]
    worst = scenes[min(rows, key=lambda row: outcomes[row]["ppo"].uplift.mean)]
    axis = by_name[worst.axis]
    extreme = axis.least if worst.value < axis.base else axis.most
    values = np.linspace(axis.base, extreme, WAY).tolist()
    points = [stress.at(base, axis, value, hyperparameters) for value in values]
    along = stress.play(base, points, policies, key, replicates=config.replicates)
    uplift = {name: [point[name].uplift.mean for point in along] for name in along[0]}
    alone = [policies[0], policies[1]]

    def at(values: list[float]) -> list[float]:
        points = [stress.at(base, axis, value, hyperparameters) for value in values]
        return [each["ppo"].uplift.mean for each in stress.play(base, points, alone, key, replicates=config.replicates)]

    crossing = stress.break_even(at, axis.base, extreme, rounds=config.rounds)
    return Harm(axis, extreme, values, uplift, crossing)


def summarise(
    scenes: Sequence[StressScene], outcomes: Sequence[Mapping[str, WorldOutcome]], harm: Harm
) -> dict[str, float]:
    """The flat keys of summary.json."""
    uplifts = [outcome["ppo"].uplift for outcome in outcomes]
    rules = [max(each.uplift.mean for name, each in outcome.items() if name != "ppo") for outcome in outcomes]
    summary = {
        "uplift_ppo_base": uplifts[0].mean,
        **min(uplifts).flat("worst_uplift_ppo"),
        "worlds": float(len(scenes)),
        "worlds_ppo_gains": float(sum(each.low > 0 for each in uplifts)),
        "worlds_ppo_leads": float(sum(each.mean > rule for each, rule in zip(uplifts, rules, strict=True))),
        "break_even_found": float(harm.crossing is not None),
    }
    if harm.crossing is not None:
        summary[f"break_even_{harm.axis.name}"] = harm.crossing
    for scene, outcome in zip(scenes, outcomes, strict=True):
        for name, each in outcome.items():
            summary |= each.uplift.flat(f"uplift_{name}_{_place(scene)}")
    return summary


def record(
    scenes: Sequence[StressScene], outcomes: Sequence[Mapping[str, WorldOutcome]], worst: int, harm: Harm, limit: float
) -> dict[str, object]:
    """`stress.json`: every world's outcomes, the worst by name, and the way to where never-contact wins."""
    shapes = {name: title for name, (title, _) in SHAPES.items()}
    titles = {axis.name: axis.title for axis in AXES} | shapes | {BUDGET: "budget", "base": "as assumed"}
    worlds = [
        {
            "axis": scene.axis,
            "title": titles[scene.axis],
            "value": scene.value,
            "policies": {
                name: {"uplift": each.uplift._asdict(), "spend": each.spend} for name, each in outcome.items()
            },
        }
        for scene, outcome in zip(scenes, outcomes, strict=True)
    ]
    return {
        "assumed_known": stress.ASSUMED_KNOWN,
        "campaign_budget": limit if np.isfinite(limit) else None,
        "worlds": worlds,
        "worst": worlds[worst],
        "break_even": {
            "axis": harm.axis.name,
            "title": harm.axis.title,
            "never_wins_from": harm.crossing,
            "searched_to": harm.extreme,
            "values": harm.values,
            "uplift": harm.uplift,
        },
    }


def show(scene: StressScene, outcome: Mapping[str, WorldOutcome], harm: Harm) -> None:
    """Prints the worst case and the break-even by name."""
    uplift, rule = outcome["ppo"].uplift, outcome["greedy_fatigue"].uplift
    said = f"ppo's uplift {uplift.text('+.2f')} a customer, greedy_fatigue {rule.mean:+.2f}"
    print(f"\nWorst case: {scene.axis} {scene.value:g}: {said}")
    if harm.crossing is None:
        print(f"Never contacting does not win along {harm.axis.name}, up to {harm.extreme:g}")
    else:
        print(f"Never contacting wins from {harm.axis.name} {harm.crossing:.3g} on (base {harm.axis.base:g})")
    print(stress.ASSUMED_KNOWN)


def _place(scene: StressScene) -> str:
    if scene.axis == "base" or scene.axis in SHAPES:
        return scene.axis
    middle = next((axis.base for axis in AXES if axis.name == scene.axis), 1.0)
    return f"{scene.axis}_{'down' if scene.value < middle else 'up'}"


STAGE = Stage("stress", StressConfig, run, needs=("policy",))

if __name__ == "__main__":
    STAGE.main()
