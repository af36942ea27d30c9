"""Files and folders are whole or not there: after errors, after a SIGKILL, under concurrent readers."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from retentionjax import storage
from retentionjax.errors import DataError, RetentionJaxError


def killed_while(code: str, marker: Path) -> None:
    """Runs Python `code` until it makes the file `marker`, then kills it with SIGKILL."""
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    deadline = time.monotonic() + 60
    while not marker.exists():
        assert process.poll() is None, "the process ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_written_bytes_are_read_back_and_parents_are_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.bin"
    storage.write_bytes(target, b"\x00\xff")
    assert target.read_bytes() == b"\x00\xff"
    assert names(tmp_path / "a") == ["b.bin"]


def test_a_write_killed_half_way_leaves_the_old_content(tmp_path: Path) -> None:
    target, marker = tmp_path / "file", tmp_path / "marker"
    storage.write_text(target, "old")
    code = f"""
        import os, pathlib, time
        from retentionjax import storage
        def never_renames(*arguments):
            pathlib.Path({str(marker)!r}).touch()
            time.sleep(60)
        os.replace = never_renames
        storage.write_text({str(target)!r}, "new")
    """
    killed_while(code, marker)
    assert target.read_text() == "old"
    assert len(names(tmp_path)) == 3, "the partial file of the killed process is still there"
    storage.write_text(target, "newer")
    assert target.read_text() == "newer"
    assert names(tmp_path) == ["file", "marker"], "and the next write removes it"


def test_a_folder_killed_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    target, marker = tmp_path / "folder", tmp_path / "marker"
    with storage.new_folder(target) as folder:
        (folder / "whole").write_text("old")
    code = f"""
        import pathlib, time
        from retentionjax import storage
        with storage.new_folder({str(target)!r}, replace=True) as folder:
            (folder / "half").write_text("new")
            pathlib.Path({str(marker)!r}).touch()
            time.sleep(60)
    """
    killed_while(code, marker)
    assert names(target) == ["whole"]
    with storage.new_folder(target, replace=True) as folder:
        (folder / "second").write_text("newer")
    assert names(target) == ["second"]
    assert names(tmp_path) == ["folder", "marker"], "what the killed process left is removed"


def test_a_reader_never_misses_a_folder_that_is_being_replaced(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    code = f"""
        from retentionjax import storage
        for number in range(100):
            with storage.new_folder({str(target)!r}, replace=True) as folder:
                (folder / "content").write_text(str(number))
    """
    with storage.new_folder(target) as folder:
        (folder / "content").write_text("first")
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    looks = 0
    while process.poll() is None:
        assert target.is_dir()
        looks += 1
    assert process.returncode == 0
    assert looks > 100
    assert (target / "content").read_text() == "99"


def test_without_exchange_of_names_a_folder_moved_aside_by_a_killed_process_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_exchange", lambda one, other: False)
    target = tmp_path / "folder"
    for content in ("old", "new"):
        with storage.new_folder(target, replace=True) as folder:
            (folder / "content").write_text(content)
    assert (target / "content").read_text() == "new"
    assert names(tmp_path) == ["folder"]

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    monkeypatch.setattr(storage.os, "getpid", lambda: dead.pid)
    left = storage._sibling(storage.as_path(target))
    monkeypatch.undo()
    os.rename(target, str(left).replace(".partial", ".previous"))
    with pytest.raises(RetentionJaxError, match="exists already"), storage.new_folder(target):
        pass
    assert (target / "content").read_text() == "new"


def test_an_error_inside_new_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), storage.new_folder(tmp_path / "folder") as folder:
        (folder / "half").write_text("x")
        raise KeyError("stop")
    assert names(tmp_path) == []


def test_new_folder_refuses_to_replace_unless_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(RetentionJaxError, match=r"folder exists already"), storage.new_folder(tmp_path / "folder"):
        pytest.fail("the block must not run")


def test_new_folder_keeps_what_somebody_else_put_there_in_the_meantime(tmp_path: Path) -> None:
    with pytest.raises(RetentionJaxError, match=r"folder exists already"), storage.new_folder(tmp_path / "folder"):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "theirs").write_text("x")
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == ["theirs"]


def test_a_new_name_is_on_the_device_before_it_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that is not flushed may be gone after a power cut: the folder is synchronised, last of all."""
    synchronised: list[int] = []
    monkeypatch.setattr(storage.os, "fsync", lambda descriptor: synchronised.append(os.fstat(descriptor).st_ino))
    parent = tmp_path.stat().st_ino

    storage.write_bytes(tmp_path / "bytes", b"x")
    assert synchronised == [(tmp_path / "bytes").stat().st_ino, parent]

    synchronised.clear()
    with storage.new_file(tmp_path / "file") as file:
        file.write_bytes(b"x")
    assert synchronised == [(tmp_path / "file").stat().st_ino, parent]

    synchronised.clear()
    with storage.new_folder(tmp_path / "folder") as folder:
        (folder / "inside").write_bytes(b"x")
    made = tmp_path / "folder"
    assert synchronised == [(made / "inside").stat().st_ino, made.stat().st_ino, parent]


def test_json_round_trip_of_arrays_and_paths(tmp_path: Path) -> None:
    content = {"array": np.arange(3), "scalar": np.float32(0.5), "path": tmp_path, "text": "λ"}
    storage.write_json(tmp_path / "x.json", content)
    back = storage.read_json(tmp_path / "x.json")
    assert back == {"array": [0, 1, 2], "scalar": 0.5, "path": str(tmp_path), "text": "λ"}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float32("nan")])
def test_a_number_json_cannot_hold_is_refused_with_its_place(tmp_path: Path, bad: float) -> None:
    storage.write_json(tmp_path / "x.json", {"old": 1})
    with pytest.raises(DataError, match=r"x\.json: metrics\.list\[1\] is not a finite number"):
        storage.write_json(tmp_path / "x.json", {"metrics": {"list": [0, bad]}})
    assert storage.read_json(tmp_path / "x.json") == {"old": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1,}', "not JSON at line 1, column 9"),
        (b'{"a": NaN}', "NaN is not a number that JSON allows"),
        (b'{"a": -Infinity}', "-Infinity is not a number"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
        (b"\xff\xfe", "not UTF-8 text at byte 0"),
        (b"", "not JSON at line 1, column 1"),
    ],
)
def test_bad_json_is_refused_with_file_and_place(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(text)
    with pytest.raises(DataError, match=r"x\.json") as raised:
        storage.read_json(tmp_path / "x.json")
    assert message in str(raised.value)


def test_reading_json_that_is_missing_or_a_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.json: no such file"):
        storage.read_json(tmp_path / "missing.json")
    with pytest.raises(DataError, match="is a folder"):
        storage.read_json(tmp_path)


def test_sha256_agrees_with_coreutils(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(os.urandom(3_000_000))
    expected = subprocess.run(["sha256sum", content], capture_output=True, text=True, check=True).stdout.split()[0]
    assert storage.sha256(content) == expected


def test_a_value_of_unknown_type_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a set cannot be written"):
        storage.write_json(tmp_path / "x.json", {"a": {1}})
    assert names(tmp_path) == []


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(storage.as_path("~/runs")) == "/somewhere/runs"
    assert str(storage.as_path("gs://bucket/runs")) == "gs://bucket/runs"
    assert storage.absolute("gs://bucket/runs") == "gs://bucket/runs"


def test_json_nested_beyond_reason_is_refused_by_name(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    with pytest.raises(DataError, match=r"deep\.json: nested too deeply"):
        storage.read_json(path)
