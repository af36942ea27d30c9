"""One shard: rows in, decisions out, batch by batch, written whole or not at all."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath

from retentionjax import storage
from retentionjax.bundle import Bundle, drift
from retentionjax.bundle.program import VALUES
from retentionjax.data.spelling import composed
from retentionjax.decide.customer import unknown
from retentionjax.decide.draws import place, uniform
from retentionjax.decide.facts import Facts
from retentionjax.decide.own_columns import is_number, is_text
from retentionjax.decide.program import Decider, sample
from retentionjax.decide.record_facts import FactFault, Features
from retentionjax.env import actions
from retentionjax.env.actions import WAIT
from retentionjax.errors import DataError
from retentionjax.score.plan import Plan, Shard
from retentionjax.score.source import ScoredFile, open_parquet

BATCH = 4096
"""Rows decided at once: their numbers stay in the cache, and the program's start costs nothing beside them."""
_WRITTEN = 65_536
"""Rows of a row group of the output; so many decisions are held in memory."""
_MARK = b"retentionjax"
_REJECTS = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("wrong", pa.string()),
    ]
)


@dataclass(frozen=True)
class Count:
    """Counts of a shard, kept in the footer of its part."""

    rows: int
    """Rows that were decided."""
    rejected: int
    """Rows that were left out."""
    contacts: int
    """Decisions to contact."""
    expected_spend: float
    """$, the policy's own expectation over all its rows."""
    held_out: int = 0
    unseen: Mapping[str, int] = field(default_factory=dict)
    """Column → decided rows whose category was not there in training."""
    beyond: int = 0
    """Decided rows whose charge is less or more than any in training."""
    usual: int = 0
    """Decided rows whose usual risk is known."""

    def __add__(self, other: "Count") -> "Count":
        """Counts of both together."""
        mine, theirs = asdict(self), asdict(other)
        unseen = dict(Counter(mine.pop("unseen")) + Counter(theirs.pop("unseen")))
        return Count(**{name: value + theirs[name] for name, value in mine.items()}, unseen=unseen)


NOTHING = Count(0, 0, 0, 0.0)


def schema(bundle: Bundle) -> pa.Schema:
    """Columns of the decisions. `action` as in `env.actions`; `offer`, a name, and the delay are null for *wait*.

    `reason` is `policy` or `holdout`; who is held out waits, and nothing is expected of the campaign.
    """
    acceptance = [(f"accept_probability_{name}", pa.float32()) for name in bundle.offers]
    return pa.schema(
        [
            ("customer_id", pa.string()),
            ("monthly_charge", pa.float64()),
            ("churn_probability", pa.float32()),
            *acceptance,
            ("contact", pa.bool_()),
            ("offer", pa.string()),
            ("delay_days", pa.int16()),
            ("action", pa.int16()),
            ("propensity", pa.float32()),
            ("propensities", pa.list_(pa.float32(), actions.count(bundle.params))),
            ("expected_uplift", pa.float32()),
            ("expected_spend", pa.float32()),
            ("expected_contacts", pa.float32()),
            ("reason", pa.string()),
            ("holdout", pa.bool_()),
        ]
    )


