#!/usr/bin/env bash
# From a canary without traffic to the whole of it, or back: release.sh CANARY_URL. Smoke test, 5 %, a while, smoke test,
# 100 %; whatever fails takes the canary's traffic away and ends with status 1.
# Needs PROJECT, REGION, and RETENTIONJAX_KEY of role decide. WATCH_SECONDS: how long 5 % lasts (300).
set -euo pipefail

url=${1:?which address has the canary?}
here=$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# A token for a tagged address is made out to the service's own. It is asked for in the deployer's name, since neither
# workload identity nor Cloud Build's credentials can make one by themselves.
audience=$(gcloud run services describe retentionjax --project "${PROJECT:?}" --region "${REGION:?}" --format="value(status.url)")
deployer="retentionjax-deployer@$PROJECT.iam.gserviceaccount.com"
smoke() {
    ID_TOKEN=$(gcloud auth print-identity-token --impersonate-service-account="$deployer" --audiences="$audience") \
        python3 "$here/smoke.py" "$url"
}
back() {
    echo "error: the canary failed; it gets no traffic" >&2
    bash "$here/rollback.sh"
    exit 1
}

smoke || back
bash "$here/promote.sh" 5 || back
sleep "${WATCH_SECONDS:-300}"
smoke || back
bash "$here/promote.sh" 100 || back
echo "released; rollback.sh goes back"
