"""The table by which a budget finds its price."""

import pytest

from retentionjax.env.prices import Prices
from retentionjax.errors import ConfigError

TABLE = Prices(price=(0.5, 1.0, 2.0), spend=(4.0, 2.0, 2.0), uplift=(6.0, 5.0, 4.9))


@pytest.mark.parametrize(("budget", "price"), [(4.0, 0.5), (3.0, 0.75), (9.0, 0.5), (2.5, 0.875)])
def test_a_budget_between_two_rows_has_a_price_between_them(budget, price):
    assert TABLE.for_budget(budget) == pytest.approx(price)


def test_a_budget_below_what_the_highest_price_spends_is_refused():
    with pytest.raises(ConfigError, match=r"budget is 1.9; allowed: at least \$2.00"):
        TABLE.for_budget(1.9)
    with pytest.raises(ConfigError, match="budget is nan"):
        TABLE.for_budget(float("nan"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (((1.0,), (1.0,), (1.0,)), "two rows or more"),
        (((1.0, 2.0), (1.0,), (1.0, 1.0)), "two rows or more"),
        (((2.0, 1.0), (1.0, 1.0), (1.0, 1.0)), "prices must rise"),
        (((1.0, 2.0), (1.0, 3.0), (1.0, 1.0)), "spend must not rise"),
        (((1.0, 2.0), (1.0, float("nan")), (1.0, 1.0)), "not finite"),
    ],
)
def test_a_table_that_could_not_answer_is_refused(columns, message):
    with pytest.raises(ConfigError, match=message):
        Prices(*columns)
