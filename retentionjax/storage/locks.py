"""Locks on a disk, which end with the process that holds them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from etils import epath

from retentionjax.errors import ConfigError


@contextlib.contextmanager
def only_one(folder: epath.Path) -> Iterator[None]:
    """Raises ConfigError, naming the process, where another one is in this block for the same folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ConfigError(f"{folder}: process {lock.read() or '(unknown)'} is at work there") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
