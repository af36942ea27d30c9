"""Estimators of a target policy's value from another one's episodes; a contextual decision is an episode of one.

With ratios ρ_t = π(a_t|x_t)/π₀(a_t|x_t), weights w_t = ρ₀ ⋯ ρ_t, discounts γ_t (everything before t), a model of the
reward to come q̂ and v̂_t = Σ_a π(a|x_t) q̂(x_t, a):

    IPS      E[Σ γ_t w_t r_t]                         Precup, Sutton, Singh 2000 (per decision)
    SNIPS    Σ_t E[γ_t w_t r_t] / E[w_t]              Swaminathan, Joachims 2015; per step: Thomas 2015
    DM       E[v̂_0]
    DR       E[v̂_0 + Σ γ_t w_t (r_t + γ v̂_{t+1} − q̂_t)]   Dudík et al. 2011; sequential: Jiang, Li 2016
    switch   DR with w where w ≤ τ, else 0            Wang, Agarwal, Dudík 2017
    DRos     DR with λw/(w² + λ)                      Su et al. 2020 (optimistic shrinkage)

At one step each is the contextual estimator of that name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xgboost
from jaxtyping import Bool, Float, Float32, Int

from retentionjax.evaluation.off_policy.log import DecisionLog
from retentionjax.evaluation.off_policy.overlap import ratios

Weights = Float[np.ndarray, "E T"]


@dataclass(frozen=True)
class EpisodeSteps:
    """E episodes side by side, T steps; after an episode's end rewards are 0 and weights stay."""

    present: Bool[np.ndarray, "E T"]
    weight: Float[np.ndarray, "E T"]
    """w_t."""
    possible: Float[np.ndarray, "E T"]
    """The largest w_t that another draw of actions in the same contexts could have given."""
    reward: Float[np.ndarray, "E T"]
    discount: Float[np.ndarray, "E T"]
    """γ_t: product of the discounts before step t."""
    model: Float[np.ndarray, "E T"]
    """q̂ of what was done."""
    model_value: Float[np.ndarray, "E T+1"]
    """v̂_t, times the discount of the step before; 0 after the end."""
    customer: Int[np.ndarray, " E"]


class EstimatorTerms(NamedTuple):
    """What an estimator adds up: value = Σ_k Σᵢ numerator[i, k] / Σᵢ denominator[i, k]."""

    numerator: Float[np.ndarray, "E K"]
    denominator: Float[np.ndarray, "E K"]

    @property
    def value(self) -> float:
        """The estimate; not a number where nothing stands below the line."""
        with np.errstate(invalid="ignore"):
            return float((self.numerator.sum(axis=0) / self.denominator.sum(axis=0)).sum())

    @property
    def is_mean(self) -> bool:
        """Whether it is a plain mean over episodes, as bounds for means need."""
        return self.numerator.shape[1] == 1 and bool((self.denominator == 1).all())


def steps(log: DecisionLog, target: Float[np.ndarray, "n A"], model: Float[np.ndarray, "n A"]) -> EpisodeSteps:
    """A log's episodes side by side; `model` is q̂ of every action, reward to come in the episode."""
    shape = (log.num_episodes, int(log.step.max()) + 1)
    place = (log.episode, log.step)

    def spread(values: np.ndarray, fill: float) -> np.ndarray:
        full = np.full(shape, fill)
        full[place] = values
        return full

    supported = log.propensities > 0
    with np.errstate(over="ignore"):  # `overlap.check_weights` refuses what is beyond every number
        largest = np.where(supported, target / np.where(supported, log.propensities, 1.0), 0.0).max(axis=1)
        weight, possible = (np.cumprod(spread(each, 1.0), axis=1) for each in (ratios(log, target), largest))
    own_discount = spread(log.discount, 1.0)
    value = spread((target * model).sum(axis=1), 0.0)
    following = np.concatenate([value[:, 1:], np.zeros((shape[0], 1))], axis=1) * own_discount
    return EpisodeSteps(
        present=spread(np.ones(len(log)), 0.0) > 0,
        weight=weight,
        possible=possible,
        reward=spread(log.reward, 0.0),
        discount=np.cumprod(np.concatenate([np.ones((shape[0], 1)), own_discount[:, :-1]], axis=1), axis=1),
        model=spread(model[np.arange(len(log)), log.action], 0.0),
        model_value=np.concatenate([value[:, :1], following], axis=1),
        customer=log.customer[log.step == 0],
    )


def logged(data: EpisodeSteps) -> EstimatorTerms:
    """Value of the logging policy itself: the mean of what happened."""
    return _mean((data.discount * data.reward).sum(axis=1))


def ips(data: EpisodeSteps) -> EstimatorTerms:
    """Inverse propensity scoring, per decision."""
    return _mean((data.discount * data.weight * data.reward).sum(axis=1))


def snips(data: EpisodeSteps) -> EstimatorTerms:
    """Self-normalised: each step's weights are divided by their mean, those of ended episodes included."""
    return EstimatorTerms(data.discount * data.weight * data.reward, data.weight)


def direct(data: EpisodeSteps) -> EstimatorTerms:
    """The direct method: what the model says, no weights at all."""
    return _mean(data.model_value[:, 0])


def doubly_robust(data: EpisodeSteps) -> EstimatorTerms:
    """Model plus weighted residuals."""
    return _corrected(data, data.weight)


