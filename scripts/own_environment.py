"""Imported first by scripts that are called by name: goes on in .venv where the Python on PATH lacks the packages."""

import importlib.util
import os
import sys
from pathlib import Path

_PYTHON = Path(__file__).resolve().parents[1] / ".venv/bin/python"

if importlib.util.find_spec("jax") is None and _PYTHON.exists():
    os.execv(_PYTHON, [str(_PYTHON), *sys.argv])
