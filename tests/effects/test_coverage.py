"""Over many hidden companies, 90 % intervals hold the true effects about nine times in ten, whatever their shape."""

import dataclasses

import numpy as np
import pytest
from simulated_logs import DESIGN, PRIOR, SHAPES, company, simulate, told, true_effects

from retentionjax.effects import estimate


def covered(shape: str, companies: int, customers: int, days: int) -> dict[str, list[bool]]:
    """Effect → whether its interval held the truth, a company each."""
    found: dict[str, list[bool]] = {}
    for number in range(companies):
        effects = true_effects(shape, np.random.default_rng([number, len(shape)]))
        hidden = told(effects, company(customers, seed=number))
        log = simulate(hidden, DESIGN, days=days, seed=number)
        # The scores that were logged are those before the shifts.
        people = company(customers, seed=number).population
        scores = {name: np.asarray(getattr(people, name)) for name in ("churn_probability", "accept_probability")}
        log = dataclasses.replace(log, **scores)
        for name, each in estimate(log, PRIOR, company(1), seed=number).estimates.items():
            if each.is_estimated and name in effects:
                found.setdefault(name, []).append(each.low <= effects[name] <= each.high)
    return found


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("shape", list(SHAPES))
def test_intervals_hold_the_truth_nine_times_in_ten(shape: str) -> None:
    found = covered(shape, companies=20, customers=3000, days=90)
    for name, each in found.items():
        print(f"{shape} {name:26} covered {np.mean(each):.0%}")
    every = np.concatenate([np.asarray(each, float) for each in found.values()])
    assert every.mean() >= 0.82  # 20 companies of about 13 effects, which are correlated within a company
    for name, each in found.items():
        assert np.mean(each) >= 0.6, name
    if shape == "null":
        offers = np.concatenate([np.asarray(each, float) for name, each in found.items() if "multiplier" in name])
        assert 1 - offers.mean() <= 0.15  # one in ten says that an offer does something, of 80 with an error of 0.034
