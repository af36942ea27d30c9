"""Whatever reads a bundle takes every constant from it: tried on one in which each differs from its default."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bundles
import customer_tables
import jax.numpy as jnp
import numpy as np
import pytest
import run_folders

from retentionjax.bundle import Bundle, load, write
from retentionjax.decide.decision import decide
from retentionjax.decide.program import Decider
from retentionjax.env import EnvParams, Population, constraints, observation, record
from retentionjax.env.retention import new_customer
from retentionjax.evaluation.off_policy import ledger_file
from retentionjax.evaluation.report import models
from retentionjax.evaluation.report.run_folder import read
from retentionjax.score.running import Request, run
from serving.ledger.records import Followed
from serving.ledger.types import DAY
from serving.monitor import judging

OTHERS: dict[str, Any] = {
    "horizon_days": 60,
    "tail_days": 45,
    "risk_window_days": 365,
    "risk_onset": 0.03,
    "risk_recovery": 0.2,
    "risk_ratio": 4.0,
    "discount": [0.02, 0.07, 0.15, 0.30],
    "amount": [1.0, 2.0, 0.5, 3.0],
    "cost": [0.1, 0.2, 0.3, 0.4],
    "offer_days": [10, 20, 14, 25],
    "effect_days": [12, 25, 20, 40],
    "hazard_multiplier": [0.95, 0.80, 0.70, 0.50],
    "appeal": [0.1, 0.5, 0.9, 1.2],
    "delays": [1, 2, 5],
    "contact_cost": 0.80,
    "accept_risk": 0.7,
    "accept_fatigue": 0.1,
    "fatigue_hazard": 0.1,
    "contact_effect": -0.05,
    "contact_effect_days": 10,
    "cooldown_days": 5,
    "fatigue_window_days": 20,
    "fatigue_cap": 2,
    "account_cap": 18.0,
    "charge_reference": 40.0,
}
PARAMS = EnvParams(**{name: jnp.asarray(value) for name, value in OTHERS.items()})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("others") / "bundle"
    write(folder, bundles.contents(bundles.trained(wait_bias=-6.0), params=PARAMS))
    return load(folder)


def test_every_constant_differs_from_its_default() -> None:
    assert set(OTHERS) == set(record.names())
    mine, defaults = record.to_dict(PARAMS), record.to_dict(EnvParams())
    for name in OTHERS:
        assert not np.any(np.isclose(np.atleast_1d(mine[name]), np.atleast_1d(defaults[name]))), name


def as_the_environment(decider: Decider, customer: dict[str, Any]) -> np.ndarray:
    """Propensities of the bundle's policy for what the environment itself shows and forbids on a first day."""
    features = decider.facts.records([customer])
    columns = (features.monthly_charge, *decider.score(features))
    params = PARAMS.replace(population=Population(*(jnp.asarray(column, jnp.float32) for column in columns)))
    state = new_customer(jnp.int32(0), jnp.bool_(False), params)
    seen, mask = observation.observe(state, params), constraints.action_mask(state, params)
    return np.asarray(decider.bundle.decide(np.asarray(seen)[None], np.asarray(mask)[None])[0][0])


def test_an_explanation_and_a_scored_table_are_the_environments(bundle: Bundle, tmp_path: Path) -> None:
    table = customer_tables.write(tmp_path / "customers.parquet", 20)
    run(Request(bundle.folder, table, tmp_path / "scored"))
    scored = customer_tables.decisions(tmp_path / "scored").to_pylist()
    decider = Decider(bundle, sizes=(1,))
    for customer, row in zip(customer_tables.table(20).drop("city").to_pylist(), scored, strict=True):
        expected = as_the_environment(decider, customer)
        explained = decide(decider, customer)
        np.testing.assert_allclose(explained.propensities, expected, atol=1e-5)
        np.testing.assert_allclose(row["propensities"], expected, atol=1e-5)
        assert explained.risk.window_days == 365
        if explained.offer is not None:
            assert explained.delay_days in OTHERS["delays"]
            assert explained.offer_name in bundle.offers


def test_a_report_states_each(tmp_path: Path) -> None:
    folder = run_folders.make(tmp_path / "run")
    path = folder / "policy/artifacts/env.json"
    path.write_text(json.dumps(record.to_dict(PARAMS)))
    (_, table, *_) = models.assumptions(read(folder)).blocks
    said = {name: value for _, value, name in table.rows}
    for name, value in OTHERS.items():
        for number in np.atleast_1d(value):
            assert f"{number:g}" in said[name].replace("−", "-"), name


class Books:
    """A ledger of decisions to wait about customers who were followed since."""

    def __init__(self, rows: list[Followed], now: float) -> None:
        self.rows, self.now, self.asked = rows, now, {}

    @contextmanager
    def read(self) -> Iterator["Books"]:
        """Itself."""
        yield self

    def follow(self, since: float) -> Iterator[Followed]:
        """The decisions since then."""
        return (row for row in self.rows if row.decided_at >= since)

    def campaign_ids(self, limit: int) -> list[str]:
        """No campaign, so no hold-out to compare with."""
        return []

    def campaigns(self, ids: list[str]) -> dict[str, Any]:
        """None of them."""
        return {}

    def audit(self, **asked: Any) -> list[str]:
        """No fault; what was asked for is kept."""
        self.asked = asked
        return []

    def export(self, path: Path) -> None:
        """A table without a row."""
        ledger_file.write(path, {name: [] for name in ledger_file.SCHEMA.names})


def books(bundle_id: str, customers: int, days: float, window: float, seed: int = 0) -> Books:
    """Customers whose risk over `window` days the bundle told exactly, followed for `days`."""
    random = np.random.default_rng(seed)
    risk = random.uniform(0.3, 0.8, customers)
    gone = np.log1p(-random.random(customers)) / np.log1p(-risk) * window  # days until each leaves
    seen = np.zeros(observation.size(4), "<f4").tobytes()
    rows = [
        Followed(
            decision_id=f"d{number}",
            customer_id=f"c{number:05}",
            campaign_id="default",
            decided_at=0.0,
            action=0,
            observation=seen,
            churn_probability=float(risk[number]),
            accept_probability=0.1,
            bundle_id=bundle_id,
            basis=None,
            contact_state=None,
            send_at=None,
            churned_at=float(gone[number]) * DAY if gone[number] < days else None,
        )
        for number in range(customers)
    ]
    return Books(rows, days * DAY)


def test_the_monitor_expects_departures_over_the_bundles_window(bundle: Bundle) -> None:
    """Risks over a year, true ones, followed for a month: as many leave as expected."""
    ledger: Any = books(bundle.manifest.id, 5_000, 30, OTHERS["risk_window_days"])
    found = judging.check(ledger, bundle, judging.AlarmLimits(days=30))
    assert found.alarms == ()
    assert found.churn.ratio == pytest.approx(1, abs=0.15)
    assert abs(found.churn.shift) < 0.2
    assert ledger.asked == {"cooldown_days": OTHERS["cooldown_days"]}


def test_a_customer_is_followed_for_the_whole_window_and_no_longer(bundle: Bundle) -> None:
    for days in (100, 400):
        ledger: Any = books(bundle.manifest.id, 2_000, days, OTHERS["risk_window_days"])
        found = judging.check(ledger, bundle, judging.AlarmLimits(days=days))
        assert found.churn.low < 1 < found.churn.high
        assert found.churn.observed == sum(
            row.churned_at is not None and row.churned_at <= OTHERS["risk_window_days"] * DAY for row in ledger.rows
        )
