"""Hidden companies: does a policy that learned the effects from a log keep what one told the truth gains?

Each company is simulated by the environment itself from effects that nobody is shown: drawn from the prior, its offers'
hazard multipliers then of a shape (random, flat, as in the Boston Globe's trial, inverted, or 1: offers do nothing). A
randomised log of so many assignments is written, the posterior estimated, a policy trained and judged under it and
passed through the gate of `experiments.bundle`. In the true world it is compared, on customers of neither log nor
training, with the policy of the same size that was told the truth.

`python -m experiments.hidden [--companies N] [--shapes S …] [--assignments N …] [--iterations N] [--out FILE]`; given
again, it goes on after the last company in FILE.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from etils import epath

from experiments.bundle import BundleConfig
from experiments.policy import BUDGET, PolicyConfig, at_budget, campaign_settings, deployed, set_spend
from experiments.world import played
from retentionjax import storage
from retentionjax.effects import Posterior, belief, draws_to_params, estimate, simulation
from retentionjax.effects.simulation import DESIGN, OFFERS, PRIOR, SHAPES, told, true_effects
from retentionjax.env import EnvParams, RetentionEnv, constraints, worlds
from retentionjax.env.value import with_potential
from retentionjax.errors import ConfigError
from retentionjax.evaluation import baselines, doubt
from retentionjax.evaluation.rollout import Policy
from retentionjax.evaluation.statistics import Bootstrap, IntervalEstimate
from retentionjax.rl import ppo

DAYS, EVERY = 90, 15
PER_CUSTOMER = 5.0  # assignments, of six planned: some leave
TRAINED, JUDGED = 2000, 1000  # customers
ENV = RetentionEnv(expected_churn=True, shaping=True)


@dataclass(frozen=True)
class HiddenCompany:
    """What came of one company's log; $ are a customer and campaign in the true world."""

    shape: str
    number: int
    assignments: int
    """Assignments in the log, about; 0: the policy was told the truth."""
    gain: IntervalEstimate
    """Gain of the learned policy over never contacting."""
    spend: float
    probability: float
    """Probability that it gains, by the belief; 1 for one that was told the truth."""
    ships: bool


def main(arguments: Sequence[str]) -> int:
    """Runs the companies, prints a line each and the summary."""
    parser = argparse.ArgumentParser(prog="python -m experiments.hidden", description=__doc__)
    parser.add_argument("--companies", type=int, default=4, help="companies of each shape")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--assignments", type=int, nargs="+", default=[20_000, 2_000], help="assignments in the logs")
    parser.add_argument("--iterations", type=int, default=400, help="iterations of PPO")
    parser.add_argument("--environments", type=int, default=512, help="environments at once")
    parser.add_argument("--out", help="JSON of all, written after each company")
    given = parser.parse_args(list(arguments))
    trainer = Trainer(settings(given.iterations, given.environments))
    sizes = {name: getattr(given, name) for name in ("assignments", "iterations", "environments")}
    found = already(given.out, sizes) if given.out else []
    for number in range(given.companies):
        for shape in given.shapes:
            if any((each.shape, each.number) == (shape, number) for each in found):
                continue
            started = time.monotonic()
            made = company(shape, number, given.assignments, trainer)
            found += made
            print(f"{shape} {number} ({time.monotonic() - started:.0f} s): {'; '.join(map(_line, made))}", flush=True)
            if given.out:
                rows = [dataclasses.asdict(each) for each in found]
                storage.write_json(given.out, {"sizes": sizes, "summary": summary(found), "companies": rows})
    print("\n".join(f"{name} {value:.3f}" for name, value in summary(found).items()))
    return 0


def already(out: str, sizes: Mapping[str, object]) -> list[HiddenCompany]:
    """Companies that an earlier run of the same sizes wrote to `out`; raises ConfigError for one of others."""
    if not epath.Path(out).exists():
        return []
    written = storage.read_json(out)
    if written["sizes"] != sizes:
        raise ConfigError(f"{out} is of a run with {written['sizes']}, this one has {sizes}; allowed: the same")
    return [HiddenCompany(**{**row, "gain": IntervalEstimate(*row["gain"])}) for row in written["companies"]]


