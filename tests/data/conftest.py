"""The HTTPS server of `https_server`, trusted and not, and folders of data that are this test's own."""

import functools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from https_server import Site, serving

from retentionjax.data import sources
from retentionjax.data.schema import Table

_load_once = functools.cache(lambda name: sources.load(name, mode="real"))


@pytest.fixture
def real_table(real_data: Path) -> Callable[[str], Table]:
    """A real set by name, read once for all tests; skips where there are no real data."""
    return _load_once


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost with its key, made anew for each test run."""
    folder = tmp_path_factory.mktemp("tls")
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "keyUsage=digitalSignature,keyCertSign"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    try:
        subprocess.run([*command, *names, *files], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")
    return folder / "certificate.pem"


@pytest.fixture
def untrusted_site(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An HTTPS server whose certificate nobody vouches for."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("NO_PROXY", "localhost")
    with serving(certificate) as site:
        yield site


@pytest.fixture
def site(untrusted_site: Site, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The same server with its certificate trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return untrusted_site


@pytest.fixture
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tmp_path` with an empty RETENTIONJAX_DATA folder `given` and an empty cache `cache/data`."""
    (tmp_path / "given").mkdir()
    monkeypatch.setenv("RETENTIONJAX_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("RETENTIONJAX_CACHE", str(tmp_path / "cache"))
    return tmp_path
