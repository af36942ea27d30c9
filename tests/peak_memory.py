"""How much memory a piece of work holds at most, beside what the process held before: not the largest it ever held."""

from collections.abc import Callable
from pathlib import Path

import pytest

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_THE_PEAK = "5"  # proc(5), clear_refs


def growth(work: Callable[[], object]) -> float:
    """MiB by which the resident memory of this process rises above where it was, at most, while `work` runs."""
    try:
        _CLEAR.write_text(_FORGET_THE_PEAK)
    except OSError:
        pytest.skip("only Linux says how much memory was held since a moment")
    before = _peak()
    work()
    return _peak() - before


def _peak() -> float:
    line = next(each for each in _STATUS.read_text().splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
