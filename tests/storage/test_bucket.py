"""What holds on a disk holds in a bucket: against a real storage server, with other processes beside us."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax import storage
from retentionjax.checkpoint import Checkpoints
from retentionjax.errors import CheckpointError, ConfigError, ConflictError, DataError, RetentionJaxError
from retentionjax.storage import bucket as cloud
from retentionjax.tracking import Tracker, read_metrics


def outside(bucket: str) -> Any:
    """The bucket as another program sees it."""
    from google.cloud import storage as client

    return client.Client().bucket(bucket.removeprefix("gs://"))


def names(bucket: str) -> list[str]:
    return sorted(blob.name for blob in outside(bucket).list_blobs())


def test_json_is_written_and_read_back(bucket: str) -> None:
    storage.write_json(f"{bucket}/deep/er/x.json", {"a": np.arange(2)})
    assert storage.read_json(f"{bucket}/deep/er/x.json") == {"a": [0, 1]}
    assert outside(bucket).blob("deep/er/x.json").download_as_bytes().startswith(b"{")
    with pytest.raises(DataError, match=r"y\.json: no such file"):
        storage.read_json(f"{bucket}/y.json")


def test_what_another_machine_writes_and_removes_is_noticed(bucket: str) -> None:
    folder = storage.as_path(bucket) / "folder"
    storage.write_text(folder / "ours", "1")
    assert [path.name for path in folder.iterdir()] == ["ours"]
    outside(bucket).blob("folder/theirs").upload_from_string("2")
    assert [path.name for path in sorted(folder.iterdir())] == ["ours", "theirs"]
    outside(bucket).blob("folder/ours").delete()
    assert not (folder / "ours").exists()
    assert storage.files(folder) == [folder / "theirs"]


def test_files_are_listed_in_the_order_of_a_disk(bucket: str, tmp_path: Path) -> None:
    for name in ("b", "a/z", "a/b/c", "a.txt", "a/b.txt"):
        storage.write_text(f"{bucket}/run/{name}", name)
        storage.write_text(tmp_path / "run" / name, name)
    there = [str(path.relative_to(f"{bucket}/run")) for path in storage.files(f"{bucket}/run")]
    assert there == [str(path.relative_to(tmp_path / "run")) for path in storage.files(tmp_path / "run")]
    assert storage.files(f"{bucket}/nothing") == []


def fill(folder: Path, **contents: str) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)


def test_a_folder_appears_with_its_top_level_files_last(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    upload, remove = cloud.upload, cloud.remove
    monkeypatch.setattr(cloud, "upload", lambda file, target: (steps.append(f"+{target.name}"), upload(file, target)))
    monkeypatch.setattr(cloud, "remove", lambda path: (steps.append(f"-{path.name}"), remove(path)))
    with storage.new_folder(f"{bucket}/bundle") as folder:
        fill(folder, **{"manifest.json": "1", "zoo/weights": "w"})
        assert not storage.is_cloud(folder), "it is built on the local disk"
    with storage.new_folder(f"{bucket}/bundle", replace=True) as folder:
        fill(folder, **{"manifest.json": "2", "ape/weights": "w"})
    assert steps == ["+weights", "+manifest.json", "-manifest.json", "-weights", "+weights", "+manifest.json"]
    assert names(bucket) == ["bundle/ape/weights", "bundle/manifest.json"]
    with pytest.raises(RetentionJaxError, match="exists already"), storage.new_folder(f"{bucket}/bundle"):
        pass


def test_a_large_file_goes_up_in_pieces_and_comes_down_whole(bucket: str, tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(9 << 20)  # above 8 MiB the client's upload is a resumable one
    (tmp_path / "large").write_bytes(content)
    cloud.upload(storage.as_path(tmp_path / "large"), storage.as_path(f"{bucket}/large"))
    (tmp_path / "back").write_bytes(storage.as_path(f"{bucket}/large").read_bytes())
    assert storage.sha256(f"{bucket}/large") == storage.sha256(tmp_path / "large") == storage.sha256(tmp_path / "back")


@pytest.mark.parametrize("place", ["bucket", "disk"])
def test_a_file_is_replaced_only_at_the_version_it_was_read(bucket: str, tmp_path: Path, place: str) -> None:
    path = f"{bucket}/pointer" if place == "bucket" else str(tmp_path / "pointer")
    missing = storage.read_versioned(path)
    assert missing.data is None
    storage.write_versioned(path, b"one", missing.version)
    with pytest.raises(ConflictError, match="changed by somebody else"):
        storage.write_versioned(path, b"also first", missing.version)
    first = storage.read_versioned(path)
    storage.write_bytes(path, b"two")
    with pytest.raises(ConflictError):
        storage.write_versioned(path, b"three", first.version)
    second = storage.read_versioned(path)
    assert second.data == b"two"
    storage.write_versioned(path, b"three", second.version)
    assert storage.read_versioned(path).data == b"three"


COUNTER = """
    import os, sys
    from retentionjax import storage
    from retentionjax.errors import ConflictError
    print("ready", flush=True)
    sys.stdin.readline()
    lost = 0
    for _ in range(15):
        while True:
            found = storage.read_versioned(sys.argv[1])
            try:
                # Whose it is stands in it: of two equal texts nobody could tell who wrote the one that is there.
                count = int((found.data or b"0").split()[0]) + 1
                storage.write_versioned(sys.argv[1], b"%d by %d" % (count, os.getpid()), found.version)
                break
            except ConflictError:
                lost += 1
    print(lost)
