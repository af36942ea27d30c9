#!/usr/bin/env bash
# Prints what a built image is made of, as CycloneDX: sbom.sh {serving,training} > sbom.json. Needs REGISTRY and VERSION.
set -euo pipefail

here=$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd)
image="${REGISTRY:?}/${1:?which image? serving or training}:${VERSION:?}"
docker run --rm --interactive --network none --entrypoint python "$image" - < "$here/../docker/sbom.py"
