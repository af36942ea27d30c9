"""Google Cloud Storage, the one kind of bucket known here: what `epath` cannot say, said with Google's own client.

Reading and listing go through `epath` and gcsfs. Here are uploads with retries, and reading and writing under a
generation precondition, which is how two writers of one object are kept from undoing each other.
"""

import contextlib
import functools
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

from etils import epath

from retentionjax.errors import ConfigError, ConflictError, RetentionJaxError

SCHEME = "gs://"


@functools.cache
def prepare() -> None:
    """Makes `epath` fit for buckets that others write too. Raises ConfigError where the client is not installed."""
    if importlib.util.find_spec("gcsfs") is None:
        raise ConfigError(f"{SCHEME} paths need the cloud client: bash scripts/setup.sh gcs")
    import fsspec.config

    # gcsfs remembers every listing for good: a file that another machine wrote or removed would never be noticed.
    fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False
    # Its probe for hierarchical buckets asks another API for a right that readers of objects need not have.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")


def check(path: str) -> None:
    """Raises ConfigError for a URL of another kind, or one without a bucket."""
    if not path.startswith(SCHEME) or not path.removeprefix(SCHEME).partition("/")[0]:
        raise ConfigError(f"{path}: a folder of this machine or {SCHEME}BUCKET/FOLDER is wanted")


def files(folder: epath.Path) -> list[epath.Path]:
    """All objects below `folder` in the order of their paths' parts, as on a disk."""
    bucket, name = _split(folder)
    prefix = f"{name}/" if name else ""
    with _understood(folder):
        names = [blob.name for blob in _client().list_blobs(bucket, prefix=prefix)]
    found = [epath.Path(f"{SCHEME}{bucket}/{name}") for name in names if not name.endswith("/")]
    return sorted(found, key=lambda path: path.parts)


def upload(file: epath.Path, target: epath.Path) -> None:
    """Puts a file of this machine at `target`; large ones in pieces, each tried again when the network fails."""
    with _understood(target):
        _blob(target).upload_from_filename(os.fspath(file), checksum="crc32c", retry=_retry())


def remove(path: epath.Path) -> None:
    """Removes an object, if it is there."""
    from google.api_core.exceptions import NotFound

    with _understood(path), contextlib.suppress(NotFound):
        _blob(path).delete(retry=_retry())


def read(path: epath.Path) -> tuple[bytes | None, int]:
    """The object's bytes and generation; (None, 0) where there is none."""
    from google.api_core.exceptions import NotFound

    blob = _blob(path)
    with _understood(path):
        try:
            data: bytes = blob.download_as_bytes(checksum="crc32c", retry=_retry())
        except NotFound as error:
            if "bucket" in str(error).lower() and not _client().bucket(blob.bucket.name).exists():
                raise
            return None, 0
    # The generation of the very bytes: it came with their answer, not with a second question.
    return data, int(blob.generation)


def write(path: epath.Path, data: bytes, generation: int) -> None:
    """Puts `data` at `path` if its generation still is `generation` (0: if there is none).

    Raises ConflictError when somebody else was first.
    """
    from google.api_core.exceptions import PreconditionFailed

    with _understood(path):
        try:
            _blob(path).upload_from_string(data, if_generation_match=generation, checksum="crc32c", retry=_retry())
        except PreconditionFailed:
            # A retry of an upload whose answer was lost fails so too, although it was ours that succeeded.
            if read(path)[0] != data:
                raise ConflictError(f"{path}: changed by somebody else since it was read; nothing written") from None


@contextlib.contextmanager
def _understood(path: epath.Path) -> Iterator[None]:
    """Says what a user can mend: no credentials, no right, no such bucket."""
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        advice = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
        raise RetentionJaxError(f"{path}: no Google credentials ({str(error).splitlines()[0]}): {advice}") from error
    except (Forbidden, Unauthorized) as error:
        raise RetentionJaxError(f"{path}: these credentials may not do that: {error.message}") from error
    except NotFound as error:
        raise RetentionJaxError(f"{path}: no such bucket: {error.message}") from error
    except GoogleAPIError as error:
        raise RetentionJaxError(f"{path}: the bucket does not answer as it should: {error}") from error


def _split(path: epath.Path) -> tuple[str, str]:
    bucket, _, name = os.fspath(path).removeprefix(SCHEME).partition("/")
    return bucket, name


def _blob(path: epath.Path) -> Any:
    bucket, name = _split(path)
    with _understood(path):
        return _client().bucket(bucket).blob(name)


@functools.cache
def _client() -> Any:
    from google.cloud.storage import Client

    return Client()


def _retry() -> Any:
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY
