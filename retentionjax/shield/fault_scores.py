"""How much each word of a message, among its neighbours, reads like the fault of a message that may not be sent.

Each word stands for a vector, near to those of like meaning, so that what was learned of `refund` says something of
`reimburse`. Convolutions over a word and its neighbours give each word its score, taught by marks that say which words
are at fault; the message's is their soft maximum, for a message is bad where one clause is: `experiments.fault_scores`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from retentionjax.shield.reading import BLANK

if TYPE_CHECKING:
    import numpy as np

BEGIN, UNKNOWN, SPARED = "<begin>", "<unknown>", "<spared>"
REACH = 2
"""How many neighbours on either side a convolution sees."""
_AT_ONCE = 60
"""Words that are multiplied at once: more would wake the other cores, which costs more than it saves."""
_BEGINNING = 4
"""So many letters at the least must a word share with the known one that stands for it."""


@dataclass(frozen=True)
class FaultScores:
    """A network that scores words."""

    row: Mapping[str, int]
    """Word → its row of `table`."""
    table: "np.ndarray"
    """Int8 [words, width]."""
    scale: "np.ndarray"
    """[width]; what one step of `table` is worth."""
    kernels: "np.ndarray"
    """[layers, (2·REACH + 1)·width, width]."""
    shifts: "np.ndarray"
    """[layers, width]."""
    score: "np.ndarray"
    """[width + 1]; a word's score from what the layers make of it, the last of them added."""
    message: "np.ndarray"
    """[width + 2]; the message's log-odds from the mean of what the layers make of its words, from their soft maximum,
    and what is added."""

    @classmethod
    def of(cls, file: Mapping[str, "np.ndarray"]) -> Self:
        """The network in the arrays of an npz file."""
        import numpy as np  # so that no command's help waits for it

        words = bytes(file["words"]).decode().split("\n")
        values = (file[key].astype(np.float32) for key in ("scale", "kernels", "shifts", "score", "message"))
        return cls({word: at for at, word in enumerate(words)}, file["table"], *values)

    def judge(self, tokens: Sequence[str]) -> tuple[float, list[float]]:
        """Log-odds that a message of these tokens may not be sent, and each token's score."""
        import numpy as np

        rows = [self.row[known(token, self.row)] for token in (BEGIN, *tokens)]
        hidden = self.table[rows] * self.scale
        length, width = hidden.shape
        for kernel, shift in zip(self.kernels, self.shifts, strict=True):
            padded = np.zeros((length + 2 * REACH, width), np.float32)
            padded[REACH : REACH + length] = hidden
            seen = np.repeat(shift[None], length, axis=0)
            for first in range(0, length, _AT_ONCE):
                last = min(first + _AT_ONCE, length)
                for place, part in enumerate(kernel.reshape(-1, width, width)):
                    seen[first:last] += padded[first + place : last + place] @ part
            hidden = hidden + np.maximum(seen, 0)
        scores = hidden @ self.score[:-1] + self.score[-1]
        highest = scores.max()
        soft = highest + np.log(np.exp(scores - highest).sum())
        log_odds = hidden.mean(axis=0) @ self.message[:-2] + soft * self.message[-2] + self.message[-1]
        return float(log_odds), scores[1:].tolist()


def known(token: str, words: Mapping[str, int]) -> str:
    """The word of `words` that stands for a token: itself, what its genitive is of, or the longest beginning known."""
    word = SPARED if token[0] == BLANK else "#" if token[0].isdigit() else token
    if word in words:
        return word
    word = word.split("'")[0]
    beginnings = (word[:length] for length in range(len(word), _BEGINNING - 1, -1))
    return next((each for each in beginnings if each in words), UNKNOWN)
