"""Bodies have one meaning or are refused, with the field at fault named."""

import datetime as dt
import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.express import decode
from serving.fields import Moment
from serving.problems import Problem, epoch
from serving.security.bodies import MAX_DEPTH


class Item(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["a", "b"]
    count: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0


class Body(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=20)]
    facts: dict[str, str | float | int | None] = {}
    items: list[Item] = []


def refusal(body: bytes, kind: Any = Body) -> Problem:
    with pytest.raises(Problem) as caught:
        decode(body, kind)
    return caught.value


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"name": "a", "facts": {"x": NaN}}', 400, "facts.x"),
        (b'{"name": "a", "facts": {"x": Infinity}}', 400, "facts.x"),
        (b'{"name": "a", "facts": {"x": 1e999}}', 400, "facts.x"),
        (b'{"name": "a", "facts": {"x": -1e999}}', 400, "facts.x"),
        (b'{"name": "a", "facts": {"x": 123456789012345678901234567890}}', 400, "facts.x"),
        (b'{"name": "a", "facts": {"x": ' + b"9" * 5000 + b"}}", 400, "facts.x"),
        (b'{"name": "a", "facts": {"x": 1, "y": 2, "x": 3}}', 400, "facts.x"),
        (b'{"name": "a", "facts": {"x": 1, "\\u0078": 3}}', 400, "facts.x"),
        (b'{"name": "a", "name": "b"}', 400, "name"),
        (b'{"name": "a", "items": [{"kind": "a", "kind": "a"}]}', 400, "items[0].kind"),
        (b'{"name": "\\ud800"}', 400, "name"),
        (b'{"name": "a\xff"}', 400, "name"),
        (b'{"name": "a", "facts": {"x": "\xc3("}}', 400, "x"),
        (b'{"name": "a"', 400, "name"),
        (b'{"name": "a"} 1', 400, "body"),
        (b"", 400, "body"),
        (b"nope", 400, "body"),
        (b"[" * 20_000 + b"]" * 20_000, 400, "body"),
        (b'{"name": "a", "facts": {"deep": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}", 400, "deep"),
        (b'{"name": "a", "facts": {"deep": ' + b"[" * 30 + b"]" * 30 + b"}}", 400, "facts.deep" + "[0]" * 14),
        (b'{"name": "a", "cooldown": 3}', 422, "cooldown"),
        (b'{"facts": {}}', 422, "name"),
        (b'{"name": 7}', 422, "name"),
        (b'{"name": "a", "facts": {"x": true}}', 422, "facts.x"),
        (b'{"name": "a", "facts": {"y": 1, "x": []}}', 422, "facts.x"),
        (b'{"name": "a", "items": [{"kind": "a"}, {"kind": "c"}]}', 422, "items[1].kind"),
        (b'{"name": "a", "items": [{"kind": "a", "count": 10}]}', 422, "items[0].count"),
        (b'{"name": "a", "items": [{"kind": "a", "count": "5"}]}', 422, "items[0].count"),
        (b'{"name": "a", "items": [{"kind": "a", "extra": 1}]}', 422, "items[0].extra"),
        (b"[1]", 422, "body"),
        (b'{"name": "a\\u0000"}', 422, "name"),
        (b'{"name": "a", "facts": {"x": "\\u0000"}}', 422, "facts.x"),
        (b'{"name": "a", "facts": {"\\u0000": 1}}', 422, "facts"),
        (b'{"name": "a", "items": [{"kind": "a", "count": 5.5}]}', 422, "items[0].count"),
    ],
)
def test_the_field_at_fault_is_named(body: bytes, status: int, field: str) -> None:
    problem = refusal(body)
    assert (problem.status, problem.errors[0].field) == (status, field)


def test_the_value_and_what_is_allowed_are_named_too() -> None:
    error = refusal(b'{"name": "' + b"a" * 300 + b'"}').errors[0]
    assert error.allowed == "a text, 20 characters at most"
    assert error.value is not None
    assert len(error.value) == 100
    assert refusal(b'{"name": "a", "items": [{"kind": "a", "extra": 1}]}').errors[0].allowed == "kind, count"


@pytest.mark.parametrize("name", ['quoted " and \\ slashed', "line\nbreak", "日本語", "😀", '{"a":1,"a":2}'])
def test_odd_but_right_texts_pass(name: str) -> None:
    for ascii_only in (True, False):
        body = json.dumps({"name": name[:20], "facts": {name: 1}}, ensure_ascii=ascii_only).encode()
        assert decode(body, Body).facts == {name: 1}


class Rows(msgspec.Struct):
    rows: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(max_length=1000)]


