#!/usr/bin/env python3
"""Makes an installed environment smaller: `prune.py VENV`. Removes what nothing at run time reads, and symbol tables.

Symbol tables are those for debuggers; what the dynamic linker needs stays. Only libraries named here are stripped: some
wheels' own libraries do not survive it.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

USELESS = re.compile(
    r"(^|/)tests?/"  # of NumPy, SciPy, pandas, scikit-learn, PyArrow
    r"|\.(pyi|pxd|pyc|h|hpp)$|(^|/)include/"
    r"|^phonenumbers/(geodata|carrierdata|tzdata)/"  # names of places and carriers; numbers are recognised without
    r"|^pyarrow/(lib)?(_|arrow_|arrow_python_)flight\b"  # a network protocol
)
STRIPPED = re.compile(
    r"^(jaxlib/libjax_common|pyarrow/lib(arrow|parquet)[a-z_]*|xgboost/lib/libxgboost"
    r"|(cryptography|pandas|scipy|sklearn|tokenizers|uvloop)/.*)"
    r"\.so(\.[\d.]+)?$"
)


def is_useless(path: str) -> bool:
    """Whether a file of site-packages, by its path there, is removed."""
    return bool(USELESS.search(path))


def stripped_size(path: Path, scratch: Path) -> int:
    """Bytes of the library at `path` without its symbol table, which is left in `scratch`."""
    subprocess.run(["strip", "--strip-unneeded", "-o", scratch, path], check=True)
    return scratch.stat().st_size


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: prune.py VENV", file=sys.stderr)
        return 2
    (site,) = Path(sys.argv[1]).glob("lib/python3*/site-packages")
    if shutil.which("strip") is None:
        print("error: strip is not installed (Debian's package binutils)", file=sys.stderr)
        return 1
    removed = saved = 0
    for file in sorted(path for path in site.rglob("*") if path.is_file() and not path.is_symlink()):
        relative = file.relative_to(site).as_posix()
        if is_useless(relative):
            removed += file.stat().st_size
            file.unlink()
        elif STRIPPED.match(relative):
            before, scratch = file.stat().st_size, file.with_name(file.name + ".stripped")
            saved += before - stripped_size(file, scratch)
            shutil.copymode(file, scratch)
            scratch.replace(file)
    print(f"removed {removed / 1e6:.0f} MB of files and {saved / 1e6:.0f} MB of symbols from {site}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
