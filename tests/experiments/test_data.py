"""The data stage: real where it can be, all synthetic where not, and stopped by its gates."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from experiments import data as stage
from experiments.config import load_preset
from experiments.data import DataConfig
from retentionjax.data import catalog, sources, synthetic
from retentionjax.data.download import DownloadError
from retentionjax.errors import ConfigError, DataError


def _run(folder: Path, *flags: str) -> dict[str, object]:
    stage.STAGE._command(["smoke", "--runs", str(folder), *flags])
    summary: dict[str, object] = json.loads((folder / "smoke/data/summary.json").read_text())
    return summary


def test_synthetic_data_are_prepared_and_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETENTIONJAX_DATA", raising=False)
    summary = _run(tmp_path, "--data", "synthetic", "--synthetic-rows", "None")
    assert summary["data_source"] == "synthetic"
    assert summary["customers_rows"] == 7_043
    assert summary["contacts_rows"] == 41_188
    assert "hillstrom_rows" not in summary
    prepared = catalog.read(tmp_path / "smoke/data/artifacts", "customers")
    assert prepared.test.provenance.kind == "synthetic"
    assert len(pd.read_parquet(tmp_path / "smoke/data/artifacts/customers/train.parquet")) == 5_635


def test_real_data_are_prepared_with_all_three_sets(tmp_path: Path, real_data: Path) -> None:
    summary = _run(tmp_path, "--data", "real", "--extra", "hillstrom")
    assert summary["data_source"] == "real"
    assert [summary[f"{name}_rows"] for name in ("customers", "contacts", "hillstrom")] == [7_043, 41_188, 64_000]
    assert summary["customers_rate"] == pytest.approx(0.2654, abs=5e-5)
    assert summary["contacts_rate"] == pytest.approx(0.1127, abs=5e-5)


def test_without_one_of_the_sets_everything_is_synthetic(
    tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real customers beside made-up ones would be a population that is neither."""
    (tmp_path / "given").mkdir()
    (tmp_path / "given/telco").symlink_to(real_data / "telco")
    monkeypatch.setenv("RETENTIONJAX_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("RETENTIONJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "fetch", _no_connection)
    found = stage.outside(DataConfig(), "auto")
    assert found.data_source == "synthetic"
    assert found.hashes["customers"] == found.hashes["contacts"] == synthetic.figures_sha256()
    assert "SYNTHETIC" in capsys.readouterr().err
    with pytest.raises(sources.UnavailableError):
        stage.outside(DataConfig(), "real")


def test_a_set_no_stage_needs_may_be_missing_but_is_named(
    tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "given").mkdir()
    for name in ("telco", "bank"):
        (tmp_path / "given" / name).symlink_to(real_data / name)
    monkeypatch.setenv("RETENTIONJAX_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("RETENTIONJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "fetch", _no_connection)
    found = stage.outside(DataConfig(extra=("hillstrom",)), "real")
    assert (found.data_source, set(found.hashes)) == ("real", {"company", "customers", "contacts"})
    assert "hillstrom is left out" in capsys.readouterr().err


def test_the_gates_stop_a_table_that_is_too_small_or_too_odd() -> None:
    demo = load_preset("demo").config("data", DataConfig)
    customers, contacts = (
        dataclasses.replace(synthetic.generate(source, rows=300), name=name)
        for name, source in (("customers", "telco"), ("contacts", "bank"))
    )
    with pytest.raises(DataError, match="gate: customers has 300 rows; allowed: 5,000 or more"):
        stage.check(demo, customers)
    with pytest.raises(DataError, match=r"gate: the churn rate is 0\.\d+; allowed: 0.4 to 0.6"):
        stage.check(dataclasses.replace(demo, minimum_customers=1, churn_rate_low=0.4), customers)
    with pytest.raises(DataError, match="gate: contacts has 300 rows; allowed: 30,000 or more"):
        stage.check(demo, contacts)


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="no data set is called 'mars'"):
        DataConfig(extra=("mars",))
    with pytest.raises(ConfigError, match=r"churn_rate_high: 0\.05"):
        DataConfig(churn_rate_low=0.1, churn_rate_high=0.05)
    with pytest.raises(ConfigError, match=r"company 'mars': no such file; allowed: a company.yaml, or one of demo"):
        stage.outside(DataConfig(company="mars"), "synthetic")


def _no_connection(source: sources.PublicDataSet, cache: Path, **named: object) -> None:
    raise DownloadError(f"{source.downloads[0].url}: no connection")
