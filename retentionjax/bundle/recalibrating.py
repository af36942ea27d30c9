"""A bundle whose models are put right on average: the same policy and the same ranking, other probabilities.

What the policy sees are calibrated probabilities. Where more customers leave or fewer accept than was predicted, a
shift of all log-odds restores them on average (recalibration in the large; Steyerberg et al. 2004), from far fewer
outcomes than a newly trained model needs. Where offers tempt more or less than is believed, their appeal is scaled, and
the level of acceptance is shifted apart from it. The ranking of customers stays: where that went wrong, train anew.
"""

import dataclasses
import datetime as dt
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from retentionjax import storage
from retentionjax.bundle import drift, loading, manifest
from retentionjax.bundle.manifest import Manifest
from retentionjax.bundle.writing import versions
from retentionjax.errors import DataError

STAGE = "recalibration"
"""Key under which the manifest's metrics say what was done."""


@dataclass(frozen=True)
class Shifts:
    """Added to the log-odds of each model, and what every offer's appeal is multiplied by."""

    churn: float
    acceptance: float
    appeal_factor: float = 1.0


def from_monitor(path: str | os.PathLike[str]) -> Shifts:
    """The shifts that `retentionjax monitor --json` found, 0 where it raised no alarm.

    Raises DataError naming the file for one that is not of that kind.
    """
    found = storage.read_json(path)

    def told(model: str, figure: str) -> float:
        compared = found.get(model) if isinstance(found, dict) else None
        value = compared.get(figure) if isinstance(compared, dict) else None
        if not isinstance(compared, dict) or isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(
                f"{os.fspath(path)}: {model}.{figure} is {value!r}; wanted: a file of `retentionjax monitor --json`"
            )
        return float(value)

    def is_alarm(model: str) -> bool:
        return bool(found[model].get("is_alarm"))

    churn, acceptance, level = told("churn", "shift"), told("acceptance", "shift"), told("appeal", "level")
    churn = churn if is_alarm("churn") else 0.0
    if is_alarm("appeal"):  # fitted together with the level, which is another without it
        return Shifts(churn, level, told("appeal", "factor"))
    return Shifts(churn, acceptance if is_alarm("acceptance") else 0.0)


def warning(shifts: Shifts, env: Mapping[str, Any]) -> str:
    """That campaigns which run already read the new scores amiss; empty where the shift of churn is too small for that.

    They keep each customer's first score as her usual risk. Trouble is a hazard over the usual one that is nearer to an
    elevated day's than to a calm day's, √ρ/(1 − π + ρπ) or more, and e^shift is what recalibration alone makes of it.
    """
    ratio = env["risk_ratio"]
    share = env["risk_onset"] / (env["risk_onset"] + env["risk_recovery"])
    calm = 1 - share + ratio * share
    limit, trouble = math.log(math.sqrt(ratio) / calm), math.log(ratio / calm)
    who = "everybody of low risk" if shifts.churn > limit else "nobody" if trouble + shifts.churn < limit else ""
    told = f"{who} is in trouble by the new scores beside them. Begin a new campaign with this bundle"
    return f"campaigns that run keep the usual risks that the old scores told: {told}" if who else ""


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
            model.shifted(getattr(shifts, name)).save(new / name)
        drift.write(new, drift.read(old))
        appeal = np.asarray(old.manifest.env["appeal"]) * shifts.appeal_factor
        done = {
            "from_bundle": old.manifest.id,
            "churn_log_odds": shifts.churn,
            "acceptance_log_odds": shifts.acceptance,
            "appeal_factor": shifts.appeal_factor,
        }
        written = dataclasses.replace(
            old.manifest,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            packages=versions(),
            metrics={**old.manifest.metrics, STAGE: done},
            env={**old.manifest.env, "appeal": appeal.tolist()},
            files=manifest.describe_files(new),
        )
        storage.write_json(new / manifest.NAME, written.to_dict())
        loading.load(new)
    return written
