"""What every stage of an experiment shares: where it writes, when it may be skipped, how it resumes, what it reports.

A stage script defines its settings and one function, and hands both to `Stage`:

    def run(config: ChurnConfig, context: Context) -> dict[str, float]:
        table = pd.read_parquet(storage.in_memory(context.inputs["data"] / "artifacts/telco/train.parquet"))
        with context.tracker() as tracker: ...
        classifier.save(context.artifacts / "classifier")
        return {"cv_auc": 0.846}

    STAGE = Stage("churn", ChurnConfig, run, needs=("data",))

    if __name__ == "__main__":
        STAGE.main()

The stage's folder `runs/<run>/<stage>/` then holds `config.yaml` (resolved), `metrics.jsonl` and `tensorboard/` if
tracked, `checkpoints/` if saved, `artifacts/` (all that later stages read), `summary.json`, and `stage.json`, the
record by which a rerun knows what is done: it names the settings, the hashes of what went in and of what came out.
"""

import dataclasses
import hashlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from etils import epath

import retentionjax
from experiments import config as configuration
from experiments import mlflow_runs
from experiments.config import DataMode, Options
from retentionjax import cli, storage
from retentionjax.company.structure import structure, unstructure
from retentionjax.errors import ConfigError
from retentionjax.tracking import Tracker, duration

DataSource = Literal["real", "synthetic"]
GoOn = Literal["never", "asked", "same"]
"""When a stage goes on from checkpoints: never; because `--resume` asked; if the unfinished work is the very same."""
C = TypeVar("C")


@dataclass(frozen=True)
class Outside:
    """What a stage reads that no other stage made: its nature, and the hash of each piece by name."""

    data_source: DataSource
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class Context:
    """What a stage's function is given beside its settings."""

    folder: epath.Path
    """The stage's own folder."""
    inputs: Mapping[str, epath.Path]
    """Folder of each finished stage it needs, by name."""
    resume: bool
    """Whether to go on from `checkpoints` (which may hold none yet) instead of starting anew."""
    data: DataMode
    """Mode of the data as asked for: auto, real or synthetic."""
    data_source: DataSource
    """What the data are: real or synthetic."""

    @property
    def artifacts(self) -> epath.Path:
        """What later stages read; exists."""
        return self.folder / "artifacts"

    @property
    def checkpoints(self) -> epath.Path:
        """Folder for `Checkpoints(context.checkpoints)`."""
        return self.folder / "checkpoints"

    def tracker(self, resume_step: int | None = None) -> Tracker:
        """Metrics of this stage; `resume_step` is the step of the restored checkpoint, None when starting anew."""
        return Tracker(self.folder, resume_step)


@dataclass(frozen=True)
class Stage(Generic[C]):
    """A named step of the pipeline: settings, a function, and the stages whose results it reads.

    `run` returns the summary: flat numbers, to which `data_source` and `seconds` are added. A stage that needs no
    other says by `outside` what it reads instead; that is asked before anything is printed, and may download.
    """

    name: str
    Config: type[C]
    run: Callable[[C, Context], Mapping[str, float]]
    needs: tuple[str, ...] = ()
    outside: Callable[[C, DataMode], Outside] | None = None
    places: tuple[str, ...] = ()
    """Settings that say where something lies that is read: what `outside` hashes counts, not how its path is spelt."""
    files: tuple[str, ...] = ()
    """Settings that name a file that is read beside what other stages made, or are empty: its hash counts as well."""

    def settings(self, config: C) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings by which it is known whether the work was done before, as JSON holds them, and the places."""
        plain = unstructure(config)
        return {name: plain[name] for name in plain if name not in self.places}, {
            each: plain[each] for each in self.places
        }

    def __post_init__(self) -> None:
        """A stage knows where its data come from: other stages or outside, and not both."""
        if bool(self.needs) == (self.outside is not None):
            raise ValueError(f"stage {self.name} must have either needs or outside")

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """`python -m experiments.<name> PRESET [--field.value …] [--name RUN] [--resume | --force]`; exits."""
        sys.exit(cli.guarded(lambda: self._command(sys.argv[1:] if arguments is None else arguments)))

    def _command(self, arguments: Sequence[str]) -> None:
        preset, options, configs = configuration.parse(
            f"python -m experiments.{self.name}",
            sys.modules[self.run.__module__].__doc__ or "",
            {self.name: self.Config},
            arguments,
            flat=True,
        )
        runs = storage.as_path(options.runs)
        run = runs / (options.name or preset.name)
        inputs = {need: _input_folder(self.name, need, run, runs / preset.name) for need in self.needs}
        outside = self.outside(configs[self.name], options.data) if self.outside else None
        work = Work(self, configs[self.name], run / self.name, inputs, outside, options)
        perform(work, go_on="asked" if options.resume else "never")


@dataclass(frozen=True)
class Work:
    """One stage with all it takes to run it."""

    stage: Stage[Any]
    config: Any
    folder: epath.Path
    inputs: Mapping[str, epath.Path]
    outside: Outside | None
    options: Options
    label: str = ""

    def say(self, text: str) -> None:
        """Prints a line under the stage's name."""
        print(f"[{self.label}{self.stage.name}] {text}", flush=True)


