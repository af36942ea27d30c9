"""What is wrong with a body: it is read strictly (`express.decode`), one meaning or a refusal that names the field.

JSON allows a key twice, parsers allow NaN and numbers that become ∞, and a type that converts ("5" for 5) hides a
caller's mistake. Here none of them passes.
"""

import contextlib
import json
import math
import re
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from serving.problems import FieldError, Problem, allowed_by, field_error, invalid

BODY_LIMIT = 256 * 1024  # bytes
BATCH_BODY_LIMIT = 2 * 1024 * 1024
MAX_DEPTH = 16  # of arrays and objects; no request of ours has more than 4
INT64 = 2**63
_INTEGER_DIGITS = 19  # no int64 has more

_KEY = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"\s*:')


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, detail: str, *errors: FieldError) -> None:
        super().__init__(detail)
        self.detail, self.errors = detail, errors


def checked(body: bytes) -> Any:
    """The body as plain values. Raises Problem 400 with the reason."""
    try:
        return _plain(body)
    except _Refused as refused:
        raise Problem(400, "malformed-json", "The body cannot be read", refused.detail, refused.errors) from None


def _plain(body: bytes) -> Any:
    if not body:
        raise _Refused("The body is empty.", field_error("body", allowed="JSON"))
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Refused(
            f"Byte {error.start} of the body is not UTF-8.", *_field_at(body[: error.start], "UTF-8")
        ) from None
    try:
        plain = json.loads(text, object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_Number)
    except json.JSONDecodeError as error:
        is_after = error.msg == "Extra data"  # of no field any more
        before = b"" if is_after else text[: error.pos].encode("utf-8", "replace")
        detail = f"The body is no JSON from line {error.lineno}, column {error.colno} on: {error.msg}."
        raise _Refused(detail, *_field_at(before, "JSON, and nothing after it" if is_after else "JSON")) from None
    except RecursionError:
        raise _nested(text) from None
    _check_values(plain, "", MAX_DEPTH)
    return plain


_READER = json.JSONDecoder(parse_int=str, parse_float=str)  # numbers are judged later
_SPARE = 64 * 1024  # characters of rows nested deeper than Python's parser goes; two megabytes take half a second
_SPACE = re.compile(r"[ \t\n\r]*")
_ROWS = re.compile(r'[ \t\n\r]*\{[ \t\n\r]*"(\w+)"[ \t\n\r]*:[ \t\n\r]*\[[ \t\n\r]*')
_ROWS_END = re.compile(r"\][ \t\n\r]*\}[ \t\n\r]*")


def rows_apart(body: bytes, name: str) -> list[bytes] | None:
    """The rows of {"name": [row, …]} as they are written, each JSON as Python reads it, NaN and half surrogate pairs
    among it; None for a body that is anything else, or whose rows nest too deeply too often."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    begin = _ROWS.match(text)
    if begin is None or begin[1] != name:
        return None
    rows, place, spare = [], begin.end(), _SPARE
    while True:
        try:
            _, end = _READER.raw_decode(text, place)
        except RecursionError:
            end = _end_of(text, place, spare)
            spare -= end - place
        except ValueError:
            return None
        rows.append(text[place:end].encode())
        place = _after_space(text, end)
        if text[place : place + 1] != ",":
            return rows if _ROWS_END.fullmatch(text, place) else None
        place = _after_space(text, place + 1)


def _end_of(text: str, place: int, within: int) -> int:
    """Where the array or object ends that begins here, however deeply it is nested; the text's end if it does not
    `within` so many characters."""
    depth = 0
    for token in _TOKEN.finditer(text, place, place + within):
        depth += _LEVELS.get(token[0], 0)
        if not depth:
            return token.end()
    return len(text)


def _after_space(text: str, place: int) -> int:
    return _SPACE.match(text, place).end()  # type: ignore[union-attr]  # it matches everywhere


class _Number(str):
    """A number that no float or int64 holds; kept as text until its field is known."""

    __slots__ = ()


class _Twice(str):
    """A key that an object has twice."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found[key] = _Twice(key)
            seen.add(key)
    return found


def _float(text: str) -> float | _Number:
    value = float(text)
    return _Number(text) if math.isinf(value) else value


def _int(text: str) -> int | _Number:
    if len(text) > _INTEGER_DIGITS + 1 or not -INT64 <= int(text) < INT64:  # the sign; long texts are slow to read
        return _Number(text)
    return int(text)


def _check_values(value: Any, path: str, depth: int) -> None:
    """Refuses what the hooks above have marked, and more than `depth` levels."""
    if isinstance(value, _Twice):
        raise _Refused("A key is given twice.", field_error(path, allowed="each key once"))
    if isinstance(value, _Number):
        allowed = "a finite number; a whole one of 64 bits, or written with an exponent, as 1e19"
        raise _Refused("A number is not finite, or too large.", field_error(path, str(value), allowed))
    if isinstance(value, dict | list) and not depth:
        raise _Refused(_TOO_DEEP, field_error(path, allowed=f"at most {MAX_DEPTH} levels"))
    if isinstance(value, str):
        _check_unicode(value, path)
    elif isinstance(value, dict):
        for key, each in value.items():
            _check_unicode(key, path or "body")
            _check_values(each, f"{path}.{key}" if path else key, depth - 1)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            _check_values(each, f"{path}[{number}]", depth - 1)


