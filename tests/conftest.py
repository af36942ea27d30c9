"""What every test shares: the CPU, checked array shapes, fixed seeds, and the real data where there is any."""

import contextlib
import ctypes
import functools
import gc
import itertools
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import compiled_programs

# Before anything imports JAX: tests run on the CPU unless the caller says otherwise.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# There is a worker a core: two threads of XGBoost's wait for each other in busy loops, 0.5 s for a fit of 3 ms.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Compiling is most of the time of most tests: what one run, or one worker, compiled, the next one reads.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled_programs.folder()
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Tests that run for moments are compiled in a third of the time; with -m, slow tests run what users run. Decided here,
# and handed on to xdist's workers: a folder's own conftest.py may start JAX before pytest is configured.
if "PYTEST_XDIST_WORKER" not in os.environ and not any(argument.startswith("-m") for argument in sys.argv[1:]):
    flags = ("backend_optimization_level=0", "cpu_use_fusion_emitters=false", "cpu_parallel_codegen_split_count=1")
    os.environ.setdefault("XLA_FLAGS", " ".join(f"--xla_{flag}" for flag in flags))

import hypothesis
import jax
import numpy as np
import pytest
from bucket_server import bucket, storage_server
from jax._src.interpreters import mlir
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    from retentionjax.bundle import Bundle

__all__ = ["bucket", "storage_server"]  # fixtures of any test

# Where arrays go in and out, every annotation is checked on every call of every test, shapes included. What deals in
# texts and tables is left to the static checker: checking each call there took three quarters of its tests' time.
WITH_ARRAYS = ("bundle", "decide", "effects", "env", "evaluation", "language", "rl", "score", "tabular")
install_import_hook([f"retentionjax.{package}" for package in WITH_ARRAYS], "checked.annotations")

# To make the context of a program takes a sixth of the time of a small one, and they are all alike; a new one from time
# to time, since a context keeps every constant of its programs.
_context, _asked = mlir.make_ir_context, itertools.count()
_contexts = functools.lru_cache(maxsize=1)(lambda hundred: _context())
mlir.make_ir_context = lambda: _contexts(next(_asked) // 100)

# Until all tests are imported: what is imported stays, and the collector would walk it again and again.
gc.disable()

# The first call of a jitted function compiles, so a deadline would measure the compiler; derandomised: a failure
# seen once is seen again.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("suite")


# The longest files, so that none of them is left for one worker at the end.
FIRST = (
    "experiments/test_train.py",
    "experiments/test_language_stages.py",
    "language/test_ppo.py",
    "evaluation/test_optimum.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; test.sh keeps xdist from reordering them by their number of tests."""
    items.sort(key=lambda item: [not item.path.match(file) for file in FIRST])


def pytest_collection_finish() -> None:
    """Takes what was imported, two million objects, out of the sight of the garbage collector, and has it look seldom:
    JAX's programs are many objects that stay. Language models have their layers scanned, however few the texts: apart
    they take twice as long to compile, and `test_sampler`, which asks for either by name, says that both write the
    same."""
    if stepwise := sys.modules.get("retentionjax.language.stepwise"):
        vars(stepwise)["FEW"] = 0
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


class Memory:
    """Keeps a worker small: what JAX compiled for one file hardly serves the next, and all of it together is 5 GB."""

    limit = 2_000_000_000
    """Bytes in memory at which everything compiled is forgotten."""
    step = 500_000_000
    """Bytes that must have come since the last time."""

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Looks between two files."""
        if nextitem is not None and nextitem.path != item.path and resident() > self.limit:
            jax.clear_caches()
            gc.collect()
            give_back()
            self.limit = max(Memory.limit, resident() + self.step)


def pytest_configure(config: pytest.Config) -> None:
    """Has each worker look after its memory."""
    config.pluginmanager.register(Memory())


def give_back() -> None:
    """Has the allocator return what it holds in reserve, where it is glibc's."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    statistics = Path("/proc/self/statm")
    return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statistics.exists() else 0


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(42)
    np.random.seed(42)  # noqa: NPY002 - a library that draws from the global state must repeat itself too


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; skips the test, by name, where RETENTIONJAX_DATA names none."""
    folder = os.environ.get("RETENTIONJAX_DATA")
    if not folder:
        pytest.skip("needs real data: set RETENTIONJAX_DATA to a folder laid out as <set>/<official file>")
    if not Path(folder).is_dir():
        pytest.fail(f"RETENTIONJAX_DATA={folder} is no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small bundle for all tests of a worker, which none of them changes."""
    import bundles

    return bundles.make(tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> "Bundle":
    """What `bundle_folder` holds."""
    from retentionjax.bundle import load

    return load(bundle_folder)
