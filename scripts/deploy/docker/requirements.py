#!/usr/bin/env python3
"""The locked requirements of an image: `requirements.py [--serving] EXTRA …`, on stdout, hashes and all.

The base set is always in. `--serving` leaves out what omitted.txt names.
"""

import argparse
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCKS = HERE.parents[1] / "locks"


def pins(lock: Path) -> dict[str, str]:
    """Each pin of a lock, with its hashes, by package and marker."""
    text = "\n".join(line for line in lock.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    found = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return {pin.split("\\")[0].strip(): pin.rstrip() for pin in found}


def name_of(pin: str) -> str:
    """The package of a pin."""
    return pin.partition("==")[0].strip()


def omitted() -> set[str]:
    """Names in omitted.txt."""
    lines = (HERE / "omitted.txt").read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def chosen(extras: list[str], *, serving: bool) -> dict[str, str]:
    """Pins of the base set and the extras. Raises SystemExit for an extra without a lock."""
    together: dict[str, str] = {}
    for name in ["base", *extras]:
        lock = LOCKS / f"{name}.txt"
        if not lock.exists():
            known = ", ".join(sorted(path.stem for path in LOCKS.iterdir()))
            raise SystemExit(f"error: no lock {lock.name}; there are: {known}")
        together |= pins(lock)
    left_out = omitted() if serving else set()
    return {head: pin for head, pin in sorted(together.items()) if name_of(head) not in left_out}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    parser.add_argument("--serving", action="store_true")
    arguments = parser.parse_args()
    print("\n".join(chosen(arguments.extras, serving=arguments.serving).values()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
