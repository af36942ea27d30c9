#!/usr/bin/env bash
# Pushes a scanned image and prints its name by digest, the last line: push.sh {serving,training}.
# Needs REGISTRY and VERSION.
set -euo pipefail

image="${REGISTRY:?}/${1:?which image? serving or training}:${VERSION:?}"
gcloud auth configure-docker "${REGISTRY%%/*}" --quiet
docker push "$image"
digest=$(gcloud artifacts docker images describe "$image" --format="value(image_summary.digest)")
printf '%s@%s\n' "${image%:*}" "$digest"
