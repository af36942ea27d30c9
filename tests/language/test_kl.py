"""The price of moving away from the reference model, against published numbers."""

from typing import Any

import numpy as np
import pytest
from compiled import Compiled
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.errors import ConfigError
from retentionjax.language import losses as uncompiled

losses: Any = Compiled(uncompiled)

ZIEGLER = losses.KLConfig(initial=0.15, target=6.0, horizon=10_000.0)


@pytest.mark.parametrize(("measured", "expected"), [(12.0, 0.151536), (3.0, 0.148464), (6.0, 0.15)])
def test_the_controller_moves_as_zieglers_does(measured: float, expected: float) -> None:
    updated = losses.update_coefficient(ZIEGLER, np.float32(0.15), np.float32(measured), 512)
    assert float(updated) == pytest.approx(expected, abs=1e-7)


def test_the_coefficient_stays_between_its_bounds() -> None:
    config = losses.KLConfig(initial=0.1, target=1.0, horizon=10.0, minimum=0.01, maximum=0.2)
    high, low = np.float32(0.1), np.float32(0.1)
    for _ in range(100):
        high = losses.update_coefficient(config, high, np.float32(9.0), 16)
        low = losses.update_coefficient(config, low, np.float32(0.0), 16)
    assert float(high) == pytest.approx(0.2)
    assert float(low) == pytest.approx(0.01)


@pytest.mark.parametrize("fields", [{"target": 0.0}, {"horizon": -1.0}, {"initial": 2.0, "maximum": 1.0}])
def test_settings_no_controller_can_use_are_refused_by_name(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(fields))}: .*allowed"):
        losses.KLConfig(**fields)


# XLA on CPU takes a subnormal number for 0.
@given(st.lists(st.floats(-50, 50, width=32, allow_subnormal=False), min_size=1, max_size=8))
def test_k3_is_never_negative_and_both_are_clamped(differences: list[float]) -> None:
    log_probs, zeros = np.resize(np.float32(differences), 8), np.zeros(8, np.float32)
    assert losses.k3(log_probs, zeros).min() >= 0
    np.testing.assert_allclose(losses.k1(log_probs, zeros), np.clip(log_probs, -10, 10), rtol=1e-6)


def test_both_estimators_have_the_divergence_as_their_mean() -> None:
    """The mean is over tokens drawn from π, exactly: summed over a vocabulary of 50 with its probabilities."""
    random = np.random.default_rng(0)
    log_p, log_q = (np.log(random.dirichlet(np.ones(50) * 5)) for _ in range(2))
    divergence = np.sum(np.exp(log_p) * (log_p - log_q))
    for estimator in (losses.k1, losses.k3):
        terms = estimator(np.float32(log_p), np.float32(log_q))
        assert np.sum(np.exp(log_p) * terms) == pytest.approx(divergence, rel=1e-4)