@pytest.mark.parametrize("shape", ["[{}]", '{{"a": {}}}', "[0, {}]"])
def test_a_deeply_nested_row_is_kept_apart_and_a_body_full_of_them_is_refused(shape: str) -> None:
    before, after = shape.format("|").split("|")
    deep = before * 1500 + "0" + after * 1500
    body = f'{{"rows": [NaN, {deep}, 7]}}'.encode()
    assert [bytes(row) for row in decode(body, Rows).rows] == [b"NaN", deep.encode(), b"7"]
    many = ", ".join([deep] * 300)
    long = before * 100_000 + "0" + after * 100_000
    for rows in (many, long, f"7, {long}"):
        problem = refusal(f'{{"rows": [NaN, {rows}]}}'.encode(), Rows)
        assert (problem.status, problem.type) == (400, "malformed-json")
        assert f"more than {MAX_DEPTH} deep" in problem.detail


def test_the_same_key_in_different_objects_is_no_duplicate() -> None:
    body = b'{"name": "a", "items": [{"kind": "a"}, {"kind": "a"}], "facts": {"kind": "a", "name": "a"}}'
    assert len(decode(body, Body).items) == 2


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_facts = st.dictionaries(_texts, st.none() | _texts | st.integers(-(2**63), 2**63 - 1))


@given(facts=_facts, ascii_only=st.booleans())
def test_whatever_json_writes_is_read_as_it_was(facts: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps({"name": "a", "facts": facts}, ensure_ascii=ascii_only).encode()
    assert decode(body, Body).facts == facts


@given(facts=_facts.filter(len), data=st.data(), ascii_only=st.booleans())
def test_a_key_given_twice_never_passes(facts: dict[str, Any], data: st.DataObject, ascii_only: bool) -> None:
    twice = data.draw(st.sampled_from(sorted(facts)))
    pairs = [*facts.items(), (twice, 1)]
    inner = ", ".join(f"{json.dumps(key, ensure_ascii=ascii_only)}: {json.dumps(value)}" for key, value in pairs)
    assert refusal(f'{{"name": "a", "facts": {{{inner}}}}}'.encode()).status == 400


def test_depth_is_bounded_and_what_is_allowed_passes() -> None:
    class Deep(msgspec.Struct):
        value: Any

    def nested(levels: int) -> bytes:
        return b'{"value": ' + b"[" * levels + b"]" * levels + b"}"

    assert decode(nested(MAX_DEPTH - 1), Deep)
    with pytest.raises(Problem):
        decode(nested(20_000), Deep)


class Bounded(msgspec.Struct):
    """What bodies have: numbers, lists, moments with bounds."""

    days: Annotated[int, msgspec.Meta(ge=0, le=365)] | None = None
    arms: Annotated[dict[str, Annotated[float, msgspec.Meta(gt=0, lt=1)]], msgspec.Meta(min_length=2)] | None = None
    at: Moment | None = None
    on: bool = False
    tone: Annotated[Literal["warm", "formal"], msgspec.Meta(description="A choice")] | None = None
    items: tuple[Item, ...] = ()
    angles: dict[str, Literal["", "price"]] = {}


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (b'{"days": 400}', "a whole number, 365 at most"),
        (b'{"days": 1.5}', "a whole number or null"),
        (b'{"arms": {"a": 0.5}}', "an object, 2 entries or more"),
        (b'{"arms": {"a": 1, "b": 1}}', "a number, below 1"),
        (
            b'{"at": "2016-12-31T23:59:60Z"}',
            "ISO 8601 with an offset, as in 2026-11-26T10:15:00Z; seconds from 0 to 59",
        ),
        (b'{"at": "2016-12-31T23:59:50"}', "a moment, ISO 8601 with an offset"),
        (b'{"on": 1}', "true or false"),
        (b'{"tone": "loud"}', "warm, formal or null"),
        (b'{"tone": 5}', "warm, formal or null"),
        (b'{"items": [{"kind": "c"}]}', "a, b"),
        (b'{"angles": {"x": "rude"}}', '"", price'),
    ],
)
def test_what_is_allowed_is_said_in_words(body: bytes, allowed: str) -> None:
    with pytest.raises(Problem) as caught:
        decode(body, Bounded)
    assert caught.value.errors[0].allowed == allowed


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00", "1999-12-31T23:59:59Z"])
def test_a_moment_that_is_far_away_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(Problem) as caught:
        epoch(dt.datetime.fromisoformat(text), "pilot.ends_at")
    assert (caught.value.status, caught.value.errors[0].field) == (422, "pilot.ends_at")
    assert "2000-01-01" in (caught.value.errors[0].allowed or "")
    assert epoch(dt.datetime.fromisoformat("2026-01-01T00:00:00+00:00"), "at") == 1767225600.0
