"""The generator: repeatable, honest about itself, and near enough to the real sets that models learn the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import roc_auc_score

from retentionjax.data import public_sets, sources, synthetic
from retentionjax.data.download import DownloadError
from retentionjax.data.schema import Table
from retentionjax.errors import DataError


@pytest.fixture(scope="module")
def made() -> dict[str, Table]:
    return {name: synthetic.generate(name) for name in synthetic.NAMES}


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    one, same, other = (synthetic.generate("telco", rows=200, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one.frame, same.frame)
    assert not one.frame["MonthlyCharges"].equals(other.frame["MonthlyCharges"])


@pytest.mark.parametrize("name", synthetic.NAMES)
def test_it_has_the_types_and_the_size_of_the_real_set_and_says_synthetic(made: dict[str, Table], name: str) -> None:
    table = made[name]
    assert len(table.frame) == sources.source(name).rows
    assert table.schema == public_sets.SCHEMAS[name]
    assert table.provenance.kind == "synthetic"
    assert "made up" in table.provenance.source
    for column in table.frame.columns:
        if column not in table.schema.nullable:
            assert table.frame[column].notna().all(), column
    assert set(table.frame[table.schema.label]) == {0, 1}


def test_telco_customers_are_consistent(made: dict[str, Table]) -> None:
    frame = made["telco"].frame
    assert frame["customerID"].is_unique
    assert frame["customerID"].str.startswith("SYNTHETIC").all()
    assert (frame["TotalCharges"].isna() == (frame["tenure"] == 0)).all()
    assert ((frame["PhoneService"] == "No") == (frame["MultipleLines"] == "No phone service")).all()
    for name in ("OnlineSecurity", "StreamingTV"):
        assert ((frame["InternetService"] == "No") == (frame[name] == "No internet service")).all()
    assert frame["MonthlyCharges"].min() > 18


def test_bank_clients_are_consistent_and_in_order_of_time(made: dict[str, Table]) -> None:
    frame = made["bank"].frame
    assert ((frame["poutcome"] == "nonexistent") == (frame["previous"] == 0)).all()
    assert frame.loc[frame["poutcome"] == "nonexistent", "pdays"].isna().all()
    assert frame["nr.employed"].iloc[0] == 5191.0
    assert frame["nr.employed"].iloc[-1] == 4963.6
    assert frame.groupby(["month", "nr.employed"], observed=True)["cons.price.idx"].nunique().max() == 1


def test_the_figures_hold_no_rows() -> None:
    """Everything in the file is a share, a quantile, a correlation, a weight or an economic figure."""
    path = Path(synthetic.__file__).with_name("synthetic_figures.json")
    assert path.stat().st_size < 20_000
    lists = [len(values) for values in synthetic.read_figures()["telco"]["quantiles"].values()]
    assert max(lists) < 40


@pytest.mark.parametrize("name", synthetic.NAMES)
def test_each_class_looks_like_the_real_one(
    made: dict[str, Table], real_table: Callable[[str], Table], name: str
) -> None:
    real, fake = real_table(name).frame, made[name].frame
    label = str(public_sets.SCHEMAS[name].label)
    assert fake[label].mean() == pytest.approx(real[label].mean(), abs=0.01)
    for kind in (0, 1):
        one, other = real[real[label] == kind], fake[fake[label] == kind]
        for column in public_sets.SCHEMAS[name].numeric:
            if one[column].notna().mean() > 0.5:
                spread = one[column].std()
                assert other[column].mean() == pytest.approx(one[column].mean(), abs=0.12 * spread), column
        for column in public_sets.SCHEMAS[name].categorical:
            shares = one[column].value_counts(normalize=True)
            difference = (shares - other[column].value_counts(normalize=True).reindex(shares.index)).abs().max()
            assert difference < 0.08, (column, kind)


@pytest.mark.parametrize(
    ("name", "numeric"),
    [("telco", ["tenure", "MonthlyCharges", "TotalCharges"]), ("bank", ["age", "euribor3m"])],
)
def test_numbers_hang_together_as_in_the_real_set(
    made: dict[str, Table], real_table: Callable[[str], Table], name: str, numeric: list[str]
) -> None:
    real = real_table(name).frame[numeric].corr(method="spearman")
    fake = made[name].frame[numeric].corr(method="spearman")
    np.testing.assert_allclose(fake, real, atol=0.05)


@pytest.mark.parametrize(("name", "low", "high"), [("telco", 0.81, 0.85), ("bank", 0.76, 0.81)])
def test_a_model_finds_about_as_much_in_it(made: dict[str, Table], name: str, low: float, high: float) -> None:
    """The real sets, same model: 0.84 and 0.80."""
    train, test = (made[name].rows(rows) for rows in _halves(len(made[name].frame)))
    assert low < _auc(train, test, name) < high


@pytest.mark.parametrize(("name", "low"), [("telco", 0.825), ("bank", 0.77)])
def test_a_model_trained_on_it_ranks_real_customers(
    made: dict[str, Table], real_table: Callable[[str], Table], name: str, low: float
) -> None:
    assert _auc(made[name].frame, real_table(name).frame, name) > low


def _halves(rows: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(0).permutation(rows)
    return order[: rows * 4 // 5], order[rows * 4 // 5 :]


def _auc(train: pd.DataFrame, test: pd.DataFrame, name: str) -> float:
    schema = public_sets.SCHEMAS[name]
    model = xgboost.XGBClassifier(
        n_estimators=60,
        max_depth=5,
        learning_rate=0.1,
        subsample=0.8,
        n_jobs=1,
        enable_categorical=True,
        tree_method="hist",
    )
    features = list(schema.features)
    model.fit(train[features], train[schema.label])
    return float(roc_auc_score(test[schema.label], model.predict_proba(test[features])[:, 1]))


def test_few_rows_and_other_sets_are_errors() -> None:
    with pytest.raises(DataError, match="19 synthetic rows would say nothing; allowed: 20 or more"):
        synthetic.generate("telco", rows=19)
    with pytest.raises(DataError, match="'hillstrom' has no synthetic form; allowed: telco, bank"):
        synthetic.generate("hillstrom")


def test_auto_falls_back_loudly_and_real_never(
    own_places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _no_network(monkeypatch)
    table = sources.load("telco", mode="auto")
    assert table.provenance.kind == "synthetic"
    said = capsys.readouterr().err
    assert "nowhere to be had" in said
    assert "WARNING: going on with SYNTHETIC telco data" in said
    with pytest.raises(sources.UnavailableError):
        sources.load("telco", mode="real")
    with pytest.raises(sources.UnavailableError):
        sources.load("hillstrom", mode="auto")


def test_auto_does_not_hide_a_damaged_file(own_places: Path) -> None:
    (own_places / "given/telco").mkdir()
    (own_places / "given/telco/Telco-Customer-Churn.csv").write_text("customerID\n1\n")
    with pytest.raises(DataError, match="checksum differs"):
        sources.load("telco", mode="auto")


def test_synthetic_asks_for_no_file(own_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("synthetic data must not look for files")

    monkeypatch.setattr(sources, "obtain", refuse)
    assert sources.load("telco", mode="synthetic").provenance.kind == "synthetic"


def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(source: sources.PublicDataSet, cache: Path, **named: object) -> None:
        raise DownloadError(f"{source.downloads[0].url}: no connection")

    monkeypatch.setattr(sources, "fetch", nowhere)
