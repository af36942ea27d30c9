"""The README's problem of one's own is run as it is printed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retentionjax.rl

README = (Path(retentionjax.rl.__path__[0]) / "README.md").read_text(encoding="utf-8")


(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(example: str) -> dict[str, Any]:
    """The names that the example leaves behind."""
    names: dict[str, Any] = {}
    exec(example, names)
    return names


@pytest.mark.slow
def test_the_shop_keeps_its_limit_and_sells_what_can_be_sold() -> None:
    """Orders cost nothing, so days are apart from each other: stock up to 1 on some of them, to 2 on the others.

    Demand is Poisson(2): of one unit .135 are left over and .865 sold, of two .541 and 1.459; half a unit a day allows
    the second on nine days of ten, which sells 42 units in 30 days.
    """
    names = run(EXAMPLE)
    none, one = np.exp(-2), 2 * np.exp(-2)
    left, sold = np.array([none, 2 * none + one]), np.array([1 - none, 2 - 2 * none - one])
    best = 30 * np.interp(0.5, left, sold)
    assert names["last"]["episode_return"] >= 0.97 * best
    assert names["last"]["episode_cost_0"] <= 1.05 * 15
    assert names["orders"].argmax() == 2
    assert names["orders"].shape == (5,)
    assert float(names["orders"].sum()) == pytest.approx(1.0, abs=1e-5)