class Scorer:
    """A bundle made ready to decide shards; safe to share between threads."""

    def __init__(self, bundle: Bundle, plan: Plan, files: Mapping[str, ScoredFile], folder: epath.Path) -> None:
        self.bundle, self.plan, self.files, self.folder = bundle, plan, files, folder
        self._id = str(bundle.schema.id)
        self.schema, self._usual = schema(bundle), composed(plan.usual)
        self._decider = Decider(bundle, sizes=(BATCH,))
        self.facts = self._decider.facts
        self._range = drift.span(bundle, str(bundle.schema.charge))

    def score(self, shard: Shard) -> Count:
        """Decides a shard; its rejects lie in the folder before its part does.

        Raises DataError naming file, row and column of the first row that cannot be read, unless the plan skips
        such rows; then they are left out.
        """
        faults: list[tuple[int, FactFault]] = []
        odd: list[Count] = []
        count = NOTHING
        name = self.plan.sources[shard.source].name
        with storage.new_file(self.folder / shard.part) as partial:
            with pq.ParquetWriter(str(partial), self.schema, compression="zstd") as writer:
                for decided in _joined(self._decisions(shard, self.files[name], faults, odd)):
                    writer.write_table(decided)
                    count += _count(decided)
                count = sum(odd, count + Count(0, len(faults), 0, 0.0))
                mark = {"plan": self.plan.id, "shard": shard.number, **asdict(count)}
                writer.add_key_value_metadata({_MARK: json.dumps(mark).encode()})
            if faults:
                _write_rejects(self.folder / shard.rejects, name, faults)
        return count

    def warm(self) -> None:
        """Compiles the program."""
        self._decider.warm(baseline=False)

    def _decisions(
        self, shard: Shard, source: ScoredFile, faults: list[tuple[int, FactFault]], odd: list[Count]
    ) -> Iterator[pa.RecordBatch]:
        """Batch by batch; rows that are skipped are added to `faults` with their number in the file, from 1, and what
        training never saw to `odd`."""
        for first, rows in self._read(shard, source):
            features, wrong = self.facts.table(rows, usual=self._usual)
            numbered = [(first + row + 1, fault) for row, fault in wrong]
            if numbered and self.plan.on_error == "stop":
                row, fault = numbered[0]
                raise DataError(f"{source}, row {row}, {fault}")
            faults += numbered
            if features.customer_id:
                beyond = drift.beyond(self._range, features.monthly_charge)
                usual = 0 if features.usual is None else int(np.isfinite(features.usual).sum())
                odd.append(Count(0, 0, 0, 0.0, unseen=features.unseen, beyond=beyond, usual=usual))
                yield self.decide(features)

    def decide(self, features: Features) -> pa.RecordBatch:
        """Decisions about customers of whom nothing is known but their facts and usual risks; see `schema`."""
        rows = len(features.customer_id)
        customers = unknown(rows, day=self.plan.day)
        if features.usual is not None:
            customers = customers._replace(usual=features.usual.astype(np.float32))
        holdout, salt = self.plan.holdout, self.plan.salt
        held_out = np.array([bool(holdout) and place(salt, each) < holdout for each in features.customer_id])
        conditions = self._decider.open(rows)
        conditions.allowed[held_out, 1:] = False
        decided = self._decider.decide(features, customers, conditions)
        drawn = [uniform(each, self.plan.campaign, self.plan.day) for each in features.customer_id]
        action = sample(decided.propensities, np.array(drawn))
        waits, params, names = action == WAIT, self.bundle.params, np.array(list(self.bundle.offers))
        offer, delay = np.divmod(np.where(waits, 0, action - 1), actions.delays(params))
        values = dict(zip(VALUES, np.where(held_out, 0, decided.values.T), strict=True))
        acceptance = decided.observation[:, 1 : 1 + len(names)]
        columns = [
            pa.array(features.customer_id, pa.string()),
            features.monthly_charge,
            decided.churn_probability,
            *acceptance.T,
            ~waits,
            pa.array(names[offer], pa.string(), mask=waits),
            pa.array(np.asarray(params.delays, np.int16)[delay], mask=waits),
            action.astype(np.int16),
            decided.propensities[np.arange(rows), action],
            pa.FixedSizeListArray.from_arrays(pa.array(decided.propensities.ravel()), actions.count(params)),
            values["uplift"],
            values["campaign_budget"],
            values["contact"],
            np.where(held_out, "holdout", "policy"),
            held_out,
        ]
        arrays = [each if isinstance(each, pa.Array) else pa.array(each) for each in columns]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _read(self, shard: Shard, source: ScoredFile) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of the shard's rows, each with the number of its first row in the file, from 0."""
        found = source.columns
        spelt = dict(zip(found.names, source.stored.names, strict=True))
        wanted = dict.fromkeys((*self.facts.read(found.names), *([self._usual] if self._usual else [])))
        dictionaries, numbered = self.facts.dictionaries(found), self.facts.lacks_ids(found.names)
        with source.open(read_dictionary=[spelt[name] for name in dictionaries]) as file:
            groups, first = _groups(file, shard)
            last = shard.first + shard.rows
            for rows in file.iter_batches(BATCH, row_groups=groups, columns=[spelt[name] for name in wanted]):
                start, stop = max(first, shard.first), min(first + rows.num_rows, last)
                if start < stop:
                    part = rows.slice(start - first, stop - start)
                    part = part.rename_columns([composed(name) for name in part.schema.names])
                    yield start, self._numbered(part, shard, start) if numbered else part
                first += rows.num_rows
                if first >= last:
                    return
            raise DataError(f"{source}: ends before row {last}; it changed since the plan was made")

    def _numbered(self, rows: pa.RecordBatch, shard: Shard, first: int) -> pa.RecordBatch:
        """Rows of a file without ids, each called by its number in it, from 0, and by the file where there are more."""
        file = f"{self.plan.sources[shard.source].name}:" if len(self.plan.sources) > 1 else ""
        return rows.append_column(self._id, pa.array([f"{file}{first + row}" for row in range(rows.num_rows)]))


