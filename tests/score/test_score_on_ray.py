"""The same shards by Ray Data: the same files to the last byte. Needs the extra `ray`; run with -m ray."""

import importlib.util

import customer_tables
import pyarrow.parquet as pq
import pytest

from retentionjax.bundle import load
from retentionjax.errors import ConfigError, DataError
from retentionjax.score.plan import Plan
from retentionjax.score.running import Request, _Worker, run
from retentionjax.score.source import describe, find

HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.mark.ray
@pytest.mark.skipif(not HAS_RAY, reason="needs the extra ray: bash scripts/setup.sh ray")
def test_ray_writes_what_one_process_writes(bundle_folder, tmp_path):
    customers = customer_tables.write(tmp_path / "customers.parquet", 1_000, row_group=300)
    run(Request(bundle_folder, customers, tmp_path / "local", rows_per_shard=300))
    first = Request(bundle_folder, customers, tmp_path / "ray", rows_per_shard=300, engine="ray", workers=2)
    assert run(first).count.rows == 1_000
    assert customer_tables.content(tmp_path / "ray") == customer_tables.content(tmp_path / "local")
    (tmp_path / "ray/part-00001.parquet").unlink()
    again = run(first)
    assert again.rows_now == 300
    assert customer_tables.content(tmp_path / "ray") == customer_tables.content(tmp_path / "local")


def test_a_worker_that_reads_the_rows_in_another_order_decides_about_none(bundle_folder, tmp_path):
    """The part that cluster processes run: each asks the query anew, long after the plan was made."""
    pytest.importorskip("duckdb")
    customer_tables.write(tmp_path / "c.parquet", 40)
    query = tmp_path / "q.sql"
    query.write_text("SELECT * FROM 'c.parquet' ORDER BY customer_id")
    run(Request(bundle_folder, query, tmp_path / "local", rows_per_shard=25))
    files = find(query)
    plan = Plan(bundle=load(bundle_folder).manifest.id, synthetic=False, sources=describe(files), rows_per_shard=25)
    (tmp_path / "out").mkdir()

    def worker() -> _Worker:
        anew = {name: source.anywhere for name, source in files.items()}
        return _Worker(str(bundle_folder), plan, anew, str(tmp_path / "out"))

    worker()({"number": [1]})
    query.write_text("SELECT * FROM 'c.parquet' ORDER BY customer_id DESC")
    with pytest.raises(DataError, match=r"q\.sql: other rows, or in another order, than .*ORDER BY"):
        worker()({"number": [0]})
    (made,) = (tmp_path / "out").glob("part-*.parquet")
    assert pq.read_table(made).equals(pq.read_table(tmp_path / "local" / made.name))


@pytest.mark.skipif(HAS_RAY, reason="ray is installed here")
def test_without_ray_the_extra_is_named(bundle_folder, tmp_path):
    customers = customer_tables.write(tmp_path / "customers.parquet", 20)
    with pytest.raises(ConfigError, match=r"needs the extra ray: bash scripts/setup\.sh ray"):
        run(Request(bundle_folder, customers, tmp_path / "out", engine="ray"))
