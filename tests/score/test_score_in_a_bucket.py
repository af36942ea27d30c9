"""Scoring from a bucket into a bucket, cut off on the way, ends as on a disk."""

import customer_tables
import pytest

from retentionjax import cli, storage
from retentionjax.storage import bucket as cloud


class PreemptedError(Exception):
    """The machine is gone."""


def test_it_goes_on_where_it_was_cut_off(bundle_folder, bucket, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for number in range(2):
        file = customer_tables.write(tmp_path / f"in/{number}.parquet", 60, first=60 * number)
        storage.write_bytes(f"{bucket}/in/{number}.parquet", file.read_bytes())
    for path in storage.files(bundle_folder):
        storage.write_bytes(f"{bucket}/bundle/{path.relative_to(bundle_folder)}", path.read_bytes())
    monkeypatch.setenv("RETENTIONJAX_CACHE", str(tmp_path / "cache"))
    upload, done = cloud.upload, []

    def until_preempted(file, target):
        if len(done) == 2:
            raise PreemptedError
        upload(file, target)
        done.append(target.name)

    def score(place):
        places = ["--bundle", f"{place}/bundle", "--customers", f"{place}/in", "--out", f"{place}/out"]
        return cli.main(["score", *places, "--rows-per-shard", "25", "--workers", "1"])

    with monkeypatch.context() as patch, pytest.raises(PreemptedError):
        patch.setattr(cloud, "upload", until_preempted)
        score(bucket)
    assert done == ["part-00000.parquet", "part-00001.parquet"]
    assert score(bucket) == 0
    (tmp_path / "bundle").symlink_to(bundle_folder)
    assert score(tmp_path) == 0
    there = {path.name: path.read_bytes() for path in storage.files(f"{bucket}/out")}
    assert there == customer_tables.content(tmp_path / "out")
    assert len(there) == 6 + 2, "six parts, manifest and summary"
