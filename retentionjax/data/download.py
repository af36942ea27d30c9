"""One file over https into a folder: verified, resumable, and never visible before it is whole; and what the Hugging
Face hub says of the size and checksum of its files.
"""

import contextlib
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from retentionjax import storage
from retentionjax.errors import DataError
from retentionjax.tracking import progress

PAUSES = (1.0, 3.0, 9.0)
"""Seconds to wait after each failed attempt; one attempt more than pauses. Without any connection, the first only."""
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


@dataclass(frozen=True)
class Download:
    """A file on the web and the one content it is taken with."""

    url: str
    """https, TLS verified; redirects are followed to https only."""
    file: str
    """Its name on disk."""
    sha256: str
    size: int
    """Bytes."""


class DownloadError(DataError):
    """A file that could not be had from its address."""


class _Again(Exception):  # noqa: N818 - no error, a reason to try again
    """An attempt that failed in a way the next one may not."""


class _NoConnection(_Again):
    """An attempt that reached nobody: on a machine without network every further one is a wait for nothing."""


def download(what: Download, folder: Path, *, pauses: Sequence[float] = PAUSES) -> Path:
    """Puts `what` at `folder`/`what.file` and returns that path; a file that is there is replaced.

    Bytes arrive in `<file>.part`, where the next attempt, or the next run, goes on (HTTP Range); only when size and
    SHA-256 agree is it flushed and renamed. Raises DownloadError saying what happened: no connection, a certificate
    that cannot be trusted, an HTTP status, a transfer that stays truncated, another size or checksum than expected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{what.file}.part"
    with _client() as client:
        continued = _complete(client, what, part, pauses)
        if storage.sha256(part) != what.sha256 and continued:
            # What an earlier run left may belong to another version of the file: once more from the first byte.
            part.unlink()
            _complete(client, what, part, pauses)
    if (found := storage.sha256(part)) != what.sha256:
        part.unlink()
        raise DownloadError(f"{what.url}: the checksum differs: sha256 {found}, expected {what.sha256}")
    storage.publish(part, folder / what.file)
    return folder / what.file


def head(url: str) -> Mapping[str, str]:
    """The headers of `url` (any case), before any redirect. Raises DownloadError when there is no good answer."""
    with _client() as client:
        try:
            with _weather(url):
                response = client.head(url, follow_redirects=False)
        except _Again as error:
            raise DownloadError(f"{url}: {error}") from error
    if response.status_code >= httpx.codes.BAD_REQUEST:
        raise DownloadError(f"{url}: HTTP {response.status_code} {response.reason_phrase}")
    return response.headers


def _complete(client: httpx.Client, what: Download, part: Path, pauses: Sequence[float]) -> bool:
    """Fills `part` to `what.size` bytes in as many attempts as allowed; whether any of them went on from old bytes."""
    continued = False
    for attempt, pause in enumerate((*pauses, None), start=1):
        start = _bytes_there(part, what.size)
        continued = continued or start > 0
        if start == what.size:
            return continued
        try:
            with progress(f"downloading {what.file}", what.size, "bytes") as bar:
                _receive(client, what, part, start, bar.advance)
        except _Again as error:
            if pause is None or (isinstance(error, _NoConnection) and attempt > 1):
                kept = _bytes_there(part, what.size)
                left = f"; the {kept:,} bytes that came are kept for the next try" if kept else ""
                raise DownloadError(f"{what.url}: {error}, in {attempt} attempts{left}") from error
            time.sleep(pause)
        else:
            break
    return continued


def _bytes_there(part: Path, size: int) -> int:
    there = part.stat().st_size if part.exists() else 0
    if there > size:
        part.unlink()
        return 0
    return there


def _receive(client: httpx.Client, what: Download, part: Path, start: int, advance: Callable[[int], None]) -> None:
    """One request for the bytes from `start` on, appended to `part`. Raises _Again or DownloadError."""
    ranges = {"Range": f"bytes={start}-"} if start else {}
    with _weather(what.url), client.stream("GET", what.url, headers=ranges) as response:
        _check_status(response, what, start, part)
        if response.status_code == httpx.codes.OK:
            start = 0  # the server knows no ranges and sends the whole file again
        there = start
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            advance(start)
            # Pieces as they come: httpx would hold back, and on a broken connection lose, those of a fixed size.
            for piece in response.iter_raw():
                there += len(piece)
                if there > what.size:
                    raise DownloadError(f"{what.url}: sends more than the {what.size:,} bytes the file has")
                file.write(piece)
                advance(len(piece))
            file.flush()
            os.fsync(file.fileno())
    if there < what.size:
        raise _Again(f"the transfer ended after {there:,} of {what.size:,} bytes")


def _check_status(response: httpx.Response, what: Download, start: int, part: Path) -> None:
    status = response.status_code
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.unlink(missing_ok=True)
        raise _Again(f"the server has no bytes from {start:,} on")
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= 500:
        raise _Again(f"HTTP {status} {response.reason_phrase}")
    if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        raise DownloadError(f"{what.url}: HTTP {status} {response.reason_phrase}")
    if status == httpx.codes.PARTIAL_CONTENT:
        offered = response.headers.get("Content-Range", "")
        if not offered.startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise _Again(f"asked for the bytes from {start:,} on, the server sent {offered!r}")
    elif int(response.headers.get("Content-Length", what.size)) != what.size:
        offered = int(response.headers["Content-Length"])
        raise DownloadError(f"{what.url}: has {offered:,} bytes, expected {what.size:,}: it is not the file it was")


@contextlib.contextmanager
def _weather(url: str) -> Iterator[None]:
    """Sorts what the network does into what may pass (_Again) and what will not (DownloadError)."""
    try:
        yield
    except httpx.HTTPError as error:
        if refused := _certificate_error(error):
            raise DownloadError(f"{url}: its TLS certificate cannot be trusted ({refused.verify_message})") from None
        if isinstance(error, httpx.UnsupportedProtocol | httpx.TooManyRedirects):
            raise DownloadError(f"{url}: {error}") from None
        said = str(error) or type(error).__name__
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            raise _NoConnection(f"no connection ({said})") from error
        raise _Again(f"the transfer broke off ({said})") from error


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _client() -> httpx.Client:
    """Verifies TLS always, by the certificates of `certifi` or those SSL_CERT_FILE names."""
    return httpx.Client(
        timeout=_TIMEOUT,
        follow_redirects=True,
        event_hooks={"request": [_https_only]},
        # Ranges count bytes of the file, so it must not be compressed on the way.
        headers={"User-Agent": "retentionjax", "Accept-Encoding": "identity"},
    )


def _https_only(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise httpx.UnsupportedProtocol(f"only https is allowed, not {request.url}")


_SHA256_DIGITS = 64


@dataclass(frozen=True)
class HubFile:
    """One file of a data set, at one revision, so that it never changes."""

    dataset: str
    """Id on the hub, as `Anthropic/hh-rlhf`."""
    path: str
    """Path within the data set."""
    file: str
    """Its name on disk."""
    revision: str = "main"
    """Commit, or `main` where the set's history holds no other state of the file."""
    sha256: str | None = None
    """None: the one that the hub states for the revision."""

    @property
    def url(self) -> str:
        """Its address; HF_ENDPOINT names a mirror, as it does for the hub's own client."""
        host = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        return f"{host}/datasets/{self.dataset}/resolve/{self.revision}/{self.path}"


def resolve(wanted: HubFile) -> Download:
    """`wanted` with size and SHA-256 as the hub's headers state them, without fetching it.

    Raises DownloadError when the hub cannot be reached, does not know the file, states no checksum (a file that is not
    in large-file storage), or states another one than `wanted`.
    """
    answer = head(wanted.url)
    stated = answer.get("X-Linked-Etag", "").strip('"')
    size = answer.get("X-Linked-Size", "")
    if len(stated) != _SHA256_DIGITS or not size.isdigit():
        raise DownloadError(f"{wanted.url}: the hub states neither size nor checksum of it")
    if wanted.sha256 not in (None, stated):
        raise DownloadError(f"{wanted.url}: the hub states sha256 {stated}, expected {wanted.sha256}")
    return Download(wanted.url, wanted.file, stated, int(size))
