"""Encoding a frame as the numbers a booster sees, the same in training and in serving."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from retentionjax.errors import DataError

FORMAT = 1
OTHER = math.nan
"""Code of a category that was not there when the model was fitted: what is missing, which every tree sends on. A
customer with a new plan is decided about and not refused."""


class CategoryCodes(dict[object, float]):
    """Category → its code, its place in the list of allowed ones; any other text is OTHER. Where the column is
    `nullable`, None and empty text are missing.

    Raises KeyError for what is neither. This is the one place that says what becomes of an unseen category.
    """

    def __init__(self, allowed: Sequence[str], *, nullable: bool = False) -> None:
        super().__init__({category: float(code) for code, category in enumerate(allowed)})
        if nullable:
            self[None] = math.nan
            self.setdefault("", math.nan)

    def __missing__(self, key: object) -> float:
        """The code of a text but for spaces around it and composed accents; OTHER for any other that is not empty."""
        if isinstance(key, str) and key:
            return self.get(key.strip(), self.get(unicodedata.normalize("NFC", key.strip()), OTHER))
        raise KeyError(key)


@dataclass(frozen=True)
class Encoder:
    """The features, in order: numbers as they are, categories as their position in a fixed list, missing as NaN."""

    numeric: tuple[str, ...]
    categorical: Mapping[str, tuple[str, ...]]
    """Column to its allowed categories; the order gives the codes."""
    nullable: tuple[str, ...] = ()
    """Features whose value may be missing; the booster has learnt what to do then."""

    def __post_init__(self) -> None:
        """Refuses a feature named twice, none at all, a category twice, and a nullable column that is no feature."""
        names = self.features
        if not names:
            raise DataError("an encoder needs at least one numeric or categorical column")
        if len(set(names)) < len(names):
            raise DataError(f"the feature {next(name for name in names if names.count(name) > 1)!r} is named twice")
        for name, allowed in self.categorical.items():
            if not allowed or len(set(allowed)) < len(allowed):
                raise DataError(f"column {name!r} needs one category or more, each named once, not {list(allowed)}")
        if stray := [name for name in self.nullable if name not in names]:
            raise DataError(f"{stray[0]!r} cannot be nullable: it is no feature; allowed: {', '.join(names)}")

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the encoded columns, numeric first."""
        return (*self.numeric, *self.categorical)

    @property
    def types(self) -> list[str]:
        """XGBoost's feature types: `q` a quantity, `c` a category."""
        return ["q"] * len(self.numeric) + ["c"] * len(self.categorical)

    def encode(self, frame: pd.DataFrame) -> Float32[np.ndarray, "rows features"]:
        """The frame's features as numbers; other columns are passed over.

        Raises DataError naming row, column and value: a missing column, a missing value in a column that is not
        nullable, text for a number or the other way round, a number that is infinite in float32. An unseen category is
        OTHER.
        """
        if absent := [name for name in self.features if name not in frame.columns]:
            raise DataError(f"column {absent[0]!r} is missing; needed: {', '.join(self.features)}")
        columns = [_numbers(frame[name], name) for name in self.numeric]
        columns += [_codes(frame[name], name, allowed) for name, allowed in self.categorical.items()]
        for name in (each for each in self.features if each not in self.nullable):
            missing = frame[name].isna().to_numpy()
            if name in self.categorical and "" not in self.categorical[name]:
                missing = missing | (frame[name] == "").to_numpy(bool)
            if missing.any():
                row = frame.index[missing][0]
                raise DataError(f"row {row}, column {name!r}: the value is missing, and this column may not be empty")
        return np.column_stack(columns).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """The encoder as JSON can hold it."""
        return {
            "format": FORMAT,
            "dtype": "float32",
            "missing": "NaN, in nullable columns only",
            "numeric": list(self.numeric),
            "categorical": {name: list(allowed) for name, allowed in self.categorical.items()},
            "nullable": list(self.nullable),
        }

    @classmethod
    def from_dict(cls, plain: object) -> "Encoder":
        """What `to_dict` wrote. Raises DataError for an unknown format or anything else that does not fit."""
        if not isinstance(plain, Mapping) or plain.get("format") != FORMAT:
            found = plain.get("format") if isinstance(plain, Mapping) else plain
            raise DataError(f"encoder format {found!r} is unknown; this program reads format {FORMAT}")
        keys = {"format", "dtype", "missing", "numeric", "categorical", "nullable"}
        if set(plain) != keys or plain["dtype"] != "float32":
            raise DataError(f"an encoder has the keys {', '.join(sorted(keys))} and dtype float32")
        categorical = plain["categorical"]
        if not isinstance(categorical, dict):
            raise DataError("an encoder's 'categorical' maps columns to their categories")
        lists = [plain["numeric"], plain["nullable"], *categorical.values()]
        if not all(isinstance(each, list) and all(isinstance(name, str) for name in each) for each in lists):
            raise DataError("an encoder's columns and categories are lists of text")
        return cls(
            numeric=tuple(plain["numeric"]),
            categorical={name: tuple(allowed) for name, allowed in categorical.items()},
            nullable=tuple(plain["nullable"]),
        )


def _numbers(column: pd.Series, name: str) -> np.ndarray:
    """Float64 values of a column that must hold finite numbers or nothing."""
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        for row, value in column.items():
            if not _is_number(value) and not _is_missing(value):
                raise DataError(f"row {row}, column {name!r}: {value!r} is not a number")
    values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=math.nan)
    with np.errstate(over="ignore"):
        infinite = np.isinf(values.astype(np.float32))
    if infinite.any():
        row = column.index[infinite][0]
        raise DataError(f"row {row}, column {name!r}: {values[infinite][0].item()!r} is not a finite number")
    return values


def _codes(column: pd.Series, name: str, allowed: Sequence[str]) -> np.ndarray:
    """Code of each value, as float64; NaN where the value is missing."""
    codes = CategoryCodes(allowed, nullable=True)  # what is missing, `encode` refuses
    number, values = pd.factorize(column)  # number is −1 where missing
    code_of = np.full(len(values) + 1, math.nan)
    for place, value in enumerate(values):
        if not isinstance(value, str):
            row = column.index[number == place][0]
            raise DataError(f"row {row}, column {name!r}: {value!r} is not text; allowed: {', '.join(allowed)}")
        code_of[place] = codes[value]
    return code_of[number]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
