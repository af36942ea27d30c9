#!/usr/bin/env bash
# Builds the image of service or training: build.sh {serving,training}. Needs REGISTRY and VERSION.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/../../.."

name=${1:?which image? serving or training}
docker build --file "scripts/deploy/docker/$name.Dockerfile" \
    --tag "${REGISTRY:?the folder of images, REGION-docker.pkg.dev/PROJECT/retentionjax}/$name:${VERSION:?the commit}" \
    --label "org.opencontainers.image.revision=$VERSION" .
