#!/usr/bin/env bash
# Builds the image of service or training: build.sh {serving,training}. Needs REGISTRY and VERSION.
# Tags in the registry can't be overwritten, so an image that a cut-off run has pushed is taken from there, not built anew.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/../../.."

name=${1:?which image? serving or training}
image="${REGISTRY:?the folder of images, REGION-docker.pkg.dev/PROJECT/retentionjax}/$name:${VERSION:?the commit}"
case "$REGISTRY" in
    *-docker.pkg.dev/*)
        gcloud auth configure-docker "${REGISTRY%%/*}" --quiet
        if gcloud artifacts docker images describe "$image" > /dev/null 2>&1; then
            docker pull "$image"
            exit
        fi
        ;;
esac
docker build --file "scripts/deploy/docker/$name.Dockerfile" --tag "$image" \
    --label "org.opencontainers.image.revision=$VERSION" .
