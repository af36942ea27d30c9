"""A column that tells the outcome by itself is named; one with many values, or that merely helps, is not."""

import numpy as np
import pandas as pd

from retentionjax.data import leaks

ROWS = 400


def _table() -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(1)
    label = (random.random(ROWS) < 0.2).astype(int)
    reason = np.where(label == 1, random.choice(["price", "moved"], ROWS), None)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 10, ROWS) + 5 * label,  # helps
            "days_since_notice": np.where(label == 1, random.uniform(0, 30, ROWS), np.nan),
            "odd": np.where(label == 1, 5.0, random.choice([4.0, 6.0], ROWS)),  # in the middle: no order tells it
            "empty": np.nan,
            "reason": pd.Categorical(reason),
            "street": pd.Categorical(random.choice([f"s{n}" for n in range(200)], ROWS)),
        }
    )
    return frame, label


def test_columns_that_were_written_down_after_the_outcome_are_named() -> None:
    frame, label = _table()
    found = leaks.telling(frame, label, ["age", "days_since_notice", "odd", "empty"], ["reason", "street"])
    assert set(found) == {"days_since_notice", "odd", "reason"}
    assert "days_since_notice (AUC 1.000 by itself)" in leaks.words(found)
    assert leaks.of_summary({"cv_auc": 1.0, "leak_reason": 1.0}) == {"reason": 1.0}


def test_where_only_the_model_of_all_columns_is_perfect_the_best_column_is_named() -> None:
    frame, label = _table()
    assert leaks.telling(frame, label, ["age"], ["street"]) == {}
    assert list(leaks.telling(frame, label, ["age"], ["street"], whole=0.99)) == ["age"]
    assert leaks.telling(frame[:30], label[:30], ["odd"], ["reason"]) == {}  # six who left may do anything by luck
    assert leaks.words({}) == ""
