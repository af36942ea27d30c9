"""The folder where the tests keep what JAX compiled: apart for each processor and version.

A program made for another processor, or by another version, differs in its last bits from one that is made anew: a run
that is resumed would differ from one that is not, where one read a program and the other compiled it.
"""

import hashlib
import importlib.metadata
import platform
import sys
from pathlib import Path

CPU = Path("/proc/cpuinfo")


def folder() -> str:
    """The folder below .jax_cache for this processor, Python and jaxlib."""
    lines = CPU.read_text().splitlines() if CPU.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    made_for = f"{platform.machine()} {features} {importlib.metadata.version('jaxlib')} {sys.version_info[:2]}"
    return str(Path(__file__).parents[1] / ".jax_cache" / hashlib.sha256(made_for.encode()).hexdigest()[:16])
