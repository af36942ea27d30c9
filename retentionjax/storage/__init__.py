"""Files and folders that are whole or not there, on a disk or in a cloud bucket.

The only part that knows clouds (Google's client is in `bucket`): everything else takes an `epath.Path` and asks
this one to write. On a disk content is written beside its destination, flushed to the device and renamed, so a
reader, or a run that starts after a SIGKILL, meets the old content or the new one, never a half. A bucket has no
rename; there an object appears whole when its upload ends, and a folder's top-level files (manifest, summary) are
uploaded last, and are the first to go when it is replaced: what is half there has none.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import io
import json
import math
import os
import shutil
import socket
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from etils import epath

from retentionjax.errors import ConfigError, ConflictError, DataError, RetentionJaxError
from retentionjax.storage import bucket, locks


def as_path(path: str | os.PathLike[str]) -> epath.Path:
    """`path` as the one path type of the project, `~` expanded; `gs://bucket/folder` is as good as a folder.

    Raises ConfigError for a URL of another kind, and for `gs://` where the extra `gcs` is not installed.
    """
    if is_cloud(path):
        bucket.check(os.fspath(path))
        bucket.prepare()
    return epath.Path(path).expanduser()


def absolute(path: str | os.PathLike[str]) -> str:
    """The address of `path` from wherever it is read later, by processes in other folders too."""
    where = as_path(path)
    return os.fspath(where) if is_cloud(where) else os.path.abspath(where)


def cache_folder(name: str) -> epath.Path:
    """The folder for what was fetched or copied: `name` in RETENTIONJAX_CACHE, or in the user's cache.

    Raises ConfigError when it is in a bucket: a download is resumed by appending, which only a disk can.
    """
    named = os.environ.get("RETENTIONJAX_CACHE")
    if named and is_cloud(named):
        raise ConfigError(f"RETENTIONJAX_CACHE={named}: the cache must be a folder on a disk")
    return as_path(named or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/retentionjax") / name


def is_cloud(path: str | os.PathLike[str]) -> bool:
    """Whether `path` names an object in a bucket, where there is neither rename nor append."""
    return "://" in os.fspath(path)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Puts `data` at `path`, replacing what is there in one step; makes missing parent folders."""
    target = as_path(path)
    if is_cloud(target):
        target.write_bytes(data)
        return
    with new_file(target) as partial:
        partial.write_bytes(data)


