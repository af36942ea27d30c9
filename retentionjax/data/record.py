"""One customer's facts from JSON, held to the same rules as a row of a table."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from retentionjax.company.faults import listing
from retentionjax.data.schema import Schema
from retentionjax.data.table import typed
from retentionjax.errors import DataError


def validate_record(schema: Schema, record: Mapping[str, object], *, where: str) -> dict[str, float | str]:
    """The facts in `record`: the id, the features and the charge, in the schema's order; a missing number is NaN.

    Numbers must be JSON numbers and categories text (a whole number is taken as its text); null is allowed for
    nullable features only. Raises DataError naming `where`, field, value and what is allowed: a field that is
    missing or unknown, a number that is text or not finite, a category outside its list, a charge of 0 or less.
    """
    fields = tuple(dict.fromkeys(name for name in (schema.id, *schema.features, schema.charge) if name is not None))
    if missing := [name for name in fields if name not in record]:
        raise DataError(f"{where}: the field {missing[0]!r} is missing; needed: {', '.join(fields)}")
    if unknown := [name for name in record if name not in fields]:
        raise DataError(f"{where}: unknown field {unknown[0]!r}; allowed: {', '.join(fields)}")
    facts: dict[str, float | str] = {}
    for name in fields:
        value = record[name]
        if value is None and name in schema.nullable:
            facts[name] = math.nan
        elif name in schema.categorical:
            facts[name] = _category(value, schema.categorical[name], f"{where}, field {name!r}")
        elif name == schema.id:
            facts[name] = _id(value, f"{where}, field {name!r}")
        else:
            allowed = "dollars above 0" if name == schema.charge else "a finite number"
            facts[name] = _number(value, f"{where}, field {name!r}", allowed)
    if schema.charge is not None and not float(facts[schema.charge]) > 0:
        raise DataError(f"{where}, field {schema.charge!r}: {record[schema.charge]!r}; allowed: dollars above 0")
    return facts


def record_frame(schema: Schema, facts: Sequence[Mapping[str, float | str]]) -> pd.DataFrame:
    """Facts from `validate_record` as rows typed like the frame of a Table, without label, treatment or outcome."""
    names = [name for name in schema.columns if all(name in each for each in facts)]
    columns = {name: [each[name] for each in facts] for name in names}
    return typed(schema, columns)


def _number(value: object, place: str, allowed: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{place}: {value!r} is not a number; allowed: {allowed}")
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond what a float holds
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"{place}: {str(value)[:40]} is not finite; allowed: {allowed}")
    return number


def _category(value: object, allowed: Sequence[str], place: str) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise DataError(f"{place}: {value!r} is not text; allowed: {listing(allowed)}")
    if text not in allowed:
        raise DataError(f"{place}: {value!r} is an unknown category; allowed: {listing(allowed)}")
    return text


def _id(value: object, place: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
        raise DataError(f"{place}: {value!r} is no id; allowed: text that is not empty")
    return str(value)
