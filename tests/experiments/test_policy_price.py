"""What the next dollar returns, as the policy stage says it."""

import pytest

from experiments import policy as stage


def test_the_price_is_the_mean_of_the_multiplier_over_the_last_half():
    lines = [{"step": step, "multiplier_campaign_budget": 9.0 if step < 6 else float(step)} for step in range(8)]
    assert stage.settled_price(lines) == (9.0 + 9.0 + 6.0 + 7.0) / 4
    assert stage.price_swing(lines) == pytest.approx(1.299, abs=1e-3)
    assert stage.settled_price(lines[:1]) == 9.0  # a run of one iteration has a price, too
    assert stage.price_swing(lines[:1]) == 0.0


def test_runs_that_did_not_say_their_price_are_read_by_their_multiplier():
    assert stage.price_of({"multiplier_campaign_budget": 0.8}) == 0.8
    assert stage.price_of({"multiplier_campaign_budget": 0.8, "price_campaign_budget": 1.1}) == pytest.approx(1.1)
