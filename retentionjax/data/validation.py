"""Raw columns against a schema: what comes out can be trusted, what cannot is told, all of it at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from retentionjax.checked import did_you_mean, listing, nearest
from retentionjax.data.cells import Cells
from retentionjax.data.faults import FilesError
from retentionjax.data.reading import RawTable
from retentionjax.data.schema import Schema, typed
from retentionjax.data.spelling import plain

MONEY = "an amount above 0"


def validate(raw: RawTable, schema: Schema, *, ignore: Sequence[str] = ()) -> pd.DataFrame:
    """The typed frame of a Table (see there) from `raw`, which must hold `schema.columns` and, besides, `ignore` only.

    Raises FilesError with every fault, by file, line, column, value and what is allowed: a missing or extra column, a
    number that is none or not finite, a category, label or arm outside its list, an empty cell where none may be, an
    id used twice, a charge of 0 or less, and a label with one value only.
    """
    cells = Cells(raw)
    check_columns(cells, schema.columns, ignore)
    if cells.faults:
        raise FilesError(cells.faults)
    numeric = [name for name in schema.numeric if name != schema.charge]
    columns = facts(cells, numeric, schema.categorical, schema.nullable)
    if schema.id is not None:
        columns[schema.id] = ids = cells.ids(schema.id)
        cells.once(schema.id, ids)
    for name in schema.measures:
        columns[name] = cells.numbers(name)
    if schema.charge is not None:
        columns[schema.charge] = cells.numbers(schema.charge, accept=lambda x: x > 0, allowed=MONEY)
    if schema.treatment is not None:
        columns[schema.treatment] = cells.categories(schema.treatment, schema.arms)
    if schema.outcome is not None and schema.outcome != schema.label:
        columns[schema.outcome] = both(cells, schema.outcome, "1", "0")
    if schema.label is not None:
        columns[schema.label] = both(cells, schema.label, schema.positive, schema.negative)
    if cells.faults:
        raise FilesError(cells.faults)
    return typed(schema, columns)


def facts(
    cells: Cells, numeric: Sequence[str], categorical: Mapping[str, Sequence[str] | str], nullable: Sequence[str]
) -> dict[str, Any]:
    """Features by name, a Categorical over its own values where the allowed ones are `infer`; faults go to `cells`."""
    found: dict[str, Any] = {name: cells.numbers(name, nullable=name in nullable) for name in numeric}
    for name, allowed in categorical.items():
        found[name] = cells.categories(name, allowed, nullable=name in nullable)
    return found


def allowed_categories(found: Mapping[str, Any], categorical: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Column to the categories of its Categorical in `found`."""
    return {name: tuple(found[name].categories) or ("",) for name in categorical}


def both(cells: Cells, name: str, yes: str, no: str) -> np.ndarray:
    """float64[rows] of 0 and 1 from `yes` and `no`; rows of one only are a fault."""
    values = cells.flags(name, yes, no)
    check_both(cells, name, values, yes, no)
    return values


def check_both(cells: Cells, name: str, values: np.ndarray, yes: str, no: str) -> None:
    """Refuses a label of which every known row is the same."""
    known = np.unique(values[~np.isnan(values)])
    if len(known) == 1:
        wrong = f"every row is {(yes if known[0] else no)!r}; there must be rows of both {listing((no, yes))}"
        cells.reject(wrong, name=name)


def check_columns(cells: Cells, wanted: Sequence[str], ignore: Sequence[str] | None = ()) -> None:
    """Refuses a missing column, and an extra one that is not in `ignore` (None: every other column is ignored)."""
    raw = cells.raw
    if nameless := [str(number) for number, name in enumerate(raw.names, 1) if not name.strip()]:
        cells.warnings.append(f"{raw.where}: passed over, for want of a name: column number {', '.join(nameless)}")
    has = ", ".join(repr(name) if name != name.strip() else name for name in raw.names if name.strip())
    spelt = {name: cells.spelt(name) for name in wanted}
    for name, found in spelt.items():
        if found is None:
            wrong = f"the column {name!r} is missing{did_you_mean(name, raw.names)}"
            cells.reject(f"{wrong}; it has {has}")
        elif found != name and found != found.strip():
            cells.warnings.append(f"{raw.where}: the column {found!r} is read as {name!r}")
    if ignore is None:
        return
    meant = [nearest(name, raw.names) for name, found in spelt.items() if found is None]  # said already
    used = {*spelt.values(), *ignore, *meant}
    for name in raw.names:
        if name.strip() and name not in used and plain(name) not in ignore:
            wrong = f"unknown column {name!r}{did_you_mean(name, wanted)}"
            allowed = f"{', '.join(wanted)}; others are named under ignore, or ignore: others"
            cells.reject(wrong, allowed)


def near_ids(strangers: pd.Series, known: pd.Series) -> dict[str, str]:
    """Ids that nobody has → the known one that differs in its case, its leading zeros, or a decimal point only."""
    of = dict(zip(_bare(known), known, strict=True))
    return {str(stranger): of[bare] for stranger, bare in zip(strangers, _bare(strangers), strict=True) if bare in of}


def said_near(near: Mapping[str, str]) -> Callable[[str], str]:
    """The hint of a fault for such an id."""
    return lambda value: f"; is it {near[value.strip()]!r}?" if value.strip() in near else ""


def _bare(ids: pd.Series) -> pd.Series:
    """Ids as a spreadsheet or a table of numbers mangles them: 007 as 7 or 7.0."""
    return ids.astype("str").str.casefold().str.replace(r"\.0+$", "", regex=True).str.lstrip("0")
