#!/usr/bin/env python3
"""How large the serving image will be, from the locks: `image_size.py [EXTRA …] [--limit 900]` (serve gcs text).

Sums the files that each locked package's record names, as they are installed in the environment this runs in, less what
prune.py removes, and adds the base image. Status 1 above the limit, or where a locked package is not installed.
"""

import argparse
import importlib.metadata
import shutil
import sys
import tempfile
from pathlib import Path

import prune
import requirements
from packaging.requirements import Requirement

BASE_IMAGE = 130e6  # bytes of python:3.11-slim-bookworm, unpacked, with libgomp1


def package_size(name: str) -> float:
    """Bytes of a package after pruning. Raises PackageNotFoundError."""
    distribution = importlib.metadata.distribution(name)
    total = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for file in distribution.files or []:
            path = Path(str(distribution.locate_file(file)))
            if prune.is_useless(file.as_posix()) or not path.exists():
                continue
            stripped = prune.STRIPPED.match(file.as_posix()) and not path.is_symlink() and shutil.which("strip")
            total += prune.stripped_size(path, Path(scratch) / "library") if stripped else path.lstat().st_size
    return total


def sizes(extras: list[str]) -> dict[str, float]:
    """Bytes by package of the serving image, those of this platform."""
    found = {}
    for head in requirements.chosen(extras, serving=True):
        requirement = Requirement(head)
        if requirement.marker is None or requirement.marker.evaluate():
            found[requirement.name] = package_size(requirement.name)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", default=["serve", "gcs", "text"], metavar="EXTRA")
    parser.add_argument("--limit", type=float, default=900.0, metavar="MB")
    arguments = parser.parse_args()
    try:
        found = sizes(arguments.extras)
    except importlib.metadata.PackageNotFoundError as error:
        print(f"error: {error.name} is locked but not installed here: bash scripts/setup.sh", file=sys.stderr)
        return 1
    total = (sum(found.values()) + BASE_IMAGE) / 1e6
    for name, size in sorted(found.items(), key=lambda item: -item[1])[:10]:
        print(f"  {name:<24}{size / 1e6:>7.0f} MB")
    packages = sum(found.values()) / 1e6
    print(f"base image {BASE_IMAGE / 1e6:.0f} MB + {len(found)} packages {packages:.0f} MB = {total:.0f} MB")
    if total > arguments.limit:
        print(f"error: more than {arguments.limit:.0f} MB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
