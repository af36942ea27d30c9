"""Which bundle is current: a small JSON file, moved by compare-and-set, that remembers where it has been.

A pointer `gs://bucket/retention/current` (or a file on a disk) stands beside the folder `bundles/`, in which every
promoted bundle lies under its own id and is never written again. So promoting and rolling back move one object, and
whoever follows the pointer meets a whole bundle, the old one or the new one. A bundle in a bucket is brought to this
machine once: readers of weights map them into memory from a disk.

    {"format_version": 1, "bundle": "bundles/3f…", "id": "3f…", "history": [{"action": "promote", "id": "3f…", …}]}
"""

import dataclasses
import datetime as dt
import getpass
import json
import os
import re
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from etils import epath

from retentionjax import storage
from retentionjax.bundle import manifest
from retentionjax.errors import BundleError, ConflictError, DataError

FORMAT_VERSION = 1
BUNDLES = "bundles"
MADE_BY = ("messages/artifacts/bundle", "evaluate/artifacts/bundle", "bundle/artifacts/bundle")
"""Folders of a run's bundle: the complete one with its language model, or else the one that only decides, with figures
of its evaluation or still without."""

Action = Literal["promote", "rollback"]
_KEYS = {"format_version", "bundle", "id", "history"}


@dataclass(frozen=True)
class Move:
    """One move of a pointer."""

    action: Action
    id: str
    """Id of the bundle it then pointed to."""
    when: str
    """UTC, ISO 8601."""
    who: str
    """user@machine."""


@dataclass(frozen=True)
class Pointer:
    """Moves of a pointer, the oldest first; never empty."""

    history: tuple[Move, ...]

    @property
    def id(self) -> str:
        """Id of the current bundle."""
        return self.history[-1].id

    @property
    def kept(self) -> tuple[str, ...]:
        """Ids of the bundles that can be gone back to, the current one last: promoted and not rolled back since."""
        stack: list[str] = []
        for move in self.history:
            if move.action == "rollback":
                stack.pop()
                while stack[-1] != move.id:
                    stack.pop()
            elif not stack or stack[-1] != move.id:
                stack.append(move.id)
        return tuple(stack)

    def to_json(self) -> bytes:
        """The pointer as written."""
        plain = {
            "format_version": FORMAT_VERSION,
            "bundle": f"{BUNDLES}/{self.id}",
            "id": self.id,
            "history": [dataclasses.asdict(move) for move in self.history],
        }
        return (json.dumps(plain, indent=2) + "\n").encode()


def resolve(path: str | os.PathLike[str]) -> epath.Path:
    """The folder of the bundle that `path` means: the one a pointer points to now, or `path` itself if it is no file.

    Asks the disk or the bucket anew every time (one small read), so it may be polled. Raises BundleError for a file
    that is no pointer, and OSError for one that cannot be read.
    """
    where = storage.as_path(path)
    if not storage.is_cloud(where) and not _is_file(where):  # reading a device or a pipe would not end
        return where
    found = storage.read_versioned(where)
    if found.data is None:
        return where  # a folder in a bucket, or nothing, about which `load` has the better words
    return _bundle_of(where, _parse(found.data, where).id)


