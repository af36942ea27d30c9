#!/usr/bin/env bash
# Pushes the scanned image and prints its name by digest, the last line: push.sh {serving,training}.
# Needs REGISTRY and VERSION. An image that came from the registry is there already; its digest is printed again.
set -euo pipefail

image="${REGISTRY:?}/${1:?which image? serving or training}:${VERSION:?}"
gcloud auth configure-docker "${REGISTRY%%/*}" --quiet
gcloud artifacts docker images describe "$image" > /dev/null 2>&1 || docker push "$image"
# The digest of the image that lies here and was scanned, not of what the tag may mean elsewhere.
docker inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" | grep -F "${image%:*}@sha256:" | head -n 1
