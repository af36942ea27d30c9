#!/usr/bin/env bash
# Makes .venv from the hash-pinned lock files: `bash scripts/setup.sh [extra …]` (cuda tpu text serve ray gcs vertex warehouse mlflow dev).
# Ends in a second when .venv is whole; an interrupted, damaged or moved one is repaired by running it again.
# Extras add up: a later call with fewer removes none (delete .venv for that).
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

started=$SECONDS
say() { printf '[setup] %s\n' "$*"; }
fail() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

for extra in "$@"; do
    case "$extra" in
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"
            exit 0
            ;;
        cuda | tpu | text | serve | ray | gcs | vertex | warehouse | mlflow | dev) ;;
        *) fail "unknown extra '$extra'; allowed: cuda tpu text serve ray gcs vertex warehouse mlflow dev" ;;
    esac
done

# The user's settings for other environments must not reach this one; index and proxy settings stay.
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
unset UV_PYTHON UV_SYSTEM_PYTHON UV_TARGET UV_PREFIX UV_CONSTRAINT UV_OVERRIDE
cache="${RETENTIONJAX_CACHE:-${XDG_CACHE_HOME:-${HOME:-$PWD}/.cache}/retentionjax}"
export UV_CACHE_DIR="$cache/uv" PIP_CACHE_DIR="$cache/pip" PIP_DISABLE_PIP_VERSION_CHECK=1
export UV_LINK_MODE="${UV_LINK_MODE:-copy}" VIRTUAL_ENV="$PWD/.venv"
py=.venv/bin/python
uv() { .venv/bin/uv "$@"; }

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
if [ -n "${PYTHON:-}" ] && ! "$PYTHON" -c "$supported" 2> /dev/null; then
    fail "PYTHON=$PYTHON is no Python 3.11, 3.12 or 3.13"
fi
find_python() {
    local candidate
    for candidate in "${PYTHON:-python3.11}" python3.11 python3.12 python3.13 python3 python; do
        if command -v "$candidate" > /dev/null && "$candidate" -c "$supported" 2> /dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11, 3.12 or 3.13 on PATH (set PYTHON=/path/to/python to name one)"
}

# --- one at a time: a second call waits for the first ---------------------------------------------------------
if command -v flock > /dev/null; then
    mkdir -p "$cache"
    exec 9> "$cache/setup-$(pwd | cksum | cut -d ' ' -f 1).lock"
    flock --nonblock 9 || { say "another set-up is running; waiting for it"; flock 9; }
fi

# --- nothing to do? -------------------------------------------------------------------------------------------
extras=$(printf '%s ' "$@" "$(cat .venv/extras 2> /dev/null)" | tr ' ' '\n' | sort -u | xargs)
locks=(scripts/locks/installer.txt scripts/locks/base.txt)
for extra in $extras; do locks+=("scripts/locks/$extra.txt"); done
# What must be there is named by the locks, the project's metadata, where the project stands, and the Python.
fingerprint() { { cat "${locks[@]}" pyproject.toml; pwd; "$py" -V || true; } 2>&1 | cksum | tr ' ' '-'; }
if [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -V 2>&1)" = "$("$py" -V 2>&1)" ]; then
    if "$py" -c "$supported" 2> /dev/null && reason=$("$py" -I scripts/installed.py check "$(fingerprint)" 2>&1); then
        say "nothing to do: .venv holds what the lock files say${extras:+ (with $extras)}"
        exit 0
    fi
else
    reason="PYTHON names another one"
fi

[ -w . ] || fail "$PWD cannot be written, and .venv is to be made in it: copy the checkout to where you may write"

# --- the environment itself -----------------------------------------------------------------------------------
make_venv() {
    local python
    python=$(find_python)
    say "making .venv with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv || fail "python -m venv failed; on Debian or Ubuntu: apt-get install python3-venv"
    printf '%s' "$PWD" > .venv/place
    hint=" (about 300 MB to download the first time)"
}
hint=""
if [ ! -e .venv ]; then
    make_venv
elif ! "$py" -c "$supported" 2> /dev/null || [ "${reason:-}" = "PYTHON names another one" ]; then
    say "the Python of .venv is gone or not the wanted one: starting anew"
    make_venv
elif [ "$(cat .venv/place 2> /dev/null)" != "$PWD" ]; then
    say "the checkout has moved, or .venv was made by other means: starting anew"
    make_venv
elif ! "$py" -m pip --version > /dev/null 2>&1; then
    say "pip in .venv is damaged: starting anew"
    make_venv
else
    say "to do: ${reason:-unknown}"
fi

printf '%s' "$extras" > .venv/extras # now, so that an install that is cut off knows what was wanted

# --- the packages ---------------------------------------------------------------------------------------------
step() { # step MESSAGE COMMAND…: says how long the command took
    local before=$SECONDS
    say "$1 …"
    shift
    "$@" || return 1
    say "  took $((SECONDS - before)) s"
}
install_uv() { "$py" -m pip install --quiet --force-reinstall --no-deps --require-hashes --only-binary :all: -r scripts/locks/installer.txt; }
install_packages() { uv pip install --quiet --python "$py" --require-hashes "${requirements[@]}" "$@"; }
install_project() { uv pip install --quiet --python "$py" --no-deps --no-build-isolation --reinstall --editable .; }
forget_damaged() {
    local damaged
    damaged=$("$py" -I scripts/installed.py forget)
    [ -z "$damaged" ] || say "damaged, so installed again: $(printf '%s' "$damaged" | tr '\n' ' ')"
    [ -n "$damaged" ]
}

requirements=()
for lock in "${locks[@]}"; do requirements+=(-r "$lock"); done
count=$(cat "${locks[@]}" | grep -E '^[a-z0-9].*==' | sort -u | wc -l)

forget_damaged || true
if ! uv --version > /dev/null 2>&1; then
    step "installing the installer (uv, checked by hash)" install_uv ||
        fail "pip could not install uv; its message is above (is the package index reachable?)"
fi
step "installing what is missing of $((count)) pinned packages, checked by hash$hint" install_packages ||
    fail "the packages could not be installed; uv's message is above (running this again goes on from here)"
if forget_damaged; then # what the cache holds may be what is damaged: this time without it
    uv --version > /dev/null 2>&1 || install_uv
    step "installing them without the cache" install_packages --no-cache || fail "they could not be installed"
fi
step "installing the project itself, editable" install_project || fail "the project could not be installed"
uv pip check --quiet --python "$py" || fail "the lock files contradict each other: run scripts/lock.sh"
# Also compiles what they import, where Python may write it: later starts take a third of the time.
starts() {
    "$py" -c '
import chex, flax, gymnasium, gymnax, jax, matplotlib.pyplot, optax, orbax.checkpoint, pandas, pyarrow.parquet
import rich.progress, sklearn.calibration, sklearn.metrics, sklearn.model_selection, tensorboardX, tyro, xgboost
import retentionjax'
}
step "starting the packages once" starts ||
    fail "a package was installed but does not start; Python's message is above (xgboost needs the system's libgomp)"

"$py" -I scripts/installed.py record "$(fingerprint)"
say "ready after $((SECONDS - started)) s: $(du -sh .venv | cut -f1) in .venv${extras:+, with $extras}"
