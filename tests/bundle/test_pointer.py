"""Promotion moves one object: whoever follows the pointer meets a whole bundle, and nobody's move is undone unseen."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import bundles
import numpy as np
import pytest

from retentionjax import storage
from retentionjax.bundle import Bundle, command, load, manifest, pointer, write
from retentionjax.bundle.pointer import Pointer
from retentionjax.env import actions, observation
from retentionjax.errors import BundleError, ConflictError
from retentionjax.storage import bucket as cloud


@pytest.fixture(scope="session")
def other(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second bundle: the first with another date."""
    copy = tmp_path_factory.mktemp("other") / "bundle"
    shutil.copytree(bundle_folder, copy)
    plain = json.loads((copy / manifest.NAME).read_text())
    changed = manifest._plain(manifest.read(storage.as_path(bundle_folder))) | {"created": "2026-01-01T00:00:00+00:00"}
    storage.write_json(copy / manifest.NAME, plain | changed | {"id": manifest._digest(changed)})
    return copy


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETENTIONJAX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["bucket", "disk"])
def current(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A pointer that is not there yet."""
    if request.param == "disk":
        return str(tmp_path / "production" / "current")
    return f"{request.getfixturevalue('bucket')}/production/current"


def identity(folder: Path) -> str:
    return manifest.read(storage.as_path(folder)).id


def test_the_promoted_bundle_is_the_current_one_and_can_be_gone_back_from(
    bundle_folder: Path, other: Path, current: str
) -> None:
    first, second = identity(bundle_folder), identity(other)
    assert pointer.promote(bundle_folder, current).id == first
    assert pointer.promote(other, current).id == second
    assert pointer.resolve(current) == storage.as_path(current).parent / "bundles" / second
    assert pointer.promote(other, current).history == pointer.read(current).history, "twice is once"
    assert pointer.rollback(current).id == first
    assert manifest.read(pointer.resolve(current)).id == first
    with pytest.raises(BundleError, match="earlier ones: none"):
        pointer.rollback(current)
    assert [(move.action, move.id) for move in pointer.read(current).history] == [
        ("promote", first),
        ("promote", second),
        ("rollback", first),
    ]


def test_rolling_back_to_a_named_bundle_skips_those_between(bundle_folder: Path, other: Path, current: str) -> None:
    for source in (bundle_folder, other, bundle_folder, other):
        pointer.promote(source, current)
    assert [move.id for move in pointer.read(current).history] == [identity(bundle_folder), identity(other)] * 2
    with pytest.raises(BundleError, match=r"no bundle zzz to go back to; earlier ones: "):
        pointer.rollback(current, "zzz")
    assert pointer.rollback(current).id == identity(bundle_folder)
    assert pointer.rollback(current).id == identity(other)
    assert pointer.rollback(current).id == identity(bundle_folder)


def test_a_bundle_is_loaded_by_its_pointer_and_decides_as_the_original(
    bundle_folder: Path, bundle: Bundle, current: str
) -> None:
    pointer.promote(bundle_folder, current)
    loaded = load(current)
    random = np.random.default_rng(0).random((4, observation.size(4)), np.float32)
    mask = np.ones((4, actions.count(bundle.params)), bool)
    for there, here in zip(loaded.decide(random, mask), bundle.decide(random, mask), strict=True):
        np.testing.assert_array_equal(there, here)


def test_a_bundle_is_written_into_a_bucket_and_loaded_from_there(bucket: str) -> None:
    written = write(f"{bucket}/bundle", bundles.contents(bundles.trained()))
    assert load(f"{bucket}/bundle").manifest.id == written.id
    assert pointer.is_whole(pointer.cache_folder() / written.id)
    (pointer.cache_folder() / written.id / "churn" / "extra").write_text("x")
    assert load(f"{bucket}/bundle").manifest.id == written.id, "a damaged copy is fetched anew"


def test_a_run_is_promoted_by_its_complete_bundle(bundle_folder: Path, other: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_folder, tmp_path / "run/bundle/artifacts/bundle")
    assert pointer.find(tmp_path / "run") == storage.as_path(tmp_path / "run/bundle/artifacts/bundle")
    shutil.copytree(other, tmp_path / "run/messages/artifacts/bundle")
    assert pointer.promote(tmp_path / "run", tmp_path / "current").id == identity(other)
    with pytest.raises(BundleError, match="no such folder; a bundle is a folder with"):
        pointer.promote(tmp_path / "cache", tmp_path / "current")


def test_an_upload_cut_off_anywhere_leaves_nothing_that_loads(
    bundle_folder: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(storage.files(bundle_folder))
    upload = cloud.upload
    for allowed in (0, 1, count - 1):
        left = [None] * allowed

        def cut_off(file: Path, target: Path, left: list[None] = left) -> None:
            if not left:
                raise ConnectionError("the network is gone")
            left.pop()
            upload(storage.as_path(file), storage.as_path(target))

        monkeypatch.setattr(cloud, "upload", cut_off)
        with pytest.raises(ConnectionError):
            pointer.promote(bundle_folder, f"{bucket}/current")
        assert len(storage.files(bucket)) == allowed
        with pytest.raises(BundleError):
            load(f"{bucket}/bundles/{identity(bundle_folder)}")
        with pytest.raises(BundleError, match="no such pointer"):
            pointer.read(f"{bucket}/current")
    monkeypatch.undo()
    assert pointer.promote(bundle_folder, f"{bucket}/current").id == identity(bundle_folder), (
        "and the next attempt mends it"
    )


PROMOTE = """
    import sys, time
    from pathlib import Path
    from retentionjax.bundle import pointer
    from retentionjax import cli
    copy = pointer.copy
    def copies_when_both_have_read_the_pointer(folder, target):
        print("read", flush=True)
        sys.stdin.readline()
        copy(folder, target)
    pointer.copy = copies_when_both_have_read_the_pointer
    sys.exit(cli.main(["bundle", "promote", sys.argv[1], sys.argv[2]]))
"""


def test_of_two_promotions_at_once_one_wins_and_the_other_says_who_did(
    bundle_folder: Path, other: Path, current: str
) -> None:
    command_line = [sys.executable, "-c", textwrap.dedent(PROMOTE)]
    both = [
        subprocess.Popen([*command_line, source, current], text=True, stdin=-1, stdout=-1, stderr=-1)
        for source in (bundle_folder, other)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "read\n"
    said = [process.communicate("go\n", timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    winner = pointer.read(current)
    assert winner.id == identity(
        (bundle_folder, other)[both.index(next(each for each in both if each.returncode == 0))]
    )
    loser = said[both.index(next(each for each in both if each.returncode == 2))]
    assert "moved meanwhile by" in loser
    assert winner.id[:12] in loser


def test_a_lost_race_leaves_the_others_move(bundle_folder: Path, other: Path, current: str) -> None:
    pointer.promote(bundle_folder, current)
    _, stale = pointer._read(storage.as_path(current))
    pointer.promote(other, current)
    with pytest.raises(ConflictError, match=r"moved meanwhile by .*promote of"):
        pointer._write(storage.as_path(current), Pointer((pointer._move("promote", identity(bundle_folder)),)), stale)
    assert pointer.read(current).id == identity(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain | {"format_version": 2},
        lambda plain: plain | {"bundle": "../elsewhere"},
        lambda plain: plain | {"id": "0" * 64},
        lambda plain: plain | {"history": []},
        lambda plain: plain | {"extra": 1},
        lambda plain: plain | {"history": [plain["history"][0] | {"id": "../../etc"}]},
        lambda plain: plain | {"history": [plain["history"][0] | {"action": "delete"}]},
        lambda plain: plain | {"history": [plain["history"][0] | {"action": "rollback"}]},
        lambda plain: [plain],
    ],
)
def test_what_is_no_pointer_is_refused(bundle_folder: Path, tmp_path: Path, change: object) -> None:
    path = tmp_path / "current"
    pointer.promote(bundle_folder, path)
    assert callable(change)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    for use in (pointer.resolve, load, pointer.rollback):
        with pytest.raises(BundleError, match=r"current: neither a bundle's folder nor a pointer"):
            use(path)


def test_the_command_promotes_tells_and_goes_back(
    bundle_folder: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    current = str(tmp_path / "current")
    for arguments in (
        ["promote", str(bundle_folder), current],
        ["promote", str(other), current],
        ["rollback", current],
    ):
        assert command.main(arguments) == 0
    capsys.readouterr()
    assert command.main(["history", current]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["promote", "promote", "rollback"]
    assert lines[3].endswith(f"bundles/{identity(bundle_folder)}")
    assert command.main(["verify", current]) == 0
    assert "OK: " in capsys.readouterr().out


def test_a_folder_is_no_pointer(bundle_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is a folder, not a file"):
        pointer.promote(bundle_folder, tmp_path)
    assert pointer.resolve(bundle_folder) == storage.as_path(bundle_folder)


def test_a_pointer_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    current = tmp_path / "current"
    for none in (current, tmp_path, tmp_path / "file" / "below"):
        (tmp_path / "file").touch()
        assert pointer.pointed_to(none) is None
    current.symlink_to(current)  # of what keeps a file from being read the one that holds for root too
    for use in (pointer.resolve, pointer.pointed_to):
        with pytest.raises(OSError, match="symbolic links"):
            use(current)


def test_a_pipe_is_no_pointer_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BundleError, match="neither a bundle nor a run"):
        pointer.find(tmp_path / "pipe")
