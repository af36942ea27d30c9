"""Bodies are read strictly: one meaning or a refusal that names the field.

JSON allows a key twice, parsers allow NaN and numbers that become ∞, and a type that converts ("5" for 5) hides a
caller's mistake. Here none of them passes. The common case costs one typed decode and one scan for keys.
"""

import functools
import json
import math
import re
from typing import Any, get_args

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException
from litestar.types.empty import Empty

from serving.problems import FieldError, Problem, allowed_by, field_error, invalid
from serving.security.headers import sole

BODY_LIMIT = 256 * 1024  # bytes
BATCH_BODY_LIMIT = 2 * 1024 * 1024
MAX_DEPTH = 16  # of arrays and objects; no request of ours has more than 4
_INT64 = 2**63
_INTEGER_DIGITS = 19  # no int64 has more
_IMPOSSIBLE = 10**9  # more strings than any body can hold

_JSON = b"application/json"
_IN_UTF8 = re.compile(rb'application/json\s*(?:;\s*charset=(?:utf-8|"utf-8")\s*)?', re.IGNORECASE)
_KEY = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"\s*:')


def decode(body: bytes, kind: Any) -> Any:
    """`body` as `kind`, any type that msgspec decodes.

    Raises Problem: 400 for what is no JSON in UTF-8, 422 for what does not fit, each naming the field where there is
    one.
    """
    try:
        decoded = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        plain = _checked(body)  # finds what is wrong with the JSON itself
        try:
            return msgspec.convert(_with_whole_numbers(plain), kind)  # 90.0 is an integer, JSON Schema says
        except msgspec.ValidationError as error:
            raise _misfit(error, plain, kind) from None
    if b"\\" in body or body.count(b'"') != 2 * _strings(decoded):
        _checked(_without_raw(body, decoded))  # only here can a key stand twice
    return decoded


def _without_raw(body: bytes, decoded: Any) -> bytes:
    """`body` with null for each part that is read by itself later, and judged by itself."""
    pieces, place = [], 0
    fields = decoded.__struct_fields__ if isinstance(decoded, msgspec.Struct) else ()
    for part in (each for name in fields if isinstance(rows := getattr(decoded, name), tuple) for each in rows):
        if isinstance(part, msgspec.Raw):
            begin = body.index(bytes(part), place)
            pieces += [body[place:begin], b"null"]
            place = begin + len(bytes(part))
    return b"".join([*pieces, body[place:]])


@functools.cache
def _fields_of_struct(kind: Any) -> tuple[tuple[str, Any, Any], ...]:
    """(name, default, what makes a default) of each; msgspec.NODEFAULT where there is none."""
    return tuple((each.name, each.default, each.default_factory) for each in msgspec.structs.fields(kind))


def _strings(value: Any) -> int:
    """How many strings, keys included, JSON of `value` has at least: a field that has its default may not be there.

    Without escapes each string has two quotes in the text, and a key that was given twice has lost its own; so has, by
    a count that cannot be right, a number beyond int64.
    """
    if isinstance(value, msgspec.Struct):
        count = 0
        for name, default, made in _fields_of_struct(type(value)):
            each = getattr(value, name)
            if each is not default and (made is msgspec.NODEFAULT or each != made()):
                count += 1 + (each.__class__ is str or _strings(each))
        return count
    if type(value) is dict:  # each request passes here, so the commonest values are not looked at one by one
        kinds = list(map(type, value.values()))
        strings = kinds.count(str)
        if strings + kinds.count(float) < len(kinds):
            strings += sum(_strings(each) for each in value.values() if type(each) not in (str, float))
        return len(value) + strings
    if isinstance(value, list | tuple):
        return sum(map(_strings, value))
    if isinstance(value, msgspec.Raw):  # read by itself later
        return bytes(value).count(b'"') // 2
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return _IMPOSSIBLE
    return isinstance(value, str)


class StrictRequest(Request[Any, Any, Any]):
    """Litestar's request, whose JSON is decoded straight to the type that the handler's `data` has."""

    __slots__ = ()

    async def json(self) -> Any:
        """The body as the type of `data`. Raises Problem, see `decode`, and 415 for another media type or charset."""
        given = sole(self.scope["headers"], b"content-type")
        if given not in (None, b"", _JSON) and not _IN_UTF8.fullmatch(given):
            raise HTTPException(status_code=415)
        field = self.route_handler.parsed_data_field
        return decode(await self.body(), Any if field is None else field.annotation)

    async def body(self) -> bytes:
        """The body, read once. Raises HTTPException 413 as soon as it is larger than the handler takes, or says so."""
        if self._body is Empty:
            limit = self.route_handler.resolve_request_max_body_size()
            most, size, more = math.inf if limit is None else limit, 0, True
            if int(next((value for name, value in self.scope["headers"] if name == b"content-length"), 0)) > most:
                raise HTTPException(status_code=413)
            parts: list[bytes] = []
            while more:
                event: Any = await self.receive()
                if event["type"] != "http.request":
                    raise HTTPException(status_code=400)  # the client has gone, nobody reads this
                parts.append(event.get("body", b""))
                size, more = size + len(parts[-1]), event.get("more_body", False)
                if size > most:
                    raise HTTPException(status_code=413)
            self._body = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._body


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, detail: str, *errors: FieldError) -> None:
        super().__init__(detail)
        self.detail, self.errors = detail, errors


