"""What is kept of texts, how they are split, and how they are written down."""

import dataclasses
import json
from pathlib import Path

import pytest

from retentionjax.data import catalog, text_loading, texts
from retentionjax.data.schema import Provenance
from retentionjax.data.text_loading import TextTable, check
from retentionjax.data.texts import Example, Preference, TextLimits, Turn
from retentionjax.errors import ConfigError, DataError


def _example(asked: str = "How do I cook rice?", said: str = "Wash it and boil it.", group: str = "g") -> Example:
    return Example((Turn("user", asked),), said, "s", group)


def _pair(chosen: str, rejected: str, asked: str = "How do I cook rice?") -> Preference:
    return Preference((Turn("user", asked),), chosen, rejected, "s", "g")


def test_what_is_too_short_or_too_long_is_left_out() -> None:
    limits = TextLimits(characters=10, prompt_tokens=5, response_tokens=6)

    def words(text: str) -> int:
        return len(text.split())

    good = _example()
    assert texts.keep([good], limits, words) == [good]
    assert not texts.keep([_example(said="Boil it.  ")], limits, words)
    assert not texts.keep([_example(asked="Rice?")], limits, words)
    assert not texts.keep([_example(said="one two three four five six seven")], limits, words)
    assert not texts.keep([_example(asked="one two three four five six")], limits, words)
    long_history = dataclasses.replace(good, prompt=(Turn("user", "a b c"), Turn("assistant", "d e"), *good.prompt))
    assert not texts.keep([long_history], limits, words), "the cap counts the whole dialogue"


def test_a_limit_is_no_negative_number() -> None:
    with pytest.raises(ConfigError, match=r"Limits\.probe is -1; allowed: 0 or more"):
        TextLimits(probe=-1)


def test_the_same_text_is_kept_once_whatever_its_spaces_and_capitals() -> None:
    first = _example()
    again = _example(asked="how do I  cook rice?", said="WASH it and\nboil it.")
    assert texts.keep([first, again, first], TextLimits()) == [first]


def test_pairs_that_say_nothing_or_contradict_each_other_are_left_out() -> None:
    one, other = "Wash it and boil it.", "I cannot say anything."
    assert not texts.keep([_pair(one, one.upper())], TextLimits())
    assert not texts.keep([_pair(one, other), _pair(other, one)], TextLimits())
    assert len(texts.keep([_pair(one, other), _pair(other, one, asked="What about beans?")], TextLimits())) == 2


def test_a_group_is_of_one_split_and_the_shares_are_80_10_10() -> None:
    many = [_example(said=f"answer number {number}", group=str(number % 2000)) for number in range(4000)]
    parts = texts.split(many, seed=1)
    groups = {name: {text.group for text in rows} for name, rows in parts.items()}
    assert sum(len(each) for each in groups.values()) == 2000
    assert [len(parts[name]) / 4000 for name in texts.SPLITS] == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    assert texts.split(list(reversed(many)), seed=1)["test"] == parts["test"][::-1]
    assert texts.split(many, seed=2)["test"] != parts["test"]


def test_some_of_many_are_drawn_by_lot_and_keep_their_order() -> None:
    many = [_example(said=f"answer number {number}") for number in range(100)]
    some = texts.at_most(many, 30)
    assert len(some) == 30
    assert some == [text for text in many if text in some]
    assert texts.at_most([*many, _example(said="one more answer")], 30) != many[:30]
    assert texts.at_most(some, 30) == some


def test_a_text_is_one_line_of_json_with_all_of_it() -> None:
    for text in (_example(said='He said "ü"\n\u2028next'), dataclasses.replace(_pair("a", "b"), margin=0.5)):
        assert "\n" not in texts.line(text)
        read = json.loads(texts.line(text))
        assert type(text)(**{**read, "prompt": tuple(texts.Turn(**turn) for turn in read["prompt"])}) == text


def _table(rows: int = 3, **changed: object) -> TextTable:
    splits = {name: [_example(said=f"{name} answer {number}") for number in range(rows)] for name in texts.SPLITS}
    table = TextTable("oasst1", splits, Provenance("real", "here", "f" * 64, "none", 3 * rows), TextLimits(), 42, {})
    return dataclasses.replace(table, **changed)  # type: ignore[arg-type]


def test_prepared_texts_are_those_of_the_set(tmp_path: Path) -> None:
    table = _table()
    assert text_loading.prepare(table, tmp_path)
    for name, rows in table.splits.items():
        assert (tmp_path / f"oasst1/{name}.jsonl").read_text() == "".join(texts.line(row) + "\n" for row in rows)
    entry = catalog.entries(tmp_path)["oasst1"]
    assert entry["limits"]["prompt_tokens"] == 1024
    assert entry["statistics"]["train"]["groups"] == 1
    assert not text_loading.prepare(table, tmp_path)
    for other in (_table(seed=1), _table(limits=TextLimits(characters=11)), _table(tokens="by words"), _table(rows=4)):
        assert text_loading.needs_update(tmp_path, other)
    (tmp_path / "oasst1/test.jsonl").write_text("")
    assert text_loading.needs_update(tmp_path, table)


def test_too_few_rows_to_train_on_stop_the_run() -> None:
    with pytest.raises(DataError, match="oasst1 has 3 training rows; allowed: 1,000 or more"):
        check(_table())
    check(_table(limits=TextLimits(minimum_examples=3)))
