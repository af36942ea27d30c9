"""Histories of engine, socket, ledger and clocks, each from one seed, with everything that can go wrong.

`PYTHONPATH=.:tests python -m simulation.replay SEED` shows what happened in one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import engines
import pytest
from simulation import replay
from simulation.history import History
from simulation.planted import BUGS, Bug

from serving.engine.slots import Served

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def served(checked: Path) -> Served:
    replay.quiet()
    return engines.load(str(checked), replay.SIZES)


def check(seeds: range, served: Served) -> None:
    for seed in seeds:
        replay.quiet()
        assert not (found := replay.failure(seed, served)), found


def test_no_history_breaks_a_promise(served: Served) -> None:
    check(range(40), served)
    check(range(181, 182), served)  # a crash soon after a purge, which cuts the log off


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_none_of_ten_thousand_histories_breaks_a_promise(served: Served) -> None:
    check(range(10_000), served)


def test_a_seed_has_one_history(served: Served) -> None:
    replay.quiet()
    first, again = (History(7, served, replay.blank()) for _ in range(2))
    first.run()
    again.run()
    assert len(first.trace) > 20
    assert first.trace == again.trace


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
def test_a_planted_bug_is_found(bug: Bug, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "serving", tmp_path / "serving")
    file = tmp_path / "serving" / bug.file
    text = file.read_text()
    assert text.count(bug.right) == 1
    file.write_text(text.replace(bug.right, bug.wrong))
    path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "tests")))
    run = [sys.executable, "-m", "simulation.replay", "0", "2000"]
    ended = subprocess.run(
        run, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 1, ended.stderr
    assert "replay: " in ended.stdout
