"""Files of data sets on the Hugging Face hub: their address, and what the hub says of their size and checksum."""

import os
from dataclasses import dataclass

from retentionjax.data.download import Download, DownloadError, head

_SHA256_DIGITS = 64


@dataclass(frozen=True)
class HubFile:
    """One file of a data set, at one revision, so that it never changes."""

    dataset: str
    """Id on the hub, as `Anthropic/hh-rlhf`."""
    path: str
    """Within the data set."""
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
