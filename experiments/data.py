"""Reads the company's files, checks them, splits them 80/10/10 and writes Parquet: `artifacts/<set>/<split>.parquet`.

Sets are `customers` and, where the company has a log, `contacts`; `artifacts/company.json` is the company itself.
Public sets come from their official files where they can be had; from the embedded generator under `--data synthetic`,
and under `--data auto` when one that the run needs can be had nowhere. Then every set is synthetic: real and made-up
customers are never mixed.
"""

import dataclasses
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import pandas as pd

from experiments import companies
from experiments.config import DataMode
from experiments.stage import Context, Outside, Stage
from retentionjax import storage
from retentionjax.checked import Checked, Count, Seed, Share, Within
from retentionjax.company import Company
from retentionjax.company.reading import SOURCE
from retentionjax.data import catalog, company_tables, reading, sources, synthetic
from retentionjax.data import check as check_words
from retentionjax.data.company_file import Mode
from retentionjax.data.schema import Table
from retentionjax.data.sources import load
from retentionjax.data.splits import follow, split
from retentionjax.errors import DataError


@dataclass(frozen=True)
class DataConfig(Checked):
    """The gates stop a run whose data are not what they should be."""

    company: str = "demo"
    """A company.yaml, or the name of one in experiments/companies."""
    seed: Seed = 42
    """Seed of the splits."""
    extra: tuple[str, ...] = ()
    """Public sets prepared too where they can be had; no stage of the run needs them."""
    synthetic_rows: Count | None = None
    """Rows of each made-up set; None: as many as the real one has."""
    minimum_customers: Annotated[int, Within()] = 50
    minimum_contacts: Annotated[int, Within()] = 50
    churn_rate_low: Share = 0.0
    churn_rate_high: Share = 1.0

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: unknown sets, and rates in the wrong order."""
        allowed = f"allowed: {', '.join(sources.SOURCES)}"
        unknown = [name for name in self.extra if name not in sources.SOURCES]
        swapped = self.churn_rate_low > self.churn_rate_high
        return [("extra", f"no data set is called {name!r}; {allowed}") for name in unknown] + [
            ("churn_rate_high", f"{self.churn_rate_high:g}; allowed: churn_rate_low, {self.churn_rate_low:g}, or more")
        ] * swapped


def outside(config: DataConfig, mode: DataMode) -> Outside:
    """The company's file and what it names, real or synthetic, and the hash of each; downloads what is missing."""
    company = companies.load(config.company)
    own = {"company": companies.sha256(company)}
    if mode == "synthetic":
        return _synthetic(company, own)
    try:
        hashes = own | {name: _sha256(part.file) for name, part in companies.parts(company).items()}
    except sources.UnavailableError as error:
        if mode == "real":
            raise
        print(f"WARNING: {error}\nWARNING: going on with SYNTHETIC data for every set", file=sys.stderr, flush=True)
        return _synthetic(company, own)
    for name in config.extra:
        try:
            hashes[name] = sources.obtain(name).sha256
        except sources.UnavailableError as error:
            print(f"[data] {name} is left out; no stage of this run needs it: {error}", file=sys.stderr, flush=True)
    return Outside("real", hashes)


def run(config: DataConfig, context: Context) -> dict[str, float]:
    """Writes the company and, with `catalog.json`, the splits of every set; rows and rates as the summary."""
    company = companies.load(config.company)
    storage.write_json(context.artifacts / companies.FILE, company.to_dict())
    tables = company_tables.read(company, mode=Mode(context.data_source, config.synthetic_rows))
    for line in (*tables.notes, *(f"WARNING: {each}" for each in check_words.warnings(company, tables))):
        print(f"[data] {line}", flush=True)
    customers = dataclasses.replace(tables.customers, name="customers")
    check(config, customers)
    splits = split(customers, config.seed)
    catalog.prepare(customers, context.artifacts, seed=config.seed, splits=splits)
    _write(context, "current", tables.current.frame)
    if tables.contacts is not None:
        responses = tables.contacts.responses
        check(config, responses)
        joined = tables.contacts.rank_correlation is None
        followed = follow(responses, customers, splits) if joined else None
        catalog.prepare(responses, context.artifacts, seed=config.seed, splits=followed)
        _write(context, "assignments", tables.contacts.assignments)
    if tables.departures is not None:
        _write(context, "departures", tables.departures)
    for name in config.extra if context.data_source == "real" else ():
        if _at_hand(name):
            catalog.prepare(load(name, mode="real"), context.artifacts, seed=config.seed)
    return summary(context) | {"current_rows": float(len(tables.current.frame))}


def _sha256(file: Any) -> str:
    if isinstance(file, str) and file.startswith(SOURCE):
        return sources.obtain(file.removeprefix(SOURCE)).sha256
    return reading.sha256(file)


def _write(context: Context, name: str, frame: pd.DataFrame) -> None:
    storage.write_bytes(context.artifacts / f"{name}.parquet", frame.to_parquet())


def summary(context: Context) -> dict[str, float]:
    """Rows of each set and split, and the share of positive labels."""
    found: dict[str, float] = {}
    for name, entry in catalog.entries(context.artifacts).items():
        found[f"{name}_rows"] = entry["rows"]
        parts = catalog.read(context.artifacts, name)
        frame = pd.concat([parts.train.frame, parts.validation.frame, parts.test.frame])
        if (label := parts.train.schema.label) is not None:
            found[f"{name}_rate"] = float(frame[label].mean())
        found[f"{name}_duplicate_rows"] = entry["duplicate_rows"]
        found |= {f"{name}_{part}_rows": each["rows"] for part, each in entry["splits"].items()}
    return found


def check(config: DataConfig, table: Table) -> None:
    """Raises DataError when a table has fewer rows, or another churn rate, than the gates allow."""
    minimum = config.minimum_customers if table.name == "customers" else config.minimum_contacts
    if len(table.frame) < minimum:
        raise DataError(f"gate: {table.name} has {len(table.frame):,} rows; allowed: {minimum:,} or more")
    if table.name == "customers":
        rate = float(table.frame[str(table.schema.label)].mean())
        low, high = config.churn_rate_low, config.churn_rate_high
        if not low <= rate <= high:
            raise DataError(f"gate: the churn rate is {rate:.4f}; allowed: {low:g} to {high:g}")


def _at_hand(name: str) -> bool:
    """Whether the set is on disk; what `outside` could not download is not tried again."""
    source = sources.source(name)
    return any(sources.locate(source, place) for place, _ in sources.places(sources.cache_folder()))


def _synthetic(company: Company, own: dict[str, str]) -> Outside:
    made = [f"{SOURCE}{name}" for name in synthetic.NAMES]
    parts = companies.parts(company)
    for name, part in parts.items():
        if part.file not in made:
            raise DataError(f"{name}.file, {part.file}, has no synthetic form; allowed: {', '.join(made)}")
    return Outside("synthetic", own | dict.fromkeys(parts, synthetic.figures_sha256()))


STAGE = Stage("data", DataConfig, run, outside=outside, places=("company",))

if __name__ == "__main__":
    STAGE.main()
