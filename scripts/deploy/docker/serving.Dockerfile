# syntax=docker/dockerfile:1
# The decision service on CPUs. From the root of the repository:
#   docker build -f scripts/deploy/docker/serving.Dockerfile -t retentionjax/serving .
#   docker run --read-only --tmpfs /tmp -p 127.0.0.1:8080:8080 -v "$PWD/runs/demo/bundle/artifacts/bundle:/bundle:ro" \
#     -e RETENTIONJAX_BUNDLE=/bundle -e RETENTIONJAX_DATABASE=postgresql://… retentionjax/serving
ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS build
# Without text the service writes its messages from templates only, and the image is 70 MB smaller.
ARG EXTRAS="serve gcs text"
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The base image's digest fixes the distribution's release; the tools are used here only and are not in the result.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends binutils
WORKDIR /app
COPY scripts/locks scripts/locks
COPY scripts/deploy/docker scripts/deploy/docker
RUN python -m venv /opt/installer && \
    /opt/installer/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r scripts/locks/installer.txt
# EXTRAS is a list of words.
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/root/.cache/uv \
    python -m venv --without-pip /app/.venv && \
    python scripts/deploy/docker/requirements.py --serving ${EXTRAS} > requirements.txt && \
    UV_LINK_MODE=copy /opt/installer/bin/uv pip install --python /app/.venv/bin/python --no-deps --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY retentionjax retentionjax
COPY serving serving
COPY experiments experiments
# No downloads: what builds the project is in the installer's lock.
RUN /opt/installer/bin/uv build --wheel --no-build-isolation --python /opt/installer/bin/python --out-dir /opt/wheel . && \
    /opt/installer/bin/uv pip install --python /app/.venv/bin/python --no-deps --no-index --no-cache /opt/wheel/*.whl && \
    python scripts/deploy/docker/prune.py /app/.venv

FROM ${PYTHON_IMAGE} AS runtime
# XGBoost needs the compiler's OpenMP library; see above for its version.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install -y --no-install-recommends libgomp1 && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin retention
COPY --from=build /app/.venv /app/.venv
# Nothing is written but below /tmp, so that the root file system can be read-only.
ENV PATH=/app/.venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    JAX_PLATFORMS=cpu \
    HOME=/tmp \
    RETENTIONJAX_CACHE=/tmp/retentionjax
WORKDIR /app
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["retentionjax"]
# The bundle and the ledger come by RETENTIONJAX_BUNDLE and RETENTIONJAX_DATABASE.
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
