"""Makes the demonstration that comes with the package: `python -m experiments.demo [--run runs/demo]`.

Trains the demo company's run where that has not been done, and writes bundle, card, customers, decision and report into
`retentionjax/demo/`.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import companies, pipeline, train
from experiments.bundle import HeldOut, troubled
from experiments.config import DECIDING
from experiments.stage import Context
from retentionjax import bundle as bundles
from retentionjax import cli, demo, storage
from retentionjax.bundle import cards, pointer
from retentionjax.bundle.customer import HISTORY
from retentionjax.decide.decision import compose, decide
from retentionjax.decide.printing import to_dict
from retentionjax.decide.program import Decider
from retentionjax.evaluation.report import page, playing, run_folder

PEOPLE = 60
"""Customers of the simulated campaign, spread over all risks."""


def main(arguments: Sequence[str]) -> int:
    """Train → copy → decide. Raises RetentionJaxError for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.demo", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument(
        "--run", default="runs/demo", metavar="DIR", help="the run, made if it is not there (runs/demo)"
    )
    run = Path(parser.parse_args(list(arguments)).run)
    train.main([str(companies.path("demo")), "--preset", "demo", "--out", str(run)])
    write(run)
    print(f"{demo.FOLDER}: made from {run}")
    return 0


def write(run: Path, folder: Path = demo.FOLDER) -> None:
    """Everything in `folder` but its texts, from a finished run."""
    decides = pointer.MADE_BY[1]  # a writer, if the run has one, would make the package twenty times as large
    pointer.copy(storage.as_path(run / decides), storage.as_path(folder / demo.BUNDLE.name))
    bundle = bundles.load(folder / demo.BUNDLE.name)
    storage.write_text(folder / demo.CARD.name, cards.card(bundle.manifest))
    for file in sorted((run / pipeline.CUSTOMERS).glob("*.json")):
        storage.write_json(folder / demo.CUSTOMERS.name / file.name, on_the_first_day(storage.read_json(file)))
    customer = storage.read_json(folder / demo.CUSTOMERS.name / demo.CUSTOMER.name)
    decision = decide(Decider(bundle, sizes=(1,)), customer)
    storage.write_json(folder / demo.DECISION.name, to_dict(decision, compose(decision, customer, None)))
    storage.write_json(folder / demo.REQUEST.name, pipeline.request(customer))
    storage.write_json(folder / demo.PEOPLE.name, people(run, bundle))
    # Who reads it has the package, not this run: the commands on the page are about a run of their own, in `runs/`.
    told = dataclasses.replace(run_folder.read(run), runs="runs")
    page.write(page.compose(told, playing.played(told)), folder / demo.REPORT.name)


def on_the_first_day(customer: dict[str, Any]) -> dict[str, Any]:
    """The customer before anything was done, as a ledger that has just been made knows nobody: only the usual risk is
    told."""
    history = customer.get(HISTORY, {})
    usual = {name: value for name, value in history.items() if name == "baseline_churn_probability"}
    return {**customer, HISTORY: {"day": 0, **usual}}


def people(run: Path, bundle: bundles.Bundle) -> list[dict[str, Any]]:
    """Held-out customers of the upper risks, where something can be seen; something happened to every second."""
    inputs = {name: storage.as_path(run / name) for name in DECIDING}
    held_out = HeldOut.read(
        Context(storage.as_path(run), inputs, resume=False, data="auto", data_source="real")  # only its inputs are read
    )
    decider = Decider(bundle, sizes=(1,))
    found = [held_out.at(share, bundle) for share in np.linspace(0.4, 0.999, PEOPLE)]
    return [on_the_first_day(troubled(each, decider)) if number % 2 == 0 else each for number, each in enumerate(found)]


if __name__ == "__main__":
    sys.exit(cli.guarded(lambda: main(sys.argv[1:])))
