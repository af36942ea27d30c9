"""Structuring YAML or Python values as frozen dataclasses, a company's or a preset's, every fault collected.

A company.yaml is read as text throughout, as a cell of a CSV file is: PyYAML's other loaders make true of `yes` and
1.5 of `1.50`. The field's type then says what the text must be, and its range (`retentionjax.checked`).
"""

import datetime as dt
import enum
import functools
import math
import re
import typing
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, get_origin

import cattrs
import yaml
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)

from retentionjax import storage
from retentionjax.checked import CompanyError, KeyFault, Within, as_python, did_you_mean, field_types
from retentionjax.errors import RetentionJaxError

T = TypeVar("T")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_WITH_UNIT = re.compile(r"[^\d\s.,+-]{0,3}\s*(\d+(?:[.,]\d+)?)\s*(%|[^\d\s.,]{0,6})")
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_ALLOWED = "; allowed: "
_NOTHING = ("null", "~")
_TRUTHS = {"true": True, "false": False}


# --- YAML -----------------------------------------------------------------------------------------------------


class _StrictLoader(yaml.BaseLoader):
    """YAML whose every value is text, an empty one None, and in which a key that stands twice is an error."""

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        """The text of `node`; None where nothing was written."""
        return None if node.value == "" and node.style is None else super().construct_scalar(node)

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


_StrictLoader.add_constructor("tag:yaml.org,2002:str", _StrictLoader.construct_scalar)


def read_yaml(path: Any) -> dict[str, Any]:
    """The keys and values of the YAML file at `path`, all text. Raises CompanyError with the line it breaks at."""
    source, where = storage.as_path(path), str(path)

    def refuse(wrong: str) -> CompanyError:
        return CompanyError([KeyFault("", wrong)], where)

    if not source.exists():
        raise refuse("no such file")
    if source.is_dir():
        raise refuse("is a folder, not a file")
    try:
        plain = yaml.load(source.read_bytes().decode("utf-8-sig"), Loader=_StrictLoader)  # noqa: S506 - text only
    except UnicodeDecodeError as error:
        raise refuse(f"not UTF-8 text at byte {error.start}; save the file as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        quoted = "; a text with ? : # , or & in it stands in quotes" * any(
            each in str(error.problem) for each in ("expected", "mapping values")
        )
        raise refuse(f"{line}{error.problem}{quoted}") from None
    except yaml.YAMLError as error:
        raise refuse(f"not YAML ({error})") from None
    if not isinstance(plain, dict):
        raise refuse("must be keys and values, such as `name: acme`")
    return plain


# --- cattrs ---------------------------------------------------------------------------------------------------


def structure(plain: Any, kind: type[T], path: str = "", *, where: str = "") -> T:
    """`plain`, text or Python values, as `kind`; a mapping for a record changes only the keys it names.

    Raises CompanyError with every fault, keys named from `path`, of the file `where`.
    """
    try:
        result: T = _converter().structure(plain, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, RetentionJaxError) as error:
        raise CompanyError(_faults(error, path), where) from None
    return result


def unstructure(record: Any) -> Any:
    """`record` as JSON and YAML hold it: infinity as `inf`, dates as 2026-06-01, what is None or a default left in."""
    return _converter().unstructure(record)


@functools.cache
def _converter() -> cattrs.Converter:
    """Text and Python values to fields; nothing is guessed, unknown keys are refused."""
    converter = cattrs.Converter(forbid_extra_keys=True, unstruct_collection_overrides={tuple: list})
    for kind, hook in _SCALARS.items():
        converter.register_structure_hook(kind, hook)
    register = converter.register_structure_hook_func
    register(_made_of(tuple), functools.partial(_tuple, converter))
    register(_made_of(typing.Literal), _literal)
    register(_made_of(Mapping, dict), functools.partial(_mapping, converter))
    register(_is_optional, functools.partial(_optional, converter))
    register(_made_of(typing.Annotated), functools.partial(_annotated, converter))
    converter.register_structure_hook_factory(
        lambda kind: isinstance(kind, type) and is_dataclass(kind), functools.partial(_record_hook, converter)
    )
    converter.register_unstructure_hook(float, lambda value: "inf" if math.isinf(value) else value)
    converter.register_unstructure_hook(dt.date, lambda value: value.isoformat())
    return converter


