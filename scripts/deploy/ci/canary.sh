#!/usr/bin/env bash
# Makes a revision of the service that gets no traffic, under the tag `canary`, and prints its address, the last line:
# canary.sh IMAGE@DIGEST. Needs PROJECT and REGION.
set -euo pipefail

image=${1:?which image, by digest?}
case "$image" in *@sha256:*) ;; *) echo "error: $image is named by a tag, which can move; a digest is wanted" >&2; exit 2 ;; esac
where=(--project "${PROJECT:?}" --region "${REGION:?}")
gcloud run deploy retentionjax "${where[@]}" --container decisions --image "$image" --no-traffic --tag canary --quiet
gcloud run services describe retentionjax "${where[@]}" --format=json |
    python3 -c 'import json, sys; print(next(t["url"] for t in json.load(sys.stdin)["status"]["traffic"] if t.get("tag") == "canary"))'
