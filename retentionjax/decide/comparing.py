"""Wordings compared by what they do, not by whom they reach.

A wording that speaks of a name or a tenure is sent only to those who have one, and in the weeks it was approved: raw
rates compare customers, not wordings. So answers are kept by stratum, which is who had the same choice of wordings in
the same week of a campaign, and wordings are compared within strata only (Mantel and Haenszel 1959).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from retentionjax.decide.variants import NOBODY, STRENGTH, Answers

Stratum = Mapping[str, Answers]
"""Answers by wording, of customers who had the same choice."""
_ROUNDS = 20
"""Of fitting strata and wordings in turn; it converges to three digits in five."""


def comparable(strata: Sequence[Stratum], wordings: Sequence[str]) -> list[Answers]:
    """Answers of each wording as if all had been sent to the same customers, for `best_probabilities`.

    Of rates r_sw = b_s · m_w, b of a stratum and m of a wording are fitted in turn, each drawn towards the average by
    `STRENGTH` messages; a wording sent to customers who accept twice as often then counts as sent to twice as many. A
    stratum in which but one wording was sent says nothing of it.
    """
    counts = np.array([[stratum.get(each, NOBODY) for each in wordings] for stratum in strata], np.float64)
    counts = counts.reshape(len(strata), len(wordings), 3)
    counts = counts[(counts[..., 0] > 0).sum(1) > 1]
    sent = counts[..., 0]
    accepted, opted_out = (_as_sent_to_all(sent, counts[..., kind]) for kind in (1, 2))
    rates = counts[..., 2].sum(0) / np.maximum(opted_out, 1e-9)
    return [
        Answers(*map(float, each))
        for each in zip(accepted, counts[..., 1].sum(0), np.minimum(rates, 1.0) * accepted, strict=True)
    ]


def _as_sent_to_all(
    sent: Float[np.ndarray, "strata variants"], did: Float[np.ndarray, "strata variants"]
) -> Float[np.ndarray, " variants"]:
    """Σ_s n_sw b_s / b̄: to how many average customers each wording was as good as sent."""
    mean = did.sum() / max(1.0, sent.sum())
    if mean == 0:
        return sent.sum(0)
    by_wording = np.ones(sent.shape[1])
    for _ in range(_ROUNDS):
        by_stratum = (did.sum(1) + STRENGTH * mean) / (sent @ by_wording + STRENGTH)
        by_wording = (did.sum(0) + STRENGTH * mean) / (by_stratum @ sent + STRENGTH * mean)
    expected = by_stratum @ sent
    return expected * sent.sum() / expected.sum()


def matched(strata: Sequence[Stratum], one: str, other: str) -> tuple[Answers, Answers]:
    """Answers of two wordings among customers who could have been sent either, for `lift` and `is_worse`.

    A stratum counts n₁n₂/(n₁ + n₂) for both (Mantel and Haenszel 1959); `sent` is the number of messages that tell as
    much.
    """
    pairs = [(stratum.get(one, NOBODY), stratum.get(other, NOBODY)) for stratum in strata]
    counts = np.array([each for each in pairs if each[0].sent and each[1].sent], np.float64).reshape(-1, 2, 3)
    sent = counts[..., 0]
    weights = sent.prod(1) / np.maximum(sent.sum(1), 1.0)
    if not len(weights):
        return NOBODY, NOBODY
    size = weights.sum() ** 2 / (weights[:, None] ** 2 / sent).sum(0)
    rates = (weights[:, None, None] * counts[..., 1:] / sent[..., None]).sum(0) / weights.sum()
    ours, theirs = (Answers(float(n), *(float(n * rate) for rate in each)) for n, each in zip(size, rates, strict=True))
    return ours, theirs
