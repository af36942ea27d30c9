"""All stages in order, from data to bundle: `python -m experiments.pipeline {smoke,demo,mvp}`.

What is done and whose inputs have not changed is skipped; a stage that was killed goes on from its checkpoints.
Each stage's settings can be overridden by flags under its name: `--policy.ppo.learning-rate 1e-3`.
"""

import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import config as configuration
from experiments import first_request
from experiments.config import Options, Preset
from experiments.stage import Outside, Record, Stage, Work, perform
from retentionjax import cli, storage
from retentionjax.tracking import duration


def load_stages() -> list[Stage[Any]]:
    """The stages of the project in the order they run, each from the script that bears its name."""
    return [importlib.import_module(f"experiments.{name}").STAGE for name in configuration.STAGES]


def deciding_stages() -> list[Stage[Any]]:
    """Those that a bundle without a language model takes: messages are the shield's templates."""
    stages = [importlib.import_module(f"experiments.{name}").STAGE for name in configuration.DECIDING]
    return [*stages, importlib.import_module("experiments.report").OF_DECISIONS]


def run(
    stages: Sequence[Stage[Any]], preset: Preset, options: Options, configs: Mapping[str, Any]
) -> dict[str, Record]:
    """Runs every stage that is not done; returns their records by name. Raises what a stage raises."""
    started = time.monotonic()
    folder = storage.as_path(options.runs) / (options.name or preset.name)
    # Asked before the first line, for that line must say whether the data are real.
    outside = {stage.name: stage.outside(configs[stage.name], options.data) for stage in stages if stage.outside}
    print(f"RetentionJax {preset.name}: {len(stages)} stages in {folder}, {_data_words(outside)}", flush=True)
    records: dict[str, Record] = {}
    for number, stage in enumerate(stages, start=1):
        if missing := [need for need in stage.needs if need not in records]:
            raise ValueError(f"stage {stage.name} needs {missing[0]}, which does not come before it")
        inputs = {need: folder / need for need in stage.needs}
        label = f"{number}/{len(stages)} "
        work = Work(stage, configs[stage.name], folder / stage.name, inputs, outside.get(stage.name), options, label)
        records[stage.name] = perform(work, go_on="same")
    spent = duration(time.monotonic() - started)
    for line in first_request.words(folder):
        print(line)
    print(f"RetentionJax {preset.name}: all done in {spent}, in {folder}, {_data_words(outside)}", flush=True)
    return records


def command(
    arguments: Sequence[str],
    stages: Sequence[Stage[Any]] | None = None,
    program: str = "python -m experiments.pipeline",
) -> None:
    """The command line of the pipeline. Raises RetentionJaxError for what the user can mend."""
    chosen = load_stages() if stages is None else stages
    preset, options, configs = configuration.parse(
        program,
        __doc__ or "",
        {stage.name: stage.Config for stage in chosen},
        arguments,
        flat=False,
    )
    run(chosen, preset, options, configs)


def _data_words(outside: Mapping[str, Outside]) -> str:
    if any(found.data_source == "synthetic" for found in outside.values()):
        return "SYNTHETIC data: no figure describes real customers"
    return "real data"


if __name__ == "__main__":
    sys.exit(cli.guarded(lambda: command(sys.argv[1:])))
