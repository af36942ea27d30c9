#!/usr/bin/env bash
# Takes all traffic from the canary revision: back to the newest ready one before it, or to rollback.sh REVISION.
# Needs PROJECT and REGION.
set -euo pipefail

where=(--project "${PROJECT:?}" --region "${REGION:?}")
to=${1:-}
if [ -z "$to" ]; then
    to=$(gcloud run services describe retentionjax "${where[@]}" --format=json | python3 -c '
import json, sys
traffic = json.load(sys.stdin)["status"]["traffic"]
canary = {each["revisionName"] for each in traffic if each.get("tag") == "canary"}
serving = [each["revisionName"] for each in traffic if each.get("percent", 0) > 0 and each["revisionName"] not in canary]
sys.exit("error: nothing but the canary serves; name a revision") if not serving else print(serving[0])')
fi
gcloud run services update-traffic retentionjax "${where[@]}" --to-revisions "$to=100" --quiet
printf 'all traffic goes to %s\n' "$to"
