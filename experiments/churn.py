"""Trains the churn model: P(a customer leaves), calibrated.

Cross-validated on all rows with the calibration nested inside; the model that is kept has seen the train split only.
"""

from dataclasses import dataclass, field

from experiments import classification
from experiments.classification import Gates, Settings
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
    settings = Settings(config.booster, config.gates, config.folds, config.seed)
    return classification.run(classification.read(context, "customers"), settings, context)


STAGE = Stage("churn", ChurnConfig, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
