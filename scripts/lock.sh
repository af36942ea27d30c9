#!/usr/bin/env bash
# Makes scripts/locks/*.txt from pyproject.toml: one file for the base set, one an extra with what it adds to
# that, one for the installer. All are resolved together first, so any two of them agree; one version serves every
# Python from 3.11 to 3.13. Run it after a change of dependencies (`scripts/lock.sh --upgrade` for newer ones).
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

uv=.venv/bin/uv
[ -x "$uv" ] || { echo "error: $uv is missing; run: bash scripts/setup.sh" >&2; exit 1; }
extras=(cuda tpu text serve ray gcs vertex warehouse mlflow dev)
together=$(mktemp)
trap 'rm -f "$together"' EXIT
compile() { "$uv" pip compile --universal --fork-strategy fewest --python-version 3.11 --quiet --no-header --no-emit-index-url "$@" > /dev/null; }
joined() { sed ':more;/\\$/{N;s/ *\\\n */ /;bmore;}' "$1"; } # each pin with its hashes on one line

[ "${1:-}" = "--upgrade" ] || sed 's/ *\\$//' scripts/locks/*.txt 2> /dev/null | grep -hE '^[a-z0-9].*==' | sort -u > "$together" || true
compile pyproject.toml --all-extras --no-annotate -o "$together" "$@"
compile pyproject.toml -c "$together" --generate-hashes --no-annotate -o scripts/locks/base.txt
for extra in "${extras[@]}"; do
    whole=$(mktemp)
    compile pyproject.toml --extra "$extra" -c "$together" --generate-hashes --no-annotate -o "$whole"
    joined "$whole" | grep -vxFf <(joined scripts/locks/base.txt) | sed 's/ --hash/ \\\n    --hash/g' > "scripts/locks/$extra.txt"
    rm "$whole"
done
printf "uv\nhatchling\neditables\n" | compile - --generate-hashes --no-annotate -o scripts/locks/installer.txt
wc -l scripts/locks/*.txt
