#!/usr/bin/env bash
# From a canary without traffic to the whole of it, or back: release.sh CANARY_URL. Smoke test, 5 %, a while, smoke test,
# 100 %; whatever fails takes the canary's traffic away and ends with status 1.
# Needs PROJECT, REGION, and RETENTIONJAX_KEY of role decide. WATCH_SECONDS: how long 5 % lasts (300).
set -euo pipefail

url=${1:?which address has the canary?}
here=$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd)
smoke() {
    local token
    token=$(gcloud auth print-identity-token --audiences="$url" 2> /dev/null || gcloud auth print-identity-token)
    ID_TOKEN=$token python3 "$here/smoke.py" "$url"
}
back() {
    echo "error: the canary failed; it gets no traffic" >&2
    bash "$here/rollback.sh" "$@"
    exit 1
}

before=$(gcloud run services describe retentionjax --project "${PROJECT:?}" --region "${REGION:?}" --format=json |
    python3 -c 'import json, sys; print(max((t.get("percent", 0), t["revisionName"]) for t in json.load(sys.stdin)["status"]["traffic"])[1])')
smoke || back "$before"
bash "$here/promote.sh" 5 || back "$before"
sleep "${WATCH_SECONDS:-300}"
smoke || back "$before"
bash "$here/promote.sh" 100 || back "$before"
echo "released; rollback.sh $before goes back"
