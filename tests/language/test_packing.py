"""The way from texts to arrays: what is learned is the completion and nothing else, whatever shares its row."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.errors import DataError
from retentionjax.language import packing
from retentionjax.language.decoder.parts import visible
from retentionjax.language.packing import Tokenised

PAD = 99


def example(number: int, prompt: int, completion: int) -> Tokenised:
    """Tokens that tell where they come from: 1000 · example + place."""
    tokens = np.arange(prompt + completion, dtype=np.int32) + 1000 * (number + 1)
    return Tokenised(tokens[:prompt], tokens[prompt:])


EXAMPLES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 7)), min_size=1, max_size=12)


@given(EXAMPLES, st.booleans())
def test_every_completion_token_is_predicted_once_from_the_token_before_it(
    sizes: list[tuple[int, int]], packed: bool
) -> None:
    examples = [example(number, *size) for number, size in enumerate(sizes)]
    rows = packing.arrange(examples, 20, packed=packed)
    batch = packing.pack(examples, rows, 20, PAD, 128)
    flat, count = batch.tokens.reshape(-1), int(batch.weights.sum())
    np.testing.assert_array_equal(flat[batch.index[:count]] + 1, batch.targets[:count])
    wanted = sorted(token for each in examples for token in each.completion.tolist())
    assert sorted(batch.targets[:count].tolist()) == wanted


def seen(batch: packing.Packed, row: int) -> np.ndarray:
    """bool[T, T]: which columns (second) each column sees."""
    mask, until = jnp.asarray(batch.mask), jnp.asarray(batch.until)
    return np.asarray(visible(mask, mask.shape[1], until=until))[row]


ALIKE = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=12)


@given(ALIKE, st.integers(1, 3))
def test_every_text_of_a_row_reads_itself_and_nothing_else(texts: list[list[int]], width: int) -> None:
    examples = [Tokenised(np.array(each[:1], np.int32), np.array(each[1:], np.int32)) for each in texts]
    found, count = 0, 0
    for batch, placed in packing.read_together(examples, PAD, rows=width, length=20):
        targets = iter(batch.targets.tolist())
        for number, row, columns in placed:
            np.testing.assert_array_equal(batch.tokens[row, columns], texts[number])
            np.testing.assert_array_equal(batch.positions[row, columns], np.arange(len(texts[number])))
            np.testing.assert_array_equal(np.flatnonzero(seen(batch, row)[columns[-1]]), columns)
            assert [next(targets) for _ in texts[number][1:]] == texts[number][1:]
            found += 1
        count += int(batch.mask.sum())
        np.testing.assert_array_equal(batch.mask, batch.tokens != PAD)
    assert found == len(texts)
    assert count <= sum(map(len, texts))


def test_what_texts_begin_with_stands_in_the_row_once() -> None:
    texts = [np.array(each, np.int32) for each in ([1, 2, 3], [1, 2, 4, 5], [6], [1, 2, 3])]
    assert [each.tolist() for each in packing.lay_out(texts)] == [[0, 1, 2], [0, 1, 3, 4], [5], [0, 1, 2]]
    examples = [Tokenised(each[:1], each[1:]) for each in texts]
    assert packing.arrange_alike(examples, 6) == [[0, 3, 1, 2]]
    assert packing.arrange_alike(examples, 5) == [[0, 3, 1], [2]]


def test_packing_shares_rows_and_not_packing_does_not() -> None:
    examples = [example(number, 3, 2) for number in range(8)]
    assert len(packing.arrange(examples, 20)) == 2
    assert packing.arrange(examples, 20, packed=False) == [[number] for number in range(8)]


def test_an_example_longer_than_a_row_is_named() -> None:
    with pytest.raises(DataError, match="example 1 has 21 tokens; allowed: 20"):
        packing.arrange([example(0, 2, 2), example(1, 20, 1)], 20)


def test_prompts_end_in_the_last_column_and_texts_begin_in_the_first() -> None:
    texts = [np.array([1, 2, 3], np.int32), np.array([4], np.int32)]
    left, right = packing.pad_left(texts, PAD, multiple=4), packing.pad_right(texts, PAD, multiple=4)
    np.testing.assert_array_equal(left.tokens, [[PAD, 1, 2, 3], [PAD, PAD, PAD, 4]])
    np.testing.assert_array_equal(right.tokens, [[1, 2, 3, PAD], [4, PAD, PAD, PAD]])
    np.testing.assert_array_equal(left.mask, left.tokens != PAD)
    np.testing.assert_array_equal(right.mask, right.tokens != PAD)


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(DataError, match="empty text"):
        packing.pad_left([np.array([1], np.int32), np.array([], np.int32)], PAD)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 7), st.integers(0, 5))
def test_batches_by_length_hold_every_text_once(lengths: list[int], batch: int, seed: int) -> None:
    batches = packing.by_length(lengths, batch, seed)
    assert sorted(number for each in batches for number in each) == list(range(len(lengths)))
    assert max(map(len, batches)) <= batch
    assert batches == packing.by_length(lengths, batch, seed)


def test_ties_fall_anew_with_every_seed_and_batches_do_not_come_by_length() -> None:
    same, rising = [7] * 64, list(range(64))
    assert packing.by_length(same, 4, 0) != packing.by_length(same, 4, 1)
    in_order = {tuple(range(start, start + 4)) for start in range(0, 64, 4)}
    assert not {tuple(sorted(each)) for each in packing.by_length(same, 4, 0)} & in_order, "neighbours stay apart"
    assert {tuple(sorted(each)) for each in packing.by_length(rising, 4, 0)} == in_order
    firsts = [min(each) for each in packing.by_length(rising, 4, 0)]
    assert firsts != sorted(firsts)


class Characters:
    """A tokenizer of one token a character, with a chat template."""

    eos_token_id = 1

    def apply_chat_template(
        self, messages: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool, enable_thinking: bool
    ) -> str:
        assert not enable_thinking
        assert add_generation_prompt
        assert not tokenize
        return "".join(f"<{each['role'][0]}>{each['content']};" for each in messages) + "<a>"

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(letter) for letter in text]


def test_the_prompt_goes_through_the_template_and_the_turn_ends() -> None:
    made = packing.tokenise(Characters(), "hi", "ok", system="")
    assert "".join(map(chr, made.prompt)) == "<s>;<u>hi;<a>"
    assert made.completion.tolist() == [ord(" "), ord("o"), ord("k"), 1], "words begin as inside a sentence"
    again = packing.tokenise(Characters(), "hi", " ok", system="")
    assert again.completion.tolist() == made.completion.tolist()


def test_a_text_too_long_is_refused_not_cut() -> None:
    with pytest.raises(DataError, match="allowed: 8"):
        packing.tokenise(Characters(), "hi", "a long answer", max_length=8)


@given(EXAMPLES, st.integers(1, 4))
def test_any_batch_of_rows_has_places_for_its_targets(sizes: list[tuple[int, int]], batch: int) -> None:
    examples = [example(number, *size) for number, size in enumerate(sizes)]
    rows = packing.arrange(examples, 20)
    places = packing.capacity(examples, rows, batch)
    for start in range(len(rows)):
        packing.pack(examples, rows[start : start + batch], 20, PAD, places)


def test_too_few_places_are_an_error() -> None:
    with pytest.raises(DataError, match="the rows have 3 targets; allowed: 2"):
        packing.pack([example(0, 2, 3)], [[0]], 20, PAD, 2)
