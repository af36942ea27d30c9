"""The table by which a budget finds its multiplier."""

import pytest

from retentionjax.env.types import MultiplierTable
from retentionjax.errors import ConfigError

TABLE = MultiplierTable(multiplier=(0.5, 1.0, 2.0), spend=(4.0, 2.0, 2.0), uplift=(6.0, 5.0, 4.9))


@pytest.mark.parametrize(("budget", "multiplier"), [(4.0, 0.5), (3.0, 0.75), (9.0, 0.5), (2.5, 0.875)])
def test_a_budget_between_two_rows_has_a_multiplier_between_them(budget, multiplier):
    assert TABLE.for_budget(budget) == pytest.approx(multiplier)


def test_a_budget_below_what_the_highest_multiplier_spends_is_refused():
    with pytest.raises(ConfigError, match=r"budget is 1.9; allowed: at least 2.00"):
        TABLE.for_budget(1.9)
    with pytest.raises(ConfigError, match="budget is nan"):
        TABLE.for_budget(float("nan"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (((1.0,), (1.0,), (1.0,)), "two rows or more"),
        (((1.0, 2.0), (1.0,), (1.0, 1.0)), "two rows or more"),
        (((2.0, 1.0), (1.0, 1.0), (1.0, 1.0)), "multipliers must rise"),
        (((1.0, 2.0), (1.0, 3.0), (1.0, 1.0)), "spend must not rise"),
        (((1.0, 2.0), (1.0, float("nan")), (1.0, 1.0)), "not finite"),
    ],
)
def test_a_table_that_could_not_answer_is_refused(columns, message):
    with pytest.raises(ConfigError, match=message):
        MultiplierTable(*columns)
