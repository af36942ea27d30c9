"""Settings are held to what numbers are, with a range or without one."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

from retentionjax.checked import Checked, Count, Positive, Seed
from retentionjax.errors import ConfigError


@dataclass(frozen=True)
class Settings(Checked):
    """One number of each kind."""

    trees: Count = 3
    rate: Positive = 0.1
    weight: float = 1.0
    end: int | None = None
    most: float | None = None
    seed: Seed = 0
    bits: Literal[4, 8] = 8


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("weight", math.nan, "weight: nan is out of range; allowed: any finite number"),
        ("weight", -math.inf, "weight: -inf is out of range; allowed: any finite number"),
        ("weight", "1", "weight: '1' is not a number; allowed: a number"),
        ("weight", True, "weight: True is not a number; allowed: a number"),
        ("weight", None, "weight: None is not a number; allowed: a number"),
        ("end", 1.5, "end: 1.5 is not a whole number; allowed: a whole number"),
        ("most", math.nan, "most: nan is out of range; allowed: any finite number"),
        ("rate", math.nan, "rate: nan is out of range; allowed: above 0"),
        ("trees", 10**400, "trees: inf is out of range; allowed: 1 or more"),
        ("seed", -1, "seed: -1 is out of range; allowed: 0 or more"),
        ("bits", 5, "bits: is 5; allowed: 4, 8"),
        ("bits", np.array([4, 8]), r"bits: is array\(\[4, 8\]\); allowed: 4, 8"),
    ],
)
def test_what_is_no_number_is_refused_by_name(field: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^{words}$"):
        Settings(**{field: value})


def test_what_is_a_number_is_taken_whatever_its_type() -> None:
    made = Settings(trees=np.int64(2), weight=np.float32(-2.5), end=-1, most=3)  # type: ignore[arg-type]
    assert (made.trees, made.weight, made.end, made.most) == (2, -2.5, -1, 3)
    assert Settings(bits=np.int64(4)).bits == 4  # type: ignore[arg-type]
    assert Settings(end=None, most=None).end is None
