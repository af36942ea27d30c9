"""Memory does not grow with the table."""

import subprocess
import sys
from pathlib import Path

import customer_tables
import pyarrow.parquet as pq
import pytest

PROGRAM = """
import sys
from retentionjax.score.running import Request, run
count = run(Request(sys.argv[1], sys.argv[2], sys.argv[3], rows_per_shard=25_000)).count
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(count.rows, peak)
"""


def write(path: Path, rows: int) -> Path:
    """Writes a file in row groups of 50,000."""
    with pq.ParquetWriter(path, customer_tables.table(1).schema) as writer:
        for first in range(0, rows, 50_000):
            writer.write_table(customer_tables.table(min(50_000, rows - first), first=first))
    return path


def peak_of(bundle: Path, customers: Path, out: Path, rows: int) -> float:
    """MB."""
    command = [sys.executable, "-c", PROGRAM, str(bundle), str(customers), str(out)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(printed[0]) == rows
    return int(printed[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc (Linux)")
@pytest.mark.slow
def test_a_million_rows_take_no_more_memory_than_fifty_thousand(bundle_folder, tmp_path):
    few, many = 50_000, 1_000_000
    small = peak_of(bundle_folder, write(tmp_path / "few.parquet", few), tmp_path / "a", few)
    large = peak_of(bundle_folder, write(tmp_path / "many.parquet", many), tmp_path / "b", many)
    assert large < small + 100
