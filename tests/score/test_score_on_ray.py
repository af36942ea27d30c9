"""The same shards by Ray Data: the same files to the last byte. Needs the extra `ray`; run with -m ray."""

import importlib.util

import customer_tables
import pytest

from retentionjax.errors import ConfigError
from retentionjax.score.running import Request, run

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


@pytest.mark.skipif(HAS_RAY, reason="ray is installed here")
def test_without_ray_the_extra_is_named(bundle_folder, tmp_path):
    customers = customer_tables.write(tmp_path / "customers.parquet", 20)
    with pytest.raises(ConfigError, match=r"needs the extra ray: bash scripts/setup\.sh ray"):
        run(Request(bundle_folder, customers, tmp_path / "out", engine="ray"))
