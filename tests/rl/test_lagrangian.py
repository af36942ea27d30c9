"""The multipliers' controller."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.rl.lagrangian import Gains, Multipliers, init_multipliers, update_multipliers, violations

MEASURED = jnp.ones((), bool)
UPDATE = jax.jit(update_multipliers)


def steps(
    gains: Gains, costs: list[float], limit: float, *, scale: float = 1.0, unit: float | None = None
) -> list[Multipliers]:
    """States after each measured cost; returns as large as the limit unless `unit` says how large."""
    size = jnp.float32((limit if 0 < limit < np.inf else scale) if unit is None else unit)
    limits = jnp.array([limit])
    state, states = init_multipliers(gains, limits), []
    for cost in costs:
        state = UPDATE(gains, state, jnp.array([cost]), limits, jnp.array([scale]), size, MEASURED)
        states.append(state)
    return states


def prices(*arguments: Any, **options: Any) -> list[float]:
    return [float(state.value[0]) for state in steps(*arguments, **options)]


def plain_pid(gains: Gains, costs: list[float], limit: float) -> list[float]:
    """The same controller in plain Python."""
    integral, smoothed, past, values = float(gains.initial), 0.0, [0.0] * gains.delay, []  # type: ignore[arg-type]
    value = integral
    clip = float(gains.violation_clip)  # type: ignore[arg-type]
    for cost in costs:
        error = min(max((cost - limit) / limit, -clip), clip)
        smoothed = gains.smoothing * smoothed + (1 - gains.smoothing) * error  # type: ignore[operator]
        integral /= 2 if cost < 0.02 * limit and value > 0 else 1
        integral = min(max(integral + gains.integral * error, 0.0), gains.maximum)  # type: ignore[type-var, operator]
        value = integral + gains.proportional * smoothed + gains.derivative * max(0.0, smoothed - past.pop(0))
        past.append(smoothed)
        value = min(max(value, 0.0), gains.maximum)  # type: ignore[type-var, assignment]
        values.append(value)
    return values


@given(
    costs=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12),
    smoothing=st.floats(0.0, 0.99),
    derivative=st.floats(0.0, 2.0),
    delay=st.integers(1, 2),
)
def test_the_controller_is_the_plain_one(costs: list[float], smoothing: float, derivative: float, delay: int) -> None:
    gains = Gains(0.3, 0.2, derivative, smoothing, initial=0.5, maximum=1.5, violation_clip=0.7, delay=delay)
    np.testing.assert_allclose(prices(gains, costs, 2.0), plain_pid(gains, costs, 2.0), rtol=1e-4, atol=1e-5)


def test_gradient_descent_steps_by_the_violation() -> None:
    np.testing.assert_allclose(prices(Gains.sgd(0.1), [2.4, 2.2, 1.0], 2.0), [0.02, 0.03, 0.0], atol=1e-6)


def test_the_proportional_part_vanishes_with_the_violation() -> None:
    assert prices(Gains(proportional=1.0, integral=0.0, smoothing=0.0), [3.0, 2.0], 2.0) == [0.5, 0.0]


def test_everything_is_held_when_no_episode_ended() -> None:
    gains = Gains(0.3, 0.2, 0.1, 0.5, initial=1.0)
    before = steps(gains, [5.0], 2.0)[0]
    after = update_multipliers(
        gains, before, jnp.array([0.0]), jnp.array([2.0]), jnp.array([1.0]), jnp.float32(2), ~MEASURED
    )
    for held, now in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(held, now)


def test_a_wild_start_winds_up_no_more_than_the_clip_allows() -> None:
    assert prices(Gains(0.0, 0.1, violation_clip=0.5), [1000.0], 1.0) == pytest.approx([0.05])


def test_the_integral_is_clamped_so_that_it_can_turn_at_once() -> None:
    low = prices(Gains(0.0, 0.1), [0.5] * 50 + [1.5], 1.0)
    assert low[-2:] == pytest.approx([0.0, 0.05])
    high = prices(Gains(0.0, 0.1, maximum=0.2), [2.0] * 50 + [0.5], 1.0)
    assert high[-2:] == pytest.approx([0.2, 0.15])


def test_no_multiplier_starts_above_its_maximum() -> None:
    assert init_multipliers(Gains(initial=3.0, maximum=2.0), jnp.array([1.0])).value.tolist() == [2.0]


def test_a_limit_that_is_no_number_does_not_switch_the_constraint_off() -> None:
    assert np.isnan(prices(Gains(), [1.0], float("nan"))).all()


@pytest.mark.parametrize("size", [1.0, 10.0])
def test_prices_follow_the_size_of_returns_and_of_limits(size: float) -> None:
    """Rewards `size` times as large make prices as many times as large, limits and costs as many times smaller."""
    costs = [3.0, 2.5, 1.0, 2.2]
    plain = np.array(prices(Gains(0.3, 0.2), costs, 2.0, unit=5.0))
    np.testing.assert_allclose(prices(Gains(0.3, 0.2), costs, 2.0, unit=5.0 * size), plain * size, rtol=1e-5)
    dear = [cost * size for cost in costs]
    np.testing.assert_allclose(prices(Gains(0.3, 0.2), dear, 2.0 * size, unit=5.0), plain / size, rtol=1e-5)


def test_the_price_of_what_was_given_up_is_gone_within_ten_updates_and_it_is_said() -> None:
    """Less than a fiftieth of the limit at a price above 0: more than anything is worth."""
    states = steps(Gains(0.0, 0.0, initial=4.0), [2.0] + [0.01] * 10, 2.0)
    assert [bool(state.collapsed[0]) for state in states] == [False] + [True] * 10
    assert states[0].value[0] == 4.0
    assert states[-1].value[0] < 0.004


def test_an_infinite_limit_switches_the_constraint_off() -> None:
    assert prices(Gains(1.0, 1.0, initial=3.0), [1e9, 0.0], float("inf")) == [0.0, 0.0]
    assert init_multipliers(Gains(initial=3.0), jnp.array([jnp.inf, 1.0])).value.tolist() == [0.0, 3.0]


def test_a_limit_of_zero_is_measured_in_the_given_scale() -> None:
    measured = violations(jnp.array([0.3, 0.3]), jnp.array([0.0, 0.2]), jnp.array([2.0, 2.0]))
    np.testing.assert_allclose(measured, [0.15, 0.5], rtol=1e-6)
    assert prices(Gains(0.0, 1.0), [0.3], 0.0, scale=2.0) == pytest.approx([0.15])


def test_a_cost_s_settings_are_its_own() -> None:
    gains = Gains(jnp.array([0.0, 1.0]), 0.0, smoothing=0.0, initial=jnp.array([0.25, 0.0]))
    limits = jnp.array([1.0, 1.0])
    state = update_multipliers(
        gains, init_multipliers(gains, limits), jnp.array([2.0, 2.0]), limits, jnp.ones(2), jnp.float32(0.5), MEASURED
    )
    np.testing.assert_allclose(state.value, [0.25, 0.5])
