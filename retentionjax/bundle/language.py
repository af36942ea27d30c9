"""The part `language` of a bundle: the writer of messages, loaded when the first message is asked for.

Beside its adapter may lie the reward model that ranks what it proposes.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retentionjax.bundle.loading import Bundle
from retentionjax.errors import BundleError, DataError, ModelError
from retentionjax.shield import Brief

if TYPE_CHECKING:
    from retentionjax.language.writer import MessageWriter

REWARD = "reward_model"
"""Its folder."""
WIDTH = 96
"""Tokens. A message's prompt has some 30 to 80, and each width would compile for as long as it writes dozens."""

Write = Callable[[Sequence[Brief], Sequence[int]], list[str]]
"""(masked briefs, a seed each) → texts with stand-ins for the names (`Brief.fill`)."""
Score = Callable[[Sequence[Brief], Sequence[str]], list[float]]
"""(masked briefs, texts) → what each is worth beside the others."""


def writer(bundle: Bundle) -> Callable[[Brief, int], str]:
    """(masked brief, seed) → text with stand-ins for the names (`Brief.fill`), by the bundle's language model.

    Fetches the base model if it is not at hand.

    Raises BundleError when the bundle has none, or its adapter does not fit the base model.
    """
    write = _writer(bundle)
    return lambda brief, seed: write([brief.prompt()], [seed])[0]


def proposer(bundle: Bundle) -> tuple[Write, Score | None]:
    """The bundle's language model, writing many texts at once; and where there is a reward model, what ranks them: its
    score and the texts' fluency under the base model, in standard deviations each. See `writer`."""
    writes = _writer(bundle)
    from retentionjax.language import packing, reward, reward_files
    from retentionjax.language.rule_judge import mean_log_probs

    def write(briefs: Sequence[Brief], seeds: Sequence[int]) -> list[str]:
        return writes([brief.prompt() for brief in briefs], seeds)

    folder = bundle.folder / "language" / REWARD
    if not folder.exists():
        return write, None
    try:
        scorer = reward_files.load(folder)
    except DataError as error:
        raise BundleError(str(error)) from None
    model, system = writes.model, writes.config.system

    def score(briefs: Sequence[Brief], texts: Sequence[str]) -> list[float]:
        prompts = [brief.prompt() for brief in briefs]
        examples = [
            packing.tokenise(model.tokenizer, prompt, text, system=system).tokens
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        scores = reward.score_texts(model.decoder, scorer, examples, pad=int(model.tokenizer.pad_token_id))
        worth = _standard(scores) + _standard(mean_log_probs(model, prompts, texts, system))
        return [float(each) for each in worth]

    return write, score


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() or 1.0)


def _writer(bundle: Bundle) -> "MessageWriter":
    if not bundle.writes:
        raise BundleError(f"{bundle.folder}: has no part 'language', so it can write by the template only")
    from retentionjax.language import writer as writers  # transformers takes seconds to import

    try:
        return writers.load(bundle.folder / "language", width=WIDTH)
    except ModelError as error:
        raise BundleError(str(error)) from None
