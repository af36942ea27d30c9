"""A log of decisions as a Parquet file, the form in which the service exports its ledger.

| column | type | meaning |
|---|---|---|
| `decision_id` | text | unique |
| `customer_id` | text | |
| `campaign_id` | text | the decisions about one customer in one campaign are an episode |
| `decided_at` | timestamp, UTC | orders an episode |
| `day` | int32 | of the campaign, from 0 |
| `observation` | list of float32 | what the policy saw (`env.observation.names`) |
| `mask` | list of booleans | true for each legal action |
| `propensities` | list of float32, as long | chance of each action; 0 where the mask forbids, they sum to 1 |
| `action` | int32 | what was chosen (`env.actions`) |
| `offer` | text or null | the offer of a contact, by name |
| `reward` | float64 or null | $ from this decision to the next about this customer; null until it is known |
| `bundle_id`, `policy_version`, `rules_version` | text | what decided |
"""

import io
import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retentionjax import storage
from retentionjax.errors import DataError
from retentionjax.evaluation.off_policy import log as logs
from retentionjax.evaluation.off_policy.log import DecisionLog

SCHEMA = pa.schema(
    [
        pa.field("decision_id", pa.string(), nullable=False),
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("campaign_id", pa.string(), nullable=False),
        pa.field("decided_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("day", pa.int32(), nullable=False),
        pa.field("observation", pa.list_(pa.float32()), nullable=False),
        pa.field("mask", pa.list_(pa.bool_()), nullable=False),
        pa.field("propensities", pa.list_(pa.float32()), nullable=False),
        pa.field("action", pa.int32(), nullable=False),
        pa.field("offer", pa.string(), nullable=True),
        pa.field("reward", pa.float64(), nullable=True),
        pa.field("bundle_id", pa.string(), nullable=False),
        pa.field("policy_version", pa.string(), nullable=False),
        pa.field("rules_version", pa.string(), nullable=False),
    ]
)
_VECTORS = ("observation", "mask", "propensities")


def read(path: str | os.PathLike[str]) -> DecisionLog:
    """The decisions in a Parquet file with the columns of `SCHEMA`; other columns are passed over.

    Raises DataError naming file, row, column and value for a column that is missing or of another kind, a list of
    another length, a decision twice, a null where none may be, or what `log.build` refuses.
    """
    where = os.fspath(path)
    table = _table(where)
    if not table.num_rows:
        raise DataError(f"{where}: no decision in it")
    _refuse_repeats(table, where)
    vectors = {name: _matrix(table, name, where) for name in _VECTORS}
    if vectors["mask"].shape != vectors["propensities"].shape:
        widths = " and ".join(str(vectors[name].shape[1]) for name in ("mask", "propensities"))
        raise DataError(f"{where}: mask and propensities have {widths} values; allowed: one for each action")
    campaign, customer = (
        table[name].to_numpy(zero_copy_only=False).astype(str) for name in ("campaign_id", "customer_id")
    )
    _, person = np.unique(customer, return_inverse=True)
    _, effort = np.unique(campaign, return_inverse=True)
    decided = table["decided_at"].cast(pa.int64()).to_numpy()  # in the file's own unit, for the order alone
    return logs.build(
        observation=vectors["observation"],
        mask=vectors["mask"].astype(bool),
        propensities=vectors["propensities"],
        action=table["action"].to_numpy(),
        reward=table["reward"].cast(pa.float64()).to_numpy(zero_copy_only=False),
        customer=person,
        episode=person * (int(effort.max()) + 1) + effort,
        step=np.argsort(np.argsort(decided, kind="stable")),  # at the same instant, the file's order
        where=where,
    )


def write(path: str | os.PathLike[str], columns: dict[str, Any]) -> None:
    """Writes decisions, one list or array a column of `SCHEMA`, as Parquet. Raises DataError for what does not fit."""
    if set(columns) != set(SCHEMA.names):
        stray = min(set(columns) ^ set(SCHEMA.names))
        raise DataError(f"{os.fspath(path)}: column {stray!r} is missing or unknown; wanted: {', '.join(SCHEMA.names)}")
    plain = {name: list(columns[name]) if name in _VECTORS else columns[name] for name in SCHEMA.names}
    try:
        table = pa.table(plain, schema=SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{os.fspath(path)}: {error}") from None
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    storage.write_bytes(path, buffer.getvalue())


def _table(where: str) -> Any:
    """The columns of `SCHEMA`, each of the right kind and without nulls but in `reward`."""
    try:
        table = pq.read_table(io.BytesIO(storage.as_path(where).read_bytes()))
    except FileNotFoundError:
        raise DataError(f"{where}: no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{where}: not a Parquet file: {str(error).splitlines()[0]}") from None
    for field in SCHEMA:
        if field.name not in table.column_names:
            raise DataError(f"{where}: column {field.name!r} is missing; wanted: {', '.join(SCHEMA.names)}")
        found = table.schema.field(field.name).type
        if not (_is_kind(found, field.type) or (field.nullable and pa.types.is_null(found))):  # all of it is null
            raise DataError(f"{where}: column {field.name!r} is of type {found}; wanted: {field.type}")
        if not field.nullable and table[field.name].null_count:
            row = int(np.argmax(table[field.name].is_null().to_numpy(zero_copy_only=False)))
            raise DataError(f"{where}: row {row}, column {field.name!r}: null; allowed: a value")
    return table


def _is_kind(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Alike but for widths of numbers, of text offsets and of lists."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_timestamp, _is_text, _is_list)
    if _is_list(found) and _is_list(wanted):
        return _is_kind(found.value_type, wanted.value_type)
    return bool(found == wanted or any(kind(found) and kind(wanted) for kind in kinds))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _matrix(table: Any, name: str, where: str) -> np.ndarray:
    """A column of lists of one length as a matrix."""
    column = table[name].combine_chunks()
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    width = int(lengths[0])
    if not width:
        raise DataError(f"{where}: row 0, column {name!r}: no values; allowed: one or more")
    if (lengths != width).any():
        row = int(np.argmax(lengths != width))
        raise DataError(f"{where}: row {row}, column {name!r}: {lengths[row]} values; allowed: {width}")
    values = column.flatten()
    if values.null_count:
        row = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False))) // width
        raise DataError(f"{where}: row {row}, column {name!r}: a null among its values; allowed: none")
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, width)


def _refuse_repeats(table: Any, where: str) -> None:
    names = table["decision_id"].to_numpy(zero_copy_only=False).astype(str)
    _, first = np.unique(names, return_index=True)
    if len(first) < len(names):
        again = np.ones(len(names), bool)
        again[first] = False
        row = int(np.argmax(again))
        raise DataError(f"{where}: row {row}, column 'decision_id': {str(names[row])!r} stands twice; allowed: once")
