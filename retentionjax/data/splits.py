"""Train, validation and test: 80/10/10 by customer, alike in what matters, the same on every machine.

Customers are lined up by label, arm, third of tenure and charge, and each ten neighbours give one to validation
and one to test: which, a SHA-256 of seed and customer decides. Neighbours in that line are alike, so the shares
of labels and arms, the charges (and with them the spend) of a split are those of the whole, more closely than by
drawing within a few strata; and no random generator, row order or library version has a say.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from retentionjax.data.schema import Table
from retentionjax.errors import DataError

NAMES = ("train", "validation", "test")
_BLOCK = 10


@dataclass(frozen=True)
class Splits:
    """Row positions of each split, ascending; together every row once."""

    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]
    test: Int[np.ndarray, " test"]


def split(table: Table, seed: int = 42) -> Splits:
    """Splits `table` 80/10/10 by customer; a customer is an id or, where the table has none, one set of features.

    So rows that repeat another one never stand on both sides. Raises DataError for fewer than 10 customers.
    """
    keys = customer_keys(table)
    customer, names = pd.factorize(np.asarray(keys, dtype=object))
    if len(names) < _BLOCK:
        raise DataError(f"{table.name}: {len(names)} customers cannot be split 80/10/10; allowed: 10 or more")
    draws = np.array([hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in names], dtype="S32")
    place = np.empty(len(names), dtype=np.int8)
    place[:] = NAMES.index("train")
    line = _line_up(table, customer, draws)
    for start in range(0, len(line) - _BLOCK + 1, _BLOCK):
        block = line[start : start + _BLOCK]
        test, validation = block[np.argsort(draws[block])[:2]]
        place[test], place[validation] = NAMES.index("test"), NAMES.index("validation")
    return _positions(place[customer])


def follow(contacts: Table, customers: Table, splits: Splits) -> Splits:
    """Splits a contact log as its customers are split; both tables must have the id column of `customers`.

    Contacts of people who are not among them (whose label is not known yet) are learnt from.
    """
    where = pd.Series(0, index=pd.Index(customer_keys(customers)))
    for number, name in enumerate(NAMES):
        where.iloc[getattr(splits, name)] = number
    of_customer = where[~where.index.duplicated()]
    return _positions(of_customer.reindex(customer_keys(contacts), fill_value=0).to_numpy())


def customer_keys(table: Table) -> list[str]:
    """What tells one customer from another, a row: the id, or all features where there is no id."""
    if table.schema.id is not None:
        return [str(value) for value in table.frame[table.schema.id]]
    columns = [[str(value) for value in table.frame[name].tolist()] for name in table.schema.features]
    return ["\x1f".join(row) for row in zip(*columns, strict=True)]


def _line_up(table: Table, customer: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Customers (numbers) in the order in which neighbours are alike; those of many rows first, among themselves."""
    rows = np.bincount(customer)
    schema, frame = table.schema, table.frame

    def mean(values: np.ndarray) -> Float[np.ndarray, " customers"]:
        return np.bincount(customer, weights=values) / rows

    strata: list[np.ndarray] = [rows]
    if schema.label is not None:
        strata.append(mean(frame[schema.label].to_numpy(dtype=np.float64)))
    if schema.treatment is not None:
        strata.append(mean(frame[schema.treatment].cat.codes.to_numpy(dtype=np.float64)))
    if schema.tenure is not None:
        tenure = mean(frame[schema.tenure].fillna(0.0).to_numpy())
        strata.append(np.searchsorted(np.quantile(tenure, [1 / 3, 2 / 3]), tenure))
    _, stratum = np.unique(np.column_stack(strata), axis=0, return_inverse=True)
    if schema.charge is None:
        return np.lexsort((draws, stratum))
    # Up in one stratum and down in the next: so the ten that lie across a border are neighbours too.
    charge = mean(frame[schema.charge].to_numpy()) * np.where(stratum % 2, -1.0, 1.0)
    return np.lexsort((draws, charge, stratum))


def _positions(place: np.ndarray) -> Splits:
    train, validation, test = (np.flatnonzero(place == number) for number in range(len(NAMES)))
    return Splits(train, validation, test)
