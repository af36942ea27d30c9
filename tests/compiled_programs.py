"""The folder where the tests keep what JAX compiled: one for all checkouts, apart for each processor and version.

A program made for another processor, or by another version, differs in its last bits from one that is made anew: a run
that is resumed would differ from one that is not, where one read a program and the other compiled it.
"""

import hashlib
import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

CPU = Path("/proc/cpuinfo")
KEPT = 30 * 86_400
"""Seconds after which a program is made anew: most of those made before belong to code that is no more."""


def folder() -> str:
    """The folder below the user's cache for this processor, Python and jaxlib, without what is too old; below the
    checkout where the cache cannot be written."""
    lines = CPU.read_text().splitlines() if CPU.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    made_for = f"{platform.machine()} {features} {importlib.metadata.version('jaxlib')} {sys.version_info[:2]}"
    name = hashlib.sha256(made_for.encode()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    programs = home / "retentionjax" / "tests" / name
    try:
        programs.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in programs.iterdir():
            if each.stat().st_mtime < time.time() - KEPT:
                each.unlink(missing_ok=True)
    except OSError:
        return str(Path(__file__).parents[1] / ".jax_cache" / name)
    return str(programs)