@dataclass(frozen=True)
class Record:
    """`stage.json`: what a stage was run with, and whether it came to its end."""

    status: Literal["running", "done"]
    version: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    data_source: DataSource
    outputs: str = ""
    seconds: float = 0.0
    places: Mapping[str, Any] = field(default_factory=dict)
    """Places where what it read lay, by the settings that say so."""

    def same_work(self, other: "Record") -> bool:
        """Whether both were asked for the same: program, settings and inputs."""
        return (self.version, self.config, self.inputs) == (other.version, other.config, other.inputs)


def perform(work: Work, *, go_on: GoOn) -> Record:
    """Runs a stage unless it is done and nothing it depends on has changed; returns its record.

    `go_on` says when to go on from checkpoints instead of starting anew. Raises ConfigError when it cannot, when an
    input is missing, or when another process is at work in the same folder.
    """
    with storage.only_one(work.folder):
        wanted = _wanted(work)
        before = read_record(work.folder)
        if before and not work.options.force and before.same_work(wanted) and _is_done(work.folder, before):
            _write_record(work.folder, dataclasses.replace(before, places=wanted.places))
            work.say(f"done before ({duration(before.seconds)}), and nothing it depends on has changed: skipped")
            return before
        resume = go_on == "asked" or (go_on == "same" and _may_go_on(work, before, wanted))
        if go_on == "asked":
            _refuse_other_inputs(work, before, wanted)
        for line in _changes(before, wanted):
            work.say(f"changed since the run before: {line}")
        if not resume and work.folder.exists():
            work.folder.rmtree()
        return _run(work, wanted, resume)


def read_record(folder: epath.Path) -> Record | None:
    """The record of the stage in `folder`, None if none was ever started there."""
    path = folder / "stage.json"
    if not path.exists():
        return None
    return structure(storage.read_json(path), Record, where=str(path))


def is_unchanged(stage: Stage[Any], config: Any, record: Record, needed: Mapping[str, Record]) -> bool:
    """Whether `record` says that `stage` is done, by this version, with these settings, on what `needed` stages made.

    Files are not looked at: `perform` does that, and asks outside sources what they hold now.
    """
    settings, places = stage.settings(config)
    inputs = {need: needed[need].outputs if need in needed else "" for need in stage.needs}
    told = (record.status, record.version, record.config, record.places)
    same = told == ("done", retentionjax.__version__, settings, places)
    return same and (not stage.needs or {need: record.inputs.get(need) for need in stage.needs} == inputs)


def hash_folder(folder: epath.Path) -> str:
    """One SHA-256 for the names and contents of all files below `folder`."""
    digest = hashlib.sha256()
    for file in storage.files(folder):
        digest.update(f"{file.relative_to(folder).as_posix()} {storage.sha256(file)}\n".encode())
    return digest.hexdigest()


# --- deciding what to do --------------------------------------------------------------------------------------


def _wanted(work: Work) -> Record:
    if work.outside is not None:
        hashes, source = dict(work.outside.hashes), work.outside.data_source
    else:
        records = {need: _finished(work.stage.name, need, folder) for need, folder in work.inputs.items()}
        hashes = {need: record.outputs for need, record in records.items()}
        named = {each: getattr(work.config, each) for each in work.stage.files}
        hashes |= {each: storage.sha256(file) for each, file in named.items() if file}
        source = "synthetic" if any(record.data_source == "synthetic" for record in records.values()) else "real"
    if work.options.data not in ("auto", source):
        raise ConfigError(f"--data {work.options.data}, but what {work.stage.name} reads is {source}: run data first")
    settings, places = work.stage.settings(work.config)
    return Record("running", retentionjax.__version__, settings, hashes, source, places=places)


