"""A bundle in a bucket, brought to this machine once: readers of weights map them into memory from a disk."""

import os
from pathlib import Path

from etils import epath

from retentionjax import storage
from retentionjax.bundle import manifest
from retentionjax.errors import BundleError


def cache_folder() -> epath.Path:
    """Where they are kept, by id: `bundles` under RETENTIONJAX_CACHE, or under the user's cache folder.

    Raises BundleError when it is in a bucket.
    """
    named = os.environ.get("RETENTIONJAX_CACHE")
    if named and storage.is_cloud(named):
        raise BundleError(f"RETENTIONJAX_CACHE={named}: the cache must be a folder on a disk")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return storage.as_path(Path(named) if named else Path(home) / "retentionjax") / "bundles"


def local(folder: epath.Path) -> epath.Path:
    """`folder` itself if it is on a disk, else a copy of it there, made unless a whole one is kept.

    Raises BundleError as `manifest.read` and `manifest.verify_files`: what is downloaded is compared with the manifest.
    """
    if not storage.is_cloud(folder):
        return folder
    kept = cache_folder() / manifest.read(folder).id
    if not is_whole(kept):
        copy(folder, kept)
    return kept


def copy(folder: epath.Path, target: epath.Path) -> None:
    """Copies a bundle, replacing what is at `target`, and compares the copy with its manifest; that is written last."""
    with storage.new_folder(target, replace=True) as new:
        for file in storage.files(folder):
            path = new / file.relative_to(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read_bytes())
        manifest.verify_files(new, manifest.read(new))
    if storage.is_cloud(target):
        manifest.verify_files(target, manifest.read(target))


def is_whole(folder: epath.Path) -> bool:
    """Whether `folder`, named by its id, holds that very bundle, undamaged."""
    if not (folder / manifest.NAME).exists():
        return False
    try:
        found = manifest.read(folder)
        manifest.verify_files(folder, found)
    except BundleError:
        return False
    return found.id == folder.name