def in_memory(path: str | os.PathLike[str]) -> io.BytesIO:
    """The file's bytes as an open file, for readers that would go to a bucket by a client of their own (pyarrow)."""
    return io.BytesIO(as_path(path).read_bytes())


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """`write_bytes` of the text in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Writes `obj` as JSON; arrays become lists and paths strings.

    Raises DataError naming the place of a number that JSON cannot hold (NaN, Infinity); nothing is written then.
    """
    plain = json.loads(json.dumps(obj, default=_plain))
    place = _not_finite(plain, "")
    if place is not None:
        raise DataError(f"{os.fspath(path)}: {place} is not a finite number, and JSON has no word for that")
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file. Raises DataError naming the file, and line and column where it is no JSON."""
    source = as_path(path)
    try:
        return json.loads(
            source.read_bytes().decode(),
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            object_pairs_hook=_unique_keys,
        )
    except FileNotFoundError:
        raise DataError(f"{source}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{source}: is a folder, not a JSON file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{source}: not JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise DataError(f"{source}: {error}") from None
    except RecursionError:
        raise DataError(f"{source}: nested too deeply to be one of ours") from None


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name as one .npz."""
    import numpy as np  # most who write files need no arrays

    content = io.BytesIO()
    np.savez(content, **{name: np.asarray(each) for name, each in arrays.items()})  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_arrays` wrote. Raises DataError naming a file that is missing or damaged; nothing is unpickled."""
    import zipfile

    import numpy as np

    try:
        with np.load(in_memory(path), allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise DataError(f"{os.fspath(path)}: no such file") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{os.fspath(path)}: not a file of arrays (.npz): {error}") from None


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[epath.Path]:
    """Yields the name of a file to be written piece by piece, which becomes `path` when the block ends well.

    `write_bytes` for content that does not fit into memory; replaces what is at `path` in one step.
    """
    target = as_path(path)
    cloud = is_cloud(target)
    if not cloud:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
    partial = as_path(tempfile.mkdtemp(prefix="retentionjax-")) / target.name if cloud else _sibling(target)
    try:
        yield partial
        if cloud:
            bucket.upload(partial, target)
        else:
            publish(partial, target)
    finally:
        partial.unlink(missing_ok=True)
        if cloud:
            partial.parent.rmdir()


def publish(partial: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Gives a finished file on a disk its name, in place of what has it, once its content is on the device."""
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, target)
    _sync_folder(as_path(target).parent)


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[epath.Path]:
    """Yields an empty temporary folder that becomes `path` when the block ends well, and is removed when it does not.

    With `replace` an existing folder keeps its content until the new one takes its place, in one step where the
    system can exchange two names (Linux) and with an instant in between where it cannot. Raises RetentionJaxError
    when `path` exists and `replace` is false.
    """
    target = as_path(path)
    _sweep(target)
    _refuse_existing(target, replace)
    partial = as_path(tempfile.mkdtemp(prefix="retentionjax-")) if is_cloud(target) else _sibling(target)
    partial.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        _refuse_existing(target, replace)
        if is_cloud(target):
            _upload(partial, target)
        else:
            _sync_tree(partial)
            _move_folder(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def files(folder: str | os.PathLike[str]) -> list[epath.Path]:
    """All files below `folder`, in the order of their paths; hidden ones too."""
    if is_cloud(folder):
        return bucket.files(as_path(folder))
    entries = sorted(as_path(folder).iterdir())
    return [file for entry in entries for file in (files(entry) if entry.is_dir() else [entry])]


def sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with as_path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


# --- compare and set ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Versioned:
    """A file's content and the version it was read at."""

    data: bytes | None
    """None: no such file."""
    version: str
    """Version of this content and no other: a bucket's generation, the SHA-256 on a disk; one for all missing files."""


def read_versioned(path: str | os.PathLike[str]) -> Versioned:
    """The file at `path` with its version, for `write_versioned`. Never a remembered answer."""
    target = as_path(path)
    if is_cloud(target):
        data, generation = bucket.read(target)
        return Versioned(data, str(generation))
    try:
        content = target.read_bytes()
    except FileNotFoundError:
        return Versioned(None, "")
    except IsADirectoryError:
        raise DataError(f"{target}: is a folder, not a file") from None
    return Versioned(content, hashlib.sha256(content).hexdigest())


def write_versioned(path: str | os.PathLike[str], data: bytes, version: str) -> None:
    """Puts `data` at `path` if the file there still is of `version`, in one step with the comparison.

    Raises ConflictError when somebody else wrote it since; of several writers with one version, one succeeds.
    """
    target = as_path(path)
    if is_cloud(target):
        bucket.write(target, data, int(version))
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.parent / f".{target.name}.lock", "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read_versioned(target).version != version:
            raise ConflictError(f"{target}: changed by somebody else since it was read; nothing written")
        write_bytes(target, data)


def only_one(folder: epath.Path) -> contextlib.AbstractContextManager[None]:
    """Keeps a second process out of the folder meanwhile, with ConfigError; in a bucket, which has no locks, nobody."""
    return contextlib.nullcontext() if is_cloud(folder) else locks.only_one(folder)


# --- temporary siblings ---------------------------------------------------------------------------------------


def _sibling(target: epath.Path) -> epath.Path:
    """A hidden name beside `target` (same file system, so a rename is enough) that tells who made it."""
    return target.parent / f".{target.name}.{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.partial"


def _sweep(target: epath.Path) -> None:
    """Removes what killed processes of this machine left beside `target`; brings back a folder they had moved aside."""
    if is_cloud(target) or not target.parent.is_dir():
        return
    prefix = f".{target.name}.{socket.gethostname()}-"
    for entry in os.scandir(target.parent):
        if not (entry.name.startswith(prefix) and entry.name.endswith((".partial", ".previous"))):
            continue
        if _alive(int(entry.name.removeprefix(prefix).split("-")[0])):
            continue
        if entry.name.endswith(".previous") and not target.exists():
            os.rename(entry.path, target)
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _refuse_existing(target: epath.Path, replace: bool) -> None:
    if not replace and target.exists():
        raise RetentionJaxError(f"{target} exists already; name another folder or remove it first")


# --- moving a folder into place -------------------------------------------------------------------------------


def _move_folder(partial: epath.Path, target: epath.Path) -> None:
    if not target.exists():
        os.rename(partial, target)
    elif not _exchange(partial, target):
        previous = target.parent / (partial.name.removesuffix(".partial") + ".previous")
        os.rename(target, previous)
        os.rename(partial, target)
        shutil.rmtree(previous)
    _sync_folder(target.parent)


def _exchange(one: epath.Path, other: epath.Path) -> bool:
    """Swaps two names at once by Linux's renameat2(RENAME_EXCHANGE); False where system or file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def _upload(partial: epath.Path, target: epath.Path) -> None:
    """Copies a finished folder into a bucket, nested files first; what was there before goes, top-level files first."""
    for stale in sorted(files(target), key=lambda file: file.parent != target):
        bucket.remove(stale)
    for file in sorted(files(partial), key=lambda file: file.parent == partial):
        bucket.upload(file, target / file.relative_to(partial))


def _sync_tree(folder: epath.Path) -> None:
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_folder(as_path(root))


def _sync_folder(folder: epath.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- JSON -----------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy and JAX arrays and scalars
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def _not_finite(value: Any, place: str) -> str | None:
    """Place in `value` of the first number that is not finite, as `key.key[3]`."""
    if isinstance(value, float) and not math.isfinite(value):
        return place or "the value"
    if isinstance(value, dict):
        children = [(f"{place}.{key}" if place else str(key), child) for key, child in value.items()]
    elif isinstance(value, list):
        children = [(f"{place}[{index}]", child) for index, child in enumerate(value)]
    else:
        return None
    return next((found for where, child in children if (found := _not_finite(child, where)) is not None), None)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number that JSON allows")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large for a number")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return mapping
