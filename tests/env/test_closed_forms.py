"""What is known exactly without contact: survival, residual value, and the value of *never* for every customer."""

import csv
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from campaigns import play, synthetic_population, wait
from compiled import Compiled
from oracles import never_contact
from scipy import stats

from retentionjax.env import EnvParams, Population, RetentionEnv
from retentionjax.env import dynamics as uncompiled
from retentionjax.env.value import expected_never_value, never_contact_value, with_potential

dynamics: Any = Compiled(uncompiled)
SAMPLED = RetentionEnv()
EXPECTED = RetentionEnv(expected_churn=True)
RISK = {"onset": 1 / 45, "recovery": 1 / 7}


@jax.jit
def never_value(population: Population) -> jax.Array:
    return expected_never_value(EnvParams(population=population))


def columns(population: Population) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(population.monthly_charge, np.float64), np.asarray(population.churn_probability, np.float64)


def test_the_average_hazard_compounds_to_the_calibrated_probability() -> None:
    p = np.linspace(0.001, 0.999, 500, dtype=np.float32)
    h = dynamics.average_hazard(p, EnvParams())
    np.testing.assert_allclose(1 - (1 - np.asarray(h, np.float64)) ** 30, p, rtol=1e-4)


def test_calm_and_elevated_hazards_average_to_the_calibrated_one() -> None:
    p = np.linspace(0.001, 0.95, 500, dtype=np.float32)  # above, the elevated hazard is cut at 0.9
    params = EnvParams(risk_ratio=4.0)
    calm, elevated = dynamics.hazards(p, params)
    share = dynamics.elevated_share(params)
    np.testing.assert_allclose((1 - share) * calm + share * elevated, dynamics.average_hazard(p, params), rtol=1e-5)


@pytest.mark.parametrize("expected_churn", [False, True])
def test_survival_without_contact_is_the_power_of_the_risk_chain(expected_churn: bool) -> None:
    p, copies = 0.35, 40_000
    population = Population(jnp.array([65.0]), jnp.array([p]), jnp.array([0.11]))
    env = EXPECTED if expected_churn else SAMPLED
    weights = jax.jit(lambda params: play(env, params, wait, jnp.zeros(copies, int), **drawn(copies)).weights)
    mornings = np.asarray(weights(EnvParams(population=population)), np.float64)
    stay = never_contact.stays(np.array([p]), ratio=6, **RISK)[0]
    exact = never_contact.survival(stay, 89, **RISK)
    error = mornings.std(axis=1) / np.sqrt(copies)
    assert np.all(np.abs(mornings.mean(axis=1) - exact) <= 4 * error + 1e-5)
    assert exact[-1] < 0.5  # and there is something to see


def drawn(copies: int) -> dict[str, object]:
    """First risk states of `copies` customers, and the days, given so that `play` can be jitted whole."""
    share = RISK["onset"] / (RISK["onset"] + RISK["recovery"])
    return {"elevated": np.random.default_rng(1).random(copies) < share, "days": 90}


