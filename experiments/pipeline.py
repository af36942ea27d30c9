"""All stages in order, from data to bundle: `python -m experiments.pipeline {smoke,demo,mvp}`.

What is done and whose inputs have not changed is skipped; a stage that was killed goes on from its checkpoints.
Each stage's settings can be overridden by flags under its name: `--policy.ppo.learning-rate 1e-3`.
"""

import importlib
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from experiments import config as configuration
from experiments.config import Options, Preset
from experiments.stage import Outside, Record, Stage, Work, perform
from retentionjax import cli, storage
from retentionjax.bundle import manifest, pointer
from retentionjax.bundle.customer import HISTORY, ID, RECIPIENT
from retentionjax.errors import BundleError
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
    for line in next_steps(folder):
        print(line)
    print(f"RetentionJax {preset.name}: all done in {spent}, in {folder}, {_data_words(outside)}", flush=True)
    return records


def command(arguments: Sequence[str], stages: Sequence[Stage[Any]] | None = None) -> None:
    """The command line of the pipeline. Raises RetentionJaxError for what the user can mend."""
    chosen = load_stages() if stages is None else stages
    preset, options, configs = configuration.parse(
        "python -m experiments.pipeline",  # whose help lists the fields, whatever command was given
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


# --- the first request -----------------------------------------------------------------------------------------------


CUSTOMERS = "bundle/artifacts/customers"
REQUEST = "request.json"
_USUAL = "baseline_churn_probability"
_EXPECTED = 1000  # customers of the first campaign


def next_steps(run: epath.Path) -> list[str]:
    """Writes `request.json` into the run and returns the lines to print; none for a run without a bundle."""
    customers = sorted((run / CUSTOMERS).glob("*.json")) if (run / CUSTOMERS).is_dir() else []
    try:
        advice = manifest.read(pointer.find(run)).advice
    except BundleError:
        return []
    if not customers:
        return []
    customer = storage.read_json(customers[0])
    storage.write_json(run / REQUEST, request(customer))
    place, examples = shlex.quote(str(run)), shlex.quote(str(run / CUSTOMERS))
    header = "-H 'Content-Type: application/json'"
    curl = f'curl -s http://127.0.0.1:8080/v1/decisions -H "Authorization: Bearer $KEY" {header}'
    return [
        *([f"WARNING: {advice}"] if advice else []),
        "Serve it (needs `bash scripts/setup.sh serve` or the extra `serve`); the first start prints an admin key:",
        f"  retentionjax serve --bundle {place} --campaign-customers {_EXPECTED} --console-examples {examples}",
        "Set KEY to that key and ask for a decision (a customer who has not consented is not contacted):",
        f"  {curl} -d {shlex.quote(f'@{run / REQUEST}')}",
        *_unknown(customer),
    ]


def request(customer: dict[str, object]) -> dict[str, object]:
    """The body of `POST /v1/decisions` for a customer's file; with her usual risk, which a new ledger lacks."""
    plain = json.loads(json.dumps(customer))
    identity, recipient, history = plain.pop(ID), plain.pop(RECIPIENT, {}), plain.pop(HISTORY, {})
    usual = {_USUAL: history[_USUAL]} if history.get(_USUAL) is not None else {}
    return {"customer_id": identity, "facts": plain, "explain": True, **usual, **recipient}


def _unknown(customer: dict[str, object]) -> list[str]:
    """What makes the service decide otherwise than `retentionjax decide` about the file."""
    history = customer.get(HISTORY)
    told = (
        ", ".join(name for name, value in history.items() if name != _USUAL and value)
        if isinstance(history, dict)
        else ""
    )
    if not told:
        return []
    return [f"The service goes by its own ledger, not by the file's history ({told}), so it may decide otherwise."]


if __name__ == "__main__":
    sys.exit(cli.guarded(lambda: command(sys.argv[1:])))
