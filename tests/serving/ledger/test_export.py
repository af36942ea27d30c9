"""The table of off-policy evaluation: its columns, what a reward is, and that off-policy evaluation reads it."""

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import peak_memory
import pyarrow.parquet as pq
import pytest
from ledger_rows import CONTACT_COST, OFFER_COST, START, FrozenClock, decision, record

from retentionjax.evaluation.off_policy import ledger_file
from serving.ledger import Ledger, export
from serving.ledger.export import Course, reward
from serving.ledger.types import DAY, MICROS, Outcome

CHARGE = 60.0  # $ per 30 days: $2 a day
STAYED = Course(START, None, CHARGE, None, None, 0, 0, None, 0, 30)
ACCEPTED = dataclasses.replace(
    STAYED, state="accepted", contact_cost_micros=500_000, offer_cost_micros=6 * MICROS, accepted_at=START + DAY
)


@pytest.mark.parametrize(
    ("course", "now", "dollars"),
    [
        (STAYED, 30, 60.0),
        (STAYED, 29.9, None),
        (dataclasses.replace(STAYED, next_decided_at=START + 3 * DAY), 3, 6.0),
        (dataclasses.replace(STAYED, churned_at=START + 5 * DAY), 5, 10.0),
        (dataclasses.replace(STAYED, churned_at=START + 5 * DAY, next_decided_at=START + 3 * DAY), 5, 6.0),
        (dataclasses.replace(STAYED, churned_at=START - DAY), 5, 0.0),
        (dataclasses.replace(ACCEPTED, state="reserved", accepted_at=None), 40, None),
        (dataclasses.replace(ACCEPTED, state="cancelled", accepted_at=None), 40, 60.0),
        (dataclasses.replace(ACCEPTED, state="declined", accepted_at=None), 40, 59.5),
        (dataclasses.replace(ACCEPTED, state="expired", accepted_at=None), 40, 59.5),
        (ACCEPTED, 40, 53.5),
        (dataclasses.replace(ACCEPTED, churned_at=START + 16 * DAY), 40, 32 - 0.5 - 3),
        (dataclasses.replace(ACCEPTED, churned_at=START + 90 * DAY), 91, 53.5),
        # $4 of the $6 were paid at once, the rest runs for the 15 days that the customer stayed of 30
        (dataclasses.replace(ACCEPTED, churned_at=START + 16 * DAY, amount_micros=4 * MICROS), 40, 32 - 0.5 - 5),
    ],
)
def test_the_reward_is_what_came_in_less_what_the_decision_cost(
    course: Course, now: float, dollars: float | None
) -> None:
    found = reward(course, START + now * DAY)
    assert found == (dollars if dollars is None else pytest.approx(dollars))


def test_rewards_of_an_episode_sum_to_what_the_customer_brought() -> None:
    first = dataclasses.replace(ACCEPTED, next_decided_at=START + 10 * DAY)
    second = dataclasses.replace(STAYED, decided_at=START + 10 * DAY)
    rewards = [reward(course, START + 40 * DAY) for course in (first, second)]
    assert sum(each for each in rewards if each is not None) == pytest.approx(40 * 2.0 - 0.5 - 6.0)


def test_the_table_has_what_was_recorded(ledger: Ledger, clock: FrozenClock, tmp_path: Path) -> None:
    (contact,) = record(ledger, decision("ann"))
    record(ledger, decision("ann", now=clock.to_day(2.5), contact=False), decision("ben", now=clock.now, shadow=True))
    record(ledger, decision("cat", now=clock.now))
    with ledger.transaction() as tx:
        tx.erase("cat")
        tx.outcome([Outcome(contact, "declined", clock.now)])
    assert ledger.export(tmp_path / "out" / "log.parquet") == 2
    table = pq.read_table(tmp_path / "out" / "log.parquet")
    assert table.schema == ledger_file.SCHEMA
    first, second = table.to_pylist()
    assert (first["decision_id"], first["customer_id"], first["campaign_id"]) == (contact, "ann", "spring")
    assert first["decided_at"] == dt.datetime.fromtimestamp(START, dt.UTC)
    assert first["observation"] == [each / 16 for each in range(16)]
    assert first["mask"] == [True] * 13
    assert first["propensities"] == pytest.approx([1 / 13] * 13)
    assert (first["action"], second["action"]) == (4, 0)
    assert (first["offer"], second["offer"]) == ("five", None)
    assert first["reward"] == pytest.approx(65.0 * 2.5 / 30 - CONTACT_COST / MICROS)
    assert second["reward"] is None
    assert (first["day"], second["day"], first["bundle_id"], first["rules_version"]) == (0, 2, "bundle-1", "rules-1")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["log.parquet"]
    assert OFFER_COST > 0


def test_off_policy_evaluation_reads_the_table(ledger: Ledger, clock: FrozenClock, tmp_path: Path) -> None:
    record(ledger, *(decision(f"customer {number}", contact=False) for number in range(5)))
    clock.to_day(1)
    record(ledger, *(decision(f"customer {number}", now=clock.now, contact=False) for number in range(5)))
    clock.to_day(40)
    ledger.export(tmp_path / "log.parquet")
    log = ledger_file.read(tmp_path / "log.parquet")
    assert (len(log), log.num_episodes, log.num_actions) == (10, 5, 13)
    assert log.observation.shape[1] == 16
    np.testing.assert_allclose(log.reward.reshape(5, 2), [[65 / 30, 65]] * 5)


def test_an_empty_ledger_gives_an_empty_table(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.export(tmp_path / "log.parquet") == 0
    assert pq.read_table(tmp_path / "log.parquet").num_rows == 0


def test_memory_does_not_grow_with_the_ledger(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_ROWS_A_GROUP", 500)
    most = 0

    def batch(group: list[object], now: float) -> object:
        nonlocal most
        most = max(most, len(group))
        return original(group, now)  # type: ignore[arg-type]

    original = export._batch
    monkeypatch.setattr(export, "_batch", batch)
    for start in range(0, 3000, 1000):
        record(ledger, *(decision(f"customer {number}", contact=False) for number in range(start, start + 1000)))
    assert ledger.export(tmp_path / "log.parquet") == 3000  # imports what it needs
    assert peak_memory.growth(lambda: ledger.export(tmp_path / "again.parquet")) < 16
    assert most == 500
    assert pq.ParquetFile(tmp_path / "log.parquet").num_row_groups == 6
