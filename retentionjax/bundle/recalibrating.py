"""A bundle whose models are put right on average: the same policy and the same ranking, other probabilities.

What the policy sees are calibrated probabilities. Where more customers leave or fewer accept than was predicted, a
shift of all log-odds restores them on average (recalibration in the large; Steyerberg et al. 2004), from far fewer
outcomes than a newly trained model needs. The ranking of customers stays: where that went wrong, train anew.
"""

import dataclasses
import datetime as dt
import os
from dataclasses import asdict, dataclass

from retentionjax import storage
from retentionjax.bundle import drift, loading, manifest
from retentionjax.bundle.manifest import Manifest
from retentionjax.bundle.writing import versions
from retentionjax.errors import DataError
from retentionjax.tabular.classifier import Classifier

STAGE = "recalibration"
"""Key under which the manifest's metrics say what was done."""


@dataclass(frozen=True)
class Shifts:
    """Added to the log-odds of each model."""

    churn: float
    acceptance: float


def from_monitor(path: str | os.PathLike[str]) -> Shifts:
    """The shifts that `retentionjax monitor --json` found, 0 where it raised no alarm.

    Raises DataError naming the file for one that is not of that kind.
    """
    found = storage.read_json(path)
    shifts = {}
    for name in ("churn", "acceptance"):
        compared = found.get(name) if isinstance(found, dict) else None
        shift = compared.get("shift") if isinstance(compared, dict) else None
        if not isinstance(compared, dict) or isinstance(shift, bool) or not isinstance(shift, int | float):
            raise DataError(
                f"{os.fspath(path)}: {name}.shift is {shift!r}; wanted: a file of `retentionjax monitor --json`"
            )
        shifts[name] = float(shift) if compared.get("is_alarm") else 0.0
    return Shifts(**shifts)


def recalibrate(source: str | os.PathLike[str], target: str | os.PathLike[str], shifts: Shifts) -> Manifest:
    """Writes the bundle `source` with shifted models to `target`, whole or not at all.

    Raises BundleError for a source that is no bundle, RetentionJaxError if `target` exists, DataError for shifts that
    are no numbers.
    """
    old = loading.load(source)
    with storage.new_folder(target) as new:
        for file in old.manifest.files:
            if file.partition("/")[0] not in ("churn", "acceptance"):
                storage.write_bytes(new / file, (old.folder / file).read_bytes())
        for name, model in (("churn", old.churn), ("acceptance", old.acceptance)):
            _shifted(model, getattr(shifts, name)).save(new / name)
        drift.write(new, drift.read(old))
        done = {"from_bundle": old.manifest.id, **{f"{name}_log_odds": each for name, each in asdict(shifts).items()}}
        written = dataclasses.replace(
            old.manifest,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            packages=versions(),
            metrics={**old.manifest.metrics, STAGE: done},
            files=manifest.describe_files(new),
        )
        storage.write_json(new / manifest.NAME, written.to_dict())
        loading.load(new)
    return written


def _shifted(model: Classifier, log_odds: float) -> Classifier:
    return dataclasses.replace(model, calibrator=model.calibrator.shifted(log_odds), out_of_fold=None)
