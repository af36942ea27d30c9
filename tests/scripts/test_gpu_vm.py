"""The way to a GPU VM: a machine that will not do is refused with the reason, one that does gets fitting settings."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
L4 = "NVIDIA L4, 550.54.15, 8.9, 23034, 22563"
T4 = "Tesla T4, 535.183.01, 7.5, 15360, 14913"
BANNER = "| NVIDIA-SMI {driver}   Driver Version: {driver}   CUDA Version: {cuda}   |"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real scripts, in which set-up and Python only say what they were called with."""
    folder = tmp_path / "check out"
    (folder / "scripts").mkdir(parents=True)
    for name in ("gpu_vm.sh", "devices.py"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    (folder / "scripts/setup.sh").write_text('echo "setup: $*"\n')
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "python: $* [$XLA_PYTHON_CLIENT_MEM_FRACTION $JAX_DEFAULT_MATMUL_PRECISION]"\n')
    python.chmod(0o755)
    return folder


def nvidia_smi(checkout: Path, *gpus: str, cuda: str = "12.4", script: str | None = None) -> None:
    """A fake that answers the query with these lines, and anything else with the banner."""
    driver = gpus[0].split(", ")[1] if gpus else "550.54.15"
    listing, banner = "\n".join(gpus), BANNER.format(driver=driver, cuda=cuda)
    path = checkout / "fake" / "nvidia-smi"
    path.parent.mkdir(exist_ok=True)
    answers = f"case \"$*\" in *query-gpu*) cat <<'X'\n{listing}\nX\n;; *) echo '{banner}' ;; esac\n"
    path.write_text("#!/bin/sh\n" + (answers if script is None else script))
    path.chmod(0o755)


def run(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    chosen = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "JAX_DEFAULT_MATMUL_PRECISION", "RETENTIONJAX_SHARDS")
    unset = (*chosen, "JAX_COMPILATION_CACHE_DIR", "JAX_PLATFORMS")
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env |= {"PATH": f"{checkout / 'fake'}:{os.environ['PATH']}", "PYTHON": sys.executable} | environment
    command = ["bash", str(checkout / "scripts/gpu_vm.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_a_good_vm_is_set_up_tested_and_put_to_work_in_this_order(checkout: Path) -> None:
    nvidia_smi(checkout, L4)
    done = run(checkout, "pipeline", "mvp", "--runs", "gs://bucket/runs")
    assert done.returncode == 0, done.stderr
    assert "driver 550.54.15, CUDA 12.4" in done.stderr
    assert "NVIDIA L4, compute capability 8.9, 22,563 of 23,034 MiB free" in done.stderr
    assert done.stdout.splitlines() == [
        "setup: text gcs cuda",
        "python: scripts/selftest.py --expect gpu [0.92 tensorfloat32]",
        "python: -m experiments.launch.supervise pipeline mvp --runs gs://bucket/runs [0.92 tensorfloat32]",
    ]


@pytest.mark.parametrize(
    ("gpus", "options", "message"),
    [
        (["NVIDIA L4, 470.82.01, 8.9, 23034, 22563"], {}, "NVIDIA driver 470.82.01; 525.60.13 or newer is needed"),
        (["NVIDIA L4, 525.60.12, 8.9, 23034, 22563"], {}, "525.60.13 or newer is needed"),
        ([L4], {"cuda": "11.8"}, "CUDA version is 11.8; 12.0 or newer is needed"),
        ([L4], {"cuda": "N/A"}, "names no CUDA version"),
        ([L4, "Tesla K80, 525.60.13, 3.7, 11441, 11441"], {}, "Tesla K80: compute capability 3.7; 5.2 or newer"),
        ([], {}, "nvidia-smi lists no GPU"),
        (["NVIDIA L4, [N/A], 8.9"], {}, "were asked for"),
        (
            [],
            {"script": "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"},
            "version mismatch",
        ),
        ([], {"script": "exit 9"}, "nvidia-smi failed (9): it said nothing"),
    ],
)
def test_a_vm_that_will_not_do_is_refused_before_anything_is_installed(
    checkout: Path, gpus: list[str], options: dict[str, str], message: str
) -> None:
    nvidia_smi(checkout, *gpus, **options)
    refused = run(checkout, "pipeline", "mvp")
    assert refused.returncode == 1
    assert message in refused.stderr
    assert refused.stdout == ""


def test_without_a_driver_the_error_says_where_to_get_one(checkout: Path) -> None:
    assert shutil.which("nvidia-smi") is None or pytest.skip("this machine has a driver")
    refused = run(checkout, "pipeline", "mvp")
    assert refused.returncode == 1
    assert "this VM has no NVIDIA driver" in refused.stderr


def test_settings_fit_the_weakest_of_several_gpus_and_leave_others_their_memory(checkout: Path) -> None:
    nvidia_smi(checkout, L4, T4, "NVIDIA L4, 550.54.15, 8.9, 23034, 12000")
    done = run(checkout)
    assert done.returncode == 0, done.stderr
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION=0.48" in done.stderr  # (12,000 − 1,024) / 23,034
    assert "JAX_DEFAULT_MATMUL_PRECISION=float32" in done.stderr  # a T4 has no TF32
    assert "RETENTIONJAX_SHARDS=2" in done.stderr
    assert "ready. Run an experiment" in done.stdout


def test_the_users_own_setting_stays(checkout: Path) -> None:
    nvidia_smi(checkout, L4)
    done = run(checkout, XLA_PYTHON_CLIENT_MEM_FRACTION="0.5")
    assert "python: scripts/selftest.py --expect gpu [0.5 tensorfloat32]" in done.stdout


def test_compiled_programs_are_kept_in_the_cache_or_where_the_user_says(checkout: Path, tmp_path: Path) -> None:
    nvidia_smi(checkout, L4)
    python = checkout / ".venv/bin/python"
    python.write_text('#!/bin/sh\necho "programs: $JAX_COMPILATION_CACHE_DIR"\n')
    kept = run(checkout, RETENTIONJAX_CACHE=str(tmp_path / "my cache"))
    assert f"programs: {tmp_path / 'my cache'}/programs" in kept.stdout
    assert "programs: /elsewhere" in run(checkout, JAX_COMPILATION_CACHE_DIR="/elsewhere").stdout


def test_a_tpu_is_asked_for_by_name(checkout: Path) -> None:
    refused = run(checkout, "--tpu", "pipeline", "mvp")
    assert refused.returncode == 1
    assert "is this a TPU VM?" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--gpus", "2"], "unknown flag --gpus"), (["pipeline"], "which preset?")],
)
def test_nonsense_is_refused(checkout: Path, arguments: list[str], message: str) -> None:
    refused = run(checkout, *arguments)
    assert refused.returncode == 1
    assert message in refused.stderr


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_script", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_tpu_chips_are_counted_and_their_products_are_bfloat16(tmp_path: Path) -> None:
    devices = load("devices")
    for chip in range(4):
        (tmp_path / f"accel{chip}").touch()
    assert devices.tpu_settings(tmp_path) == {
        "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
        "RETENTIONJAX_SHARDS": "4",
        "JAX_COMPILATION_CACHE_DIR": devices.programs(),
    }


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (3, 2), (7, 4), (8, 8)])
def test_sharding_takes_a_power_of_two(count: int, expected: int) -> None:
    assert load("devices").power_of_two(count) == expected


FIGURES = ("environment", "ppo", "sampler")


@pytest.mark.parametrize("measured", [FIGURES[:1], pytest.param(FIGURES, marks=pytest.mark.slow)])
def test_the_self_test_measures_every_figure_on_this_cpu(
    measured: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))  # as Python does for a script
    selftest = load("selftest")
    for name, small in {"ENVS": 64, "STEPS": 4, "TEXTS": 2, "PROMPT": 4, "NEW": 4}.items():
        monkeypatch.setattr(selftest, name, small)
    rounds = selftest.rounds()
    assert tuple(rounds) == FIGURES
    monkeypatch.setattr(selftest, "rounds", lambda: {name: rounds[name] for name in measured})
    monkeypatch.setattr(sys, "argv", ["selftest.py", "--seconds", "0", "--json", str(tmp_path / "figures.json")])
    assert selftest.main() == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert tuple(figures) == measured
    assert all(each["cpu"]["per_second"] > 0 for each in figures.values())
    assert re.search(r"self-test: OK", capsys.readouterr().out)
    monkeypatch.setattr(sys, "argv", ["selftest.py", "--expect", "gpu"])
    assert selftest.main() == 1
    assert "computes on cpu, not on gpu" in capsys.readouterr().err
