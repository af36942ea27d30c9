"""Customers' facts as rows of numbers, without pandas: what a service does with each request, in microseconds.

`RowEncoder` accepts exactly what `data.validate_record` accepts and gives exactly what the models' encoders give; a
record that it does not understand at a glance goes through those, which name what is wrong with it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int

from retentionjax.bundle import Bundle
from retentionjax.data import validate_record
from retentionjax.errors import DataError
from retentionjax.tabular.encoder import Encoder

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Features:
    """B customers' facts, checked and encoded."""

    customer_id: tuple[str, ...]
    monthly_charge: Float[np.ndarray, " B"]
    """$ per 30 days."""
    values: Float32[np.ndarray, "B F"]
    """A column for each of the schema's features, in its order; NaN where missing."""


class RowEncoder:
    """The schema's features as columns; `churn` and `acceptance` are the columns of each model's features."""

    def __init__(self, bundle: Bundle) -> None:
        self.schema = schema = bundle.schema
        names = list(schema.features)
        self.churn: Int[np.ndarray, " churn"] = np.array([names.index(name) for name in bundle.churn.encoder.features])
        self.acceptance: Int[np.ndarray, " acceptance"] = np.array(
            [names.index(name) for name in bundle.acceptance.encoder.features]
        )
        self._id, self._charge = str(schema.id), str(schema.charge)
        self._numeric = [(name, name in schema.nullable) for name in schema.numeric]
        self._codes = [
            (name, _codes(allowed, nullable=name in schema.nullable)) for name, allowed in schema.categorical.items()
        ]
        self._encoder = Encoder(schema.numeric, schema.categorical, schema.nullable)
        self._fields = len({self._id, self._charge, *schema.features})

    def records(self, records: Sequence[Mapping[str, object]], *, where: str = "customer") -> Features:
        """Facts as in JSON. Raises DataError naming `where`, field, value and what is allowed."""
        many = len(records) > 1
        rows = [self.row(each, f"{where} {place}" if many else where) for place, each in enumerate(records)]
        values = np.array([row for _, _, row in rows], np.float32).reshape(len(rows), len(self.schema.features))
        return Features(tuple(each for each, _, _ in rows), np.array([each for _, each, _ in rows], np.float64), values)

    def row(self, record: Mapping[str, object], where: str) -> tuple[str, float, list[float]]:
        """(customer, charge, features) of one record. Raises DataError as `records`."""
        customer, charge = record.get(self._id), record.get(self._charge)
        plain = type(customer) is str and customer.strip() and type(charge) in (int, float)
        row = self._glance(record) if plain and len(record) == self._fields else None
        if row is None or not 0 < float(charge) <= _LARGEST:  # type: ignore[arg-type]  # `plain` says it is a number
            return self._carefully(record, where)
        return str(customer), float(charge), row  # type: ignore[arg-type]

    def _glance(self, record: Mapping[str, object]) -> list[float] | None:
        """The features if each is there, of the very type that JSON gives it, and allowed; otherwise None."""
        row = []
        try:
            for name, nullable in self._numeric:
                value = record[name]
                if type(value) is float or type(value) is int:
                    if not -_LARGEST <= value <= _LARGEST:  # NaN too
                        return None
                    row.append(float(value))
                elif value is None and nullable:
                    row.append(math.nan)
                else:
                    return None
            return row + [codes[record[name]] for name, codes in self._codes]
        except (KeyError, TypeError):  # not there, not allowed, or a list
            return None

    def _carefully(self, record: Mapping[str, object], where: str) -> tuple[str, float, list[float]]:
        facts = validate_record(self.schema, record, where=where)
        for name in dict.fromkeys((*self.schema.numeric, self._charge)):
            if abs(float(facts[name])) > _LARGEST:
                raise DataError(f"{where}, field {name!r}: {facts[name]!r} is too large; allowed: what a float32 holds")
        row = [float(facts[name]) for name, _ in self._numeric]
        for name, codes in self._codes:
            value = facts[name]
            row.append(codes[value] if isinstance(value, str) else math.nan)
        return str(facts[self._id]), float(facts[self._charge]), row

    def frame(self, frame: pd.DataFrame) -> Features:
        """A table of customers with the id, the features and the charge as columns, typed as `Bundle.frame` leaves it.

        Raises DataError naming row, column, value and what is allowed.
        """
        for name in (self._id, self._charge):
            if name not in frame.columns:
                raise DataError(f"column {name!r} is missing; needed: {self._id}, {self._charge} and the features")
        values = self._encoder.encode(frame)
        charge = frame[self._charge].to_numpy(np.float64)
        wrong = ~((charge > 0) & (charge <= _LARGEST))
        if wrong.any():
            row, value = frame.index[wrong][0], charge[wrong][0].item()
            raise DataError(f"row {row}, column {self._charge!r}: {value!r}; allowed: dollars above 0")
        return Features(tuple(frame[self._id].astype(str)), charge, values)


def _codes(allowed: Sequence[str], *, nullable: bool) -> dict[object, float]:
    codes: dict[object, float] = {each: float(code) for code, each in enumerate(allowed)}
    return codes | {None: math.nan} if nullable else codes
