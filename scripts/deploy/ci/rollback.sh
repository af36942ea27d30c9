#!/usr/bin/env bash
# Takes all traffic from the canary revision, whatever share it has: back to what served before it, which canary.sh gave
# the tag `previous`, or to rollback.sh REVISION. Needs PROJECT and REGION.
set -euo pipefail

where=(--project "${PROJECT:?}" --region "${REGION:?}")
to=${1:-}
if [ -z "$to" ]; then
    to=$(gcloud run services describe retentionjax "${where[@]}" --format=json | python3 -c '
import json, sys
traffic = json.load(sys.stdin)["status"]["traffic"]
previous = [each["revisionName"] for each in traffic if each.get("tag") == "previous"]
sys.exit("error: no revision has the tag previous; name one") if not previous else print(previous[0])')
fi
gcloud run services update-traffic retentionjax "${where[@]}" --to-revisions "$to=100" --quiet
printf 'all traffic goes to %s\n' "$to"
