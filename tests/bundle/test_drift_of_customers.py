"""`retentionjax evaluate --customers` warns, by column, where customers are no longer those of the training."""

import dataclasses

import bundles
import numpy as np
import pandas as pd
import pytest

from retentionjax.bundle import drift, load, write
from retentionjax.company.reading import CellReading
from retentionjax.data.cells import Cells
from retentionjax.data.reading import read_file
from retentionjax.decide import facts
from retentionjax.errors import DataError
from retentionjax.evaluation import command


def customers(rows: int, seed: int, *, longer: float = 1.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    months = random.uniform(0, 60, rows)
    left = random.random(rows) < 0.7 * np.exp(-months / 20)
    return pd.DataFrame(
        {
            "customer_id": [f"C-{row}" for row in range(rows)],
            "months": months * longer,
            "bill": random.uniform(20, 120, rows),
            "plan": random.choice(["basic", "plus"], rows),
            "age": random.uniform(18, 80, rows),
            "channel": random.choice(["mail", "phone"], rows),
            "left": np.where(left, "1", "0"),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = bundles.contents(bundles.trained())
    train = customers(2_000, 0)
    reference = bundles.churn_reference(made, train, train["left"].astype(int), "left")
    path = tmp_path_factory.mktemp("drift") / "bundle"
    write(path, dataclasses.replace(made, references={"churn": reference}))
    return path


def check(folder, table: pd.DataFrame) -> facts.Features:
    """The part of `evaluate` before any simulation."""
    return command.checked(load(folder), table)


def test_charges_in_another_unit_are_told_and_their_span_is_known(folder, capsys):
    table = customers(600, 4)
    check(folder, table.assign(bill=100 * table["bill"]))
    assert "WARNING: drift: churn: column 'bill': PSI" in capsys.readouterr().out
    low, high = drift.span(load(folder), "bill")
    assert 19 < low < 21
    assert 119 < high < 121
    assert drift.span(load(folder), "plan") is None


@pytest.mark.parametrize(
    ("positive", "negative", "column"),
    [
        ("0", "1", ["0", "1", ""]),
        ("0.0", "1.0", [0.0, 1.0, None]),
        ("False", "True", [False, True, None]),
        ("gone", "0", ["gone", "0", ""]),
        ("0", "1", [False, True, None]),
        ("0", "1", ["false", "TRUE", " "]),
        ("False", "True", [0, 1, None]),
        ("False", "True", [" 0", "1.0", "NaN"]),
        ("True", "False", [" 1", "no", "n/a"]),
        ("yes", "1", ["yes", "1", ""]),
        ("gone", "1", ["gone", "true", None]),
        ("2", "1", [2.0, 1.0, np.nan]),
    ],
)
def test_labels_mean_what_the_company_says_of_them(folder, positive, negative, column):
    """Of a column `active`, 0 is a customer who left."""
    reference = dataclasses.replace(drift.read(load(folder))["churn"], positive=positive, negative=negative)
    _, found = drift.labels(
        {"churn": reference}, pd.DataFrame({"left": pd.Series(column, dtype=object)}), CellReading()
    )
    np.testing.assert_array_equal(found["churn"], [1.0, 0.0, np.nan])


@pytest.mark.parametrize("said", ["ja;nein;k.A.", "1;0;", " 1 ; 0;k.A. ", "True;false;"])
def test_labels_of_a_text_file_are_read_as_training_reads_them(folder, tmp_path, said):
    """The oracle is training's own reader of labels."""
    reading = CellReading(missing=("k.A.",), aliases={"left": {"ja": "1", "nein": "0"}})
    (tmp_path / "c.csv").write_text("left,one\n" + "".join(f"{label},1\n" for label in said.split(";")))
    raw, _ = read_file(tmp_path / "c.csv", reading)
    told = Cells(raw, reading).flags("left", "1", "0", nullable=True)
    _, found = drift.labels(drift.read(load(folder)), raw.table.to_pandas(), reading)
    np.testing.assert_array_equal(found["churn"], told)
    np.testing.assert_array_equal(told, [1.0, 0.0, np.nan])


def test_the_same_kind_of_customers_raises_no_alarm(folder, capsys):
    assert len(check(folder, customers(600, 1)).customer_id) == 600
    printed = capsys.readouterr().out
    assert "WARNING" not in printed
    assert "No drift beyond chance in 600 customers" in printed


def test_the_column_that_moved_is_named(folder, capsys):
    check(folder, customers(600, 2, longer=0.5))
    printed = capsys.readouterr().out
    assert "WARNING: drift: churn: column 'months': PSI" in printed
    assert "(large;" in printed
    assert "column 'bill'" not in printed


def test_predictions_that_no_longer_fit_are_named(folder, capsys):
    table = customers(600, 3)
    table["left"] = np.where(np.random.default_rng(0).random(600) < 0.7, "1", "0")
    check(folder, table)
    assert "WARNING: drift: churn: predictions no longer fit (ece, brier, mean)" in capsys.readouterr().out
    with pytest.raises(DataError, match="row 0, column 'left': 'maybe'; allowed: '1', '0', 1 or 0"):
        check(folder, table.assign(left=["maybe"] * 600))


@pytest.mark.parametrize("blank", [None, np.nan, "", "nan"])
def test_of_customers_whose_outcome_is_not_known_predictions_are_not_judged(folder, blank):
    """Were they taken for kept, every rate would look lower than it is."""
    table = customers(600, 1)
    hidden = table.assign(left=table["left"].where(np.arange(600) % 3 > 0, blank))
    bundle, read = load(folder), drift.read(load(folder))
    (of_some,) = drift.compare(bundle, read, *drift.labels(read, hidden, CellReading()))
    (of_those,) = drift.compare(bundle, read, *drift.labels(read, table[np.arange(600) % 3 > 0], CellReading()))
    assert of_some.calibration is not None
    assert of_those.calibration is not None
    assert (of_some.calibration.rows, of_some.calibration.happened) == (400, of_those.calibration.happened)
    check(folder, hidden)


def test_a_bundle_without_a_reference_says_that_drift_cannot_be_told(bundle_folder, capsys):
    check(bundle_folder, customers(50, 4).drop(columns="left"))
    assert "this bundle holds no training reference" in capsys.readouterr().out
    assert drift.read(load(bundle_folder)) == {}