def _is_file(where: epath.Path) -> bool:
    """Whether a file is there; unlike `os.path.isfile` it raises OSError where nobody can tell, as for a disk that is
    away for a moment: a pointer would be taken for none."""
    try:
        return stat.S_ISREG(os.stat(where).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def pointed_to(path: str | os.PathLike[str]) -> epath.Path | None:
    """The folder, called by its id, of the bundle that the pointer at `path` points to now; None where it is none.

    May be polled as `resolve`, and raises as it does.
    """
    found = resolve(path)
    return None if found == storage.as_path(path) else found


def read(path: str | os.PathLike[str]) -> Pointer:
    """The pointer at `path`. Raises BundleError when there is none."""
    pointer, _ = _read(storage.as_path(path))
    if pointer is None:
        raise BundleError(f"{os.fspath(path)}: no such pointer; `retentionjax bundle promote` makes one")
    return pointer


def promote(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> Pointer:
    """Copies the bundle (`source`: a bundle, a run with one, or a pointer) beside the pointer and points to it.

    Raises BundleError when `source` is no whole bundle; ConflictError when somebody moved the pointer meanwhile: the
    bundle is there then, and the pointer as they left it.
    """
    target = storage.as_path(path)
    before, version = _read(target)
    folder = find(source)
    read_manifest = manifest.read(folder)
    manifest.verify_files(folder, read_manifest)
    place = _bundle_of(target, read_manifest.id)
    if place != folder and not is_whole(place):
        copy(folder, place)
    history = before.history if before else ()
    if before and before.id == read_manifest.id:
        return before
    after = Pointer((*history, _move("promote", read_manifest.id)))
    _write(target, after, version)
    return after


def rollback(path: str | os.PathLike[str], to: str | None = None) -> Pointer:
    """Points to the bundle before the current one, or to an earlier one whose id begins with `to`.

    Raises BundleError when there is none, or when it is no longer whole; ConflictError as `promote`.
    """
    target = storage.as_path(path)
    before, version = _read(target)
    if before is None:
        raise BundleError(f"{target}: no such pointer; nothing was ever promoted")
    earlier = before.kept[:-1]
    matching = [*{each for each in earlier if each.startswith(to)}] if to else earlier[-1:]
    if len(matching) != 1:
        allowed = ", ".join(each[:12] for each in earlier) or "none, it has one bundle only"
        raise BundleError(
            f"{target}: no bundle {to or 'before the current one'} to go back to; earlier ones: {allowed}"
        )
    folder = _bundle_of(target, matching[0])
    manifest.verify_files(folder, manifest.read(folder))
    after = Pointer((*before.history, _move("rollback", matching[0])))
    _write(target, after, version)
    return after


def find(source: str | os.PathLike[str]) -> epath.Path:
    """The bundle's folder in `source`: the folder itself, what a pointer points to, or a finished run's bundle."""
    folder = resolve(source)
    for candidate in (folder, *(folder / place for place in MADE_BY)):
        if (candidate / manifest.NAME).exists():
            return candidate
    if not folder.exists():
        raise BundleError(f"{folder}: no such folder; a bundle is a folder with a {manifest.NAME}")
    places = " or ".join(MADE_BY)
    raise BundleError(f"{folder}: neither a bundle nor a run with one (in {places})")


# --- reading and writing --------------------------------------------------------------------------------------


def _read(path: epath.Path) -> tuple[Pointer | None, str]:
    try:
        found = storage.read_versioned(path)
    except DataError as error:
        raise BundleError(f"{error}; a pointer is a file beside the folder {BUNDLES}") from None
    return None if found.data is None else _parse(found.data, path), found.version


def _write(path: epath.Path, pointer: Pointer, version: str) -> None:
    try:
        storage.write_versioned(path, pointer.to_json(), version)
    except ConflictError:
        other = read(path).history[-1]
        moved = f"{other.who} ({other.action} of {other.id[:12]}, {other.when})"
        raise ConflictError(f"{path}: moved meanwhile by {moved}; it stays so. Look, and run this again") from None


def _bundle_of(pointer: epath.Path, bundle_id: str) -> epath.Path:
    return pointer.parent / BUNDLES / bundle_id


def _move(action: Action, bundle_id: str) -> Move:
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    return Move(action, bundle_id, dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), who)


def _parse(data: bytes, path: epath.Path) -> Pointer:
    try:
        return _from_plain(json.loads(data))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: neither a bundle's folder nor a pointer to one: {error}") from None


def _from_plain(plain: Any) -> Pointer:
    if not isinstance(plain, dict) or plain.get("format_version") != FORMAT_VERSION or set(plain) != _KEYS:
        raise ValueError(f"{', '.join(sorted(_KEYS))} are wanted, of format version {FORMAT_VERSION}")
    pointer = Pointer(tuple(_parse_move(each) for each in plain["history"]))
    if not pointer.kept or (plain["id"], plain["bundle"]) != (pointer.id, f"{BUNDLES}/{pointer.id}"):
        raise ValueError("id and bundle are not those of the last move")
    return pointer


def _parse_move(plain: Mapping[str, Any]) -> Move:
    move = Move(**plain)
    if move.action not in ("promote", "rollback"):
        raise ValueError(f"action {move.action!r}")
    if not re.fullmatch("[0-9a-f]{64}", move.id):  # it becomes part of a path
        raise ValueError(f"id {move.id!r} is no SHA-256")
    if not all(isinstance(each, str) for each in (move.when, move.who)):
        raise ValueError("when and who are texts")
    return move


def cache_folder() -> epath.Path:
    """The folder where copies of bundles are kept, by id."""
    return storage.cache_folder("bundles")


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