def switch(data: EpisodeSteps, threshold: float) -> EstimatorTerms:
    """Doubly robust where the weight is at most `threshold`, the model alone beyond."""
    return _corrected(data, switched(data.weight, threshold))


def shrinkage(data: EpisodeSteps, strength: float) -> EstimatorTerms:
    """Doubly robust with weights λw/(w² + λ): λ = ∞ is doubly robust, λ = 0 the model alone."""
    return _corrected(data, shrunk(data.weight, strength))


def tune(data: EpisodeSteps, weigh: Callable[[Weights, float], Weights], grid: tuple[float, ...]) -> float:
    """The grid value of least estimated squared error: variance of the mean plus squared bias.

    Bias is that of replacing w by φ(w), estimated as E[Σ γ_t (φ(w_t) − w_t)(r_t + γv̂ − q̂)] (Su et al. 2020).
    """

    def squared_error(value: float) -> float:
        weight = weigh(data.weight, value)
        scores = _corrected(data, weight).numerator
        bias = (data.discount * (weight - data.weight) * _residual(data)).sum(axis=1).mean()
        return float(scores.var() / len(scores) + bias**2)

    return min(grid, key=squared_error)


def switched(weight: Weights, threshold: float) -> Weights:
    """φ(w) of `switch`."""
    return np.where(weight <= threshold, weight, 0.0)


def shrunk(weight: Weights, strength: float) -> Weights:
    """φ(w) of `shrinkage`."""
    return weight if np.isinf(strength) else strength * weight / (weight**2 + strength)


def _corrected(data: EpisodeSteps, weight: Weights) -> EstimatorTerms:
    return _mean(data.model_value[:, 0] + (data.discount * weight * _residual(data)).sum(axis=1))


def _residual(data: EpisodeSteps) -> Float[np.ndarray, "E T"]:
    """r_t + γ v̂_{t+1} − q̂_t, 0 after the end."""
    return np.where(data.present, data.reward + data.model_value[:, 1:] - data.model, 0.0)


def _mean(scores: Float[np.ndarray, " E"]) -> EstimatorTerms:
    return EstimatorTerms(scores[:, None], np.ones((len(scores), 1)))


# --- the outcome model -----------------------------------------------------------------------------------------------
# q̂, learned from the log itself by fitted Q evaluation, backwards through the steps: gradient-boosted trees on
# (observation, action) predict r_t + γ Σ_a π(a|x_{t+1}) q̂_{t+1}(x_{t+1}, a) (Le, Voloshin, Yue 2019). At one step it is
# a plain regression of reward. Cross-fitting keeps a decision's own outcome out of its prediction (Chernozhukov et al.
# 2018).


FOLDS = 3  # of customers
TREES = 40
SETTINGS = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "max_depth": 3,
    "learning_rate": 0.15,
    "min_child_weight": 20,
    "seed": 0,
    "nthread": 1,
}
"""Few and shallow trees, for a wrong q̂ costs variance only, never truth."""


def cross_fit(log: DecisionLog, target: Float[np.ndarray, "n A"]) -> Float[np.ndarray, "n A"]:
    """q̂ of every action of every decision, by models that saw none of that decision's customer.

    With fewer customers than folds, folds are as many as customers; one customer alone gets a q̂ of 0.
    """
    customers = int(log.customer.max()) + 1
    fold = np.random.default_rng(0).permutation(customers)[log.customer] % min(FOLDS, customers)
    model = np.zeros(log.propensities.shape)
    if customers == 1:
        return model
    for number in range(int(fold.max()) + 1):
        model[fold == number] = _fit(log, target, fold, number)[fold == number]
    return model


def _fit(
    log: DecisionLog, target: Float[np.ndarray, "n A"], fold: Int[np.ndarray, " n"], held_out: int
) -> Float[np.ndarray, "n A"]:
    """q̂ of the held-out fold, and of the others as far as the recursion needs it; one model a step."""
    model = np.zeros(log.propensities.shape)
    following = np.zeros(len(log))
    for step in range(int(log.step.max()), -1, -1):
        here = log.step == step
        learn = here & (fold != held_out)
        if learn.any():
            booster = _regress(
                features(log.observation[learn], log.action[learn], log.num_actions),
                (log.reward + log.discount * following)[learn],
            )
            model[here] = predict_all(booster, log.observation[here], log.num_actions)
        if step:
            value = (target[here] * model[here]).sum(axis=1)
            following[np.flatnonzero(here) - 1] = value  # rows of an episode stand one after another
    return model


def features(
    observation: Float32[np.ndarray, "n features"], action: Int[np.ndarray, " n"], num_actions: int
) -> Float32[np.ndarray, "n inputs"]:
    """The observation, and the action as indicators."""
    return np.concatenate([observation, np.eye(num_actions, dtype=np.float32)[action]], axis=1)


def predict_all(
    booster: xgboost.Booster, observation: Float32[np.ndarray, "n features"], num_actions: int
) -> Float[np.ndarray, "n A"]:
    """The regression's answer for every action of each observation."""
    count = len(observation)
    columns = [
        booster.inplace_predict(features(observation, np.full(count, action), num_actions))
        for action in range(num_actions)
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _regress(x: Float32[np.ndarray, "n inputs"], y: Float[np.ndarray, " n"]) -> xgboost.Booster:
    return xgboost.train(SETTINGS | {"base_score": float(y.mean())}, xgboost.DMatrix(x, y, nthread=1), TREES)
