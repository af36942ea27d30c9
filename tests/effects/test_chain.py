"""Markov chains against integration on a grid, and against importance weights where these hold."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.infer
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


class Settled:
    """In place of the sampler, chains that stay about a place each: compiling the real one takes ten seconds.

    That numpyro's own runs, and samples what it should, is not shown by it but by the slow tests.
    """

    def __init__(self, places: np.ndarray) -> None:
        self.places, self.random, self.runs = places, np.random.default_rng(0), 0
        self.post_warmup_state = SimpleNamespace(rng_key=None)
        self.last_state = self.post_warmup_state

    def __call__(self, kernel: object, **settings: Any) -> "Settled":
        self.steps = settings["num_samples"]
        assert settings["num_chains"] == len(self.places) == chain.CHAINS
        return self

    def warmup(self, key: object, data: object, *, init_params: dict[str, np.ndarray]) -> None:
        assert init_params["away"].shape == self.places.shape

    def run(self, key: object, data: object) -> None:
        self.runs += 1

    def get_samples(self, *, group_by_chain: bool) -> dict[str, np.ndarray]:
        assert group_by_chain
        noise = self.random.standard_normal((len(self.places), self.steps, self.places.shape[1]))
        return {"away": self.places[:, None] + noise}


@pytest.mark.parametrize("distance", [0.0, 3.0])
def test_chains_in_different_places_are_told_and_draws_are_of_all_chains_in_the_units_of_the_effects(
    distance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = np.zeros((chain.CHAINS, 2))
    places[-1, 1] = distance  # one coordinate of one chain
    monkeypatch.setattr(numpyro.infer, "MCMC", Settled(places))
    centre, covariance = np.array([10.0, -20.0]), np.array([[4.0, 3.0], [3.0, 9.0]])
    drawn, r_hat = chain.sample(banana, None, centre, covariance, draws=512, seed=0)
    assert (r_hat > chain.CONVERGED) == (distance > 0)
    shift = np.linalg.cholesky(covariance)[:, 1] * distance / chain.CHAINS
    np.testing.assert_allclose(drawn.mean(axis=0), centre + shift, atol=0.4)  # 512 draws: three standard errors
    if not distance:
        np.testing.assert_allclose(np.cov(drawn.T), covariance, rtol=0.25)


@pytest.mark.slow
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