def _finished(name: str, need: str, folder: epath.Path) -> Record:
    record = read_record(folder)
    if record is None or record.status != "done":
        raise ConfigError(f"{name} needs {need}, which is not finished in {folder}: run experiments.{need} first")
    if not _is_done(folder, record):
        raise ConfigError(f"{name} needs {need}, but files in {folder} changed since it ended: run experiments.{need}")
    return record


def _is_done(folder: epath.Path, record: Record) -> bool:
    whole = record.status == "done" and (folder / "summary.json").exists()
    return whole and hash_folder(folder / "artifacts") == record.outputs


def _input_folder(name: str, need: str, run: epath.Path, preset_run: epath.Path) -> epath.Path:
    """The stage `need` of the same run, or else, said aloud, of the run named like the preset."""
    if (run / need / "stage.json").exists() or not (preset_run / need / "stage.json").exists():
        return run / need
    print(f"[{name}] {need} is read from {preset_run / need}, for {run} has none", flush=True)
    return preset_run / need


def _may_go_on(work: Work, before: Record | None, wanted: Record) -> bool:
    return before is not None and not work.options.force and before.status == "running" and before.same_work(wanted)


def _refuse_other_inputs(work: Work, before: Record | None, wanted: Record) -> None:
    """`--resume` may change settings (more steps, say) but not the data under a half-trained state."""
    if before is None:
        raise ConfigError(f"nothing to resume: {work.folder} holds no run")
    for need, digest in wanted.inputs.items():
        if before.inputs.get(need) != digest:
            raise ConfigError(f"cannot resume {work.folder}: its input {need} is not what it was; leave --resume out")


def _changes(before: Record | None, wanted: Record) -> list[str]:
    """What differs from the run before, in words: settings, inputs, version."""
    if before is None:
        return []
    versions = configuration.differences({"version": before.version}, {"version": wanted.version})
    inputs = [f"input {need}" for need, digest in wanted.inputs.items() if before.inputs.get(need) != digest]
    return [*versions, *inputs, *configuration.differences(before.config, wanted.config)]


# --- running --------------------------------------------------------------------------------------------------


def _run(work: Work, wanted: Record, resume: bool) -> Record:
    work.folder.mkdir(parents=True, exist_ok=True)
    context = Context(work.folder, work.inputs, resume, work.options.data, wanted.data_source)
    _write_record(work.folder, wanted)
    comment = f"{work.stage.name}, as run by RetentionJax {retentionjax.__version__}"
    configuration.write_config(work.folder / "config.yaml", work.config, comment=comment)
    context.artifacts.mkdir(exist_ok=True)
    work.say(f"{'resumed' if resume else 'started'} in {work.folder}")
    started = time.monotonic()
    try:
        summary = dict(work.stage.run(work.config, context))
    except BaseException as error:
        how = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        work.say(f"{how} after {duration(time.monotonic() - started)}")
        raise
    seconds = time.monotonic() - started
    _write_summary(work, summary, wanted.data_source, seconds)
    done = dataclasses.replace(wanted, status="done", outputs=hash_folder(context.artifacts), seconds=round(seconds, 2))
    _write_record(work.folder, done)
    work.say(f"done in {duration(seconds)}: {_headline(summary)}")
    if mlflow_runs.wanted():
        try:
            work.say(f"run {mlflow_runs.publish(work.folder)} of MLflow")
        except ConfigError as error:  # hours of training do not end for it
            work.say(f"WARNING: not in MLflow: {error}; later: python -m experiments.mlflow_runs {work.folder.parent}")
    return done


def _write_summary(work: Work, summary: Mapping[str, float], source: DataSource, seconds: float) -> None:
    numbers = {key: value.item() if hasattr(value, "item") else value for key, value in summary.items()}
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"stage {work.stage.name}: summary key {key} is {value!r}; a finite number is wanted")
    content = {"data_source": source, **numbers, "seconds": round(seconds, 2)}
    storage.write_json(work.folder / "summary.json", content)


def _write_record(folder: epath.Path, record: Record) -> None:
    storage.write_json(folder / "stage.json", unstructure(record))


def _headline(summary: Mapping[str, float]) -> str:
    shown = [f"{key} {value:.4g}" for key, value in list(summary.items())[:4]]
    return ", ".join(shown) or "no figures"
