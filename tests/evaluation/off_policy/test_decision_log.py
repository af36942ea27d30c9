"""Logs: what is refused, by which words, and the file that the service writes."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retentionjax.errors import DataError
from retentionjax.evaluation.off_policy import ledger_file
from retentionjax.evaluation.off_policy.log import build


def two_actions(**changes: Any) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "observation": np.zeros((3, 2)),
        "mask": np.array([[True, True], [True, True], [True, False]]),
        "propensities": np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]]),
        "action": np.array([1, 0, 0]),
        "reward": np.array([1.0, np.nan, 0.0]),
        "episode": np.array(["b", "a", "b"]),
        "customer": np.array(["y", "x", "y"]),
        "step": np.array([7, 0, 3]),
    }
    return columns | changes


def changed(name: str, place: Any, value: Any) -> dict[str, Any]:
    columns = two_actions()
    columns[name] = columns[name].copy()
    columns[name][place] = value
    return columns


def test_rows_are_put_in_order_and_numbered():
    log = build(**two_actions())
    assert log.episode.tolist() == [0, 1, 1]
    assert log.step.tolist() == [0, 0, 1]
    assert log.row.tolist() == [1, 2, 0]
    assert log.action.tolist() == [0, 0, 1]
    assert log.chosen_propensity.tolist() == [0.25, 1.0, 0.5]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (changed("propensities", (0, 0), 0.4), r"row 0, column propensities \(their sum\): 0.9; allowed: 1"),
        (changed("propensities", 0, [-0.5, 1.5]), r"row 0, column propensities: .*; allowed: numbers from 0 to 1"),
        (changed("propensities", (1, 0), np.nan), r"row 1, column propensities"),
        (changed("propensities", 2, [0.5, 0.5]), r"row 2, column propensities \(of a masked action\): 0.5; allowed: 0"),
        (
            changed("propensities", 1, [0.0, 1.0]),
            r"row 1, column action: 0; allowed: an action whose propensity is above 0",
        ),
        (changed("action", 2, 1), r"row 2, column action: 1; allowed: an action that the row's mask allows"),
        (changed("action", 0, 2), r"row 0, column action: 2; allowed: 0 to 1"),
        (changed("reward", 2, np.inf), r"row 2, column reward: inf; allowed: a number within ±1e\+30"),
        (changed("reward", 2, 1e200), r"row 2, column reward: 1e\+200; allowed: a number within ±1e\+30"),
        (two_actions(action=[0.7, 1.0, 0.0]), r"row 0, column action: 0.7; allowed: whole numbers"),
        (two_actions(action=[0.0, np.nan, 0.0]), r"row 1, column action: nan; allowed: whole numbers"),
        (two_actions(action=["wait", "call", "wait"]), r"column action holds what is no number"),
        (two_actions(step=[0.2, 0.7, 1.0]), r"row 0, column step: 0.2; allowed: whole numbers"),
        (two_actions(mask=[[1, 1], [2, 1], [1, 0]]), r"row 1, column mask: .*; allowed: true or false"),
        (two_actions(observation=np.zeros(3)), r"observation has shape \(3,\); allowed: 2 axes"),
        (two_actions(episode=[np.nan, np.nan, 1.0]), r"row 0, column episode: nan; allowed: the id of one"),
        (two_actions(customer=np.array([None, "a", "b"], object)), r"row 0, column customer: None; allowed"),
        (changed("observation", (1, 1), np.nan), r"row 1, column observation"),
        (two_actions(discount=np.array([1.0, 1.5, 1.0])), r"row 1, column discount: 1.5; allowed: 0 to 1"),
        (changed("step", 2, 7), r"row 2, column step: 7; allowed: each step of an episode once"),
        (changed("customer", 0, "x"), r"row 0, column customer: .*'x'.* in episode .*'b'"),
        (two_actions(reward=5.0), r"column reward has shape \(\); allowed: 1 axes"),
        (two_actions(reward=np.zeros(2)), r"column reward has 2 rows; propensities has 3"),
        (two_actions(propensities=np.zeros((0, 2))), r"propensities has shape \(0, 2\)"),
    ],
)
def test_what_does_not_fit_is_named(columns, words):
    with pytest.raises(DataError, match=words):
        build(**columns)


def test_an_episode_waits_until_all_its_outcomes_are_known():
    log = build(**two_actions())
    log = log.rows(log.is_known)
    assert len(log) == 2
    assert log.episode.tolist() == log.customer.tolist() == [0, 0]


def ledger(**changes: Any) -> dict[str, Any]:
    at = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    row = [0.5] * 2 + [0.0] * 11
    columns = {
        "decision_id": ["d1", "d2", "d3"],
        "customer_id": ["c1", "c1", "c2"],
        "campaign_id": ["spring", "spring", "spring"],
        "decided_at": [at + dt.timedelta(days=1), at, at],
        "day": [1, 0, 0],
        "observation": np.arange(48, dtype=np.float32).reshape(3, 16) / 48,
        "mask": np.arange(13)[None] < np.full((3, 1), 2),
        "propensities": np.asarray([row] * 3, np.float32),
        "action": [1, 0, 0],
        "offer": ["hello", None, None],
        "reward": [2.5, 1.0, None],
        "bundle_id": ["b"] * 3,
        "policy_version": ["p"] * 3,
        "rules_version": ["r"] * 3,
    }
    return columns | changes


def test_an_exported_ledger_is_read_as_episodes_of_customer_and_campaign(tmp_path):
    ledger_file.write(tmp_path / "log.parquet", ledger())
    log = ledger_file.read(tmp_path / "log.parquet")
    assert log.episode.tolist() == [0, 0, 1]
    assert log.row.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(log.reward, [1.0, 2.5, np.nan])
    np.testing.assert_allclose(log.observation[1], np.arange(16) / 48, rtol=1e-6)
    assert log.mask.sum(axis=1).tolist() == [2, 2, 2]


def test_decisions_of_the_same_instant_stay_in_the_order_of_the_file(tmp_path):
    ledger_file.write(tmp_path / "log.parquet", ledger(decided_at=ledger()["decided_at"][:1] * 3))
    assert ledger_file.read(tmp_path / "log.parquet").row.tolist() == [0, 1, 2]


def test_every_column_of_the_file_is_documented():
    for field in ledger_file.SCHEMA:
        assert f"`{field.name}`" in str(ledger_file.__doc__)


def test_a_file_of_other_widths_is_read_too(tmp_path):
    """Another writer may take 64-bit numbers, large lists, and a column of nulls while no outcome is known."""
    ledger_file.write(tmp_path / "log.parquet", ledger(reward=[None] * 3))
    table = pq.read_table(tmp_path / "log.parquet")
    table = table.set_column(8, "action", table["action"].cast(pa.int64()))
    table = table.set_column(10, "reward", pa.nulls(3)).set_column(9, "offer", pa.nulls(3))
    later = table["decided_at"].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()).to_numpy() + 1  # nanoseconds, too
    table = table.set_column(3, "decided_at", pa.array(later).cast(pa.timestamp("ns", tz="UTC")))
    table = table.set_column(7, "propensities", table["propensities"].cast(pa.large_list(pa.float64())))
    pq.write_table(table, tmp_path / "other.parquet")
    log = ledger_file.read(tmp_path / "other.parquet")
    assert np.isnan(log.reward).all()
    assert log.row.tolist() == [1, 0, 2]


def test_faults_of_a_file_are_named(tmp_path):
    path = tmp_path / "log.parquet"

    def rewritten(change) -> None:
        ledger_file.write(path, ledger())
        pq.write_table(change(pq.read_table(path)), path)

    with pytest.raises(DataError, match="no such file"):
        ledger_file.read(path)
    rewritten(lambda table: table.drop_columns(["mask"]))
    with pytest.raises(DataError, match="column 'mask' is missing"):
        ledger_file.read(path)
    rewritten(lambda table: table.set_column(8, "action", pa.array(["a", "b", "c"])))
    with pytest.raises(DataError, match="column 'action' is of type string; wanted: int32"):
        ledger_file.read(path)
    rewritten(lambda table: table.set_column(8, "action", pa.array([0, None, 1], pa.int32())))
    with pytest.raises(DataError, match="row 1, column 'action': null"):
        ledger_file.read(path)
    rewritten(lambda table: table.set_column(7, "propensities", pa.array([[1.0]] * 3)))
    with pytest.raises(DataError, match="mask and propensities have 13 and 1 values; allowed: one for each action"):
        ledger_file.read(path)
    ledger_file.write(path, ledger(decision_id=["d1", "d2", "d1"]))
    with pytest.raises(DataError, match="row 2, column 'decision_id': 'd1' stands twice"):
        ledger_file.read(path)
    path.write_bytes(b"no table")
    with pytest.raises(DataError, match="not a Parquet file"):
        ledger_file.read(path)
