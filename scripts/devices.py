#!/usr/bin/env python3
"""What this machine computes on, and the settings that fit it: `python3 scripts/devices.py [--tpu] [--shell]`.

Refuses, with the reason, a driver, CUDA version or GPU that the locked JAX cannot use. `--shell` prints the settings as
`export NAME=VALUE` lines for `eval` and everything else on stderr. Needs nothing but Python 3.9 and nvidia-smi.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MINIMUM_DRIVER = (525, 60, 13)  # CUDA 12 on Linux, by minor-version compatibility (NVIDIA's release notes)
MINIMUM_CUDA = (12, 0)
MINIMUM_CAPABILITY = (5, 2)  # what JAX's CUDA 12 wheels are built for
TENSOR_FLOAT = (8, 0)  # Ampere: float32 products on tensor cores
RESERVE_MIB = 1024  # for CUDA's own contexts and libraries, which do not come out of XLA's pool
QUERY = ("name", "driver_version", "compute_cap", "memory.total", "memory.free")


class RefusedError(Exception):
    """A machine that will not do; the message says what would."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as nvidia-smi describes it."""

    name: str
    driver: str
    capability: tuple[int, ...]
    total: int  # MiB
    free: int  # MiB


def gpus() -> list[Gpu]:
    """The GPUs of this machine, checked. Raises RefusedError."""
    listing = ask("--query-gpu=" + ",".join(QUERY), "--format=csv,noheader,nounits")
    found = [parse(line) for line in listing.splitlines() if line.strip()]
    if not found:
        raise RefusedError("nvidia-smi lists no GPU: was the VM made with one? (gcloud … --accelerator=type=nvidia-l4)")
    driver = numbers(found[0].driver)
    if driver < MINIMUM_DRIVER:
        raise RefusedError(
            f"NVIDIA driver {found[0].driver}; {dotted(MINIMUM_DRIVER)} or newer is needed for CUDA 12: "
            "install the driver of your distribution or of the cloud's GPU image, and reboot"
        )
    stated = re.search(r"CUDA Version:\s*([\d.]+)", ask())
    if stated is None:
        raise RefusedError("nvidia-smi names no CUDA version: the driver is not loaded whole; reboot or reinstall it")
    if numbers(stated[1]) < MINIMUM_CUDA:
        raise RefusedError(f"the driver's CUDA version is {stated[1]}; {dotted(MINIMUM_CUDA)} or newer is needed")
    for gpu in found:
        if gpu.capability < MINIMUM_CAPABILITY:
            wanted = dotted(MINIMUM_CAPABILITY)
            raise RefusedError(f"{gpu.name}: compute capability {dotted(gpu.capability)}; {wanted} or newer is needed")
    print(f"driver {found[0].driver}, CUDA {stated[1]}", file=sys.stderr)
    return found


def ask(*arguments: str) -> str:
    try:
        answer = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise RefusedError(
            "nvidia-smi is not there: this VM has no NVIDIA driver. Use an image with one (Google's Deep Learning VM, "
            "for instance), or install it; for a TPU VM give --tpu"
        ) from None
    except subprocess.TimeoutExpired:
        raise RefusedError("nvidia-smi does not answer: the GPU or its driver hangs; reboot the VM") from None
    if answer.returncode:
        said = (answer.stdout + answer.stderr).strip().splitlines()
        raise RefusedError(f"nvidia-smi failed ({answer.returncode}): {said[0] if said else 'it said nothing'}")
    return answer.stdout


def parse(line: str) -> Gpu:
    fields = [field.strip() for field in line.split(",")]
    try:
        name, driver, capability, total, free = fields
        return Gpu(name, driver, numbers(capability), int(total), int(free))
    except ValueError:
        raise RefusedError(f"nvidia-smi says {line!r}; {', '.join(QUERY)} were asked for") from None


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def gpu_settings(found: list[Gpu]) -> dict[str, str]:
    """Memory, precision and sharding for these GPUs: the weakest of them decides."""
    share = min(max(0.1, (gpu.free - RESERVE_MIB) / gpu.total) for gpu in found)
    modern = all(gpu.capability >= TENSOR_FLOAT for gpu in found)
    return {
        "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{min(0.92, share):.2f}",
        "JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32" if modern else "float32",
        "RETENTIONJAX_SHARDS": str(power_of_two(len(found))),
        "JAX_COMPILATION_CACHE_DIR": programs(),
    }


def tpu_settings(devices: Path = Path("/dev")) -> dict[str, str]:
    """Settings for the TPU of this VM, whose memory XLA divides itself. Raises RefusedError where there is none."""
    chips = [*devices.glob("accel[0-9]*"), *devices.glob("vfio/[0-9]*")]
    if not chips:
        raise RefusedError("no TPU: neither /dev/accel* nor /dev/vfio/* is there; is this a TPU VM?")
    print(f"{len(chips)} TPU chips", file=sys.stderr)
    return {
        "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
        "RETENTIONJAX_SHARDS": str(power_of_two(len(chips))),
        "JAX_COMPILATION_CACHE_DIR": programs(),
    }


def programs() -> str:
    """The folder where XLA keeps what it compiled. On a GPU compiling is most of a demo's time."""
    named, home = os.environ.get("RETENTIONJAX_CACHE"), os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return str((Path(named) if named else Path(home) / "retentionjax").expanduser() / "programs")


def power_of_two(count: int) -> int:
    """The largest one that `count` devices allow: it divides every preset's number of environments."""
    return 1 << (count.bit_length() - 1)


def explain(settings: dict[str, str]) -> str:
    meaning = {
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "share of GPU memory that XLA takes at the start",
        "JAX_DEFAULT_MATMUL_PRECISION": "of float32 products; parameters and sums stay float32",
        "RETENTIONJAX_SHARDS": "groups of environments in the policy's training, one a device",
        "JAX_COMPILATION_CACHE_DIR": "compiled programs, for the next run and after a crash",
    }
    return "\n".join(f"  {name}={value}  ({meaning[name]})" for name, value in settings.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tpu", action="store_true", help="a TPU VM instead of GPUs")
    parser.add_argument("--shell", action="store_true", help="print the settings as shell exports")
    arguments = parser.parse_args()
    try:
        if arguments.tpu:
            settings = tpu_settings()
        else:
            found = gpus()
            for gpu in found:
                print(
                    f"{gpu.name}, compute capability {dotted(gpu.capability)}, {gpu.free:,} of {gpu.total:,} MiB free",
                    file=sys.stderr,
                )
            settings = gpu_settings(found)
    except RefusedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    settings = {name: os.environ.get(name, value) for name, value in settings.items()}  # the user's own stay
    print("settings chosen (set one yourself to keep it):\n" + explain(settings), file=sys.stderr)
    if arguments.shell:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
