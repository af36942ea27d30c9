"""The log as arrays: what stands in its frames, and what is refused there."""

import numpy as np
import pandas as pd
import pytest

from retentionjax.effects.log import LONGEST, Log, from_frames
from retentionjax.errors import DataError


def _log(days: list[int], left: int | None = None) -> Log:
    start = pd.Timestamp("2024-01-01")
    at = [start + pd.Timedelta(days=day) for day in days]
    contacts = pd.DataFrame({"customer": "a", "at": at, "offer": "none", "accepted": np.nan, "propensity": 0.5})
    customers = pd.DataFrame(
        {
            "monthly_charge": 50.0,
            "churn_probability": 0.1,
            "accept_probability": 0.1,
            "left_on": pd.NaT if left is None else start + pd.Timedelta(days=left),
            "observed_until": pd.Timestamp("2026-01-01"),
        },
        index=["a"],
    )
    return from_frames(contacts, customers, ["hello"])


def test_whoever_stayed_may_be_assigned_long_after_the_days_that_are_used() -> None:
    log = _log([0, LONGEST + 100])
    assert log.day.tolist() == [0, LONGEST + 100]
    assert log.left_day.tolist() == [-1]
    assert log.lanes().offer.shape == (1, LONGEST)


def test_an_assignment_after_leaving_is_refused() -> None:
    assert _log([0, 20], left=20).left_day.tolist() == [20]
    with pytest.raises(DataError, match="after the customer left"):
        _log([0, 21], left=20)