def test_at_risk_ratio_one_survival_is_a_plain_power() -> None:
    population = synthetic_population(64)
    params = EnvParams(population=population, risk_ratio=1.0)
    weights = np.asarray(play(EXPECTED, params, wait, jnp.arange(64)).weights, np.float64)
    _, p = columns(population)
    exact = (1 - p) ** (np.arange(90)[:, None] / 30)
    np.testing.assert_allclose(weights, exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tail", [0, 1, 30, 90, 365])
def test_the_residual_value_is_a_plain_sum(tail: int) -> None:
    p = np.concatenate([[1e-4, 1 - 1e-4], np.linspace(0.01, 0.99, 99)])
    m = np.linspace(18, 119, len(p))
    ours = dynamics.residual_value(np.float32(m), np.float32(p), EnvParams(tail_days=tail))
    np.testing.assert_allclose(ours, never_contact.residual(m, p, tail=tail), rtol=1e-4, atol=1e-5)


def test_the_residual_value_of_a_customer_who_never_leaves_is_the_whole_tail() -> None:
    ours = dynamics.residual_value(np.float32(60), np.float32(0), EnvParams(tail_days=90))
    assert float(ours) == pytest.approx(180.0)


def test_the_never_contact_table_sums_survival_and_residual() -> None:
    population = synthetic_population(64)
    m, p = columns(population)
    stay = never_contact.stays(p, ratio=6, **RISK)
    by_hand = []
    for i in range(64):
        there = never_contact.survival(stay[i], 90, **RISK)  # in the evening of day t the customer of day t + 1
        last = never_contact.residual(m[i : i + 1], p[i : i + 1], tail=90)[0]
        by_hand.append(m[i] / 30 * there[1:].sum() + there[-1] * last)
    ours = never_value(population)
    np.testing.assert_allclose(ours, by_hand, rtol=1e-4)
    np.testing.assert_allclose(ours, never_contact.moments(m, p)[0], rtol=1e-4)


def test_the_potential_is_zero_after_the_last_day() -> None:
    params = with_potential(EnvParams(population=synthetic_population(5), horizon_days=7))
    assert params.potential.shape == (8, 5, 2)
    assert not params.potential[7].any()
    assert (params.potential[:7] > 0).all()
    np.testing.assert_array_equal(params.potential, never_contact_value(params.population, params))


def monte_carlo_scores(population: Population, copies: int) -> np.ndarray:
    """f64[N]: (simulated mean − exact mean) / exact standard error, of each customer's value without contact."""
    m, p = columns(population)
    customers = jnp.repeat(jnp.arange(len(p)), copies)

    @jax.jit
    def values(params: EnvParams) -> jax.Array:
        campaign = play(SAMPLED, params, wait, customers, **drawn(len(customers)))
        return (campaign.weights * campaign.info["value"]).sum(axis=0)

    simulated = np.asarray(values(EnvParams(population=population)), np.float64).reshape(-1, copies)
    mean, deviation = never_contact.moments(m, p)
    return (simulated.mean(axis=1) - mean) / (deviation / np.sqrt(copies))


def assert_standard_normal(scores: np.ndarray, p: np.ndarray) -> None:
    """Mean 0 and variance 1 hold for every customer; the normal shape needs churn that is neither rare nor sure."""
    n = len(scores)
    assert abs(scores.mean()) < 4 / np.sqrt(n)
    squares = scores**2
    assert abs(squares.mean() - 1) < 4 * squares.std() / np.sqrt(n)
    usual = scores[(p > 0.15) & (p < 0.6)]
    assert len(usual) > 100
    assert stats.kstest(usual, "norm").pvalue > 1e-4
    assert np.abs(usual).max() < 5.5


def test_never_contact_is_worth_its_closed_form_for_synthetic_customers() -> None:
    population = synthetic_population(600)
    assert_standard_normal(monte_carlo_scores(population, copies=48), columns(population)[1])


@pytest.mark.slow
def test_never_contact_is_worth_its_closed_form_for_every_telco_customer(real_data: Path) -> None:
    population = telco(real_data)
    m, p = columns(population)
    assert len(p) == 7043
    mean, _ = never_contact.moments(m, p)
    assert 190 < mean.mean() < 215  # $; the design's prototype says 203
    np.testing.assert_allclose(never_value(population), mean, rtol=2e-4)
    assert_standard_normal(monte_carlo_scores(population, copies=8), p)


@pytest.mark.slow
def test_never_contact_is_worth_its_closed_form_to_a_tenth_of_the_noise(real_data: Path) -> None:
    population = telco(real_data)
    assert_standard_normal(monte_carlo_scores(population, copies=100), columns(population)[1])


def telco(folder: Path) -> Population:
    """Every Telco customer with an out-of-fold risk of a plain logistic regression."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler

    with (folder / "telco" / "Telco-Customer-Churn.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    label = np.array([row.pop("Churn") == "Yes" for row in rows])
    charge = np.array([float(row["MonthlyCharges"]) for row in rows])
    numbers = {"tenure": float, "MonthlyCharges": float}
    dropped = ("customerID", "TotalCharges")
    facts = [{k: numbers.get(k, str)(v) for k, v in row.items() if k not in dropped} for row in rows]
    model = make_pipeline(DictVectorizer(), MaxAbsScaler(), LogisticRegression(max_iter=1000))
    risk = cross_val_predict(model, facts, label, cv=5, method="predict_proba")[:, 1]
    return Population(jnp.asarray(charge, jnp.float32), jnp.asarray(risk, jnp.float32), jnp.full(len(risk), 0.11))
