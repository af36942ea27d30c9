"""The multiplier of the budget, as the policy stage reports it."""

import pytest

from experiments import policy as stage


def test_the_multiplier_that_is_reported_is_its_mean_over_the_last_half():
    lines = [{"step": step, "multiplier_campaign_budget": 9.0 if step < 6 else float(step)} for step in range(8)]
    assert stage.settled_multiplier(lines) == (9.0 + 9.0 + 6.0 + 7.0) / 4
    assert stage.multiplier_swing(lines) == pytest.approx(1.299, abs=1e-3)
    assert stage.settled_multiplier(lines[:1]) == 9.0  # a run of one iteration has a multiplier, too
    assert stage.multiplier_swing(lines[:1]) == 0.0


@pytest.mark.parametrize(("spends", "expected"), [(True, 6.5), (False, 0.0)])
def test_a_budget_that_is_not_all_wanted_has_a_price_of_nothing(spends: bool, expected: float) -> None:
    lines = [{"multiplier_campaign_budget": value} for value in (8.0, 9.0, 9.0, 6.0, 7.0)]
    assert stage.price(lines, spends=spends)["multiplier_campaign_budget"] == expected
