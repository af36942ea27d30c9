"""Trains the churn model: P(a customer leaves), calibrated.

Cross-validated on all rows with the calibration nested inside; the model that is kept has seen the train split only.
"""

from experiments import classification
from experiments.classification import ClassifierSettings
from experiments.stage import Context, Stage


def run(settings: ClassifierSettings, context: Context) -> dict[str, float]:
    """See classification.run; the summary's keys are `cv_…` and `held_out_…`."""
    problem = classification.read(context, "customers")
    found = classification.run(problem, settings, context)
    if problem.schema.time is not None:  # several snapshots of a customer
        found |= classification.time_ordered(problem, settings, context)
    return found


STAGE = Stage("churn", ClassifierSettings, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
