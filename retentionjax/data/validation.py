"""Raw columns against a schema: what comes out can be trusted, what cannot is one clear error."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from retentionjax.data.reading import RawTable
from retentionjax.data.schema import Schema
from retentionjax.data.table import typed
from retentionjax.errors import DataError


def validate(
    raw: RawTable,
    schema: Schema,
    *,
    ignore: Sequence[str] = (),
    both_classes: bool = True,
    unique_ids: bool = True,
) -> pd.DataFrame:
    """The typed frame of a Table (see there) from `raw`, which must hold `schema.columns` and, besides, `ignore` only.

    Raises DataError with file, line, column, value and what is allowed for: a missing or extra column, a number
    that is none or not finite, a category, label or arm outside its list, an empty cell where none may be, an id
    used twice (`unique_ids`), a charge of 0 or less, an offer outside [0, 1), and a label or outcome with one value
    only (`both_classes`).
    """
    check_columns(raw, schema.columns, ignore)
    columns: dict[str, Sequence[object] | np.ndarray] = {}
    if schema.id is not None:
        columns[schema.id] = _ids(raw, schema.id, unique_ids)
    for name in (each for each in (*schema.numeric, *schema.measures) if each != schema.charge):
        columns[name] = numbers(raw, name, nullable=name in schema.nullable)
    for name, allowed in schema.categorical.items():
        columns[name] = members(raw, name, allowed, nullable=name in schema.nullable)
    if schema.charge is not None:
        columns[schema.charge] = numbers(raw, schema.charge, accept=lambda x: x > 0, allowed="dollars above 0")
    if schema.treatment is not None:
        columns[schema.treatment] = members(raw, schema.treatment, schema.arms)
    if schema.offer is not None:
        fraction = "a fraction of the charge, 0.1 for 10 %, from 0 to below 1"
        columns[schema.offer] = numbers(raw, schema.offer, accept=lambda x: (x >= 0) & (x < 1), allowed=fraction)
    if schema.outcome is not None and schema.outcome != schema.label:
        columns[schema.outcome] = _flags(raw, schema.outcome, "1", "0", both_classes)
    if schema.label is not None:
        columns[schema.label] = _flags(raw, schema.label, schema.positive, schema.negative, both_classes)
    return typed(schema, columns)


def check_columns(raw: RawTable, wanted: Sequence[str], ignore: Sequence[str] = ()) -> None:
    """Raises DataError unless `raw` has exactly the `wanted` columns, those of `ignore` aside."""
    if missing := [name for name in wanted if name not in raw.columns]:
        has = ", ".join(raw.columns)
        raise DataError(f"{raw.where}: the column {missing[0]!r} is missing ({len(missing)} in all); it has {has}")
    if extra := [name for name in raw.columns if name not in wanted and name not in ignore]:
        more = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        raise DataError(f"{raw.where}: unknown column {extra[0]!r}{more}; allowed: {', '.join(wanted)}")


def numbers(
    raw: RawTable,
    name: str,
    *,
    nullable: bool = False,
    accept: Callable[[np.ndarray], np.ndarray] | None = None,
    allowed: str = "a finite number",
) -> np.ndarray:
    """The column as float64[rows], missing as NaN. Raises DataError for what is no finite number or not `accept`ed."""
    values = raw.columns[name]
    if isinstance(values, list):
        missing = np.array([not text or text.isspace() for text in values])
        result = _parse(raw, name, values, missing, f"{allowed}{'; the cell may be empty' * nullable}")
    else:
        result = np.asarray(values, dtype=np.float64)
        missing = np.isnan(result)

    def refuse(bad: np.ndarray, wrong: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            raise raw.refuse(name, row, "" if missing[row] else raw.texts(name)[row], wrong, allowed)

    if not nullable:
        refuse(missing, "is missing")
    refuse(~np.isfinite(result) & ~missing, "is not finite")
    if accept is not None:
        refuse(~accept(result) & ~missing, "is out of range")
    return result


def _parse(raw: RawTable, name: str, texts: list[str], missing: np.ndarray, allowed: str) -> np.ndarray:
    """float64[rows] of texts, NaN where `missing`; Python's own extras, such as 1_000, are no numbers here."""
    filled = ["nan" if gone else text for text, gone in zip(texts, missing.tolist(), strict=True)]
    joined = "".join(filled)
    if joined.isascii() and "_" not in joined:
        try:
            return np.array(filled).astype(np.float64)
        except ValueError:
            pass  # one of them is no number: which, the search below tells
    for row, text in enumerate(filled):
        if not _is_number(text):
            raise raw.refuse(name, row, text, "is not a number", allowed)
    raise AssertionError(f"{name}: the column holds no number but every cell does")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text


def members(raw: RawTable, name: str, allowed: Sequence[str], *, nullable: bool = False) -> list[str | None]:
    """The column as text, missing as None. Raises DataError for a value that is not one of `allowed`."""
    known: dict[str, str | None] = {value: value for value in allowed}
    if nullable and "" not in known:
        known[""] = None
    texts = raw.texts(name)
    for row, value in enumerate(texts):
        if value not in known:
            wrong = "is missing" if value == "" else "is an unknown category"
            raise raw.refuse(name, row, value, wrong, listing(allowed))
    return [known[value] for value in texts]


def listing(allowed: Sequence[str], most: int = 20) -> str:
    """`allowed` for a message, cut after `most`."""
    shown = ", ".join(repr(value) for value in allowed[:most])
    return shown if len(allowed) <= most else f"{shown} and {len(allowed) - most} more"


def _ids(raw: RawTable, name: str, unique: bool) -> list[str]:
    first: dict[str, int] = {}
    ids = raw.texts(name)
    for row, value in enumerate(ids):
        if not value.strip():
            raise raw.refuse(name, row, value, "is missing", "an id in every row")
        if unique and value in first:
            earlier = f"{raw.unit} {raw.places[first[value]]}"
            raise raw.refuse(name, row, value, f"is the id of {earlier} too", "every id once")
        first[value] = row
    return ids


def _flags(raw: RawTable, name: str, positive: str, negative: str, both_classes: bool) -> list[int]:
    texts = members(raw, name, (negative, positive))
    if both_classes and len(set(texts)) < 2:
        both = listing((negative, positive))
        raise DataError(f"{raw.where}, column {name!r}: every row is {texts[0]!r}; there must be rows of both {both}")
    return [int(value == positive) for value in texts]
