#!/usr/bin/env bash
# Makes .venv from the hash-pinned lock files: `bash scripts/setup.sh [extra …]` (cuda tpu text serve ray gcs dev).
# Runs again in a second when nothing changed; an interrupted or damaged install is repaired by running it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '[setup] %s\n' "$*"; }
fail() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

for extra in "$@"; do
    [ "$extra" != installer ] && [ "$extra" != base ] && [ -f "scripts/locks/$extra.txt" ] ||
        fail "unknown extra '$extra'; allowed: cuda tpu text serve ray gcs dev"
done

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3 python; do
        [ -n "$candidate" ] && command -v "$candidate" > /dev/null && "$candidate" -c "$supported" 2> /dev/null &&
            { command -v "$candidate"; return; }
    done
    fail "no Python 3.11, 3.12 or 3.13 on PATH (set PYTHON=/path/to/python to name one)"
}

started=$SECONDS
export UV_CACHE_DIR="${RETENTIONJAX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/retentionjax}/uv" UV_LINK_MODE="${UV_LINK_MODE:-copy}"
export VIRTUAL_ENV="$PWD/.venv" PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH PYTHONHOME

if ! .venv/bin/python -c "$supported" 2> /dev/null; then
    python=$(find_python)
    say "making .venv with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv || fail "python -m venv failed; on Debian or Ubuntu: apt-get install python3-venv"
fi

locks=(scripts/locks/installer.txt scripts/locks/base.txt)
for extra in "$@"; do locks+=("scripts/locks/$extra.txt"); done
# What is installed is named by the locks, the project's metadata and where it stands.
wanted=$({ cat "${locks[@]}" pyproject.toml; pwd; } | cksum)
stamp=".venv/.installed-$(printf '%s-' base "$@" | tr -c 'a-z0-9\n' '-')"
if [ "$(cat "$stamp" 2> /dev/null)" = "$wanted" ] && .venv/bin/python -c 'import jax, xgboost, retentionjax' 2> /dev/null; then
    say "nothing to do: .venv matches the lock files"
    exit 0
fi
rm -f "$stamp"

if ! .venv/bin/uv --version > /dev/null 2>&1; then
    say "installing the installer (uv, checked by hash)"
    .venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r scripts/locks/installer.txt
fi
requirements=()
for lock in "${locks[@]}"; do requirements+=(-r "$lock"); done
say "installing $(cat "${locks[@]}" | grep -E '^[a-z0-9].*==' | sort -u | wc -l) pinned packages (about 300 MB; a minute or two the first time)"
reinstall=()
if ! .venv/bin/uv pip install --quiet --require-hashes "${requirements[@]}" ||
    ! .venv/bin/uv pip check --quiet ||
    ! .venv/bin/python -c 'import jax, xgboost, sklearn, pandas, pyarrow, flax, gymnax' 2> /dev/null; then
    say "the environment is damaged; installing every package again"
    .venv/bin/uv pip install --quiet --require-hashes --reinstall "${requirements[@]}"
fi
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
.venv/bin/python -c 'import jax, xgboost, sklearn, pandas, pyarrow, flax, gymnax, retentionjax'
printf '%s' "$wanted" > "$stamp"
say "ready after $((SECONDS - started)) s: $(du -sh .venv | cut -f1) in .venv"
