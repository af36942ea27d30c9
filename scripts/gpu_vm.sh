#!/usr/bin/env bash
# From a fresh Debian or Ubuntu VM with a GPU (its driver installed) to a running experiment, in one command:
#   bash scripts/gpu_vm.sh [--tpu | --cpu] [--no-selftest] [EXPERIMENT PRESET [flag …]]
#   bash scripts/gpu_vm.sh pipeline mvp --runs gs://BUCKET/runs
# It checks driver and CUDA, installs the locked packages, prints devices and the settings chosen for them, tests for a
# minute that they compute, and runs the experiment (`pipeline` or a stage) until it is done. After a crash or a
# preemption the same command goes on from the checkpoints: make it the VM's startup script. Running it again is cheap.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '[gpu_vm] %s\n' "$*"; }
fail() { printf '[gpu_vm] error: %s\n' "$*" >&2; exit 1; }

kind=gpu selftest=yes
while [ $# -gt 0 ]; do
    case "$1" in
        --tpu) kind=tpu ;;
        --cpu) kind=cpu ;; # the same road without an accelerator: to try it, or to run small presets
        --no-selftest) selftest=no ;;
        -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
        --*) fail "unknown flag $1; allowed before the experiment: --tpu --cpu --no-selftest" ;;
        *) break ;;
    esac
    shift
done
[ $# -ne 1 ] || fail "which preset? bash scripts/gpu_vm.sh $1 {smoke,demo,mvp} [flag …]"

# --- the machine ----------------------------------------------------------------------------------------------
supported='import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
have_python() {
    local candidate
    for candidate in "${PYTHON:-python3.11}" python3.11 python3.12 python3.13 python3; do
        if command -v "$candidate" > /dev/null && "$candidate" -c "$supported" 2> /dev/null; then return 0; fi
    done
    return 1
}
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }
install_python() {
    say "no Python 3.11 to 3.13 with venv: installing one with apt-get"
    command -v apt-get > /dev/null || fail "no Python 3.11, 3.12 or 3.13 with venv, and no apt-get to install one"
    as_root apt-get update -qq || fail "apt-get update failed (its message is above); it needs root or sudo"
    # Debian 12 and Ubuntu 24.04 have it as python3; Ubuntu 22.04's python3 is 3.10, and its 3.11 has a name of its own.
    as_root apt-get install -y -qq python3-venv libgomp1
    have_python || as_root apt-get install -y -qq python3.11 python3.11-venv
    have_python || fail "apt-get has no Python 3.11, 3.12 or 3.13 here; install one and set PYTHON=/path/to/python"
}

command -v python3 > /dev/null || install_python
settings=""
case "$kind" in
    gpu) settings=$(python3 scripts/devices.py --shell) || exit 1 ;;
    tpu) settings=$(python3 scripts/devices.py --tpu --shell) || exit 1 ;;
    cpu) export JAX_PLATFORMS=cpu ;;
esac
eval "$settings"

# --- the packages ---------------------------------------------------------------------------------------------
have_python || install_python
extras=(text gcs)
case "$kind" in
    gpu) extras+=(cuda) ;;
    tpu) extras+=(tpu) ;;
esac
bash scripts/setup.sh "${extras[@]}"

# --- does it compute? -----------------------------------------------------------------------------------------
if [ "$selftest" = yes ]; then
    .venv/bin/python scripts/selftest.py --expect "$kind" || fail "the self-test failed; its message is above"
fi

# --- the experiment -------------------------------------------------------------------------------------------
if [ $# -eq 0 ]; then
    say "ready. Run an experiment, for example: bash scripts/gpu_vm.sh pipeline demo"
    exit 0
fi
exec .venv/bin/python -m experiments.launch.supervise "$@"
