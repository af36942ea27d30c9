"""Which of the approved wordings a customer is sent, and what a wording is worth.

The choice is drawn by Thompson sampling over what customers did (Thompson 1933; Chapelle and Li 2011): an accept counts
for a wording, an opt-out against it. A share of the draws is uniform, so that every wording goes on being measured; the
probability of the draw is recorded with it.
"""

from collections.abc import Callable, Sequence
from math import lgamma, log, log1p

import numpy as np
from jaxtyping import Float

from retentionjax.decide.variants import Answers

UNIFORM_SHARE = 0.1
"""Share of the draws that goes to all wordings alike: what it costs is a tenth of what the worst of them loses."""
OPT_OUT_COST = 3.0
"""Accepts that an opt-out outweighs: a customer who can't be written to again has cost every later offer."""
STRENGTH = 20.0
"""Messages that the prior counts for; it is centred on the kind's own rates, all wordings together."""
DRAWS = 2000
"""Draws of the rates behind a wording's probability of being the best."""
LEVEL = 0.95


def best_probabilities(answers: Sequence[Answers], *, seed: int = 0) -> Float[np.ndarray, " variants"]:
    """Probability of each wording of being the best one, given what customers did.

    The rates of accepting and of opting out have a Dirichlet posterior each; the best wording has the largest
    accept − `OPT_OUT_COST` · opt-out. The same counts give the same numbers in every process.

    Args:
        answers: by wording; all wordings of one kind.
        seed: of the draws.
    """
    counts = np.array([(each.accepted, each.opted_out, each.sent) for each in answers], np.float64)
    counts[:, 2] = np.maximum(0.0, counts[:, 2] - counts[:, 0] - counts[:, 1])
    pooled = counts.sum(0) + np.array([1.0, 0.1, 9.0])  # before anybody was written to: one in ten accepts
    posterior = counts + STRENGTH * pooled / pooled.sum()
    gammas = np.random.default_rng(seed).standard_gamma(posterior, size=(DRAWS, *posterior.shape))
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


def rate_interval(successes: int, trials: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a rate that may be looked at after every trial: it covers at all times together with `level`.

    All p at which the beta-binomial mixture martingale B(½ + s, ½ + n − s) / (B(½, ½) p^s (1 − p)^(n − s)) has stayed
    below 1/(1 − level) (Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021, §3.2). Choosing the wordings by what was
    seen before does not break it: each wording's trials remain exchangeable among themselves.
    """
    failures = trials - successes
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


def lift(variant: Answers, template: Answers, *, level: float = LEVEL) -> tuple[float, float, float]:
    """(estimate, low, high) of the accept rate less the template's; the interval holds at all times together."""
    each = 1 - (1 - level) / 2
    ours, theirs = (rate_interval(one.accepted, one.sent, level=each) for one in (variant, template))
    estimate = variant.accepted / max(1, variant.sent) - template.accepted / max(1, template.sent)
    return estimate, ours[0] - theirs[1], ours[1] - theirs[0]


def is_worse(variant: Answers, template: Answers, *, level: float = LEVEL) -> bool:
    """Whether customers certainly accept this wording less often than the template, or opt out after it more often."""
    each = 1 - (1 - level) / 4
    accepts, opt_outs = (
        [rate_interval(getattr(one, what), one.sent, level=each) for one in (variant, template)]
        for what in ("accepted", "opted_out")
    )
    return accepts[0][1] < accepts[1][0] or opt_outs[0][0] > opt_outs[1][1]
