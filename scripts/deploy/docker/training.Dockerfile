# syntax=docker/dockerfile:1
# Training on NVIDIA GPUs (driver 525 or newer on the host; CUDA comes with the locked packages):
#   docker build -f scripts/deploy/docker/training.Dockerfile -t retentionjax/training .
#   docker run --gpus all retentionjax/training pipeline mvp --runs gs://BUCKET/runs
ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS="cuda gcs text"
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /app
COPY scripts/locks scripts/locks
COPY scripts/deploy/docker scripts/deploy/docker
RUN python -m venv /opt/installer && \
    /opt/installer/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r scripts/locks/installer.txt
# EXTRAS is a list of words.
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/root/.cache/uv \
    python -m venv --without-pip /app/.venv && \
    python scripts/deploy/docker/requirements.py ${EXTRAS} > requirements.txt && \
    UV_LINK_MODE=copy /opt/installer/bin/uv pip install --python /app/.venv/bin/python --no-deps --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY retentionjax retentionjax
COPY serving serving
COPY experiments experiments
# No downloads: what builds the project is in the installer's lock.
RUN /opt/installer/bin/uv build --wheel --no-build-isolation --python /opt/installer/bin/python --out-dir /opt/wheel . && \
    /opt/installer/bin/uv pip install --python /app/.venv/bin/python --no-deps --no-index --no-cache /opt/wheel/*.whl

FROM ${PYTHON_IMAGE} AS runtime
# XGBoost needs the compiler's OpenMP library; the base image's digest fixes the distribution's release.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install -y --no-install-recommends libgomp1 && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --create-home --shell /usr/sbin/nologin trainer
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    RETENTIONJAX_CACHE=/tmp/retentionjax
WORKDIR /home/trainer
USER 10001:10001
ENTRYPOINT ["python", "-m", "experiments.launch.supervise"]
CMD ["--help"]
