"""Packing texts into arrays: completion-only targets, several short examples packed into a row, left-padded prompts.

Texts of a row that begin alike are a tree: what they begin with stands there once, and is seen by all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import struct

from retentionjax.errors import ConfigError, DataError
from retentionjax.language.tokenizer import chat_ids
from retentionjax.rl.leaves import HostLeaf

OPEN = 64
"""Rows among which a text is placed: thousands of texts are not all compared with one another."""


@dataclass(frozen=True, eq=False)
class Tokenised:
    """One example. `completion` ends with the token that ends the turn, so that stopping is learned too."""

    prompt: np.ndarray  # i32[P], chat template included
    completion: np.ndarray  # i32[C]

    def __len__(self) -> int:
        """Tokens of both parts."""
        return len(self.prompt) + len(self.completion)

    @property
    def tokens(self) -> np.ndarray:
        """i32[P + C]."""
        return np.concatenate([self.prompt, self.completion])


@struct.dataclass
class Rows:
    """Texts side by side, one a row, padded on one side."""

    tokens: HostLeaf  # i32[B, T]
    mask: HostLeaf  # bool[B, T], False on padding


@struct.dataclass
class Packed:
    """Several examples a row. What is learned is listed: token `targets[k]` from the state at flat place `index[k]`."""

    tokens: HostLeaf  # i32[R, T]
    mask: HostLeaf  # bool[R, T]
    positions: HostLeaf  # i32[R, T], from 0 in every example
    until: HostLeaf  # i32[R, T], columns from this one on do not see it: its last text has ended; 0 on padding
    index: HostLeaf  # i32[K], place in the R·T row by row
    targets: HostLeaf  # i32[K]
    weights: HostLeaf  # f32[K], 1, and 0 where K was rounded up


# --- texts → tokens -------------------------------------------------------------------------------------------


Prompt = str | Sequence[Mapping[str, str]]  # what the user says, or a dialogue that ends with a user's turn


def tokenise_prompt(tokenizer: Any, prompt: Prompt, *, system: str | None = None) -> np.ndarray:
    """The chat template's tokens of a user's turn, up to where the assistant begins to write: i32[P].

    Args:
        prompt: a text, or turns of a dialogue as {"role": "user" or "assistant", "content": text}.
        system: system message; None leaves the template's own, "" saves its tokens.
    """
    messages: list[Mapping[str, str]] = [] if system is None else [{"role": "system", "content": system}]
    messages += [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return np.asarray(chat_ids(tokenizer, messages), np.int32)


def tokenise(
    tokenizer: Any, prompt: Prompt, completion: str, *, system: str | None = None, max_length: int | None = None
) -> Tokenised:
    """Prompt through the chat template, and the completion with the end of its turn (the tokenizer's EOS).

    The completion begins with a space, for to these tokenizers "Maria" and " Maria" are different words: so a name that
    the answer begins with is spelt as in the prompt, and can be copied.

    Raises:
        DataError: longer than `max_length` tokens: a message cut in half teaches to stop in the middle.
    """
    words = np.asarray(tokenizer.encode(f" {completion.lstrip()}", add_special_tokens=False), np.int32)
    example = Tokenised(
        prompt=tokenise_prompt(tokenizer, prompt, system=system),
        completion=np.append(words, np.int32(tokenizer.eos_token_id)),
    )
    if max_length is not None and len(example) > max_length:
        raise DataError(
            f"an example has {len(example)} tokens; allowed: {max_length} (the text is {completion[:40]!r}…)"
        )
    return example


def round_up(length: int, multiple: int) -> int:
    """The next multiple, at least one: few lengths, so few compiled programs."""
    return max(1, -(-length // multiple)) * multiple


# --- one text a row -------------------------------------------------------------------------------------------


def pad_left(texts: Sequence[np.ndarray], pad: int, multiple: int = 16) -> Rows:
    """Prompts, so that all end in the last column, where generation begins."""
    return _padded(texts, pad, multiple, left=True)


def pad_right(texts: Sequence[np.ndarray], pad: int, multiple: int = 16) -> Rows:
    """Whole texts, all beginning in the first column."""
    return _padded(texts, pad, multiple, left=False)


def _padded(texts: Sequence[np.ndarray], pad: int, multiple: int, *, left: bool) -> Rows:
    if not texts or min(len(text) for text in texts) == 0:
        raise DataError("there is an empty text, or no text at all; every row needs at least one token")
    length = round_up(max(len(text) for text in texts), multiple)
    tokens = np.full((len(texts), length), pad, np.int32)
    mask = np.zeros((len(texts), length), bool)
    for row, text in enumerate(texts):
        place = slice(length - len(text), None) if left else slice(0, len(text))
        tokens[row, place], mask[row, place] = text, True
    return Rows(tokens, mask)


# --- many texts a row -----------------------------------------------------------------------------------------


def arrange(examples: Sequence[Tokenised], length: int, *, packed: bool = True) -> list[list[int]]:
    """Which examples share a row of `length` tokens: first fit, longest first; without `packed` each its own.

    Raises:
        DataError: an example is longer than a row.
    """
    for number, example in enumerate(examples):
        if len(example) > length:
            raise DataError(f"example {number} has {len(example)} tokens; allowed: {length}, the length of a row")
    if not packed:
        return [[number] for number in range(len(examples))]
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(examples)), key=lambda each: -len(examples[each])):
        needed = len(examples[number])
        row = next((row for row, left in enumerate(room) if left >= needed), None)
        if row is None:
            rows.append([])
            room.append(length)
            row = len(rows) - 1
        rows[row].append(number)
        room[row] -= needed
    return rows


def arrange_alike(examples: Sequence[Tokenised], length: int) -> list[list[int]]:
    """Which examples, none longer than `length`, share a row of so many tokens, those together that begin alike.

    In the order of a dictionary each goes where it takes the fewest new tokens, of the last `OPEN` rows. To be read,
    not to be learned from: a step on texts that are alike teaches less (.50 instead of .44 nats a token in the demo).
    """
    texts = [example.tokens for example in examples]
    rows: list[list[int]] = []
    room: list[int] = []
    for number in _in_dictionary_order(texts):
        needed = {row: len(texts[number]) - _alike(texts[rows[row][-1]], texts[number]) for row in _last(len(rows))}
        row = min((row for row in needed if needed[row] <= room[row]), key=lambda row: needed[row], default=len(rows))
        if row == len(rows):
            rows.append([])
            room.append(length)
        rows[row].append(number)
        room[row] -= needed.get(row, len(texts[number]))
    return rows


def lay_out(texts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The columns of each text's tokens in a row that they share, i32[len(text)]: a tree in the order it is read."""
    columns: list[np.ndarray] = [np.zeros(0, np.int32)] * len(texts)
    used, before = 0, -1
    for number in _in_dictionary_order(texts):
        # In this order no other text has more in common with it than the one before.
        shared = 0 if before < 0 else _alike(texts[before], texts[number])
        new = np.arange(used, used + len(texts[number]) - shared, dtype=np.int32)
        columns[number] = np.concatenate([columns[before][:shared], new])
        used, before = used + len(new), number
    return columns


def _in_dictionary_order(texts: Sequence[np.ndarray]) -> list[int]:
    return sorted(range(len(texts)), key=lambda number: texts[number].tolist())


def _alike(one: np.ndarray, other: np.ndarray) -> int:
    """How many tokens both begin with."""
    length = min(len(one), len(other))
    apart = np.flatnonzero(one[:length] != other[:length])
    return int(apart[0]) if len(apart) else length


def _last(rows: int) -> range:
    return range(max(0, rows - OPEN), rows)


def pack(examples: Sequence[Tokenised], rows: Sequence[Sequence[int]], length: int, pad: int, capacity: int) -> Packed:
    """The arrays of `rows` (numbers of examples, by `arrange`), each `length` wide, columns as `lay_out` says.

    Args:
        capacity: K, places for targets; the same for all batches of a run, which then share one compiled program.

    Raises:
        DataError: there are more targets than places.
    """
    shape = (len(rows), length)
    tokens = np.full(shape, pad, np.int32)
    positions, until = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    index = [np.zeros(0, np.int32)]
    targets = [np.zeros(0, np.int32)]
    for row, numbers in enumerate(rows):
        columns = lay_out([examples[number].tokens for number in numbers])
        for number, places in zip(numbers, columns, strict=True):
            example = examples[number]
            tokens[row, places] = example.tokens
            positions[row, places] = np.arange(len(example))
            until[row, places] = np.maximum(until[row, places], places[-1] + 1)
            # The state before a token is what predicts it: the prompt's last state predicts the completion's first.
            index.append(row * length + places[len(example.prompt) - 1 : -1])
            targets.append(example.completion)
    count = sum(map(len, index))
    if count > capacity:
        raise DataError(f"the rows have {count} targets; allowed: {capacity}, their capacity")
    spare = capacity - count
    return Packed(
        tokens=tokens,
        mask=until > 0,
        positions=positions,
        until=until,
        index=np.pad(np.concatenate(index).astype(np.int32), (0, spare)),
        targets=np.pad(np.concatenate(targets).astype(np.int32), (0, spare)),
        weights=np.pad(np.ones(count, np.float32), (0, spare)),
    )


def capacity(examples: Sequence[Tokenised], rows: Sequence[Sequence[int]], batch: int, multiple: int = 16) -> int:
    """Places for targets that are enough for any `batch` of the rows."""
    counts = sorted((sum(len(examples[number].completion) for number in row) for row in rows), reverse=True)
    return round_up(sum(counts[:batch]), multiple)


def read_together(
    examples: Sequence[Tokenised], pad: int, *, rows: int = 2, length: int = 256
) -> Iterator[tuple[Packed, list[tuple[int, int, np.ndarray]]]]:
    """All examples once, `rows` rows at a time, without a gradient: the arrays, and each one's (number, row, columns)
    in the order of their targets.

    One shape for texts of any length, `length` tokens or the longest text's: on a CPU compiling for another costs more
    than reading dozens.
    """
    length = max(length, round_up(max(map(len, examples), default=0), 64))
    arranged = arrange_alike(examples, length)
    places = capacity(examples, arranged, rows, 64)
    for first in range(0, len(arranged), rows):
        chosen = arranged[first : first + rows]
        placed = []
        for row, numbers in enumerate(chosen):
            columns = lay_out([examples[number].tokens for number in numbers])
            placed += [(number, row, each) for number, each in zip(numbers, columns, strict=True)]
        yield pack(examples, chosen + [[]] * (rows - len(chosen)), length, pad, places), placed


def by_length(lengths: Sequence[int], batch: int, seed: int) -> list[list[int]]:
    """Batches of texts of like length, in random order: little padding, and no order by length for the learner.

    Texts are shuffled first, so ties fall differently from epoch to epoch (from `seed` to seed). The last batch may be
    short.
    """
    if batch < 1:
        raise ConfigError(f"batch is {batch}; allowed: at least 1")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(lengths))
    ordered = shuffled[np.argsort(np.asarray(lengths)[shuffled], kind="stable")]
    batches = [ordered[start : start + batch].tolist() for start in range(0, len(ordered), batch)]
    return [batches[place] for place in generator.permutation(len(batches))]
