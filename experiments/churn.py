"""Trains the churn model: P(a customer leaves), calibrated, on Telco.

Cross-validated on all rows with the calibration nested inside; the model that is kept has seen the train split only.
"""

from dataclasses import dataclass, field

from experiments import classification
from experiments.classification import Gates, Settings
from experiments.stage import Context, Stage
from retentionjax.tabular.boosting import BoosterConfig


@dataclass(frozen=True)
class ChurnConfig:
    """Gates are what the defaults reach on the real file, with room for another seed."""

    booster: BoosterConfig = field(default_factory=BoosterConfig)
    gates: Gates = field(default_factory=lambda: Gates(0.84, 0.03, 0.25))
    folds: int = 5
    """Of the cross-validation, and of the calibration within."""
    seed: int = 42


def run(config: ChurnConfig, context: Context) -> dict[str, float]:
    """See classification.run; the summary's keys are `cv_…` and `held_out_…`."""
    settings = Settings(config.booster, config.gates, config.folds, config.seed)
    return classification.run(classification.read(context, "telco"), settings, context)


STAGE = Stage("churn", ChurnConfig, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
