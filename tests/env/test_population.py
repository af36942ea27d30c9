"""Who the customers are: joined tables, tables of different people matched, and the errors of bad columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from retentionjax.env import population
from retentionjax.errors import DataError

GOOD = {"monthly_charge": [20.0, 70.0], "churn_probability": [0.1, 0.9], "accept_probability": [0.05, 0.4]}


def test_a_joined_table_keeps_its_rows() -> None:
    built = population.build(**GOOD)
    assert built.size == 2
    for name, column in GOOD.items():
        np.testing.assert_allclose(getattr(built, name), column)
        assert getattr(built, name).dtype == np.float32


def test_probabilities_of_zero_and_one_are_kept_off_the_edge() -> None:
    built = population.build([50.0] * 2, [0.0, 1.0], [1.0, 0.0])
    for column in (built.churn_probability, built.accept_probability):
        assert 0 < float(column.min()) <= 1e-3
        assert 1 - 1e-3 <= float(column.max()) < 1


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("monthly_charge", [20.0, 0.0], "row 1: 0.0"),
        ("monthly_charge", [-3.0, 5.0], "row 0: -3.0"),
        ("monthly_charge", [20.0, np.inf], "row 1: inf"),
        ("monthly_charge", [1e39, 20.0], "row 0: 1e\\+39; allowed: a finite float32 above 0"),
        ("monthly_charge", [20.0, 1e-46], "row 1: 1e-46; allowed: a finite float32 above 0"),
        ("churn_probability", [0.1, np.nan], "row 1: nan"),
        ("churn_probability", [1.2, 0.1], "row 0: 1.2"),
        ("accept_probability", [0.1, -0.2], "row 1: -0.2"),
        ("accept_probability", [[0.1, 0.2]], "shape"),
        ("churn_probability", [], "shape"),
        ("accept_probability", [0.1, 0.2, 0.3], "length"),
        ("monthly_charge", ["20", "a lot"], "number"),
        ("monthly_charge", [10**400, 20], "number"),
        (
            "monthly_charge",
            np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"),
            "holds dates or times; allowed: numbers",
        ),
    ],
)
def test_a_bad_column_is_named_with_row_and_value(column: str, values: list[float], said: str) -> None:
    with pytest.raises(DataError, match=said) as error:
        population.build(**GOOD | {column: values})
    assert column in str(error.value)


@pytest.mark.parametrize("correlation", [-1.5, 2, np.nan])
def test_a_correlation_that_is_none_is_refused(correlation: float) -> None:
    with pytest.raises(DataError, match="rank_correlation"):
        population.match([0.1], [0.2], rank_correlation=correlation, seed=0)


@given(n=st.integers(1, 60), m=st.integers(1, 60), correlation=st.floats(-1, 1), seed=st.integers(0, 99))
def test_every_acceptance_row_is_used_as_often_as_any_other(n: int, m: int, correlation: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    matched = population.match(random.random(n), random.random(m), rank_correlation=correlation, seed=seed)
    uses = np.bincount(matched.rows, minlength=m)
    assert uses.sum() == n
    assert set(uses) <= {n // m, -(-n // m)}


@pytest.mark.parametrize("correlation", [-1.0, -0.6, 0.0, 0.3, 0.8, 1.0])
def test_the_rank_correlation_is_the_one_asked_for(correlation: float) -> None:
    random = np.random.default_rng(3)
    churn, accept = random.beta(1, 3, 20_000), random.beta(1, 8, 30_000)
    matched = population.match(churn, accept, rank_correlation=correlation, seed=5)
    assert stats.spearmanr(churn, accept[matched.rows]).statistic == pytest.approx(correlation, abs=0.02)


def test_ties_in_the_risks_do_not_bend_an_independent_draw() -> None:
    """Isotonic calibration gives few distinct risks, in runs of sorted customers."""
    churn = np.repeat([0.1, 0.4, 0.7], 5000)
    accept = np.linspace(0, 1, 40_000)
    matched = population.match(churn, accept, rank_correlation=0.0, seed=1)
    by_risk = accept[matched.rows].reshape(3, 5000).mean(axis=1)
    np.testing.assert_allclose(by_risk, 0.5, atol=0.02)
    assert abs(stats.spearmanr(np.arange(15_000), accept[matched.rows]).statistic) < 0.03


def test_matching_repeats_with_its_seed_and_says_how_it_was_done() -> None:
    one, same, other = (population.match([0.1] * 50, [0.2] * 50, rank_correlation=0.0, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.rows, same.rows)
    assert not np.array_equal(one.rows, other.rows)
    record = one.record()
    assert record["rank_correlation"] == 0.0
    assert record["seed"] == 1
    assert record["method"] == "independent draw"


def test_a_population_of_two_data_sets_has_a_row_for_each_customer() -> None:
    random = np.random.default_rng(0)
    built = population.build(
        random.uniform(18, 119, 300), random.random(300), random.random(1000), rank_correlation=0.5, seed=4
    )
    assert built.size == 300
    assert stats.spearmanr(built.churn_probability, built.accept_probability).statistic == pytest.approx(0.5, abs=0.12)
