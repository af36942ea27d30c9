"""The model stages on a company's own log and on a panel of snapshots: offers and time are part of what is judged."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from etils import epath
from scipy.special import expit

from experiments import acceptance, bundle, churn, classification, companies
from experiments.acceptance import AcceptanceConfig
from experiments.classification import ClassifierSettings, Gates
from experiments.stage import Context
from retentionjax import storage
from retentionjax.company import Company
from retentionjax.data import catalog, company_tables
from retentionjax.data.splits import follow, split
from retentionjax.errors import DataError
from retentionjax.evaluation.report import playing
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import cross_validate
from retentionjax.tabular.encoder import Encoder

ANY = Gates(minimum_auc=0.0, maximum_ece=1.0, minimum_brier_skill=-1.0)
SMALL = BoosterConfig(trees=20, depth=3, learning_rate=0.3)
APPEAL = {"hello": 0.0, "big": 2.5}
ROWS = 3_000


def prepared(folder: Path, company: Company) -> epath.Path:
    """What the stage `data` leaves."""
    artifacts = epath.Path(folder / "data/artifacts")
    tables = company_tables.read(company)
    customers = dataclasses.replace(tables.customers, name="customers")
    splits = split(customers, 42)
    catalog.prepare(customers, artifacts, seed=42, splits=splits)
    if tables.contacts is not None:
        responses = tables.contacts.responses
        catalog.prepare(responses, artifacts, seed=42, splits=follow(responses, customers, splits))
    storage.write_json(artifacts / companies.FILE, company.to_dict())
    return epath.Path(folder / "data")


def context(folder: Path, data: epath.Path) -> Context:
    made = Context(epath.Path(folder / "stage"), {"data": data}, resume=False, data="auto", data_source="real")
    made.artifacts.mkdir(parents=True)
    return made


def with_log(offer: Any, **contacts: Any) -> Company:
    """Customers who accept by their age and the offer; at first nearly all get hello, at last nearly all get big."""
    random = np.random.default_rng(0)
    age, at = random.uniform(20, 70, ROWS), pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(ROWS), unit="h")
    arms = np.where(random.random(ROWS) < np.where(np.arange(ROWS) < 0.85 * ROWS, 0.1, 0.9), "big", "hello")
    chance = expit(-2.2 + 0.04 * (age - 45) + np.array([APPEAL[each] for each in arms]))
    customers = pd.DataFrame(
        {"id": np.arange(ROWS).astype(str), "age": age, "fee": 20.0, "left": random.integers(0, 2, ROWS)}
    )
    log = pd.DataFrame({"id": customers["id"], "at": at, "arm": arms, "accepted": (random.random(ROWS) < chance) * 1})
    told = {"file": customers, "id": "id", "charge": "fee", "left": "left", "window_days": 30, "numeric": ["age"]}
    given = {"file": log.sample(frac=1, random_state=1), "at": "at", "offer": offer, "accepted": "accepted", **contacts}
    return Company(told, name="own", offers={"hello": {}, "big": {"amount": 20}}, contacts=given)


def test_later_contacts_are_judged_with_their_offers(tmp_path: Path) -> None:
    given = context(tmp_path, prepared(tmp_path, with_log("arm", design={"hello": 0.5, "big": 0.5})))
    summary = acceptance.run(AcceptanceConfig(SMALL, ANY, folds=2), given)
    assert summary["time_ordered_test_rate"] > summary["time_ordered_train_rate"] + 0.25
    assert summary["time_ordered_ece"] < 0.08
    problem = classification.read(given, "contacts")
    as_if_offers_were_nothing = classification.time_ordered(problem, ClassifierSettings(SMALL, ANY, 2, 42), given)
    assert as_if_offers_were_nothing["time_ordered_ece"] > 0.25
    age = np.random.default_rng(0).uniform(20, 70, ROWS)
    assert summary["mean_offer_free"] == pytest.approx(expit(-2.2 + 0.04 * (age - 45)).mean(), abs=0.02)
    assert summary["appeal_big"] == pytest.approx(APPEAL["big"], abs=0.4)


def test_a_log_of_one_offer_is_the_customers_own_too(tmp_path: Path) -> None:
    given = context(tmp_path, prepared(tmp_path, with_log({"value": "hello"}, ignore="others")))
    summary = acceptance.run(AcceptanceConfig(SMALL, ANY, folds=2), given)
    customers = classification.read(given, "customers")
    predictions = pd.read_parquet(given.artifacts / "predictions.parquet")
    assert predictions["row"].tolist() == customers.frame.index.tolist()
    assert {"cv_auc", "time_ordered_auc", "mean_offer_free", "appeal_hello"} <= set(summary)


def test_figures_of_rows_with_one_outcome_are_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pilot on customers of whom it is not known whether they left: no held-out customer has a contact; and of the
    last tenth nobody has accepted yet."""
    company = with_log({"value": "hello"}, ignore="others")
    assert company.contacts is not None
    customers, log = company.customers.file, company.contacts.file.drop(index=range(ROWS // 2))
    customers["left"] = customers["left"].astype(float)
    customers.loc[ROWS // 2 :, "left"] = np.nan
    log.loc[log.index >= 0.95 * ROWS, "accepted"] = 0  # row i is about customer i, at the hour i
    company = dataclasses.replace(company, contacts=dataclasses.replace(company.contacts, file=log))
    given = context(tmp_path, prepared(tmp_path, company))
    summary = acceptance.run(AcceptanceConfig(SMALL, ANY, folds=2), given)
    assert "cv_auc" in summary
    assert not {"held_out_auc", "time_ordered_auc"} & set(summary)
    assert summary["time_ordered_test_rate"] == 0
    told = capsys.readouterr().out
    assert "held_out_auc and the like are not measured: these 0 rows have one outcome only" in told
    assert "time_ordered_auc and the like are not measured: these 150 rows" in told


def test_positives_of_too_few_customers_for_the_folds_are_told() -> None:
    """Three customers, with a row each month, left: of five folds two have nobody who did."""
    who = np.repeat(np.arange(100), 6)
    label = np.isin(who, (3, 50, 90)).astype(np.int64)
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=600)})
    with pytest.raises(DataError, match=r"in fold . of 5 all rows have the label 0: those of the other class"):
        cross_validate(frame, label, Encoder(("x",), {}), SMALL, seed=0, who=who)