def _checked(body: bytes) -> Any:
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
        raise _Refused(f"Byte {error.start} of the body is not UTF-8.", *_field_at(body[: error.start])) from None
    try:
        plain = json.loads(
            text, object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        before = text[: error.pos].encode("utf-8", "replace")
        detail = f"The body is no JSON from line {error.lineno}, column {error.colno} on."
        raise _Refused(detail, *_field_at(before)) from None
    except RecursionError:
        raise _nested(text) from None
    _check_values(plain, "", MAX_DEPTH)
    return plain


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
    if len(text) > _INTEGER_DIGITS + 1 or not -_INT64 <= int(text) < _INT64:  # the sign; long texts are slow to read
        return _Number(text)
    return int(text)


def _constant(text: str) -> _Number:
    return _Number(text)


def _check_values(value: Any, path: str, depth: int) -> None:
    """Refuses what the hooks above have marked, and more than `depth` levels."""
    if isinstance(value, _Twice):
        raise _Refused("A key is given twice.", field_error(path, allowed="each key once"))
    if isinstance(value, _Number):
        raise _Refused("A number is not finite, or too large.", field_error(path, str(value), "a finite number"))
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


def _with_whole_numbers(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _with_whole_numbers(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_with_whole_numbers(value) for value in plain]
    return int(plain) if isinstance(plain, float) and plain.is_integer() and abs(plain) < _INT64 else plain


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


def _nested(text: str) -> _Refused:
    """The refusal of a text that is nested deeper than Python's parser goes."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            before = text[: token.start()].encode("utf-8", "replace")
            return _Refused(_TOO_DEEP, *_field_at(before, allowed=f"at most {MAX_DEPTH} levels"))
    raise AssertionError("unreachable")


def _field_at(before: bytes, allowed: str | None = None) -> list[FieldError]:
    """The last key before a place in the body."""
    keys = _KEY.findall(before)
    return [field_error(keys[-1].decode("utf-8", "replace") if keys else "body", allowed=allowed)]


_AT = re.compile(r"^(.*?)(?: - at `(?:key in )?\$(.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_REQUIRED = re.compile(r"Object missing required field `(.*)`")


def _misfit(error: Exception, plain: Any, kind: Any) -> Problem:
    """msgspec's complaint as a problem."""
    found = _AT.match(str(error))
    message, path = (found[1], (found[2] or "").lstrip(".")) if found else ("", "")
    if unknown := _UNKNOWN.search(message):
        known = _fields_of(kind, path)
        allowed = ", ".join(known) if known else "nothing of this name"
        return invalid("A field is unknown.", field_error(_joined(path, unknown[1]), allowed=allowed))
    if missing := _REQUIRED.search(message):
        return invalid("A field is missing.", field_error(_joined(path, missing[1]), allowed="required"))
    place, value = _place(plain, path)
    return invalid("A value does not fit the schema.", field_error(place or "body", value, allowed_by(message)))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _place(plain: Any, path: str) -> tuple[str, Any]:
    """The value at msgspec's path; an object's `[...]`, which names no key, gives the first value of a wrong kind."""
    value, place = plain, ""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]", path):
        if name and isinstance(value, dict) and name in value:
            value, place = value[name], _joined(place, name)
        elif index.isdigit() and isinstance(value, list) and int(index) < len(value):
            value, place = value[int(index)], f"{place}[{index}]"
        elif index == "..." and isinstance(value, dict):
            key = next((key for key, each in value.items() if isinstance(each, dict | list | bool)), None)
            if key is None:
                break
            value, place = value[key], _joined(place, key)
        else:
            break
    return place, value


def _fields_of(kind: Any, path: str) -> tuple[str, ...]:
    """Names of the fields that the object at `path` may have."""
    for name in re.findall(r"[^.\[\]\d]+", path):
        fields = {each.encode_name: each.type for each in msgspec.structs.fields(kind)} if _is_struct(kind) else {}
        kind = fields.get(name, kind)
        while get_args(kind):
            kind = next((each for each in get_args(kind) if _is_struct(each) or get_args(each)), None)
    return tuple(each.encode_name for each in msgspec.structs.fields(kind)) if _is_struct(kind) else ()


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
