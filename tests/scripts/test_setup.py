"""The set-up notices every file that is missing or cut short, forgets only what is damaged, and refuses nonsense."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "scripts/locks").glob("*.txt"))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/installed.py, looking at a made-up environment with the packages `one` and `two`."""
    spec = importlib.util.spec_from_file_location("installed", ROOT / "scripts/installed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    site = tmp_path / "lib" / "site-packages"
    for name in ("one", "two"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("content = 1\n")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: " + name)
        (info / "RECORD").write_text(
            f"{name}/__init__.py,sha256=x,12\n{name}/__pycache__/x.pyc,,\n"
            f"../../bin/{name},sha256=x,3\n{info.name}/METADATA,sha256=x,9\n{info.name}/RECORD,,\n"
        )
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text("run")
    monkeypatch.setattr(module, "SITE", site)
    monkeypatch.setattr(module, "STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(module.sys, "prefix", str(tmp_path))
    return module


def test_a_whole_environment_needs_nothing(installed: ModuleType) -> None:
    assert installed.main(["record", "locks-v1"]) == 0
    assert installed.main(["check", "locks-v1"]) == 0
    assert installed.main(["forget"]) == 0
    assert installed.main(["check", "locks-v1"]) == 0


@pytest.mark.parametrize(
    "damaged", ["one/__init__.py", "../../bin/one", "one-1.0.dist-info/METADATA", "one-1.0.dist-info/RECORD"]
)
@pytest.mark.parametrize("how", ["deleted", "cut short"])
def test_a_damaged_package_is_noticed_and_forgotten_and_no_other(
    installed: ModuleType, capsys: pytest.CaptureFixture[str], damaged: str, how: str
) -> None:
    installed.main(["record", "locks-v1"])
    path = installed.SITE / damaged
    if how == "deleted":
        path.unlink()
    elif damaged.endswith("RECORD"):
        path.write_text("one/__init__.py,sha256=x,12\none/gone.py,sha256=x,5\n")
    else:
        path.write_text("c")
    assert installed.main(["check", "locks-v1"]) == 1
    assert "is missing or cut short" in capsys.readouterr().out
    installed.main(["forget"])
    assert capsys.readouterr().out == "one-1.0\n"
    assert not (installed.SITE / "one-1.0.dist-info").exists()
    assert (installed.SITE / "two/__init__.py").exists()


def test_a_package_that_is_gone_altogether_is_noticed(installed: ModuleType) -> None:
    installed.main(["record", "locks-v1"])
    for path in ("one/__init__.py", "one-1.0.dist-info/METADATA", "one-1.0.dist-info/RECORD"):
        (installed.SITE / path).unlink()
    (installed.SITE / "one-1.0.dist-info").rmdir()
    assert installed.main(["check", "locks-v1"]) == 1


def test_other_locks_or_a_torn_stamp_are_not_what_is_installed(installed: ModuleType) -> None:
    assert installed.main(["check", "locks-v1"]) == 1
    installed.main(["record", "locks-v1"])
    assert installed.main(["check", "locks-v2"]) == 1
    installed.STAMP.write_text('{"wanted": "lo')
    assert installed.main(["check", "locks-v1"]) == 1


def test_files_outside_the_environment_are_never_removed(installed: ModuleType, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_text("mine")
    record = installed.SITE / "one-1.0.dist-info" / "RECORD"
    record.write_text(f"../../../{outside.name},sha256=x,999\n")
    installed.main(["forget"])
    assert outside.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["devel"], {}, "unknown extra 'devel'; allowed: cuda tpu text serve ray gcs vertex warehouse mlflow dev"),
        (["../../x"], {}, "unknown extra"),
        ([], {"PYTHON": "python2.7"}, "PYTHON=python2.7 is no Python 3.11, 3.12 or 3.13"),
    ],
)
def test_nonsense_is_refused_before_anything_is_touched(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], message: str
) -> None:
    checkout = tmp_path / "check out"  # a space, as people have in their paths
    (checkout / "scripts").mkdir(parents=True)
    (checkout / "scripts/setup.sh").write_text((ROOT / "scripts/setup.sh").read_text())
    process = subprocess.run(
        ["bash", checkout / "scripts/setup.sh", *arguments],
        env=os.environ | {"RETENTIONJAX_CACHE": str(tmp_path / "cache")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert message in process.stderr
    assert [path.name for path in checkout.iterdir()] == ["scripts"]


def test_help_says_how_to_call_it_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/setup.sh").write_text((ROOT / "scripts/setup.sh").read_text())
    for flag in ("--help", "-h"):
        command = ["bash", tmp_path / "scripts/setup.sh", flag]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        assert done.stdout.startswith("Makes .venv from the hash-pinned lock files: `bash scripts/setup.sh [extra …]`")
        assert "set -euo" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["scripts"]


@pytest.mark.parametrize("script", ["bench.py", "selftest.py"])
def test_scripts_called_by_their_name_go_on_in_the_environment(script: str, tmp_path: Path) -> None:
    checkout = tmp_path / "check out"
    (checkout / "scripts").mkdir(parents=True)
    for name in (script, "own_environment.py"):
        shutil.copy(ROOT / "scripts" / name, checkout / "scripts")
    python = checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    without_packages = checkout / "bin/python3"
    without_packages.parent.mkdir()
    without_packages.write_text(f'#!/bin/sh\nexec {sys.base_prefix}/bin/python3 -E -S "$@"\n')
    without_packages.chmod(0o755)
    called = checkout / "scripts" / script
    done = subprocess.run(
        [called, "one two", "--json"],
        env={"PATH": f"{without_packages.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [str(called), "one two", "--json"], done.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_pin_has_hashes_and_no_lock_names_a_host(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert pins
    for pin in pins:
        assert "==" in pin.splitlines()[0]
        assert "--hash=sha256:" in pin
    assert "://" not in text
    assert "--index" not in text


def test_all_locks_agree_on_every_version() -> None:
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"^([a-z0-9][^=\s]*)==(\S+)", lock.read_text(), flags=re.MULTILINE):
            versions.setdefault(name, set()).add(version)
    assert len(versions) > 100
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
