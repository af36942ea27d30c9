"""A user's own customers and contact log: CSV or Parquet, explained by a YAML schema (README.md beside this file).

name: acme                      # of the data set; also the folder it is prepared into
id: customer_id
label: churned                  # what is predicted …
positive: yes                   # … 1 where it holds this ("1" unless said) …
negative: no                    # … 0 where it holds this ("0" unless said)
charge: monthly_charge          # dollars per 30 days
tenure: months                  # optional; one of the numeric columns
numeric: [months, monthly_charge, support_calls]
categorical:
  plan: [basic, plus, pro]      # allowed values, or
  region: infer                 # those that occur
nullable: [support_calls]       # features whose cells may be empty
ignore: [e_mail]                # columns of the files that are deliberately not used
separator: ","                  # of the CSV files
treatment: contacted            # columns of the contact log (or of the customers, without --contacts)
arms: [0, 1]                    # values of treatment, the first is no contact
offer: discount                 # a fraction: 0.1 for 10 %
outcome: accepted               # 0 or 1
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import yaml
from etils import epath

from retentionjax import storage
from retentionjax.data.reading import RawTable, read_csv, read_parquet, unpack
from retentionjax.data.schema import Provenance, Schema
from retentionjax.data.table import Table
from retentionjax.data.validation import validate
from retentionjax.errors import DataError

_MOST_INFERRED = 100
"""A column with more different values than this is no category: a name, a date, a number."""
_LICENCE = "the user's own"


@dataclass(frozen=True)
class Layout:
    """A YAML schema: what its columns mean, and how the files are written."""

    schema: Schema
    infer: tuple[str, ...] = ()
    """Categorical columns whose allowed values are those that occur."""
    ignore: tuple[str, ...] = ()
    separator: str = ","


@dataclass(frozen=True)
class Custom:
    """A user's tables."""

    customers: Table
    contacts: Table | None
    """One contact a row, with the facts of its customer; label is the outcome. Ids repeat, offers are fractions."""


def load(
    schema: str | os.PathLike[str],
    customers: str | os.PathLike[str],
    contacts: str | os.PathLike[str] | None = None,
) -> Custom:
    """Reads and checks a user's files. Raises DataError (see validation.validate) and for a schema that is not one."""
    layout = read_layout(schema)
    given = layout.schema
    if contacts is not None and given.outcome is None:
        raise DataError(f"{schema}: a contact log needs the key 'outcome', the column that tells who responded")
    raw, digest = _read(customers, layout.separator)
    if contacts is not None or not set(raw.columns) & {given.treatment, given.offer, given.outcome}:
        layout = dataclasses.replace(layout, schema=_without_contacts(given))  # of a log
    layout = _inferred(layout, raw)
    frame = validate(raw, layout.schema, ignore=layout.ignore)
    table = Table(given.name, frame, layout.schema, Provenance("real", str(customers), digest, _LICENCE, len(frame)))
    if contacts is None:
        return Custom(table, None)
    return Custom(table, _contact_table(table, given, contacts, layout))


def read_layout(path: str | os.PathLike[str]) -> Layout:
    """The YAML schema at `path`. Raises DataError with line or key for one that cannot be used."""
    where = os.fspath(path)
    plain = _read_yaml(storage.as_path(path), where)
    own = {"ignore", "separator"}
    known = sorted({each.name for each in fields(Schema)} | own)
    if unknown := [key for key in plain if key not in known]:
        raise DataError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(map(str, known))}")
    if missing := [key for key in ("id", "label", "charge") if not plain.get(key)]:
        raise DataError(f"{where}: the key {missing[0]!r} is missing; needed: id, label, charge")
    if not plain.get("numeric") and not plain.get("categorical"):
        raise DataError(f"{where}: names no feature; needed: numeric or categorical columns")
    categorical = plain.get("categorical") or {}
    if not isinstance(categorical, Mapping):
        raise DataError(f"{where}: 'categorical' must map each column to its allowed categories, or to infer")
    infer = tuple(str(name) for name, allowed in categorical.items() if allowed == "infer")
    rest = {key: value for key, value in plain.items() if key not in own}
    rest["name"] = rest.get("name", storage.as_path(path).stem)
    rest["categorical"] = {name: ["infer"] if allowed == "infer" else allowed for name, allowed in categorical.items()}
    separator = plain.get("separator", ",")
    if not isinstance(separator, str) or len(separator) != 1:
        raise DataError(f"{where}: 'separator' must be one character, not {separator!r}")
    ignore = plain.get("ignore") or []
    if not isinstance(ignore, list) or not all(isinstance(name, str) for name in ignore):
        raise DataError(f"{where}: 'ignore' must be a list of column names, not {ignore!r}")
    schema = Schema.from_dict(rest, where=where)
    if clash := [name for name in ignore if name in schema.columns]:
        raise DataError(f"{where}: column {clash[0]!r} is named twice: to be used, and to be ignored")
    _check_name(schema.name, where)
    return Layout(schema, infer, tuple(ignore), separator)


