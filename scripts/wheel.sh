#!/usr/bin/env bash
# Wheel and source distribution into a folder, checked: bash scripts/wheel.sh [FOLDER]. The wheel is installed in an empty
# environment, with what it depends on; away from the checkout every command's --help is asked, and the demonstration
# decides and reports. PYTHON names the interpreter.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

out=$(mkdir -p "${1:-dist}" && cd -P "${1:-dist}" && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH

"$python" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet build hatchling twine
# The wheel is made from the source distribution, so that a file missing in one is missing in both.
"$work/tools/bin/python" -m build --no-isolation --outdir "$out" .
"$work/tools/bin/python" -m twine check --strict "$out"/*

"$python" -m venv "$work/empty"
wheel=$(find "$out" -name '*.whl' -newer "$work/tools/pyvenv.cfg")
"$work/empty/bin/python" -m pip install --quiet "${wheel}[serve,text]"
cd "$work"
retentionjax="$work/empty/bin/retentionjax"
"$retentionjax" --version
for command in $("$work/empty/bin/python" -c 'from retentionjax import cli; print(*(each.name for each in cli.COMMANDS))'); do
    "$retentionjax" "$command" --help > /dev/null || { printf 'error: retentionjax %s --help failed\n' "$command" >&2; exit 1; }
done
"$retentionjax" decide --demo > /dev/null
"$retentionjax" report --demo > /dev/null
printf 'wheel and source distribution are in %s; every command starts, and the demo decides\n' "$out"
