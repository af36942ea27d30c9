"""What a run tells while it runs: metrics (JSON lines and TensorBoard) and progress bars."""

import contextlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import IO, SupportsFloat

from etils import epath
from rich import progress as rich_progress
from rich.console import Console

from retentionjax import storage

_RESERVED = ("step", "time")
_SECONDS_BETWEEN_LINES = 5.0


class Tracker:
    """Appends metrics to `<folder>/metrics.jsonl` and to TensorBoard events in `<folder>/tensorboard`.

    A line is {"step": int, "time": seconds since 1970, name: value, …}; a value that is not finite stands there
    as null, since JSON has no word for it. The lines are the truth: with `resume_step` the ones after that step,
    and a line a kill tore, are dropped, and the events are written anew from the lines that stay. Without it both
    start empty.
    """

    def __init__(self, folder: str | os.PathLike[str], resume_step: int | None = None) -> None:
        self._folder = storage.as_path(folder)
        self._path = self._folder / "metrics.jsonl"
        kept = [] if resume_step is None else _read_until(self._path, resume_step)
        self._lines = [json.dumps(record) for record in kept]
        storage.write_text(self._path, "".join(line + "\n" for line in self._lines))
        self._file: IO[str] | None = None if storage.is_cloud(self._path) else self._path.open("a")
        events = self._folder / "tensorboard"
        if events.exists():
            events.rmtree()
        # TensorBoard's own way into a bucket uploads from a thread, and once more when Python ends: we do it ourselves.
        self._scratch = tempfile.TemporaryDirectory(prefix="retentionjax-") if storage.is_cloud(events) else None
        # Imported here because it brings protobuf: half a second that a progress bar alone need not wait for.
        from tensorboardX import SummaryWriter

        logdir = self._scratch.name if self._scratch else str(events)
        self._writer = SummaryWriter(logdir=logdir, flush_secs=10)
        self._last_step = resume_step if resume_step is not None else -1
        self._flushed = time.monotonic()
        for record in kept:
            self._add_scalars(record)

    def log(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Records `metrics` of `step`. Raises ValueError when `step` goes back or a name is `step` or `time`."""
        if step < self._last_step:
            raise ValueError(f"step {step} comes after step {self._last_step}; steps never go back")
        if reserved := [name for name in metrics if name in _RESERVED]:
            raise ValueError(f"a metric cannot be named {reserved[0]!r}: each line holds that already")
        self._last_step = step
        values = {name: float(value) for name, value in metrics.items()}
        record: dict[str, float | None] = {"step": step, "time": round(time.time(), 3)}
        record |= {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._append(json.dumps(record, allow_nan=False))
        self._add_scalars(record)

    def close(self) -> None:
        """Writes what is still held and closes the files; may be called twice."""
        self._writer.close()
        if self._file is not None:
            self._file.close()
        elif self._scratch is not None and os.path.isdir(self._scratch.name):
            self._upload()
            self._scratch.cleanup()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, line: str) -> None:
        if self._file is not None:
            self._file.write(line + "\n")
            self._file.flush()
            return
        self._lines.append(line)  # a bucket cannot append: the whole text is written again, but not for every line
        if time.monotonic() - self._flushed > 30:
            self._upload()

    def _upload(self) -> None:
        storage.write_text(self._path, "".join(line + "\n" for line in self._lines))
        self._writer.flush()
        for file in storage.files(self._scratch.name) if self._scratch else []:
            storage.write_bytes(self._folder / "tensorboard" / file.name, file.read_bytes())
        self._flushed = time.monotonic()

    def _add_scalars(self, record: Mapping[str, float | None]) -> None:
        for name, value in record.items():
            if name not in _RESERVED and value is not None:
                self._writer.add_scalar(name, value, global_step=int(record["step"] or 0), walltime=record["time"])


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, float | None]]:
    """The records of a metrics.jsonl in the order written; a last line that a kill tore is left out."""
    lines = storage.as_path(path).read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _read_until(path: epath.Path, step: int) -> list[dict[str, float | None]]:
    if not path.exists():
        return []
    return [record for record in read_metrics(path) if (record["step"] or 0) <= step]


# --- progress -------------------------------------------------------------------------------------------------


class Bar:
    """A task under way."""

    def __init__(self, total: int, unit: str) -> None:
        self._total, self._unit = total, unit
        self._done, self._ended = 0, False
        self._fields: dict[str, float | str] = {}

    def advance(self, n: int = 1, **fields: float | str) -> None:
        """`n` more units are done; `fields` are shown beside the bar until they change."""
        self._done += n
        self._total = max(self._total, self._done)  # some totals are estimates
        self._fields |= fields
        self._show()

    def end(self) -> None:
        """All is done, in fewer units than was thought where the total was an upper bound."""
        self._total, self._ended = self._done, True
        self._show()

    def _show(self) -> None:
        raise NotImplementedError

    def _count(self) -> str:
        return f"{self._done:,} of {self._total:,} {self._unit}".rstrip()

    def _shown(self) -> list[str]:
        return [f"{name} {each if isinstance(each, str) else f'{each:.4g}'}" for name, each in self._fields.items()]


@contextlib.contextmanager
def progress(description: str, total: int, unit: str = "") -> Iterator[Bar]:
    """A bar on stderr for `total` units of work: drawn on a terminal, a plain line every five seconds in a log."""
    if sys.stderr.isatty():
        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.TaskProgressColumn(),
            rich_progress.TextColumn("{task.fields[count]}"),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TimeRemainingColumn(),
            rich_progress.TextColumn("{task.fields[shown]}", style="dim"),
        )
        with rich_progress.Progress(*columns, console=Console(stderr=True)) as drawn:
            bar: Bar = _DrawnBar(drawn, description, total, unit)
            yield bar
            bar.end()
    else:
        yield (bar := _PlainBar(description, total, unit))
        bar.end()


class _PlainBar(Bar):
    def __init__(self, description: str, total: int, unit: str) -> None:
        super().__init__(total, unit)
        self._description = description
        self._started = self._printed = time.monotonic()
        # The first unit may hold a minute of compiling, or all that a killed run had done: neither tells the pace.
        self._first: tuple[float, int] | None = None

    def _show(self) -> None:
        now = time.monotonic()
        since, before = self._first = self._first or (now, self._done)
        if not self._ended and now - self._printed < _SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        share = self._done / self._total if self._total else 1.0
        line = f"{self._description}: {share:4.0%}, {self._count()}, {duration(now - self._started)}"
        if not self._ended and self._done > before:
            line += f", about {duration((now - since) * (self._total - self._done) / (self._done - before))} left"
        print(", ".join([line, *self._shown()]), file=sys.stderr, flush=True)


class _DrawnBar(Bar):
    def __init__(self, drawn: rich_progress.Progress, description: str, total: int, unit: str) -> None:
        super().__init__(total, unit)
        self._drawn = drawn
        self._task = drawn.add_task(description, total=total, count=self._count(), shown="")

    def _show(self) -> None:
        count, shown = self._count(), ", ".join(self._shown())
        self._drawn.update(self._task, completed=self._done, total=self._total, count=count, shown=shown)


def duration(seconds: float) -> str:
    """Seconds as a person says them: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
