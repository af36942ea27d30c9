"""Loads the data sets, checks them, splits them 80/10/10 and writes Parquet: `artifacts/<set>/<split>.parquet`.

Official files where they can be had; the embedded generator under `--data synthetic`, and under `--data auto` when a
set the run needs can be had nowhere. Then every set is synthetic: real and made-up customers are never mixed.
"""

import sys
from dataclasses import dataclass

from experiments.config import DataMode, in_range
from experiments.stage import Context, Outside, Stage
from retentionjax.data import catalog, sources, synthetic
from retentionjax.data.loading import load
from retentionjax.data.table import Table
from retentionjax.errors import ConfigError, DataError


@dataclass(frozen=True)
class DataConfig:
    """The gates stop a run whose data are not what they should be; floors are the predecessor's."""

    seed: int = 42
    """Of the splits."""
    sets: tuple[str, ...] = ("telco", "bank")
    """What the run needs."""
    extra: tuple[str, ...] = ("hillstrom",)
    """Prepared too where it can be had, and said to be left out where it cannot; no stage of the run needs it."""
    synthetic_rows: int | None = None
    """Of each made-up set; None: as many as the real one has."""
    minimum_telco_rows: int = 5_000
    minimum_bank_rows: int = 30_000
    churn_rate_low: float = 0.1
    churn_rate_high: float = 0.6

    def __post_init__(self) -> None:
        """Refuses unknown sets and rates that are no rates."""
        for name in (*self.sets, *self.extra):
            if name not in sources.SOURCES:
                raise ConfigError(f"no data set is called {name!r}; allowed: {', '.join(sources.SOURCES)}")
        in_range("churn_rate_low", self.churn_rate_low, 0.0, 1.0)
        in_range("churn_rate_high", self.churn_rate_high, self.churn_rate_low, 1.0)


def outside(config: DataConfig, mode: DataMode) -> Outside:
    """Which sets there are, real or synthetic, and the hash of each; downloads what is missing. See Stage."""
    if mode == "synthetic":
        return _synthetic(config)
    try:
        hashes = {name: sources.obtain(name).sha256 for name in config.sets}
    except sources.UnavailableError as error:
        if mode == "real":
            raise
        print(f"WARNING: {error}\nWARNING: going on with SYNTHETIC data for every set", file=sys.stderr, flush=True)
        return _synthetic(config)
    for name in config.extra:
        try:
            hashes[name] = sources.obtain(name).sha256
        except sources.UnavailableError as error:
            print(f"[data] {name} is left out; no stage of this run needs it: {error}", file=sys.stderr, flush=True)
    return Outside("real", hashes)


def run(config: DataConfig, context: Context) -> dict[str, float]:
    """Writes `catalog.json` and the splits of every set into the artifacts; rows and rates as the summary."""
    summary: dict[str, float] = {}
    for name in _names(config, context.data_source):
        table = load(name, mode=context.data_source, synthetic_rows=config.synthetic_rows)
        check(config, table)
        catalog.prepare(table, context.artifacts, seed=config.seed)
        entry = catalog.entries(context.artifacts)[name]
        summary[f"{name}_rows"] = len(table.frame)
        summary[f"{name}_rate"] = float(table.frame[table.schema.label].mean())
        summary[f"{name}_duplicate_rows"] = entry["duplicate_rows"]
        summary |= {f"{name}_{part}_rows": each["rows"] for part, each in entry["splits"].items()}
    return summary


def check(config: DataConfig, table: Table) -> None:
    """Raises DataError when a table has fewer rows, or another churn rate, than the gates allow."""
    minimum = {"telco": config.minimum_telco_rows, "bank": config.minimum_bank_rows}.get(table.name, 1)
    if len(table.frame) < minimum:
        raise DataError(f"gate: {table.name} has {len(table.frame):,} rows; allowed: {minimum:,} or more")
    if table.name == "telco":
        rate = float(table.frame["Churn"].mean())
        low, high = config.churn_rate_low, config.churn_rate_high
        if not low <= rate <= high:
            raise DataError(f"gate: the churn rate of telco is {rate:.4f}; allowed: {low:g} to {high:g}")


def _names(config: DataConfig, source: str) -> tuple[str, ...]:
    if source == "synthetic":
        return config.sets
    at_hand = [name for name in config.extra if _at_hand(name)]
    return (*config.sets, *at_hand)


def _at_hand(name: str) -> bool:
    """Whether the set is on disk; what `outside` could not download is not tried again."""
    source = sources.source(name)
    return any(sources.locate(source, place) for place, _ in sources.places(sources.cache_folder()))


def _synthetic(config: DataConfig) -> Outside:
    if missing := [name for name in config.sets if name not in synthetic.NAMES]:
        raise DataError(f"the data set {missing[0]!r} has no synthetic form; allowed: {', '.join(synthetic.NAMES)}")
    return Outside("synthetic", dict.fromkeys(config.sets, synthetic.figures_sha256()))


STAGE = Stage("data", DataConfig, run, outside=outside)

if __name__ == "__main__":
    STAGE.main()
