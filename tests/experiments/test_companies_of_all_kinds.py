"""Companies of other shapes, their files as they are, by `retentionjax train` to report, decisions and a served one."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import trained
import yaml

from retentionjax import cli, storage

SENDER = {
    "name": "Northline",
    "postal_address": "1 Main St, Springfield",
    "domains": ["northline.example"],
    "unsubscribe_url": "https://northline.example/u",
}
BANK: dict[str, Any] = {
    "currency": "EUR",
    "customers": {
        "file": "Churn_Modelling.csv",
        "id": "CustomerId",
        "charge": {"value": 12.0},
        "left": {"column": "Exited", "yes": "1", "no": "0"},
        "window_days": 365,
        "numeric": ["CreditScore", "Age", "Tenure", "Balance", "NumOfProducts", "EstimatedSalary"],
        "categorical": dict.fromkeys(["Geography", "Gender", "HasCrCard", "IsActiveMember"], "infer"),
        "nullable": ["Age", "Gender"],
        "ignore": "others",
    },
    "offers": {
        "call": {},
        "fee_back": {"amount": 10},
        "better_rate": {"cost": 3.0, "days": 180, "say": "a better rate for 180 days"},
    },
    "limits": {"budget": 1.0, "account_cap": 25, "contact_cost": 2.0, "cooldown_days": 30},
}
SHOP_NUMBERS = ["Tenure", "WarehouseToHome", "HourSpendOnApp", "OrderCount", "DaySinceLastOrder", "NumberOfAddress"]
SHOP: dict[str, Any] = {
    "currency": "USD",
    "customers": {
        "file": "ecommerce.csv",
        "id": "CustomerID",
        "charge": "CashbackAmount",
        "exclude": {"charge": "<= 0"},
        "left": {"column": "Churn", "yes": "1", "no": "0"},
        "window_days": 60,
        "numeric": SHOP_NUMBERS,
        "categorical": dict.fromkeys(["PreferredLoginDevice", "CityTier", "MaritalStatus", "Complain"], "infer"),
        "nullable": SHOP_NUMBERS[:-1],
        "ignore": "others",
    },
    "offers": {"hello": {}, "voucher": {"amount": 5}, "big_voucher": {"amount": 15}},
    "limits": {"budget": 1.5, "account_cap": 30},
}
SGI: dict[str, Any] = {
    "currency": "USD",
    "customers": {
        "file": "telecom_sgi.csv",
        "charge": {"sum": [f"Total {part} charge" for part in ("day", "eve", "night", "intl")], "per_days": 30},
        "left": {"column": "Churn", "yes": "True", "no": "False"},
        "window_days": 90,
        "numeric": ["Account length", "Total day minutes", "Total intl calls", "Customer service calls"],
        "categorical": {"State": "infer", "International plan": ["Yes", "No"]},
        "ignore": "others",
    },
    "offers": {"hello": {}, "free_month": {"discount": 1.0, "effect_days": 60, "say": "one month free"}},
    "limits": {"budget": 3.0, "account_cap": 70},
}
OWN: dict[str, Any] = {
    "currency": "CHF",
    "customers": {
        "file": "customers.csv",
        "id": "number",
        "charge": {"sum": ["base", "extra"], "per_days": 365},
        "left": {"date": "left_on", "observed_until": "2026-09-30"},
        "snapshot": "2026-06-01",
        "numeric": ["calls"],
        "categorical": {"plan": "infer"},
        "dates": {"since": "tenure_days"},
        "ignore": "others",
    },
    "contacts": {
        "file": "contacts.csv",
        "at": "at",
        "offer": "arm",
        "design": {"none": 0.4, "hello": 0.3, "month": 0.3},
        "accepted": "accepted",
    },
    "offers": {"hello": {}, "month": {"discount": 1.0, "effect_days": 60, "say": "one month free"}},
    "limits": {"budget": 2.0, "account_cap": 60},
}
"""A gym whose own log of contacts is randomised."""
COMPANIES = {"bank": BANK, "shop": SHOP, "sgi": SGI, "own": OWN}


def write(name: str, folder: Path, real_data: Path) -> None:
    """The company's files."""
    company = {"name": name, **COMPANIES[name], "messages": {"sender": SENDER, "channels": ["sms"]}, "horizon_days": 30}
    (folder / "acme.yaml").write_text(yaml.safe_dump(company, sort_keys=False))
    if name == "own":
        gym(folder)
        return
    source = real_data / "companies" / company["customers"]["file"]
    if not source.exists():
        pytest.skip(f"needs real data: companies/{source.name}")
    shutil.copy(source, folder)


def gym(folder: Path, rows: int = 1500) -> None:
    random = np.random.default_rng(0)
    plan, since = random.choice(["basic", "plus"], rows), random.integers(10, 1500, rows)
    leaves = random.random(rows) < 0.6 * np.exp(-since / 500)
    day = pd.Timestamp("2026-06-01")
    frame = pd.DataFrame(
        {
            "number": [f"G{row:04d}" for row in range(rows)],
            "base": random.uniform(300, 900, rows).round(2),
            "extra": random.uniform(0, 100, rows).round(2),
            "plan": plan,
            "calls": random.poisson(1.0, rows),
            "since": (day - pd.to_timedelta(since, unit="D")).strftime("%Y-%m-%d"),
            "left_on": np.where(leaves, "2026-06-12", ""),
        }
    )
    frame.to_csv(folder / "customers.csv", index=False)
    arms = random.choice(["none", "hello", "month"], rows, p=[0.4, 0.3, 0.3])
    accepts = random.random(rows) < np.where(plan == "plus", 0.3, 0.1) + 0.4 * (arms == "month")
    log = pd.DataFrame({"number": frame["number"], "at": "2026-06-02", "arm": arms})
    log["accepted"] = np.where(arms == "none", "", accepts.astype(int).astype(str))
    log.to_csv(folder / "contacts.csv", index=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPANIES)
def test_a_company_goes_from_its_files_to_a_served_decision_with_a_message(
    name: str, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(name, tmp_path, real_data)
    run = tmp_path / "run"
    assert cli.main(["train", str(tmp_path / "acme.yaml"), "--out", str(run), *trained.SMALL]) == 0
    assert capsys.readouterr().out.count("\n=== ") == 3
    page = (run / "report/artifacts/report.html").read_text(encoding="utf-8")
    assert ("$" in page) == (COMPANIES[name]["currency"] == "USD")
    summary = storage.read_json(run / "acceptance/summary.json")
    if name == "own":
        assert 0.1 < summary["mean_offer_free"] < 0.3  # 0.2 is true; of all answers, offers as nothing, it is 0.4
        assert {"time_ordered_auc", "cv_auc", "appeal_month"} <= set(summary)
    else:
        assert summary["assumed"] == 0.11
    contact = trained.served_contact(run, tmp_path, monkeypatch)
    assert contact["offer"]["name"] in COMPANIES[name]["offers"]
    assert "Northline" in contact["message"]["text"]
