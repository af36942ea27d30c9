"""Whether .venv holds what was installed, file by file: `python -I scripts/installed.py check|forget|record …`.

Each installed package lists its files and their sizes (RECORD). Looking at all of them takes under a second, where
importing the packages takes seven and misses a file that is not imported. Standard library only, for this must run
in an environment where nothing else works.
"""

import csv
import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path

SITE = Path(sysconfig.get_paths()["purelib"])
STAMP = Path(sys.prefix) / "retentionjax-installed.json"


def main(arguments: list[str]) -> int:
    """check WANTED: 0 if what was recorded for WANTED is whole, else 1 and the reason. forget: removes what is left of
    damaged packages, so that the installer sees them as missing. record WANTED: writes down what there is."""
    verb, rest = arguments[0], arguments[1:]
    if verb == "check":
        return check(rest[0])
    if verb == "forget":
        return forget()
    if verb == "record":
        return record(rest[0])
    raise SystemExit(f"unknown verb {verb}; allowed: check, forget, record")


def check(wanted: str) -> int:
    recorded = stamp()
    if recorded.get("wanted") != wanted:
        print("the lock files changed since, or the last install did not end" if recorded else "not installed yet")
        return 1
    for name in recorded["packages"]:
        missing = damage(SITE / name)
        if missing:
            print(f"{missing} is missing or cut short")
            return 1
    return 0


def forget() -> int:
    """Removes every file of the packages that are not whole, and of installs that never got their list of files."""
    for folder in sorted(SITE.glob("*.dist-info")):
        if damage(folder):
            print(folder.name.removesuffix(".dist-info"))
            for path, _ in listed(folder):
                if path.is_file() and path.is_relative_to(sys.prefix):
                    path.unlink()
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def record(wanted: str) -> int:
    packages = sorted(folder.name for folder in SITE.glob("*.dist-info"))
    content = json.dumps({"wanted": wanted, "packages": packages}, indent=1)
    partial = STAMP.with_suffix(".partial")
    partial.write_text(content)
    os.replace(partial, STAMP)
    return 0


def stamp() -> dict:
    try:
        return json.loads(STAMP.read_text())
    except (FileNotFoundError, ValueError):  # a stamp that cannot be read vouches for nothing
        return {}


def damage(folder: Path) -> str:
    """The first file of the package in `folder` (its dist-info) that is not there or has another size; "" if none."""
    if not (folder / "RECORD").is_file() or not (folder / "METADATA").is_file():
        return f"{folder.name}/RECORD"
    for path, size in listed(folder):
        try:
            whole = size in ("", str(os.stat(path).st_size))
        except (FileNotFoundError, NotADirectoryError):
            whole = False
        if not whole:
            return os.path.relpath(path, sys.prefix)
    return ""


def listed(folder: Path) -> list[tuple[Path, str]]:
    """(path, size in bytes as text or "") of each file the package installed; compiled copies may come and go."""
    try:
        with open(folder / "RECORD", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) == 3]
    except FileNotFoundError:
        return []
    return [(Path(os.path.normpath(SITE / path)), size) for path, _, size in rows if not path.endswith(".pyc")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
