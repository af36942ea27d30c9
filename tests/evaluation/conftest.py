"""A small cohort, and the environment in which its episodes are counted."""

import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams, Population
from retentionjax.evaluation import rollout


@pytest.fixture(autouse=True)
def _one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of 16 episodes of each of the cohort, however many are asked for: a policy is compiled once."""
    monkeypatch.setattr(rollout, "CHUNK", 1024)


@pytest.fixture(scope="package")
def cohort() -> EnvParams:
    """64 customers with charges and risks about those of the Telco data, and campaigns of a month: a day of an episode
    costs what any other does."""
    random = np.random.default_rng(0)
    return EnvParams(
        population=Population(
            monthly_charge=jnp.asarray(random.uniform(20, 115, 64), jnp.float32),
            churn_probability=jnp.asarray(random.beta(1, 3, 64).clip(0.01, 0.9), jnp.float32),
            accept_probability=jnp.asarray(random.beta(1, 8, 64).clip(0.01, 0.9), jnp.float32),
        ),
        horizon_days=30,
    )


@pytest.fixture(scope="package")
def env() -> RetentionEnv:
    """Sampled churn, as reported figures have it."""
    return RetentionEnv()
