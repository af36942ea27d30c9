#!/usr/bin/env bash
# Starts a built image once before it is pushed, as it will run: as nobody, on a read-only disk, without a network.
# start.sh {serving,training}. Needs REGISTRY and VERSION. BUNDLE: a folder that the service is to load as well.
set -euo pipefail

image="${REGISTRY:?}/${1:?which image? serving or training}:${VERSION:?}"
confined=(docker run --rm --read-only --tmpfs /tmp --network none)
if [ "$1" = training ]; then
    "${confined[@]}" "$image" --help
    exit
fi
"${confined[@]}" "$image" --version
"${confined[@]}" --env RETENTIONJAX_DATABASE=sqlite:////tmp/ledger.db "$image" keys create --role decide --name start > /dev/null
"${confined[@]}" --entrypoint python "$image" -c 'import serving.app, serving.engine.process'
if [ -n "${BUNDLE:-}" ]; then
    "${confined[@]}" --volume "$BUNDLE:/bundle:ro" "$image" bundle verify /bundle
fi
printf '%s: starts\n' "$image"