def _made_of(*origins: Any) -> Callable[[Any], bool]:
    """Whether a type is one of `origins` with arguments, as tuple[int, ...] is of tuple."""
    return lambda kind: get_origin(kind) in origins


def _text(value: Any, _: Any) -> str:
    value = as_python(value)
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)  # as the cells of files: macOS writes ä as a and two dots
    if isinstance(value, int | float) and not isinstance(value, enum.Enum):
        return str(int(value)) if isinstance(value, bool) else str(value)
    raise ValueError("is empty" if value is None else f"is {_said(value)}; allowed: text")


def _float(value: Any, kind: Any) -> float:
    value = as_python(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # a whole number beyond every float
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str):
        if value in ("inf", ".inf", "∞"):
            return math.inf
        if _NUMBER.fullmatch(value):
            return float(value)
    allowed = f"{_ALLOWED}a whole number" if kind is int else f"{_ALLOWED}a number"
    raise ValueError(
        f"is empty{allowed}" if value is None else f"{_said(value)} is not a number{_meant(value)}{allowed}"
    )


def _int(value: Any, kind: Any) -> int:
    number = _float(value, kind)
    if not number.is_integer():
        raise ValueError(f"{_said(value)} is not a whole number{_ALLOWED}a whole number")
    return int(number)


def _meant(value: Any) -> str:
    """What to write for a share in per cent, a decimal comma, or a number with its unit; empty where it is not sure."""
    match = _WITH_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or re.fullmatch(r"\d+,\d{3}", match[1]):  # 1,000 may be either
        return ""
    number, unit = match[1].replace(",", "."), match[2].lower().rstrip("s")
    factor = 0.01 if unit == "%" else _DAYS.get(unit)
    return f"; did you mean {number if factor is None else format(float(number) * factor, 'g')}?"


