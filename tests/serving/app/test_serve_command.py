"""`retentionjax serve`: what is wrong is said before anything listens, with status 2."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from retentionjax import cli
from serving.ledger import Ledger
from serving.ledger.types import BundleSlot, Slots


def error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["serve", *arguments]) == 2
    return capsys.readouterr().err


def test_a_bundle_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = f"sqlite:///{tmp_path}/ledger.db"
    assert "neither a bundle" in error(["--bundle", str(tmp_path), "--database", database], capsys)
    assert not (tmp_path / "ledger.db").exists()


def test_a_damaged_bundle(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (each for each in bundle.rglob("*") if each.is_file()):
        copy = tmp_path / "bundle" / path.relative_to(bundle)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "bundle/churn/encoder.json").write_text("{}")
    found = error(["--bundle", str(tmp_path / "bundle"), "--database", f"sqlite:///{tmp_path}/ledger.db"], capsys)
    assert "churn/encoder.json" in found


def test_a_lost_bundle_that_was_activated_and_the_way_out(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database, lost = f"sqlite:///{tmp_path}/ledger.db", tmp_path / "lost"
    with closing(Ledger.open(database, clock=time.time)) as ledger, ledger.transaction() as tx:
        tx.set_slots(Slots(active=BundleSlot("0" * 64, str(lost))))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        flags = ["--bundle", str(bundle), "--database", database, "--port", str(taken.getsockname()[1])]
        found = error(flags, capsys)
        assert found.count("\n") == 1
        assert f"{lost}: no such folder" in found
        assert "retentionjax ledger forget-bundles" in found
        assert cli.main(["ledger", "forget-bundles", "--database", database]) == 0
        assert str(lost) in capsys.readouterr().out
        assert "port" in error(flags, capsys), "the bundle of --bundle would serve"


def test_a_port_that_is_taken(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        database = f"sqlite:///{tmp_path}/ledger.db"
        found = error(["--bundle", str(bundle), "--database", database, "--port", port], capsys)
    assert f"port {port}" in found


def test_no_bundle_at_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETENTIONJAX_BUNDLE", raising=False)
    assert "--bundle is missing" in error([], capsys)


WORKERS = """
import multiprocessing, os, time
from serving.command import end_with_parent

def work():
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    worker = multiprocessing.get_context("spawn").Process(target=work)
    worker.start()
    worker.join()
"""


def test_workers_do_not_outlive_the_process_that_started_them(tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    with subprocess.Popen([sys.executable, str(tmp_path / "workers.py")], stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        worker = int(started.stdout.readline())
        started.kill()
        ended, _, _ = select.select([started.stdout], [], [], 20.0)  # nobody holds the other end of it any more
        if not ended:
            os.kill(worker, signal.SIGKILL)
        assert ended
