"""The value of never contacting again: the shaping potential Φ, and the closed form of the *never* policy."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from retentionjax.env import dynamics
from retentionjax.env.types import EnvParams, Population


def never_contact_value(population: Population, params: EnvParams) -> Float[Array, "days customers 2"]:
    """Φ[t, i, z] in $: expected value from day t on of customer i in risk state z without contact or offer.

    Backward recursion over the risk chain, exact up to rounding; days = horizon_days + 1 and Φ[horizon] = 0,
    since the residual value is part of the last day's reward:
    Φ[t, i, z] = (1 − h_z) · (m/30 + [t last] · residual + Σ_z' P(z, z') Φ[t + 1, i, z']).
    """
    days = int(params.horizon_days)
    calm, elevated = dynamics.hazards(population.churn_probability, params)
    stay = jnp.stack([1 - calm, 1 - elevated], axis=-1)  # (N, 2)
    daily = (population.monthly_charge / 30)[:, None]
    residual = dynamics.residual_value(population.monthly_charge, population.churn_probability, params)[:, None]
    onset, recovery = params.risk_onset, params.risk_recovery
    transition = jnp.array([[1 - onset, onset], [recovery, 1 - recovery]])

    def previous_day(later: jax.Array, is_last: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = stay * (daily + is_last * residual + later @ transition.T)
        return value, value

    end = jnp.zeros_like(stay)
    is_last = (jnp.arange(days) == days - 1).astype(jnp.float32)
    _, table = jax.lax.scan(previous_day, end, is_last, reverse=True)
    return jnp.concatenate([table, end[None]])


def with_potential(params: EnvParams) -> EnvParams:
    """`params` with the table Φ of its population, which an environment with shaping needs."""
    return params.replace(potential=never_contact_value(params.population, params))  # type: ignore[attr-defined]


def expected_never_value(params: EnvParams) -> Float[Array, " customers"]:
    """Expected value in $ of a whole episode without contact, the first risk state drawn from (1 − π, π)."""
    share = dynamics.elevated_share(params)
    start = never_contact_value(params.population, params)[0]
    return (1 - share) * start[:, 0] + share * start[:, 1]