"""


@pytest.mark.parametrize("place", ["bucket", "disk"])
def test_of_two_processes_neither_undoes_the_other(bucket: str, tmp_path: Path, place: str) -> None:
    path = f"{bucket}/counter" if place == "bucket" else str(tmp_path / "counter")
    command = [sys.executable, "-c", textwrap.dedent(COUNTER), path]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert (storage.read_versioned(path).data or b"").startswith(b"30 ")


def test_a_precondition_that_fails_on_our_own_repeated_upload_is_no_conflict(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = storage.as_path(f"{bucket}/pointer")
    cloud.write(path, b"ours", 0)
    cloud.write(path, b"ours", 0)  # what the client does when the answer to the first was lost
    with pytest.raises(ConflictError):
        cloud.write(path, b"theirs", 0)


def test_checkpoints_are_kept_restored_and_refused_as_on_a_disk(bucket: str) -> None:
    state = {"w": jnp.arange(5.0), "key": jax.random.key(3), "step": 0}
    checkpoints = Checkpoints(f"{bucket}/run/checkpoints", keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step, state | {"w": state["w"] * step, "step": step})
    again = Checkpoints(f"{bucket}/run/checkpoints", keep=2)
    restored = again.restore(state)
    assert again.latest_step() == restored["step"] == 3
    np.testing.assert_array_equal(restored["w"], state["w"] * 3)
    assert jax.random.uniform(restored["key"]) == jax.random.uniform(state["key"])
    assert {name.split("/")[2] for name in names(bucket)} == {"2", "3"}
    with pytest.raises(CheckpointError, match="does not fit"):
        again.restore(state | {"w": jnp.arange(6.0)})


def test_metrics_of_a_resumed_run_go_on_after_the_checkpoint(bucket: str) -> None:
    folder = f"{bucket}/run"
    with Tracker(folder) as tracker:
        for step in range(1, 5):
            tracker.log(step, {"loss": 1 / step})
    with Tracker(folder, resume_step=2) as tracker:
        tracker.log(3, {"loss": 0.5})
    assert [(line["step"], line["loss"]) for line in read_metrics(f"{folder}/metrics.jsonl")] == [
        (1, 1.0),
        (2, 0.5),
        (3, 0.5),
    ]
    assert any("tensorboard/events" in name for name in names(bucket))


@pytest.mark.parametrize("path", ["s3://bucket/runs", "gs://", "file:///tmp"])
def test_other_urls_are_refused_by_name(path: str) -> None:
    with pytest.raises(ConfigError, match="gs://BUCKET/FOLDER is wanted"):
        storage.as_path(path)


def test_without_the_client_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.prepare.cache_clear()
    monkeypatch.setattr(cloud.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"scripts/setup\.sh gcs"):
        storage.as_path("gs://bucket/runs")


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(RetentionJaxError, match=r"gs://no-such-bucket/x: no such bucket"):
        storage.read_versioned("gs://no-such-bucket/x")
