#!/usr/bin/env bash
# From a fresh checkout to a trained, tested policy, three decisions and their messages: `bash scripts/quickstart.sh [flag …]`.
# Flags go to the pipeline (`--data synthetic`, `--policy.…`). Running it again skips what is done.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/setup.sh text serve
# Training fills and frees arrays of many megabytes: in huge pages that costs a fifth less (glibc on Linux; else ignored).
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"
exec .venv/bin/python -m experiments.pipeline demo "$@"
