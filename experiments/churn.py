"""Trains the churn model: P(a customer leaves), calibrated.

Cross-validated on all rows with the calibration nested inside; the model that is kept has seen the train split only.
"""

import sys

from experiments import classification
from experiments.classification import ClassifierSettings
from experiments.stage import Context, Stage
from retentionjax.data import leaks


def run(settings: ClassifierSettings, context: Context) -> dict[str, float]:
    """See classification.run; the summary's keys are `cv_…`, `held_out_…` and `leak_…`, of columns that tell all."""
    problem = classification.read(context, "customers")
    found = classification.run(problem, settings, context)
    if problem.schema.time is not None:  # several snapshots of a customer
        found |= classification.time_ordered(problem, settings, context)
    columns = leaks.telling(
        problem.frame, problem.label, problem.schema.numeric, tuple(problem.schema.categorical), found["cv_auc"]
    )
    if columns:
        print(f"[churn] WARNING: {leaks.words(columns)}", file=sys.stderr, flush=True)
    return found | {f"{leaks.KEY}{name}": value for name, value in columns.items()}


STAGE = Stage("churn", ClassifierSettings, run, needs=("data",))

if __name__ == "__main__":
    STAGE.main()
