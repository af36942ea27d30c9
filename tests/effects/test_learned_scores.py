"""Effects estimated as a real company would: from its files, with scores learned from the same customers.

The churn model knows four facts; what else makes people leave (a standard deviation of 0.7 in log-odds) it cannot know.
Labels are of a month in which most customers were contacted, so that the scores' level is that of no arm. Published in
retentionjax/effects/README.md.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from simulated_logs import DESIGN, simulate, told, true_effects, write

from retentionjax.company import Company
from retentionjax.effects import Posterior, command
from retentionjax.env import EnvParams, population

CUSTOMERS, DAYS, COMPANIES = 3000, 90, 12  # some 21,000 assignments each
COMPANY = """
name: acme
customers:
  file: customers.csv
  id: id
  charge: charge
  snapshot: 2026-01-01
  window_days: 30
  numeric: [visits, age, calls, tenure]
contacts: {file: contacts.csv, at: at, offer: arm, accepted: accepted, propensity: share}
departures: {file: departures.csv, left_on: left_on, observed_until: 2026-03-31}
offers:
  hello: {effect_days: 30}
  five: {discount: 0.05, effect_days: 30}
  ten: {discount: 0.10, effect_days: 30}
  twenty: {discount: 0.20, effect_days: 30}
"""


def strangers(seed: int) -> tuple[dict[str, np.ndarray], EnvParams]:
    """Customers by facts that a model can learn from, and their true probabilities, which it cannot know whole."""
    random = np.random.default_rng([seed, 7])
    facts = {name: random.standard_normal(CUSTOMERS) for name in ("visits", "age", "calls", "tenure")}
    visits, age, calls, tenure = facts.values()
    leaving = -1.6 + 0.7 * visits + 0.4 * age - 0.3 * np.abs(calls) + 0.7 * random.standard_normal(CUSTOMERS)
    accepting = -2.2 + 0.5 * visits + 0.4 * tenure
    chances = (1 / (1 + np.exp(-log_odds)) for log_odds in (leaving, accepting))
    return facts, EnvParams(population=population.build(random.uniform(20, 110, CUSTOMERS), *chances))


def hidden_companies(folder: Path) -> Iterator[tuple[dict[str, float], Posterior]]:
    """The true effects of each, and what its files say of them."""
    for seed in range(COMPANIES):
        effects = true_effects("random", np.random.default_rng([seed, 5])) | {"churn_shift": 0.0, "accept_shift": 0.0}
        facts, params = strangers(seed)
        log = simulate(told(effects, params), DESIGN, days=DAYS, seed=seed)
        here = folder / str(seed)
        here.mkdir()
        write(here, log, facts)
        (here / "company.yaml").write_text(COMPANY)
        posterior, _, read = command.learn(Company.load(str(here / "company.yaml")))
        assert read is not None
        assert len(read.day) >= 20_000
        assert not posterior.refused
        yield effects, posterior


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_learned_scores_neither_bias_an_effect_nor_narrow_its_interval(tmp_path: Path) -> None:
    errors: dict[str, list[float]] = {}
    covered: dict[str, list[bool]] = {}
    of_scores = ("churn_shift", "accept_shift")
    for effects, posterior in hidden_companies(tmp_path):
        for name, each in posterior.estimates.items():
            if each.is_estimated and name in effects and name not in of_scores:
                spread = float(np.std(posterior.draws[name]))
                errors.setdefault(name, []).append((each.median - effects[name]) / spread)
                covered.setdefault(name, []).append(each.low <= effects[name] <= each.high)
    for name, each in errors.items():
        print(f"{name:26} covered {np.mean(covered[name]):.0%}, mean error {np.mean(each):+.2f} posterior s.d.")
    every = np.concatenate([np.asarray(each, float) for each in covered.values()])
    print(f"all {every.mean():.1%}")
    assert every.mean() >= 0.84  # of 12 companies and 11 effects, which are correlated within a company
    assert abs(np.mean(errors["contact_effect"])) < 0.6  # a mean of 12 has a standard error of 0.29
