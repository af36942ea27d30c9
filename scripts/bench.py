#!/usr/bin/env python3
"""Benchmarks: `python scripts/bench.py [NAME …] [--peers]`; without a name, all of them.

Each module of scripts/benchmarks/ is one benchmark: its `run()` returns figures by name. Peers, the libraries compared
with, need other versions of gymnax than this project, so they live in a virtual environment of their own, which
`--peers` makes. Speeds are per CPU-second, not per wall second, so that a busy machine does not blur them.
"""

import own_environment  # noqa: F401 - goes on in .venv, before what is installed there is imported

# isort: split
import argparse
import importlib
import subprocess
import sys
import venv
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
PEERS = SCRIPTS.parent / ".venv" / "peers"
PEER_PACKAGES = ("rejax==0.1.3", "gymnax==0.0.9", "jax==0.10.2", "flax==0.12.8", "optax==0.2.8", "rlax==0.1.9")


def names() -> list[str]:
    """Benchmarks there are, by module name."""
    return sorted(path.stem for path in (SCRIPTS / "benchmarks").glob("*.py"))


def make_peers() -> None:
    """Install the peers into their own environment, once."""
    done = PEERS / "installed.txt"
    wanted = "\n".join(PEER_PACKAGES)
    if done.exists() and done.read_text() == wanted:
        return
    print(f"installing {', '.join(PEER_PACKAGES)} into {PEERS} (a minute or two)", flush=True)
    venv.create(PEERS, with_pip=True, clear=True)
    subprocess.run([PEERS / "bin" / "pip", "install", "--quiet", *PEER_PACKAGES], check=True)
    done.write_text(wanted)


def show(name: str, figures: dict[str, float]) -> None:
    """Print the figures, ratios first, since they mean the same on every machine."""
    print(f"\n{name}")
    ordered = sorted(figures.items(), key=lambda item: "ratio" not in item[0])
    width = max(len(key) for key in figures)
    for key, value in ordered:
        print(f"  {key:<{width}}  {value:>14,.2f}" if abs(value) < 1000 else f"  {key:<{width}}  {value:>14,.0f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(names())}")
    parser.add_argument("--peers", action="store_true", help="make the peers' environment first")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names()))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names())}")
    if arguments.peers:
        make_peers()
    sys.path.insert(0, str(SCRIPTS))
    for name in arguments.names or names():
        show(name, importlib.import_module(f"benchmarks.{name}").run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
