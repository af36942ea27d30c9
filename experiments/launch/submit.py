"""All stages of a preset in the order of their dependencies, here or as Vertex AI jobs, within a budget.

    retentionjax submit mvp --target vertex --project P --image IMAGE --runs gs://BUCKET/runs --dry-run
    retentionjax submit experiments/configs/mvp.yaml --target local

What is finished and unchanged is skipped, what was interrupted goes on from its checkpoints, what crashes is tried
again. The price is a ceiling: each job ends at its hours (launch/machines.yaml), attempts included. A total over
the budget ends the program with status 2 before anything is started; so does --dry-run, with status 0.
"""

import argparse
import functools
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retentionjax import cli
from retentionjax.errors import ConfigError

if TYPE_CHECKING:  # heavy, and `--help` needs none of it
    from experiments.launch.plan import LaunchPlan

LOCAL_RUNS = "runs"


def show(planned: "LaunchPlan", target: str, budget: float) -> None:
    """The plan as a table."""
    print(f"{planned.preset.name}: {len(planned.tasks)} stages in {planned.runs / planned.name}, target {target}")
    for number, task in enumerate(planned.tasks, start=1):
        what = "done before" if task.finished else f"{task.machine:<14}{task.hours:>4g} h{task.price:>9.2f} $"
        if target == "local" and not task.finished:
            what = "this machine"
        after = f"  after {', '.join(task.needs)}" if task.needs else ""
        print(f"  {number:>2}  {task.name:<11}{what:<34}{after}")
    if target == "vertex":
        print(f"  at most {planned.price:.2f} $ of a budget of {budget:g} $", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Runs `submit`; raises RetentionJaxError for what the user can mend."""
    parsed = _parser().parse_args(list(arguments))
    from experiments import config as configuration
    from experiments.launch import plan, vertex
    from experiments.pipeline import load_stages
    from retentionjax import storage

    preset = configuration.load_preset(parsed.preset)
    place = vertex.place(parsed, dry=parsed.dry_run) if parsed.target == "vertex" else None
    runs = storage.as_path(
        parsed.runs or (LOCAL_RUNS if place is None else f"gs://{place.project}-retentionjax-runs/runs")
    )
    if place is not None and not storage.is_cloud(runs):
        raise ConfigError(f"--runs {runs}: Vertex AI's machines see no folder of this one; gs://BUCKET/… is wanted")
    shapes, name = plan.load_machines(parsed.machines), parsed.name or preset.name
    look = place is None or place.project != vertex.ANY_PROJECT
    planned = plan.make(preset, load_stages(), runs, name, parsed.data, shapes, look=look)
    show(planned, parsed.target, parsed.budget)
    if place is not None and planned.price > parsed.budget:
        raise ConfigError(
            f"at most {planned.price:.2f} $, over the budget of {parsed.budget:g} $: raise --budget, or lower hours or "
            f"machines in a copy of {plan.DEFAULT.name} (--machines FILE)"
        )
    specs = vertex.specs(planned, place, spot=parsed.spot) if place is not None else {}
    if parsed.out is not None:
        _write(specs, parsed.out)
    if parsed.dry_run:
        print("dry run: nothing started")
        return 0
    return vertex.run(planned, place, specs, parsed.attempts) if place else run_here(planned, parsed.attempts)


def run_here(planned: "LaunchPlan", attempts: int) -> int:
    """Every stage on this machine, one after the other; returns the first status that is not 0."""
    from experiments.launch import supervise

    def say(text: str) -> None:
        print(f"[submit] {text}", flush=True)

    for task in planned.tasks:
        arguments = planned.arguments(os.fspath(planned.preset.path))
        started = functools.partial(supervise.command_of, task.name, arguments)
        if status := supervise.keep_running(started, supervise.Patience(attempts), say):
            return status
    return 0


def _write(specs: Mapping[str, Mapping[str, Any]], folder: str) -> None:
    from retentionjax import storage

    for number, (name, spec) in enumerate(specs.items(), start=1):
        storage.write_json(storage.as_path(folder) / f"{number:02d}-{name}.json", spec)
    print(f"{len(specs)} job specs in {folder}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retentionjax submit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", metavar="PRESET", help="smoke, demo, mvp, or a YAML file")
    parser.add_argument("--target", choices=("local", "vertex"), default="local")
    parser.add_argument("--runs", help="folder of all runs: runs here, gs://PROJECT-retentionjax-runs/runs there")
    parser.add_argument("--name", default="", help="name of the run; the preset's if not given")
    parser.add_argument("--data", choices=("auto", "real", "synthetic"), default="auto")
    parser.add_argument("--budget", type=float, default=100.0, metavar="$", help="refuse what may cost more (100)")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, start nothing")
    parser.add_argument("--out", metavar="DIR", help="write the job specs to this folder, as JSON")
    parser.add_argument("--attempts", type=int, default=3, help="how often a stage may be started (3)")
    parser.add_argument("--machines", metavar="FILE", help="file to use instead of experiments/launch/machines.yaml")
    parser.add_argument("--spot", action="store_true", help="use preemptible machines; the price ceiling stays")
    parser.add_argument("--project", default=os.environ.get("GOOGLE_CLOUD_PROJECT", ""))
    parser.add_argument("--region", default="us-central1")
    parser.add_argument("--image", default="", help="training image (scripts/deploy/docker), by digest")
    parser.add_argument("--service-account", default="", help="trainer@PROJECT.iam.gserviceaccount.com if not given")
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(lambda: main(sys.argv[1:])))
