"""Who accepted and who left, in the words that files have for it."""

import math

import numpy as np
import pandas as pd
import pytest

from retentionjax.data.cells import Cells
from retentionjax.data.reading import read_frame


@pytest.mark.parametrize(
    ("yes", "no", "texts"),
    [
        ("1", "0", ["1", "0", None]),
        ("1", "0", ["1.0", "0.0", ""]),  # as pandas writes whole numbers with gaps
        ("1", "0", ["True", "False", None]),
        ("1", "0", ["Yes", "no", None]),
        ("yes", "no", ["TRUE", "0.0", None]),
        ("0", "1", ["False", "1.0", None]),  # the column says who stayed
        ("2", "1", ["2.0", "1", None]),
        ("Ja", "Nein", ["Ja", " Nein ", None]),
        ("1", "0", ["1", "0", "nan"]),  # as numpy writes what is not known
        ("yes", "no", ["yes", "no", "N/A"]),
        ("NA", "EU", ["NA", "EU", "NaN"]),  # a word of the company's own is meant first
        ("1", "0", [1.0, 0.0, math.nan]),
        ("1", "0", [True, False, None]),
    ],
)
def test_yes_and_no_are_understood_as_they_are_written(yes: str, no: str, texts: list[object]) -> None:
    cells = Cells(read_frame(pd.DataFrame({"said": texts}), "log"))
    np.testing.assert_array_equal(cells.flags("said", yes, no, nullable=True), [1, 0, math.nan])
    assert not cells.faults


@pytest.mark.parametrize(("yes", "no", "wrong"), [("1", "0", "2.0"), ("Ja", "Nein", "yes"), ("2", "1", "true")])
def test_any_other_word_is_a_fault_that_says_how_to_tell_it(yes: str, no: str, wrong: str) -> None:
    cells = Cells(read_frame(pd.DataFrame({"said": [yes, no, wrong]}), "log"))
    cells.flags("said", yes, no)
    (line,) = cells.faults[0].lines()
    assert f"row 3, column 'said': '{wrong}' is an unknown category" in line
    assert "other words are told by {column: said, yes: …, no: …}" in line
