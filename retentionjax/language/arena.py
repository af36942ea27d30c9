"""Systems that write side by side: every two of them on the same briefs, judged by something else than the reward.

A judge compares two texts for one brief. It is asked in both orders, so that a taste for the first one cancels; what
it does not find better either way is a tie, which counts half for each. Intervals resample briefs, the same ones for
all systems: how hard a brief is drops out of every comparison.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

Judge = Callable[[int, str, str], float]
"""(brief's number, one text, another) → 1 if the one is better, 0 if the other is, 0.5 for a tie."""
RESAMPLES = 2_000


@dataclass(frozen=True)
class Duel:
    """One system against another."""

    first: str
    second: str
    wins: int
    """Briefs on which the first is better."""
    ties: int
    losses: int
    win_rate: float
    """(wins + ties / 2) / briefs, with its 95 % interval."""
    win_rate_low: float
    win_rate_high: float

    @property
    def p(self) -> float:
        """The p-value of wins against losses by the two-sided sign test, ties left out; 1 where all are ties."""
        decided = self.wins + self.losses
        return float(stats.binomtest(self.wins, decided).pvalue) if decided else 1.0


@dataclass(frozen=True)
class Standing:
    """One system against all others."""

    system: str
    win_rate: float
    """Mean of its duels'."""
    win_rate_low: float
    win_rate_high: float


@dataclass(frozen=True)
class Tournament:
    """All duels; `standings` from the best down."""

    briefs: int
    duels: tuple[Duel, ...]
    standings: tuple[Standing, ...]

    def duel(self, first: str, second: str) -> Duel:
        """The duel seen from `first`. Raises KeyError where they never met."""
        for each in self.duels:
            if (each.first, each.second) == (first, second):
                return each
            if (each.first, each.second) == (second, first):
                low, high = 1 - each.win_rate_high, 1 - each.win_rate_low
                return Duel(first, second, each.losses, each.ties, each.wins, 1 - each.win_rate, low, high)
        raise KeyError(f"{first} against {second}")


def compare(
    systems: Mapping[str, Sequence[str]], judge: Judge, *, resamples: int = RESAMPLES, seed: int = 0
) -> Tournament:
    """Lets every two of `systems` (name → a text for each brief) meet on every brief.

    Raises ValueError for fewer than two systems, unlike numbers of texts, none at all, or a verdict outside [0, 1].
    """
    count = _briefs(systems)
    pairs = list(itertools.combinations(systems, 2))
    points = {pair: _points(systems[pair[0]], systems[pair[1]], judge) for pair in pairs}
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, count, size=(resamples, count))
    # How often each resample draws each brief, so that a resampled mean is a product of matrices.
    weights = np.stack([np.bincount(each, minlength=count) for each in drawn]) / count
    resampled = {pair: weights @ each for pair, each in points.items()}
    duels = tuple(_duel(pair, points[pair], resampled[pair]) for pair in pairs)
    standings = [_standing(system, points, resampled) for system in systems]
    return Tournament(count, duels, tuple(sorted(standings, key=lambda each: -each.win_rate)))


def table(tournament: Tournament) -> str:
    """The standings, and each row system's win rate over each column system with its p-value, as Markdown."""
    names = [each.system for each in tournament.standings]
    lines = ["| system | over all (95 %) | " + " | ".join(f"over {name}" for name in names) + " |"]
    lines.append("|---" * (len(names) + 2) + "|")
    for each in tournament.standings:
        cells = [f"{each.win_rate:.1%} ({each.win_rate_low:.1%} to {each.win_rate_high:.1%})"]
        cells += ["–" if other == each.system else _cell(tournament.duel(each.system, other)) for other in names]
        lines.append(f"| {each.system} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(duel: Duel) -> str:
    return f"{duel.win_rate:.1%} (p {duel.p:.2g})"


def _briefs(systems: Mapping[str, Sequence[str]]) -> int:
    counts = {name: len(texts) for name, texts in systems.items()}
    if len(systems) < 2 or len(set(counts.values())) != 1 or not all(counts.values()):
        raise ValueError(f"texts by system: {counts}; allowed: two systems or more, one text a brief from each")
    return next(iter(counts.values()))


def _points(first: Sequence[str], second: Sequence[str], judge: Judge) -> Float[np.ndarray, " briefs"]:
    """1, 0.5 or 0 a brief: for `first` better, neither, `second` better, the judge asked both ways round."""
    points = np.empty(len(first))
    for brief, (one, other) in enumerate(zip(first, second, strict=True)):
        verdicts = (judge(brief, one, other), judge(brief, other, one))
        if not all(0 <= verdict <= 1 for verdict in verdicts):
            raise ValueError(f"the judge says {verdicts} of brief {brief}; allowed: 0 to 1")
        points[brief] = 0.5 + 0.5 * np.sign(round(verdicts[0] - verdicts[1], 9))
    return points


def _duel(
    pair: tuple[str, str], points: Float[np.ndarray, " briefs"], resampled: Float[np.ndarray, " resamples"]
) -> Duel:
    wins, ties = int((points == 1).sum()), int((points == 0.5).sum())
    low, high = _interval(resampled)
    return Duel(*pair, wins, ties, len(points) - wins - ties, float(points.mean()), low, high)


def _standing(
    system: str,
    points: Mapping[tuple[str, str], np.ndarray],
    resampled: Mapping[tuple[str, str], np.ndarray],
) -> Standing:
    mine = [pair for pair in points if system in pair]
    signs = {pair: 1.0 if pair[0] == system else -1.0 for pair in mine}
    # A duel lost at rate p is won at 1 − p by the other: mirrored about a half.
    rate = np.mean([0.5 + signs[pair] * (points[pair].mean() - 0.5) for pair in mine])
    low, high = _interval(np.mean([0.5 + signs[pair] * (resampled[pair] - 0.5) for pair in mine], axis=0))
    return Standing(system, float(rate), low, high)


def _interval(resampled: Float[np.ndarray, " resamples"]) -> tuple[float, float]:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)
