"""The table without a model: right about a simulated trial, weighted by the design, and a check on the model."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from simulated_logs import company, simulate

from retentionjax.effects import Log, from_frames, itt
from retentionjax.env.types import NO_OFFER

DESIGN = {"none": 0.5, "twenty": 0.5}
PARAMS = company(3000, effect_days=jnp.full(4, 30), hazard_multiplier=jnp.full(4, 0.2))
MEDIANS: dict[str, float] = {}


@pytest.fixture(scope="module")
def log() -> Log:
    """One contact each, followed for 40 days, an offer that everyone can see working."""
    return simulate(PARAMS, DESIGN, days=40, every=100)


def test_the_difference_is_that_of_the_shares_of_those_who_left(log: Log) -> None:
    none, twenty = itt.table(log, PARAMS)
    left = (log.left_day >= 0) & (log.left_day < 30)
    assert (none.name, twenty.name) == ("none", "twenty")
    assert none.left is None
    assert twenty.left is not None
    treated = log.arm == 3
    np.testing.assert_allclose(twenty.left.mean, left[treated].mean() - left[~treated].mean())
    error = np.sqrt(left[treated].var() / treated.sum() + left[~treated].var() / (~treated).sum())
    np.testing.assert_allclose((twenty.left.high - twenty.left.low) / 2, 1.645 * error, rtol=0.01)


def test_an_arm_in_which_nobody_left_has_a_difference_and_no_interval(log: Log) -> None:
    """0 of some are no certainty; and of assignments that nobody followed for a month no share is known."""
    kept = (log.arm != 3) | (log.left_day < 0)
    parts = {name: getattr(log, name)[kept] for name in ("customer", "day", "arm", "accepted")}
    stayed = dataclasses.replace(log, **parts, propensity=np.full(kept.sum(), 0.5))
    found = itt.table(stayed, PARAMS)[1]
    assert found.left is not None
    assert found.dollars is not None
    assert found.left.mean < 0
    assert (found.left.low, found.left.high) == (None, None)
    assert found.left.ends(100) == "(too few for an interval)"
    assert found.dollars.low is not None
    young = itt.table(log, PARAMS, days=100)[1]
    assert (young.left_share, young.left, young.dollars) == (None, None, None)
    json.dumps(dataclasses.asdict(young), allow_nan=False)


@pytest.mark.parametrize("until", ["then", "unknown"])
def test_who_left_counts_also_where_a_file_says_that_she_was_observed_until_then(log: Log, until: str) -> None:
    """Else the window after an assignment would hold those who stayed through it, and none who left in it."""
    start, left = pd.Timestamp("2026-01-01"), log.left_day >= 0
    day = pd.to_timedelta(np.where(left, log.left_day, log.followed_days - 1), unit="D")
    names = np.array([*log.offers, "none"])
    people = pd.DataFrame({"monthly_charge": log.monthly_charge, "churn_probability": log.churn_probability})
    people["accept_probability"] = log.accept_probability
    people["observed_until"] = start + day
    people["left_on"] = people["observed_until"].where(left)
    if until == "unknown":
        people["observed_until"] = people["observed_until"].mask(left)
    contacts = pd.DataFrame({"customer": log.customer, "at": start, "offer": names[log.arm], "propensity": 0.5})
    found = from_frames(contacts.assign(accepted=log.accepted.astype(int)), people, log.offers)
    np.testing.assert_array_equal(found.observed_days, log.observed_days)
    assert itt.table(found, PARAMS)[1].left == itt.table(log, PARAMS)[1].left


def test_dollars_are_charges_less_discounts_and_contacts(log: Log) -> None:
    stayed = (log.left_day < 0) & ((log.arm == NO_OFFER) | log.accepted)
    one = dataclasses.replace(
        log,
        **{name: getattr(log, name)[stayed] for name in ("monthly_charge", "churn_probability", "accept_probability")},
        **{name: getattr(log, name)[stayed] for name in ("followed_days", "left_day", "day", "arm", "accepted")},
        propensity=np.full(stayed.sum(), 0.5),
        customer=np.arange(stayed.sum()),
    )
    _, twenty = itt.table(one, PARAMS)
    treated = one.arm == 3
    expected = 0.8 * one.monthly_charge[treated].mean() - 0.5 - one.monthly_charge[~treated].mean()
    assert twenty.dollars is not None
    np.testing.assert_allclose(twenty.dollars.mean, expected, rtol=1e-5)


def test_propensities_undo_a_design_that_follows_risk() -> None:
    fair = simulate(PARAMS, DESIGN, days=40, every=100, seed=1)
    risky = fair.churn_probability > np.median(fair.churn_probability)
    kept = ~((fair.arm == 3) & ~risky & (np.random.default_rng(0).random(len(risky)) < 0.7))
    weights = np.where(fair.arm == 3, np.where(risky, 0.5, 0.5 * 0.3), 0.5) / np.where(risky, 1.0, 1 - 0.5 * 0.7)
    parts = {name: getattr(fair, name)[kept] for name in ("customer", "day", "arm", "accepted")}
    biased = dataclasses.replace(fair, **parts, propensity=weights[kept])
    truth = itt.table(fair, PARAMS)[1].left
    undone = itt.table(biased, PARAMS)[1].left
    naive = itt.table(dataclasses.replace(biased, propensity=None), PARAMS)[1].left
    assert truth is not None
    assert undone is not None
    assert naive is not None
    assert abs(undone.mean - truth.mean) < undone.high - undone.low
    assert abs(naive.mean - truth.mean) > 2 * abs(undone.mean - truth.mean)


def test_a_wrong_model_is_surprised_and_the_right_one_is_not(log: Log) -> None:
    right = itt.table(log, PARAMS, effects=MEDIANS)
    wrong = itt.table(log, PARAMS.replace(hazard_multiplier=jnp.full(4, 3.0)), effects=MEDIANS)
    assert all(arm.leaving is not None and abs(arm.leaving.deviations) < 3 for arm in right)
    assert wrong[1].leaving is not None
    assert wrong[1].leaving.deviations < -3


def test_a_wrong_appeal_is_surprised_and_the_right_one_is_not(log: Log) -> None:
    contacted = [arm for arm in itt.table(log, PARAMS, effects=MEDIANS) if arm.name != "none"]
    assert all(arm.accepting is not None and abs(arm.accepting.deviations) < 3 for arm in contacted)
    eager = {f"appeal.{offer}": 6.0 for offer in log.offers}
    wrong = itt.table(log, PARAMS, effects=eager)[-1].accepting
    assert wrong is not None
    assert wrong.deviations < -3
    assert wrong.seen == int(log.accepted[log.arm == 3].sum())