def settings(iterations: int, environments: int) -> PolicyConfig:
    """Settings of the policy stage, of a size."""
    minibatches = min(16, environments // 16)
    sizes = campaign_settings(num_iterations=iterations, num_envs=environments, num_minibatches=minibatches)
    integral = max(sizes.gains.integral, 1 / iterations)  # a short run has less time to find its multiplier
    return PolicyConfig(ppo=replace(sizes, gains=replace(sizes.gains, integral=integral)), tuning_replicates=2)


def company(shape: str, number: int, assignments: Sequence[int], trainer: "Trainer") -> list[HiddenCompany]:
    """The policy told the truth, unless offers do nothing, and those with a log each."""
    random = np.random.default_rng([number, list(SHAPES).index(shape)])  # companies share no customers and no luck
    effects = true_effects(shape, random)
    effects |= {"contact_effect": 0.0} if shape == "null" else {}
    seed = int(random.integers(1 << 30))
    world = told(effects, people(JUDGED, seed + 1))
    found = []
    if shape != "null":
        policy = trainer.train(told(effects, people(TRAINED, seed)))
        found.append(HiddenCompany(shape, number, 0, *gained(policy, world, world), 1.0, ships=True))
    for size in assignments:
        shown = people(round(size / PER_CUSTOMER), seed + 2)
        truth = told(effects, shown)
        log = simulation.simulate(truth, DESIGN, days=DAYS, every=EVERY, scores=shown.population, seed=seed)
        posterior = estimate(log, PRIOR, people(1, 0), seed=number)
        level = {name: posterior.estimates[name].median for name in ("churn_shift", "accept_shift")}

        def believing(params: EnvParams, posterior: Posterior = posterior, level: belief.Values = level) -> EnvParams:
            here = params.replace(population=belief.shifted(params.population, level))  # type: ignore[attr-defined]
            return worlds.believing(here, draws_to_params(posterior.draws, list(OFFERS), here))

        half = worlds.count(believing(people(1, 0))) // 2
        policy = trainer.train(worlds.rows(believing(people(TRAINED, seed)), slice(None, half)))
        judged = believing(people(JUDGED, seed + 1))
        some, both = worlds.rows(judged, slice(half, half + doubt.WORLDS)), [baselines.never(), policy]
        chance = doubt.measure(some, both, jax.random.key(seed)).beats_never
        ships = chance >= BundleConfig().minimum_probability and posterior.is_reliable
        found.append(
            HiddenCompany(shape, number, size, *gained(policy, world, worlds.as_believed(judged)), chance, ships)
        )
    return found


def people(customers: int, seed: int) -> EnvParams:
    """Customers, and the demo's offers with effects at the prior's medians."""
    medians = {name: each.median for name, each in PRIOR.items()}
    return belief.believed(medians, list(OFFERS), simulation.company(customers, seed))


class Trainer:
    """Trains policies of one size, all by the same compiled program."""

    def __init__(self, config: PolicyConfig) -> None:
        self.config = config
        self.settings = config.training
        self.iterate = jax.jit(lambda params, state: ppo.train_iteration(ENV, params, self.settings, state))

    def train(self, params: EnvParams) -> Policy:
        """The policy, its spend set where effects are as believed."""
        params = with_potential(params)
        state = ppo.init(ENV, params, at_budget(self.config, params), jax.random.key(self.config.seed))
        prices = []
        for _ in range(self.settings.num_iterations):
            state, metrics = self.iterate(params, state)
            prices.append(float(metrics.multipliers[constraints.NAMES.index(BUDGET)]))
        price = float(np.mean(prices[len(prices) // 2 :]))
        return set_spend(self.config, deployed(self.config, state), worlds.as_believed(params), price)[0]


def gained(policy: Policy, world: EnvParams, believed: EnvParams) -> tuple[IntervalEstimate, float]:
    """Gain over never contacting, and spend, in the true world of a policy that sees what is believed."""
    never, ours = (played(each, world, believed) for each in (baselines.never(), policy))
    return Bootstrap(len(ours[0])).mean(ours[0] - never[0]), float(ours[1].mean())


def summary(companies: Sequence[HiddenCompany]) -> dict[str, float]:
    """Share of the truth-told gain that is kept, harm, and how often nothing is shipped; by size of log."""
    told_gain = {(each.shape, each.number): each.gain.mean for each in companies if not each.assignments}
    figures = {}
    for size in sorted({each.assignments for each in companies if each.assignments}, reverse=True):
        some = [each for each in companies if each.assignments == size]
        real, null = ([each for each in some if (each.shape == "null") == is_null] for is_null in (False, True))
        if real:
            best = sum(told_gain[each.shape, each.number] for each in real)
            figures[f"kept_{size}"] = sum(each.gain.mean for each in real if each.ships) / best
            figures[f"kept_if_all_shipped_{size}"] = sum(each.gain.mean for each in real) / best
            figures[f"ships_{size}"] = float(np.mean([each.ships for each in real]))
        figures[f"significantly_below_never_{size}"] = float(sum(each.ships and each.gain.high < 0 for each in some))
        if null:
            figures[f"null_not_shipped_{size}"] = float(np.mean([not each.ships for each in null]))
        figures[f"companies_{size}"] = float(len(some))
    return figures


def _line(each: HiddenCompany) -> str:
    who = f"{each.assignments:,} assignments" if each.assignments else "told the truth"
    gate = f", P(gains) {each.probability:.2f}{'' if each.ships else ', waits'}" if each.assignments else ""
    return f"{who} {each.gain.text('+.2f')} at ${each.spend:.2f}{gate}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
