"""Making a bundle: written into a temporary folder, loaded back as serving will, and only then given its name.

A bundle is also made of another by putting its models right on average: the same policy and the same ranking, other
probabilities. What the policy sees are calibrated probabilities. Where more customers leave or fewer accept than was
predicted, a shift of all log-odds restores them on average (recalibration in the large; Steyerberg et al. 2004), from
far fewer outcomes than a newly trained model needs. Where offers tempt more or less than is believed, their appeal is
scaled, and the level of acceptance is shifted apart from it. The ranking of customers stays: where that went wrong,
train anew.
"""

import dataclasses
import datetime as dt
import importlib.metadata
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from etils import epath

import retentionjax
from retentionjax import storage
from retentionjax.bundle import customer, drift, loading, manifest, program
from retentionjax.bundle.manifest import Manifest
from retentionjax.company import Company
from retentionjax.data.schema import Provenance, Schema
from retentionjax.env import record
from retentionjax.env.multipliers import MultiplierTable
from retentionjax.env.types import EnvParams
from retentionjax.errors import DataError
from retentionjax.shield.rules import language_file, load_rules
from retentionjax.tabular.classifier import Classifier
from retentionjax.tabular.drift import Reference

PACKAGES = ("jax", "jaxlib", "flax", "orbax-checkpoint", "xgboost-cpu", "xgboost", "numpy", "pandas", "scikit-learn")


@dataclass(frozen=True)
class Contents:
    """All that goes into a bundle."""

    churn: Classifier
    churn_schema: Schema
    acceptance: Classifier
    acceptance_schema: Schema
    decide: program.Decide
    """The policy, see `bundle.program`; bias and mask are its own business."""
    save_policy: Callable[[epath.Path], None]
    """Writes the policy's parameters into an existing folder, for those who want to train or evaluate it further."""
    company: Company
    params: EnvParams
    """With one entry an offer of the company, in its order."""
    limits: Mapping[str, float | None]
    multipliers: Mapping[str, float]
    data: Mapping[str, Provenance]
    """By data set."""
    metrics: Mapping[str, Mapping[str, Any]]
    """By stage."""
    matching: Mapping[str, Any]
    git_commit: str | None
    rules: epath.Path | None = None
    """The shield's YAML file, with those of its languages beside it; None: a bundle that only decides."""
    any_budget: tuple[program.DecideAtMultiplier, MultiplierTable] | None = None
    """The policy for any budget and its multipliers, see `bundle.program`; None: a bundle for one budget."""
    save_language: Callable[[epath.Path], None] | None = None
    """Writes adapter and base reference (`language.writer.save`) into an existing folder."""
    references: Mapping[str, Reference] = field(default_factory=dict)
    """What the training rows of `churn` and `acceptance` looked like, see `bundle.drift`."""


def write(folder: str | os.PathLike[str], contents: Contents, *, replace: bool = False) -> Manifest:
    """Writes the bundle and returns its manifest. Nothing is at `folder` unless all of it could be loaded back.

    Raises RetentionJaxError when `folder` exists and `replace` is false; BundleError when the contents do not fit
    together.
    """
    described = customer.describe(contents.churn_schema, contents.acceptance_schema)
    with storage.new_folder(folder, replace=replace) as new:
        contents.churn.save(new / "churn")
        contents.acceptance.save(new / "acceptance")
        drift.write(new, contents.references)
        (new / "policy").mkdir()
        contents.save_policy(new / "policy")
        storage.write_bytes(new / loading.PROGRAM, program.build(contents.decide, contents.params))
        if contents.any_budget is not None:
            program.write_any_budget(new, *contents.any_budget, contents.params)
        _write_messages(new, contents)
        written = Manifest(
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            git_commit=contents.git_commit,
            packages=versions(),
            synthetic=any(each.kind == "synthetic" for each in contents.data.values()),
            data={name: asdict(each) for name, each in contents.data.items()},
            metrics={stage: dict(summary) for stage, summary in contents.metrics.items()},
            env=record.to_dict(contents.params),
            limits=dict(contents.limits),
            multipliers=dict(contents.multipliers),
            matching=dict(contents.matching),
            customer=described,
            company=contents.company.to_dict(),
            parts=tuple(part for part in manifest.PARTS if (new / part).is_dir()),
            files=manifest.describe_files(new),
        )
        storage.write_json(new / manifest.NAME, written.to_dict())
        loading.load(new)
    return written


def with_metrics(
    source: str | os.PathLike[str], target: str | os.PathLike[str], metrics: Mapping[str, Mapping[str, Any]]
) -> Manifest:
    """Writes the bundle `source` to `target` with what was measured of it since, by stage; it decides as before.

    What is at `target` is replaced. Raises BundleError for a source that is no bundle.
    """
    old = loading.load(source)
    with storage.new_folder(target, replace=True) as new:
        for file in old.manifest.files:
            storage.write_bytes(new / file, (old.folder / file).read_bytes())
        written = replace(old.manifest, metrics={**old.manifest.metrics, **metrics})
        storage.write_json(new / manifest.NAME, written.to_dict())
        loading.load(new)
    return written


def _write_messages(new: epath.Path, contents: Contents) -> None:
    """The parts `shield` and `language`, where there are any."""
    if contents.rules is not None:
        (new / "shield").mkdir()
        source, target = contents.rules, new / loading.RULES
        storage.write_text(target, source.read_text())
        for language in load_rules(source).languages:
            storage.write_text(language_file(target, language), language_file(source, language).read_text())
    if contents.save_language is not None:
        (new / "language").mkdir()
        contents.save_language(new / "language")


def versions() -> dict[str, str]:
    """Versions of the packages that make a bundle; one that is not installed is left out."""
    found = {"retentionjax": retentionjax.__version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # xgboost has two names, of which a machine has one
    return found


# --- models put right on average --------------------------------------------------------------------------------------

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


def _shifted(model: Classifier, log_odds: float) -> Classifier:
    return dataclasses.replace(model, calibrator=model.calibrator.shifted(log_odds), out_of_fold=None)
