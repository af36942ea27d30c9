"""Effects estimated as a real company would: from its files, with scores learned from the same customers.

The models know four facts; what else makes people leave and accept (standard deviations of 0.7 and 0.5 in log-odds,
correlated by 0.3) they cannot know. Labels are of a month in which most customers were contacted, so that the scores'
level is that of no arm. Published in retentionjax/effects/README.md.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from simulated_logs import COMPANY, DESIGN, simulate, strangers, told, true_effects, write

from retentionjax.company import Company
from retentionjax.effects import Posterior, command

CUSTOMERS, DAYS, COMPANIES = 3000, 90, 12  # some 21,000 assignments each
OF_SCORES = ("churn_", "accept_shift")


def hidden_companies(folder: Path) -> Iterator[tuple[dict[str, float], Posterior]]:
    """The true effects of each, and what its files say of them."""
    for seed in range(100, 100 + COMPANIES):
        effects = true_effects("random", np.random.default_rng([seed, 5])) | {"churn_shift": 0.0, "accept_shift": 0.0}
        facts, params = strangers(CUSTOMERS, seed)
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
    for effects, posterior in hidden_companies(tmp_path):
        for name, each in posterior.estimates.items():
            if each.is_estimated and name in effects and not name.startswith(OF_SCORES):
                spread = float(np.std(posterior.draws[name]))
                errors.setdefault(name, []).append((each.median - effects[name]) / spread)
                covered.setdefault(name, []).append(each.low <= effects[name] <= each.high)
    for name, each in errors.items():
        print(f"{name:26} covered {np.mean(covered[name]):.0%}, mean error {np.mean(each):+.2f} posterior s.d.")
    every = np.concatenate([np.asarray(each, float) for each in covered.values()])
    print(f"all {every.mean():.1%}")
    assert every.mean() >= 0.8  # of 12 companies and 11 effects, which are correlated within a company
    assert abs(np.mean(errors["contact_effect"])) < 0.6  # a mean of 12 has a standard error of 0.29
