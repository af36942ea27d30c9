"""Making a bundle: written into a temporary folder, loaded back as serving will, and only then given its name."""

import datetime as dt
import importlib.metadata
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from etils import epath

import retentionjax
from retentionjax import storage
from retentionjax.bundle import customer, drift, loading, manifest, program
from retentionjax.bundle.manifest import Manifest
from retentionjax.company import Company
from retentionjax.data.schema import Provenance, Schema
from retentionjax.env import record
from retentionjax.env.types import EnvParams, MultiplierTable
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
    """Constants of the retention model, with one entry an offer of the company, in its order."""
    limits: Mapping[str, float | None]
    multipliers: Mapping[str, float]
    data: Mapping[str, Provenance]
    """Provenance by data set."""
    metrics: Mapping[str, Mapping[str, Any]]
    """Metrics by stage."""
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