def test_snapshots_of_a_panel_are_judged_by_time_and_split_by_customer(tmp_path: Path) -> None:
    """Twice as many leave in the last quarter: an honest judgement by time sees just that gap, cross-validation not."""
    random = np.random.default_rng(0)
    people, quarters = 400, 10
    months = pd.to_datetime([f"{2024 + q // 4}-{3 * (q % 4) + 1:02d}-01" for q in range(quarters)])
    plan = np.repeat(random.choice(["basic", "plus"], people), quarters)
    quarter = np.tile(np.arange(quarters), people)
    chance = np.where(plan == "basic", 0.15, 0.35) * np.where(quarter == quarters - 1, 2, 1)
    table = pd.DataFrame(
        {
            "id": np.repeat(np.arange(people), quarters).astype(str),
            "seen": months[quarter],
            "plan": plan,
            "fee": 20.0,
            "left": (random.random(people * quarters) < chance) * 1,
        }
    )
    columns: dict[str, Any] = {"id": "id", "snapshot": "seen", "charge": "fee", "left": "left", "window_days": 90}
    shuffled = table.sample(frac=1, random_state=1)
    company = Company(shuffled, name="panel", offers={"hello": {}}, categorical={"plan": "infer"}, **columns)
    given = context(tmp_path, prepared(tmp_path, company))
    summary = churn.run(ClassifierSettings(SMALL, ANY, folds=2), given)
    early, late = table[quarter < 8], table[quarter == 9]
    assert summary["time_ordered_train_rate"] == pytest.approx(early["left"].mean())
    assert summary["time_ordered_test_rate"] == pytest.approx(late["left"].mean())
    assert summary["time_ordered_ece"] == pytest.approx(late["left"].mean() - early["left"].mean(), abs=0.03)
    assert summary["cv_ece"] < 0.05
    problem = classification.read(given, "customers")
    assert problem.frame.assign(split=problem.split).groupby("id")["split"].nunique().max() == 1


def test_a_held_out_row_has_the_facts_of_its_own_snapshot(tmp_path: Path) -> None:
    people, months = 60, pd.to_datetime(["2026-01-01", "2026-02-01", "2026-03-01"])
    table = pd.DataFrame(
        {
            "id": np.tile(np.arange(people), 3).astype(str),
            "seen": np.repeat(months, people),
            "visits": np.arange(3.0 * people),
            "fee": 20.0,
            "left": np.arange(3 * people) % 5 == 0,
        }
    )
    told: dict[str, Any] = {"id": "id", "snapshot": "seen", "charge": "fee", "left": "left", "window_days": 30}
    company = Company(table, name="panel", offers={"hello": {}}, numeric=["visits"], **told)
    data = prepared(tmp_path, company)
    held_out = catalog.read(data / "artifacts", "customers").held_out
    assert not held_out["id"].is_unique
    risk = np.random.default_rng(0).random(len(held_out))
    written = pd.DataFrame({"customer_id": held_out["id"].to_numpy(), "churn_probability": risk})
    storage.write_bytes(
        epath.Path(tmp_path / "policy/artifacts/held_out.parquet"), written.assign(accept_row=0).to_parquet(index=False)
    )
    inputs = {"data": data, "policy": epath.Path(tmp_path / "policy")}
    read = bundle.HeldOut.read(Context(epath.Path(tmp_path), inputs, resume=False, data="auto", data_source="real"))
    asked: Any = SimpleNamespace(schema=company_tables.read(company).customers.schema)
    found = [read.at(share, asked) for share in np.linspace(0, 1, 9)]
    order = np.argsort(risk)[[int(share * (len(risk) - 1)) for share in np.linspace(0, 1, 9)]]
    assert [each["visits"] for each in found] == held_out["visits"].to_numpy()[order].tolist()
    assert [each["customer_id"] for each in found] == held_out["id"].to_numpy()[order].tolist()
    facts = playing._facts(data / "artifacts", written["customer_id"])
    assert facts is not None
    assert facts["visits"].tolist() == held_out["visits"].tolist()
