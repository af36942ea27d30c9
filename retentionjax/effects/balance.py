"""Are the arms of a log what they claim to be? Two tests that facts do not tell who was assigned to what.

`balance` compares means, all arms at once: sensitive to a small shift. `predictability` lets trees look for any rule
(a range of ages, a pair of conditions) that means do not show. Both weigh an assignment by 1/propensity, so that a
design which follows facts with stated probabilities passes, and take a customer's assignments as one.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from retentionjax.effects.log import Log
from retentionjax.env.types import NO_OFFER
from retentionjax.tabular import boosting

_MOST = 20_000
"""Assignments that trees look at."""
_CUSTOMERS, _FEWEST = 100, 4
"""Customers for each difference of means that is tested; levels of categories that are tested however few there are."""
_FOLDS = 2
_TREES = boosting.BoosterConfig(trees=50, depth=3, learning_rate=0.1)


class Predictability(NamedTuple):
    """How well facts tell one arm from the others."""

    arm: int
    auc: float
    """AUC of scores by trees that had not seen the customer, weighted by 1/propensity: 0.5 where facts tell nothing."""
    error: float
    """Its standard error."""


def balance(log: Log) -> float:
    """p of the hypothesis that arms were drawn with the stated probabilities, whatever the facts.

    Weighted by 1/propensity every arm must have the means of facts that all have together: Wald's χ² of the
    differences, an assignment's influence summed by customer. Facts: charge, both scores, the day, earlier contacts,
    and what the log brings.
    """
    if log.propensity is None:
        raise ValueError("without propensities there is no hypothesis to test")
    arms = np.unique(log.arm)
    facts = _standardised(_frequent(_facts(log), len(log.monthly_charge) // (_CUSTOMERS * max(len(arms) - 1, 1))))
    if len(arms) < 2 or not facts.shape[1]:
        return 1.0
    influence = []
    for arm in arms[1:]:
        weight = np.where(log.arm == arm, 1 / log.propensity, 0.0)
        influence.append(facts * (weight / weight.sum() - 1 / len(weight))[:, None])
    rows = np.concatenate(influence, axis=1)
    total = rows.sum(axis=0)
    by_customer = np.zeros((len(log.monthly_charge), rows.shape[1]))
    np.add.at(by_customer, log.customer, rows)
    covariance = by_customer.T @ by_customer
    inverse = np.linalg.pinv(covariance, rcond=1e-8, hermitian=True)
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True, rtol=1e-8))
    return float(stats.chi2.sf(total @ inverse @ total, max(rank, 1)))


def _frequent(facts: np.ndarray, most: int) -> np.ndarray:
    """`facts` with `most` columns, or as many as are no level of a category: of the levels, the frequent ones.

    An estimated covariance of many sums is too small, the more so the rarer what they count: with a category of 100
    levels two honest logs in five were called unbalanced. Trees still look at every level.
    """
    is_level = ((facts == 0) | (facts == 1)).all(axis=0)
    rarity = np.abs(facts.mean(axis=0) - 0.5)
    levels = np.flatnonzero(is_level)[np.argsort(rarity[is_level], kind="stable")]
    kept = levels[: max(most - int((~is_level).sum()), _FEWEST)]
    return facts[:, np.sort([*np.flatnonzero(~is_level), *kept])]


def _facts(log: Log) -> np.ndarray:
    def log_odds(probability: np.ndarray) -> np.ndarray:
        return np.log(probability) - np.log1p(-probability)

    people = [np.log(log.monthly_charge), log_odds(log.churn_probability), log_odds(log.accept_probability)]
    table = np.column_stack(people if log.facts is None else [*people, log.facts])
    return np.column_stack([table[log.customer], log.day, _earlier_contacts(log)])


def _earlier_contacts(log: Log) -> np.ndarray:
    order = np.lexsort((log.day, log.customer))
    is_contact = (log.arm != NO_OFFER)[order].astype(np.int64)
    before = np.cumsum(is_contact) - is_contact
    starts = np.append(True, np.diff(log.customer[order]) != 0)
    counted = before - np.maximum.accumulate(np.where(starts, before, 0))
    earlier = np.empty_like(counted)
    earlier[order] = counted
    return earlier


def _standardised(facts: np.ndarray) -> np.ndarray:
    away = facts - facts.mean(axis=0)
    spread = away.std(axis=0)
    return away[:, spread > 1e-9] / spread[spread > 1e-9]


def predictability(log: Log) -> Predictability:
    """The arm that facts tell best from the others, by the AUC's distance from 0.5 in standard errors."""
    if log.propensity is None:
        raise ValueError("without propensities there is no hypothesis to test")
    random = np.random.default_rng(0)
    rows = random.permutation(len(log.day))[:_MOST]
    facts = _standardised(_facts(log))[rows].astype(np.float32)
    arms = np.unique(log.arm[rows])
    if len(arms) < 2 or not facts.shape[1]:
        return Predictability(int(arms[0]), 0.5, 0.0)
    fold = random.permutation(len(log.monthly_charge))[log.customer[rows]] % _FOLDS
    found = []
    for arm in arms[len(arms) == 2 :]:  # of two, the second tells of the first
        label = (log.arm[rows] == arm).astype(np.int64)
        score = np.empty(len(rows))
        for number in range(_FOLDS):
            inside = fold == number
            booster = boosting.train(facts[~inside], label[~inside], ["q"] * facts.shape[1], _TREES, seed=0)
            score[inside] = boosting.score(booster, facts[inside])
            score[inside] = stats.rankdata(score[inside]) / inside.sum()  # two boosters' scores are not alike
        found.append(Predictability(int(arm), *_auc(score, label == 1, 1 / log.propensity[rows], log.customer[rows])))
    return max(found, key=lambda each: (each.auc - 0.5) / max(each.error, 1e-9))


def _auc(score: np.ndarray, is_arm: np.ndarray, weight: np.ndarray, customer: np.ndarray) -> tuple[float, float]:
    """Weighted AUC and its standard error by influence (DeLong), a customer's rows summed.

    √2 times that of scores that came from elsewhere: of two folds each is judged by trees from the other, so that what
    both have in common by chance counts twice. Without it one honest log in a hundred was called predictable.
    """
    inside, outside = np.where(is_arm, weight, 0.0), np.where(is_arm, 0.0, weight)
    inside, outside = inside / inside.sum(), outside / outside.sum()
    below = _share_below(score, outside)  # of the others' weight; ties count half
    above = 1 - _share_below(score, inside)
    auc = float(inside @ below)
    influence = inside * (below - auc) + outside * (above - auc)
    return auc, float(np.sqrt(_FOLDS * np.sum(np.bincount(customer, weights=influence) ** 2)))


def _share_below(score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    values, place = np.unique(score, return_inverse=True)
    mass = np.bincount(place, weights=weight, minlength=len(values))
    return (np.cumsum(mass) - mass / 2)[place]