def with_whole_numbers(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: with_whole_numbers(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [with_whole_numbers(value) for value in plain]
    return int(plain) if isinstance(plain, float) and plain.is_integer() and abs(plain) < INT64 else plain


def check_text(text: str, path: str) -> None:
    """Raises Problem 422 for U+0000, which PostgreSQL cannot keep and which ends texts elsewhere."""
    if "\0" in text:
        raise invalid("A text holds the character U+0000.", field_error(path, text, "text without U+0000"))


def _check_unicode(text: str, path: str) -> None:
    check_text(text, path)
    if not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text):
        raise _Refused("A text holds half a surrogate pair.", field_error(path, text, "Unicode text"))


_TOO_DEEP = f"Arrays and objects are nested more than {MAX_DEPTH} deep."
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_LEVELS = {"[": 1, "{": 1, "]": -1, "}": -1}


def _nested(text: str) -> _Refused:
    """The refusal of a text that is nested deeper than Python's parser goes."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += _LEVELS.get(token[0], 0)
        if depth > MAX_DEPTH:
            before = text[: token.start()].encode("utf-8", "replace")
            return _Refused(_TOO_DEEP, *_field_at(before, f"at most {MAX_DEPTH} levels"))
    raise AssertionError("unreachable")


def _field_at(before: bytes, allowed: str) -> list[FieldError]:
    """The last key before a place in the body."""
    keys = _KEY.findall(before)
    return [field_error(keys[-1].decode("utf-8", "replace") if keys else "body", allowed=allowed)]


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_AT = re.compile(r"^(.*?)(?: - at `(?:key in )?\$(.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_REQUIRED = re.compile(r"Object missing required field `(.*)`")


def misfit(error: Exception, plain: Any, kind: Any) -> Problem:
    """msgspec's complaint as a problem."""
    found = _AT.match(str(error))
    message, path = (found[1], (found[2] or "").lstrip(".")) if found else ("", "")
    if unknown := _UNKNOWN.search(message):
        known = _fields_of(kind, path)
        allowed = ", ".join(known) if known else "nothing of this name"
        return invalid("A field is unknown.", field_error(_joined(path, unknown[1]), allowed=allowed))
    if missing := _REQUIRED.search(message):
        return invalid("A field is missing.", field_error(_joined(path, missing[1]), allowed="required"))
    place, value = _place(plain, path, kind)
    allowed = _choices(_kinds_at(kind, path)) or allowed_by(message)
    return invalid("A value does not fit the schema.", field_error(place or "body", value, allowed))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _place(plain: Any, path: str, kind: Any) -> tuple[str, Any]:
    """The value at msgspec's path; an object's `[...]`, which names no key, gives the first value that does not fit."""
    value, place, kinds = plain, "", _apart(kind)
    for name, index in _STEP.findall(path):
        if name and isinstance(value, dict) and name in value:
            value, place = value[name], _joined(place, name)
        elif index.isdigit() and isinstance(value, list) and int(index) < len(value):
            value, place = value[int(index)], f"{place}[{index}]"
        elif index == "..." and isinstance(value, dict):
            wanted = [get_args(each)[-1] for each in kinds if get_origin(each) is dict]
            key = next((key for key, each in value.items() if not _fits(each, wanted)), None)
            if key is None:
                break
            value, place = value[key], _joined(place, key)
        else:
            break
        kinds = [inner for each in kinds for inner in _inner(each, name)]
    return place, value


def _fits(value: Any, kinds: Sequence[Any]) -> bool:
    """Whether msgspec takes the value as one of `kinds`."""
    for each in kinds:
        with contextlib.suppress(msgspec.ValidationError):
            msgspec.convert(value, each)
            return True
    return False


def _fields_of(kind: Any, path: str) -> tuple[str, ...]:
    """Names of the fields that the object at `path` may have."""
    structs = [each for each in _kinds_at(kind, path) if _is_struct(each)]
    return tuple(each.encode_name for each in msgspec.structs.fields(structs[0])) if structs else ()


def _choices(kinds: Sequence[Any]) -> str:
    """The words that a value of one of `kinds` may be, where they are counted; else empty."""
    words = [word or '""' for each in kinds if get_origin(each) is Literal for word in get_args(each)]
    return ", ".join(words) + " or null" * (bool(words) and NoneType in kinds)


def _kinds_at(kind: Any, path: str) -> list[Any]:
    """What the value at msgspec's path may be, unions and annotations taken apart."""
    kinds = _apart(kind)
    for name, _ in _STEP.findall(path):
        kinds = [inner for each in kinds for inner in _inner(each, name)]
    return kinds


def _apart(kind: Any) -> list[Any]:
    if get_origin(kind) is Annotated:
        return _apart(get_args(kind)[0])
    is_union = get_origin(kind) in (Union, UnionType)
    return [inner for each in get_args(kind) for inner in _apart(each)] if is_union else [kind]


def _inner(kind: Any, name: str) -> list[Any]:
    """What the field `name` may be; without a name, an entry of a list or a value of a mapping."""
    if name:
        fields = msgspec.structs.fields(kind) if _is_struct(kind) else ()
        return [inner for each in fields if each.encode_name == name for inner in _apart(each.type)]
    entries = [each for each in get_args(kind) if each is not Ellipsis]
    return _apart(entries[-1]) if entries else []


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
