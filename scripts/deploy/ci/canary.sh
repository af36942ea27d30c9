#!/usr/bin/env bash
# Makes a revision of the service that gets no traffic, under the tag `canary`, and prints its address, the last line:
# canary.sh IMAGE@DIGEST. What serves until then gets the tag `previous`, for rollback.sh. Needs PROJECT and REGION.
set -euo pipefail

image=${1:?which image, by digest?}
case "$image" in *@sha256:*) ;; *) echo "error: $image is named by a tag, which can move; a digest is wanted" >&2; exit 2 ;; esac
where=(--project "${PROJECT:?}" --region "${REGION:?}")
traffic() { # traffic EXPRESSION: of the list `traffic`
    gcloud run services describe retentionjax "${where[@]}" --format=json |
        python3 -c "import json, sys; traffic = json.load(sys.stdin)['status']['traffic']; print($1)"
}
serving=$(traffic "max((t.get('percent', 0), t['revisionName']) for t in traffic)[1]")
gcloud run services update-traffic retentionjax "${where[@]}" --update-tags "previous=$serving" --quiet
gcloud run deploy retentionjax "${where[@]}" --container decisions --image "$image" --no-traffic --tag canary --quiet
traffic "next(t['url'] for t in traffic if t.get('tag') == 'canary')"
