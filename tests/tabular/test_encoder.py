"""The encoder says row, column and value of whatever it cannot encode."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retentionjax.errors import DataError
from retentionjax.tabular.encoder import CategoryCodes, Encoder

ENCODER = Encoder(("age", "spend"), {"plan": ("a", "b", "c")}, nullable=("spend",))
GOOD: dict[str, list[Any]] = {"age": [30, 41], "spend": [1.5, None], "plan": ["c", "a"]}


def _frame(**changes: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({**GOOD, **changes}, index=pd.Index([7, 9]))


def test_numbers_stay_categories_become_codes_and_gaps_nan() -> None:
    x = ENCODER.encode(_frame())
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, np.array([[30, 1.5, 2], [41, np.nan, 0]], np.float32))


@pytest.mark.parametrize("kind", ["object", "str", "category"])
def test_codes_do_not_depend_on_how_pandas_holds_the_text(kind: str) -> None:
    frame = _frame().assign(plan=pd.Series(["c", "a"], index=[7, 9]).astype(kind))
    np.testing.assert_array_equal(ENCODER.encode(frame), ENCODER.encode(_frame()))


def test_codes_do_not_depend_on_the_order_of_a_pandas_categorical() -> None:
    frame = _frame().assign(plan=pd.Categorical(["c", "a"], categories=["c", "b", "a", "z"]))
    np.testing.assert_array_equal(ENCODER.encode(frame), ENCODER.encode(_frame()))


def test_numbers_in_a_column_of_objects_are_taken() -> None:
    frame = _frame(spend=[1.5, None]).astype({"spend": object, "age": object})
    np.testing.assert_array_equal(ENCODER.encode(frame), ENCODER.encode(_frame()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": [30, None]}, "row 9, column 'age': the value is missing"),
        ({"plan": ["a", None]}, "row 9, column 'plan': the value is missing"),
        ({"age": [30, "41"]}, "row 9, column 'age': '41' is not a number"),
        ({"age": [True, False]}, "row 7, column 'age': True is not a number"),
        ({"spend": [1.5, np.inf]}, "row 9, column 'spend': inf is not a finite number"),
        ({"spend": [-1e39, 0.0]}, "row 7, column 'spend': -1e\\+39 is not a finite number"),
        ({"plan": ["a", 2]}, "row 9, column 'plan': 2 is not text"),
    ],
)
def test_a_value_that_does_not_fit_is_named(changes: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ENCODER.encode(_frame(**changes))


def test_an_unseen_category_is_as_if_missing_and_nobody_is_refused_for_it() -> None:
    encoded = ENCODER.encode(_frame(plan=["a", "d"]))
    assert np.isnan(encoded[1, ENCODER.features.index("plan")])
    codes = CategoryCodes(("a", "b"), nullable=True)
    assert (codes["a"], codes["b"]) == (0.0, 1.0)
    assert np.isnan([codes["d"], codes[""], codes[None]]).all()
    assert len(codes) == 4, "looking up an unseen category leaves nothing behind"
    with pytest.raises(KeyError):
        CategoryCodes(("a", "b"))[None]


def test_a_missing_column_is_named_with_all_that_are_needed() -> None:
    with pytest.raises(DataError, match="column 'spend' is missing; needed: age, spend, plan"):
        ENCODER.encode(_frame().drop(columns="spend"))


def test_an_encoder_survives_json() -> None:
    assert Encoder.from_dict(json.loads(json.dumps(ENCODER.to_dict()))) == ENCODER


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "encoder format 2 is unknown"),
        ({"dtype": "float64"}, "dtype float32"),
        ({"extra": 1}, "has the keys"),
        ({"numeric": "age"}, "lists of text"),
        ({"categorical": ["plan"]}, "maps columns"),
        ({"categorical": {"plan": []}}, "needs one category or more"),
        ({"nullable": ["other"]}, "'other' cannot be nullable"),
        ({"numeric": ["age", "age"]}, "'age' is named twice"),
        ({"numeric": [], "categorical": {}, "nullable": []}, "at least one"),
    ],
)
def test_an_encoder_file_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Encoder.from_dict({**ENCODER.to_dict(), **change})


@pytest.mark.parametrize("plain", [None, [], "encoder", {}])
def test_what_is_no_encoder_at_all_is_refused(plain: object) -> None:
    with pytest.raises(DataError, match="format"):
        Encoder.from_dict(plain)
