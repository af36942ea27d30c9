"""Markov chains against integration on a grid, and against importance weights where these hold."""

import jax.numpy as jnp
import numpy as np
import pytest
from simulated_logs import DESIGN, PRIOR, company, simulate, told

from retentionjax.effects import chain, estimate, posterior


def banana(point, bend):
    """A normal distribution bent along a parabola: no proposal of one centre and one covariance comes near."""
    x, y = point
    return -0.5 * x**2 - 0.5 * ((y - bend * (x**2 - 1)) / 0.5) ** 2


@pytest.mark.slow
def test_a_bent_distribution_has_the_quantiles_of_a_grid() -> None:
    drawn, r_hat = chain.sample(banana, jnp.float32(0.7), np.zeros(2), np.eye(2), draws=1024, seed=0)
    assert drawn.shape == (1024, 2)
    assert r_hat <= chain.CONVERGED
    x, y = np.meshgrid(np.linspace(-5, 5, 801), np.linspace(-5, 20, 1251), indexing="ij")
    density = np.exp(banana((x, y), 0.7))
    for axis, grid in ((0, x[:, 0]), (1, y[0])):
        cumulated = np.cumsum(density.sum(axis=1 - axis)) / density.sum()
        for share in (0.05, 0.5, 0.95):
            below = np.mean(drawn[:, axis] <= np.interp(share, cumulated, grid))
            assert below == pytest.approx(share, abs=0.06)


def test_chains_that_found_different_places_are_told() -> None:
    def apart(point, data):
        return jnp.logaddexp(-0.5 * jnp.sum((point - 20) ** 2), -0.5 * jnp.sum((point + 20) ** 2))

    _, r_hat = chain.sample(apart, None, np.zeros(2), 400 * np.eye(2), draws=64, seed=0)
    assert r_hat > chain.CONVERGED


@pytest.mark.slow
def test_effects_by_chains_are_those_by_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    log = simulate(told({"contact_effect": -0.2}, company(400)), DESIGN, days=60)
    by_weights = estimate(log, PRIOR, company(1))
    assert by_weights.is_reliable
    assert by_weights.r_hat is None
    monkeypatch.setattr(posterior, "TRUSTED", -np.inf)
    by_chains = estimate(log, PRIOR, company(1))
    assert by_chains.is_reliable
    assert by_chains.r_hat is not None
    for name, each in by_weights.estimates.items():
        if each.is_estimated:
            width = each.high - each.low
            other = by_chains.estimates[name]
            for one, two in ((each.low, other.low), (each.median, other.median), (each.high, other.high)):
                assert two == pytest.approx(one, abs=0.2 * width), name