def _bool(value: Any, _: Any) -> bool:
    value = as_python(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUTHS:
        return _TRUTHS[value.lower()]
    raise ValueError(f"{_said(value)} is neither true nor false")


def _date(value: Any, _: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{_said(value)} is no date; allowed: a date such as 2026-06-01") from None


_SCALARS: Mapping[type, Callable[[Any, Any], Any]] = {str: _text, float: _float, int: _int, bool: _bool, dt.date: _date}


def _annotated(converter: cattrs.Converter, value: Any, kind: Any) -> Any:
    """The value of a marked type, held to its range; a mark may bring its own `structure`."""
    for mark in kind.__metadata__:
        if callable(own := getattr(mark, "structure", None)):
            return own(value, structure)
    try:
        found = converter.structure(value, typing.get_args(kind)[0])
    except ValueError as error:
        ranges = [mark.allowed for mark in kind.__metadata__ if isinstance(mark, Within)]
        wrong, divider, _ = str(error).partition(_ALLOWED)
        if ranges and divider:
            raise ValueError(f"{wrong}{divider}{ranges[0]}") from None
        raise
    for mark in kind.__metadata__:
        if isinstance(mark, Within) and found is not None and (what := mark.wrong(found)):
            raise ValueError(what)
    return found


def _is_optional(kind: Any) -> bool:
    arguments = typing.get_args(kind)
    return len(arguments) == 2 and type(None) in arguments


def _optional(converter: cattrs.Converter, value: Any, kind: Any) -> Any:
    if value is None or (isinstance(value, str) and value in _NOTHING):
        return None
    inner = next(each for each in typing.get_args(kind) if each is not type(None))
    return converter.structure(value, inner)


def _literal(value: Any, kind: Any) -> Any:
    if value not in (allowed := typing.get_args(kind)):
        raise ValueError(f"is {_said(value)}{did_you_mean(str(value), allowed)}; allowed: {', '.join(allowed)}")
    return value


def _tuple(converter: cattrs.Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, such as [a, b], not {_said(value)}")  # noqa: TRY004 - a fault like others
    first, *others = typing.get_args(kind)  # all of one kind
    if Ellipsis not in others and len(value) != 1 + len(others):
        raise ValueError(f"has {len(value)} entries; allowed: {1 + len(others)}")
    inner: Any = list.__class_getitem__(first)
    return tuple(converter.structure(list(value), inner))


def _mapping(converter: cattrs.Converter, value: Any, kind: Any) -> Any:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"must be keys and values, not {_said(value)}")  # noqa: TRY004 - a fault like others
    inner = typing.get_args(kind)[1]
    found, errors = {}, []
    for key, each in value.items():
        try:
            found[unicodedata.normalize("NFC", str(key))] = converter.structure(each, inner)
        except Exception as error:  # noqa: BLE001 - collected, and raised below
            error.add_note(IterableValidationNote(f"key {key!r}", str(key), inner))
            errors.append(error)
    if errors:
        raise IterableValidationError("mapping", errors, kind)
    return found


def _record_hook(converter: cattrs.Converter, kind: type) -> Callable[[Any, Any], Any]:
    """A hook that lets instances pass, takes `kind.shorthand` for what is no mapping, and cattrs' own for the rest."""
    over: dict[str, Any] = {
        field.name: cattrs.gen.override(struct_hook=functools.partial(_over, converter, default))
        for field in fields(kind)
        if is_dataclass(default := _default(field)) or (field_types(kind)[field.name] is Any and type(default) is float)
    }
    inner: Callable[[Any, Any], Any] = cattrs.gen.make_dict_structure_fn(
        kind, converter, _cattrs_forbid_extra_keys=True, **over
    )

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            shorthand = getattr(kind, "shorthand", None)
            if shorthand is None or value is None or isinstance(value, list | tuple):
                raise ValueError(f"must be keys and values ({', '.join(_keys(kind))}), not {_said(value)}")
            value = shorthand(value)
        return inner(value, kind)

    return hook


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _over(converter: cattrs.Converter, default: Any, value: Any, kind: Any) -> Any:
    """A value of a field that has a record, of which it may name some keys, or of any kind that has a number."""
    return converter.structure(_merged(default, value), float if isinstance(default, float) else kind)


def _merged(default: Any, value: Any) -> Any:
    if not (is_dataclass(default) and isinstance(value, Mapping)):
        return value
    kept = {name: getattr(default, name) for name in _keys(default)}
    return kept | {key: _merged(kept.get(key), each) for key, each in value.items()}


def _keys(kind: Any) -> list[str]:
    return [field.name for field in fields(kind) if field.init]


def _said(value: Any) -> str:
    text = repr(value)
    return "nothing" if value is None else text if len(text) <= 60 else f"{text[:57]}…"


# --- faults ---------------------------------------------------------------------------------------------------


def _point(key: str) -> str:
    """What to say of a number that YAML took for a key: of `{budget: 2,5}`, 5."""
    return f'; if it ends a number as "2,{key}" does, a fraction is written with a point: 2.{key}' * key.isdigit()


def _faults(error: BaseException, path: str) -> list[KeyFault]:
    """The leaves of cattrs' tree of errors, each with its keys."""
    if isinstance(error, ClassValidationError | IterableValidationError):
        return [fault for inner in error.exceptions for fault in _faults(inner, _inner_path(inner, path))]
    if isinstance(error, ForbiddenExtraKeysError):
        known = _keys(error.cl)
        return [
            KeyFault(path, f"unknown key {key!r}{_point(key) or did_you_mean(key, known)}; allowed: {', '.join(known)}")
            for key in sorted(map(str, error.extra_fields))
        ]
    if isinstance(error, CompanyError):
        return [KeyFault(_joined(path, fault.path), fault.wrong) for fault in error.faults]
    if isinstance(error, KeyError):
        return [KeyFault(path, "is missing")]
    return [KeyFault(path, str(error))]


def _inner_path(error: BaseException, path: str) -> str:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return _joined(path, note.name)
        if isinstance(note, IterableValidationNote):
            return _joined(path, note.index) if isinstance(note.index, str) else f"{path}[{note.index}]"
    return path


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key
