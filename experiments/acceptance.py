"""Trains the response model: P(a contacted customer accepts an offer-free contact), calibrated.

- A log of other people: their own facts, every contact alike.
- A log of the company's customers: the offers' appeal is part of the model (`tabular.response`).
- No log: everybody accepts alike, a belief (`assumed`), and every output says so.

Beside cross-validation stands the time-ordered split: trained on the first 80 % of the contacts, judged on the last
10 %. Where base rates move it is bad, and honestly so: a deployed model must be refitted as time goes on.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from experiments import classification, companies
from experiments.classification import Gates, Problem, Settings
from experiments.config import in_range
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.tabular import plots, response
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import fit
from retentionjax.tabular.metrics import measure, summary

TRAIN_SHARE, TEST_SHARE = 0.8, 0.1


@dataclass(frozen=True)
class AcceptanceConfig:
    """Settings of the stage."""

    booster: BoosterConfig = field(default_factory=BoosterConfig)
    gates: Gates = field(default_factory=Gates)
    folds: int = 5
    """Of the cross-validation, and of the calibration within."""
    assumed: float = 0.11
    """Acceptance of an offer-free contact where there is no log: the share in the UCI Bank Marketing calls."""
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuses an acceptance that is certain."""
        in_range("assumed", self.assumed, 0.0, 1.0, open_low=True, open_high=True)


def run(config: AcceptanceConfig, context: Context) -> dict[str, float]:
    """See the three cases above; the summary's keys are `cv_…`, `held_out_…` and `time_ordered_…`, or `assumed`."""
    settings = Settings(config.booster, config.gates, config.folds, config.seed)
    company = companies.of(context.inputs)
    if company.contacts is None:
        return believed(config.assumed, classification.read(context, "customers"), context)
    problem = classification.read(context, "contacts")
    return {**classification.run(problem, settings, context), **time_ordered(problem, settings, context)}


def believed(probability: float, customers: Problem, context: Context) -> dict[str, float]:
    """No log: the same acceptance for everybody, in the form of a model."""
    print(
        f"[acceptance] no log of contacts: ASSUMED that {probability:.0%} accept a contact without an offer", flush=True
    )
    model = response.assumed(probability, **customers.columns)
    model.save(context.artifacts / "classifier")
    table = pd.DataFrame(
        {
            "row": customers.frame.index,
            "split": customers.split,
            "probability": np.full(len(customers.frame), probability),
        }
    )
    storage.write_bytes(context.artifacts / "predictions.parquet", table.to_parquet(index=False))
    return {"assumed": probability}


def time_ordered(problem: Problem, settings: Settings, context: Context) -> dict[str, float]:
    """Fits on the first contacts and measures on the last, as a deployed model would be; rows are in order of time."""
    rows = len(problem.frame)
    train, test = slice(0, int(rows * TRAIN_SHARE)), slice(rows - int(rows * TEST_SHARE), rows)
    label = problem.label
    classifier = fit(
        problem.frame.iloc[train],
        label[train],
        **problem.columns,
        config=settings.booster,
        seed=settings.seed,
        folds=settings.folds,
    )
    probability = classifier.predict(problem.frame.iloc[test])
    title = f"{problem.name} ({context.data_source}): first 80 % of the contacts → last 10 %"
    before, after = label[train].mean(), label[test].mean()
    note = f"accepted: {before:.0%} in training, {after:.0%} in test"
    picture = plots.reliability(label[test], probability, title=title, note=note)
    storage.write_bytes(context.artifacts / "reliability_time_ordered.png", plots.png(picture))
    measures = measure(label[test], probability, base_rate=float(before))
    return {
        **summary(measures, "time_ordered_"),
        "time_ordered_train_rate": float(before),
        "time_ordered_test_rate": float(after),
    }


STAGE = Stage("acceptance", AcceptanceConfig, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
