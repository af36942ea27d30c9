"""What the ledger costs: a whole micro-batch of 32 decisions (keys, views, record, commit), on SQLite in WAL mode.

Speeds are CPU time a decision, this process's own, so that neither a busy machine nor the disk blurs them; the wall
time, fsync included, stands beside it. `raw` inserts rows of the same size into one table, in the same groups.
"""

import sqlite3
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from serving.ledger import Ledger
from serving.ledger.types import Campaign, DecisionRow

GROUP = 32
GROUPS = 300
CONTACT_EVERY = 8  # one decision in so many is a contact
CUSTOMERS = 200_000
NOW = 1_790_000_000.0
RESPONSE = b'{"decision": "' + b"x" * 900 + b'"}'


def row(number: int) -> DecisionRow:
    """A decision of the service's usual size."""
    contact = number % CONTACT_EVERY == 0
    return DecisionRow(
        decision_id=f"{number:032x}",
        customer_id=f"customer-{number * 7919 % CUSTOMERS:08d}",
        campaign_id="default",
        decided_at=NOW,
        day=1,
        channel="email",
        action=4 if contact else 0,
        offer="ten" if contact else None,
        delay=0,
        send_at=NOW if contact else None,
        reserve_micros=3_750_000 if contact else 0,
        contact_cost_micros=500_000 if contact else 0,
        observation=bytes(64),
        mask=b"\xff\x1f",
        propensities=bytes(52),
        churn_probability=0.3,
        baseline_churn_probability=0.25,
        accept_probability=0.1,
        monthly_charge=65.0,
        bundle_id="demo-1",
        policy_version="0123456789abcdef",
        rules_version="2026-01",
        slot="active",
        degradations=(),
        executed=True,
        message_json=b'{"text": "' + b"y" * 300 + b'"}' if contact else None,
        response=RESPONSE,
        basis=None,
        idempotency=(
            "0123456789abcdef",
            str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)),
            "d" * 64,
        ),
    )


def fill(url: str, groups: int) -> list[tuple[float, float]]:
    """(CPU, wall) seconds of each group."""
    ledger = Ledger.open(url, clock=lambda: NOW)
    with ledger.transaction() as tx:
        tx.put_campaign(Campaign("default", 10**15, NOW - 86_400, 90, CUSTOMERS, holdout=0.0))
    times = []
    for group in range(groups):
        rows = [row(number) for number in range(group * GROUP, (group + 1) * GROUP)]
        cpu, wall = time.process_time(), time.perf_counter()
        with ledger.transaction() as tx:
            tx.idempotent([each.idempotency[:2] for each in rows if each.idempotency])
            tx.campaigns(["default"])
            tx.customers([each.customer_id for each in rows], [each.campaign_id for each in rows], NOW)
            tx.record(rows)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    ledger.close()
    return times


def raw(path: Path, groups: int) -> list[float]:
    """CPU seconds of each group of bare inserts."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE decisions (id TEXT PRIMARY KEY, content BLOB)")
    times = []
    for group in range(groups):
        began = time.process_time()
        connection.execute("BEGIN IMMEDIATE")
        rows = [(f"{group * GROUP + each:032x}", bytes(1400)) for each in range(GROUP)]
        connection.executemany("INSERT INTO decisions VALUES (?, ?)", rows)
        connection.execute("COMMIT")
        times.append(time.process_time() - began)
    connection.close()
    return times


def run() -> dict[str, float]:
    """Microseconds a decision."""
    with tempfile.TemporaryDirectory() as folder:
        times = fill(f"sqlite:///{folder}/ledger.db", GROUPS)
        bare = raw(Path(folder) / "raw.db", GROUPS)
    micros = 1e6 / GROUP
    return {
        "cpu_us_a_decision_mean": statistics.fmean(cpu for cpu, _ in times) * micros,
        "cpu_us_a_decision_median": statistics.median(cpu for cpu, _ in times) * micros,
        "wall_us_a_decision_median": statistics.median(wall for _, wall in times) * micros,
        "raw_cpu_us_a_row_mean": statistics.fmean(bare) * micros,
    }
