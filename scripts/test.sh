#!/usr/bin/env bash
# Lint, types and tests: `bash scripts/test.sh [pytest argument …]`, for example `-k churn`, `-m slow`, or `--cov`, with
# which the coverage is reported and must reach the limit in pyproject.toml, as in CI; that takes a quarter longer.
# Ends with pytest's own summary; status 0 only when every check passed.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/setup.sh dev text serve gcs vertex warehouse mlflow

# Some sixty processes are started: without bytecode each would compile half of what it imports.
unset PYTHONDONTWRITEBYTECODE

failed=()
check() { # check NAME COMMAND…
    local name=$1 before=$SECONDS
    shift
    if "$@"; then
        printf '[test] %s: fine, %d s\n' "$name" $((SECONDS - before))
    else
        printf '[test] %s: FAILED, %d s\n' "$name" $((SECONDS - before))
        failed+=("$name")
    fi
}
shopt -s nullglob
check "ruff check" .venv/bin/ruff check --quiet .
check "ruff format" .venv/bin/ruff format --quiet --check .
check "shellcheck" .venv/bin/shellcheck scripts/*.sh .ci/run

# Types are checked beside the tests: towards the end one of the workers has nothing left to do. The large packages that
# few modules call are two thirds of the work, so whether these calls fit is checked with -m, as at night.
checking=$(mktemp -d)
types=$checking/types
cp pyproject.toml "$checking/pyproject.toml"
if [[ " $* " != *" -m"* ]]; then
    printf '[[tool.mypy.overrides]]\nmodule = [%s]\nfollow_imports = "skip"\n' \
        '"transformers.*", "mlflow.*", "google.*", "huggingface_hub.*"' >> "$checking/pyproject.toml"
fi
.venv/bin/mypy --config-file "$checking/pyproject.toml" --no-error-summary > "$types" 2>&1 &
mypy=$!
trap 'kill "$mypy" 2> /dev/null || true; rm -rf "$checking"' EXIT

# Two workers where there are two cores; a file's tests stay together, for they share what JAX compiled,
# and files keep the order of tests/conftest.py, the longest first.
workers=0
[ "$(getconf _NPROCESSORS_ONLN)" -lt 2 ] || workers=2
status=0
.venv/bin/python -m pytest --numprocesses "$workers" --dist loadfile --no-loadscope-reorder "$@" || status=$?
if ! wait "$mypy"; then
    cat "$types"
    failed+=("mypy")
fi
trap 'rm -rf "$checking"' EXIT
if [ ${#failed[@]} -gt 0 ]; then
    printf '[test] failed beside the tests: %s\n' "${failed[*]}" >&2
    status=1
fi
exit "$status"
