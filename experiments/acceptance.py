"""Trains the response model: P(a contacted client accepts), calibrated, on Bank without the length of the call.

Beside cross-validation stands the time-ordered split: trained on the first 80 % of the calls, judged on the last
10 %. It is bad, and honestly so: the base rate went from 6 % to 46 % over those years, and no model of who accepts
knows when. A deployed model must be refitted as time goes on.
"""

from dataclasses import dataclass, field

from experiments import classification
from experiments.classification import Gates, Problem, Settings
from experiments.stage import Context, Stage
from retentionjax import storage
from retentionjax.tabular import plots
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import fit
from retentionjax.tabular.metrics import measure, summary

TRAIN_SHARE, TEST_SHARE = 0.8, 0.1


@dataclass(frozen=True)
class AcceptanceConfig:
    """Gates are what the defaults reach on the real file, with room for another seed."""

    booster: BoosterConfig = field(default_factory=BoosterConfig)
    gates: Gates = field(default_factory=lambda: Gates(0.79, 0.015, 0.20))
    folds: int = 5
    """Of the cross-validation, and of the calibration within."""
    seed: int = 42


def run(config: AcceptanceConfig, context: Context) -> dict[str, float]:
    """See classification.run; the summary's keys are `cv_…`, `held_out_…` and `time_ordered_…`."""
    settings = Settings(config.booster, config.gates, config.folds, config.seed)
    problem = classification.read(context, "bank")
    return {**classification.run(problem, settings, context), **time_ordered(problem, settings, context)}


def time_ordered(problem: Problem, settings: Settings, context: Context) -> dict[str, float]:
    """Fits on the first calls and measures on the last, as a deployed model would be; Bank's rows are in that order."""
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
    title = f"{problem.name} ({context.data_source}): first 80 % of the calls → last 10 %"
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
