"""Scoring killed with SIGKILL at random moments, again and again, ends where the uninterrupted one does."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import customer_tables
import pytest

from retentionjax.errors import ConfigError
from retentionjax.score.running import Request, run

ROWS, SHARD = 30_000, 1_000


def command(bundle: Path, customers: Path, out: Path) -> list[str]:
    program = "from retentionjax import cli; raise SystemExit(cli.main())"
    settings = ["--rows-per-shard", str(SHARD), "--workers", "2"]
    places = ["--bundle", str(bundle), "--customers", str(customers), "--out", str(out)]
    return [sys.executable, "-c", program, "score", *places, *settings]


def parts(out: Path) -> int:
    return len(list(out.glob("part-*.parquet")))


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 3])
def test_no_row_is_lost_or_decided_twice(bundle_folder, tmp_path, kills):
    customers = customer_tables.write(tmp_path / "customers.parquet", ROWS, row_group=3_300)
    run(Request(bundle_folder, customers, tmp_path / "whole", rows_per_shard=SHARD))
    out, luck = tmp_path / "killed", random.Random(5)
    seen = 0
    for _ in range(kills):
        process = subprocess.Popen(command(bundle_folder, customers, out), stderr=subprocess.DEVNULL)
        enough = seen + luck.randint(1, 9)
        while parts(out) < enough and process.poll() is None:
            time.sleep(0.002)
        time.sleep(luck.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        seen = parts(out)
    assert enough <= seen < ROWS // SHARD
    run(Request(bundle_folder, customers, out, rows_per_shard=SHARD))
    ids = customer_tables.decisions(out)["customer_id"].to_pylist()
    assert ids == [f"C-{number}" for number in range(ROWS)]
    assert customer_tables.content(out) == customer_tables.content(tmp_path / "whole")
    assert [path.name for path in out.iterdir() if path.name.endswith(".partial")] == []


def test_two_processes_do_not_write_into_one_folder(bundle_folder, tmp_path):
    customers = customer_tables.write(tmp_path / "customers.parquet", 20)
    holder = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    )
    arguments = [sys.executable, "-c", holder, str(tmp_path / ".out.lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(ConfigError, match="at work there"):
            run(Request(bundle_folder, customers, tmp_path / "out"))
        os.kill(process.pid, signal.SIGKILL)
    assert run(Request(bundle_folder, customers, tmp_path / "out")).count.rows == 20
