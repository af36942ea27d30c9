"""Which of the approved wordings a customer is sent, and what a wording is worth: by what it does, not whom it reaches.

The choice is drawn by Thompson sampling over what customers did (Thompson 1933; Chapelle and Li 2011): an accept counts
for a wording, an opt-out against it. A share of the draws is uniform, so that every wording goes on being measured; the
probability of the draw is recorded with it.

A wording that speaks of a name or a tenure is sent only to those who have one, and in the weeks it was approved: raw
rates compare customers, not wordings. So answers are kept by stratum, which is who had the same choice of wordings in
the same week of a campaign, and wordings are compared within strata only (Mantel and Haenszel 1959).
"""

from collections.abc import Callable, Sequence
from math import lgamma, log, log1p

import numpy as np
from jaxtyping import Float

from retentionjax.decide.variants import NOBODY, Answers, Stratum

UNIFORM_SHARE = 0.1
"""Share of the draws that goes to all wordings alike: what it costs is a tenth of what the worst of them loses."""
OPT_OUT_COST = 3.0
"""Accepts that an opt-out outweighs: a customer who can't be written to again has cost every later offer."""
STRENGTH = 20.0
"""Messages that the prior counts for; it is centred on the kind's own rates, all wordings together."""
DRAWS = 2000
"""Draws of the rates behind a wording's probability of being the best."""
LEVEL = 0.95
_ROUNDS = 20
"""Rounds of fitting strata and wordings in turn; it converges to three digits in five."""


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


def best_probabilities(answers: Sequence[Answers]) -> Float[np.ndarray, " variants"]:
    """Probability of each wording of being the best one, given what customers did.

    The rates of accepting and of opting out have a Dirichlet posterior each; the best wording has the largest
    accept − `OPT_OUT_COST` · opt-out. The same counts give the same numbers in every process. `answers` are by wording,
    all wordings of one kind.
    """
    counts = np.array([(each.accepted, each.opted_out, each.sent) for each in answers], np.float64)
    counts[:, 2] = np.maximum(0.0, counts[:, 2] - counts[:, 0] - counts[:, 1])
    pooled = counts.sum(0) + np.array([1.0, 0.1, 9.0])  # before anybody was written to: one in ten accepts
    posterior = counts + STRENGTH * pooled / pooled.sum()
    gammas = np.random.default_rng(0).standard_gamma(posterior, size=(DRAWS, *posterior.shape))
    rates = gammas / gammas.sum(axis=2, keepdims=True)
    best = np.argmax(rates[..., 0] - OPT_OUT_COST * rates[..., 1], axis=1)
    return np.bincount(best, minlength=len(answers)) / DRAWS


def choose(best: Float[np.ndarray, " variants"], number: float) -> tuple[int, float]:
    """(place, propensity) of the wording that a customer is sent.

    Args:
        best: probability of being the best, of each wording that fits this customer.
        number: uniform in [0, 1), the customer's own.
    """
    count = len(best)
    share = best / best.sum() if best.sum() > 0 else np.full(count, 1 / count)
    chances = (1 - UNIFORM_SHARE) * share + UNIFORM_SHARE / count
    place = min(int(np.searchsorted(np.cumsum(chances), number, side="right")), count - 1)
    return place, float(chances[place])


def rate_interval(successes: float, trials: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a rate that may be looked at after every trial: it covers at all times together with `level`.

    All p at which the beta-binomial mixture martingale B(½ + s, ½ + n − s) / (B(½, ½) p^s (1 − p)^(n − s)) has stayed
    below 1/(1 − level) (Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021, §3.2). Choosing the wordings by what was
    seen before does not break it: each wording's trials remain exchangeable among themselves.
    """
    failures = max(0.0, trials - successes)
    limit = _log_beta(0.5 + successes, 0.5 + failures) - _log_beta(0.5, 0.5) + log(1 - level)

    def inside(p: float) -> bool:
        return limit <= successes * log(p) + failures * log1p(-p)

    middle = (successes + 0.5) / (trials + 1)
    tiny = 1e-12
    low = 0.0 if successes == 0 or inside(tiny) else _bisect(inside, tiny, middle)
    high = 1.0 if failures == 0 or inside(1 - tiny) else _bisect(inside, 1 - tiny, middle)
    return low, high


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _bisect(inside: Callable[[float], bool], outer: float, inner: float) -> float:
    for _ in range(60):
        between = (outer + inner) / 2
        outer, inner = (outer, between) if inside(between) else (between, inner)
    return outer


def lift(variant: Answers, template: Answers) -> tuple[float, float, float]:
    """(estimate, low, high) of the accept rate less the template's; the interval holds at all times together."""
    each = 1 - (1 - LEVEL) / 2
    ours, theirs = (rate_interval(one.accepted, one.sent, level=each) for one in (variant, template))
    estimate = variant.accepted / (variant.sent or 1) - template.accepted / (template.sent or 1)
    return estimate, ours[0] - theirs[1], ours[1] - theirs[0]


def is_worse(variant: Answers, template: Answers) -> bool:
    """Whether customers certainly accept this wording less often than the template, or opt out after it more often."""
    each = 1 - (1 - LEVEL) / 4
    accepts, opt_outs = (
        [rate_interval(getattr(one, what), one.sent, level=each) for one in (variant, template)]
        for what in ("accepted", "opted_out")
    )
    return accepts[0][1] < accepts[1][0] or opt_outs[0][0] > opt_outs[1][1]