def read_count(path: epath.Path, plan: Plan, shard: Shard) -> Count | None:
    """What the part at `path` says of itself; None where there is none. Raises DataError for another plan's part."""
    if not path.exists():
        return None
    with open_parquet(path) as file:
        mark = (file.metadata.metadata or {}).get(_MARK)
    found: Mapping[str, Any] = json.loads(mark) if mark else {}
    if (found.get("plan"), found.get("shard")) != (plan.id, shard.number):
        raise DataError(f"{path}: not written by this run; remove it, or name another --out")
    return Count(**{name: found.get(name, nothing) for name, nothing in asdict(NOTHING).items()})


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches in tables of about `_WRITTEN` rows: a row group of a few thousand is slow to write and to read."""
    held: list[pa.RecordBatch] = []
    for each in batches:
        held.append(each)
        if sum(batch.num_rows for batch in held) >= _WRITTEN:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _count(decided: pa.Table) -> Count:
    spend = decided.column("expected_spend").to_numpy().sum(dtype=np.float64)
    contacts, held_out = (int(pc.sum(decided.column(name)).as_py()) for name in ("contact", "holdout"))
    return Count(decided.num_rows, 0, contacts, float(spend), held_out)


def check(facts: Facts, usual: str, source: ScoredFile) -> None:
    """Raises DataError unless the columns of a file hold what is read of them."""
    found = source.columns
    ids = pa.field(str(facts.schema.id), pa.string())
    facts.check(found.append(ids) if facts.lacks_ids(found.names) else found, str(source))
    if usual:
        _check_usual(composed(usual), facts, source)


def _check_usual(column: str, facts: Facts, source: ScoredFile) -> None:
    """Raises DataError unless the column is there and can hold numbers."""
    found = source.columns
    if column not in found.names:
        raise DataError(f"{source}: the column {column!r}, which --usual names, is missing; allowed: {found.names}")
    kind = found.field(column).type
    if not is_number(kind) and not pa.types.is_null(kind) and not (is_text(kind) and column not in facts.columns):
        raise DataError(f"{source}, column {column!r}: holds {kind}; allowed: numbers, for --usual names it")


def _groups(file: pq.ParquetFile, shard: Shard) -> tuple[list[int], int]:
    """Row groups that hold rows of the shard, and the number of the first row of the first of them."""
    groups: list[int] = []
    first = before = 0
    for group in range(file.metadata.num_row_groups):
        after = before + file.metadata.row_group(group).num_rows
        if before < shard.first + shard.rows and after > shard.first:
            first = first if groups else before
            groups.append(group)
        before = after
    return groups, first


def _write_rejects(path: epath.Path, name: str, faults: list[tuple[int, FactFault]]) -> None:
    rows = [
        {"file": name, "row": row, "column": fault.field, "value": str(fault.value), "wrong": fault.wrong}
        for row, fault in faults
    ]
    with storage.new_file(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=_REJECTS), str(partial))
