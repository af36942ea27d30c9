#!/usr/bin/env bash
# Gives the canary revision its first share of the traffic (promote.sh 5), or all of it (promote.sh 100).
# Needs PROJECT and REGION.
set -euo pipefail

share=${1:?which share of the traffic, in percent?}
gcloud run services update-traffic retentionjax --project "${PROJECT:?}" --region "${REGION:?}" \
    --to-tags "canary=$share" --quiet