def _contact_table(customers: Table, given: Schema, path: str | os.PathLike[str], layout: Layout) -> Table:
    """The contact log at `path` with the facts of each contact's customer."""
    raw, digest = _read(path, layout.separator)
    log = Schema(
        name=given.name,
        id=given.id,
        treatment=given.treatment,
        arms=given.arms,
        offer=given.offer,
        outcome=given.outcome,
    )
    frame = validate(raw, log, ignore=layout.ignore, unique_ids=False)
    facts = customers.frame.drop(columns=str(given.label)).set_index(str(given.id))
    row_of = {name: position for position, name in enumerate(facts.index)}
    ids = frame[str(given.id)].tolist()
    for row, name in enumerate(ids):
        if name not in row_of:
            raise raw.refuse(str(given.id), row, name, "is no customer", f"an id of {customers.provenance.source}")
    known = facts.iloc[np.array([row_of[name] for name in ids])].reset_index(drop=True)
    joined = frame.assign(**{str(name): known[name].array for name in known.columns})
    schema = dataclasses.replace(
        customers.schema,
        name=f"{given.name}-contacts",
        label=given.outcome,
        positive="1",
        negative="0",
        treatment=given.treatment,
        offer=given.offer,
        outcome=given.outcome,
        measures=(),
    )
    provenance = Provenance("real", f"{path} with {customers.provenance.source}", digest, _LICENCE, len(joined))
    return Table(schema.name, joined[list(schema.columns)].rename_axis("row"), schema, provenance)


def _without_contacts(schema: Schema) -> Schema:
    return dataclasses.replace(schema, treatment=None, offer=None, outcome=None, measures=())


def _read(path: str | os.PathLike[str], separator: str) -> tuple[RawTable, str]:
    """The file at `path`, Parquet by its name and CSV otherwise, and its SHA-256."""
    source, where = storage.as_path(path), os.fspath(path)
    if not source.exists():
        raise DataError(f"{where}: no such file")
    if source.is_dir():
        raise DataError(f"{where}: is a folder, not a file")
    data = source.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        raise DataError(f"{where}: is empty")
    if source.suffix == ".parquet":
        return read_parquet(data, where), digest
    return read_csv(unpack(data, where), where, separator), digest


def _inferred(layout: Layout, raw: RawTable) -> Layout:
    """`layout` with the categories that occur in `raw`, sorted, where it says `infer`."""
    categorical = dict(layout.schema.categorical)
    for name in layout.infer:
        if name not in raw.columns:
            continue  # validate names it as missing
        values = sorted({value for value in raw.texts(name) if value or name not in layout.schema.nullable})
        if len(values) > _MOST_INFERRED:
            raise DataError(
                f"{raw.where}, column {name!r}: {len(values)} different values are too many to infer categories from; "
                f"allowed: {_MOST_INFERRED}; if it is a number or a name, say so in the schema"
            )
        if "" in values:
            row = raw.texts(name).index("")
            raise raw.refuse(name, row, "", "is missing", "a category; or name the column under 'nullable'")
        categorical[name] = tuple(values)
    return dataclasses.replace(layout, schema=dataclasses.replace(layout.schema, categorical=categorical))


def _check_name(name: str, where: str) -> None:
    if not all(each.isalnum() or each in "-_" for each in name) or name.endswith("-contacts"):
        raise DataError(
            f"{where}: 'name' {name!r} names a folder; allowed: letters, digits, - and _, not ending -contacts"
        )


# --- YAML -----------------------------------------------------------------------------------------------------


class _StrictLoader(yaml.BaseLoader):
    """YAML in which every value is text, as a cell of a CSV file is, and a key that stands twice is an error.

    PyYAML's other loaders make true of `yes`, 1.5 of `1.50`, and keep the last of two equal keys without a word.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of `node`, whose keys stand once each."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            wrong = "a key must be a name" if key is None else f"{key!r} is named twice" if key in seen else None
            if wrong is not None:
                raise yaml.constructor.ConstructorError(None, None, wrong, key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _read_yaml(path: epath.Path, where: str) -> dict[str, Any]:
    if not path.exists():
        raise DataError(f"{where}: no such file")
    try:
        plain = yaml.load(path.read_bytes().decode("utf-8-sig"), Loader=_StrictLoader)  # noqa: S506 - makes text only
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{where}{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise DataError(f"{where}: not YAML ({error})") from None
    if not isinstance(plain, dict):
        raise DataError(f"{where}: must be keys and values, such as `id: customer_id`")
    return plain
