"""Trains the churn model: P(a customer leaves), calibrated.

Cross-validated on all rows with the calibration nested inside; the model that is kept has seen the train split only.
"""

from dataclasses import dataclass, field

from experiments import classification
from experiments.classification import ClassifierSettings, Gates
from experiments.stage import Context, Stage
from retentionjax.tabular.boosting import BoosterConfig


@dataclass(frozen=True)
class ChurnConfig:
    """Settings of the stage."""

    booster: BoosterConfig = field(default_factory=BoosterConfig)
    gates: Gates = field(default_factory=Gates)
    folds: int = 5
    """Of the cross-validation, and of the calibration within."""
    seed: int = 42


def run(config: ChurnConfig, context: Context) -> dict[str, float]:
    """See classification.run; the summary's keys are `cv_…` and `held_out_…`."""
    settings = ClassifierSettings(config.booster, config.gates, config.folds, config.seed)
    problem = classification.read(context, "customers")
    found = classification.run(problem, settings, context)
    if problem.schema.time is not None:  # several snapshots of a customer
        found |= classification.time_ordered(problem, settings, context)
    return found


STAGE = Stage("churn", ChurnConfig, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
