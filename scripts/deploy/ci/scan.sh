#!/usr/bin/env bash
# Scans a built image before it is pushed; ends with status 1 when a fixable critical or high vulnerability is found.
# scan.sh {serving,training}. Needs REGISTRY and VERSION.
set -euo pipefail

image="${REGISTRY:?}/${1:?which image? serving or training}:${VERSION:?}"
scan=$(gcloud artifacts docker images scan "$image" --format="value(response.scan)")
found=$(gcloud artifacts docker images list-vulnerabilities "$scan" \
    --filter="vulnerability.fixAvailable=true" --format="value(vulnerability.effectiveSeverity,vulnerability.shortDescription)")
bad=$(printf '%s\n' "$found" | grep -E '^(CRITICAL|HIGH)\b' || true)
if [ -n "$bad" ]; then
    printf 'error: %s has vulnerabilities for which there is a fix:\n%s\n' "$image" "$bad" >&2
    exit 1
fi
printf '%s: no critical or high vulnerability with a fix\n' "$image"
