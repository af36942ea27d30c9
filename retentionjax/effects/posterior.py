"""The step from prior to posterior: the most probable effects, the curvature there, and a check of both by importance
weights.

Newton's method on a few customers, then on all (each step: value, gradient and Hessian of the log-posterior, by JAX,
customers in chunks, so that memory does not grow with their number). Laplace's approximation N(ẑ, H⁻¹) is then a
proposal: candidates are weighed by the true posterior, the tail of the weights is smoothed and judged by Pareto's k̂
(Vehtari, Simpson, Gelman, Yao, Gabry, arXiv 1507.02646), and 256 of them are drawn. Where k̂ says that the proposal is
too narrow, one made of its weighed candidates takes its place, and where that fails too, Markov chains do (`chain`).
Effects that the log cannot tell keep the prior (see `refusals`): they are drawn from it, and the others as they would
be if these were known.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import stats

from retentionjax.company.prior import Effect
from retentionjax.effects import belief, chain, likelihood
from retentionjax.effects.belief import Belief
from retentionjax.effects.likelihood import Books, Lane
from retentionjax.effects.log import Log, in_chunks
from retentionjax.effects.refusals import Refusal, refusals
from retentionjax.env.types import EnvParams, Population

DRAWS = 256
_CANDIDATES = 512
_ABREAST = 16  # of which so many at a time are evaluated: a day's few numbers alone would leave a core idle
_CHUNK = 512
_FEW = 8  # chunks of the first approach
_STEPS = 40
_CLOSE = 1e-3  # a Newton step this short, in posterior standard deviations, ends the search
RISK = ("risk_onset", "risk_recovery", "risk_ratio")
TRUSTED = 0.7
"""k̂ above which importance weights are not to be relied on: the paper's own limit, as `bundle.manifest` has it."""
_TRIES = 4
_SHOWN = 0.975
_DECLARED = "declared"
_HEAVY = 5.0  # degrees of freedom of the second and later proposals


@dataclass(frozen=True)
class Estimate:
    """One effect before and after the log."""

    prior: Effect
    median: float
    low: float
    """5 % quantile."""
    high: float
    """95 % quantile."""
    is_estimated: bool
    because: str = ""
    """Why the effect keeps its prior; empty if it was estimated."""


@dataclass(frozen=True)
class Posterior:
    """What is believed about the effects after the log."""

    estimates: Mapping[str, Estimate]
    draws: Mapping[str, Float[np.ndarray, " K"]]
    """Effect by name → `DRAWS` joint draws; those that the likelihood takes as declared stay at their median."""
    pareto_k: float = 0.0
    """k̂ of the importance weights: up to 0.7 the draws are the posterior's, above they are those of Markov chains."""
    r_hat: float | None = None
    """The chains' largest split R̂; None where none were needed."""
    refused: tuple[Refusal, ...] = field(default_factory=tuple)

    @property
    def is_reliable(self) -> bool:
        """Whether the draws passed the check of their importance weights, or of the chains."""
        return self.pareto_k <= TRUSTED if self.r_hat is None else self.r_hat <= chain.CONVERGED

    def is_shown(self, name: str) -> bool:
        """Whether the log shows an effect at all: 97.5 % of the draws lie on one side of none.

        Stricter than the 90 % interval, for the prior expects offers to do something.
        """
        below = float(np.mean(self.draws[name] < (1.0 if name.startswith("hazard_multiplier") else 0.0)))
        return self.estimates[name].is_estimated and max(below, 1 - below) >= _SHOWN


class Evidence(NamedTuple):
    """What was seen: chunks (leading axis), and the log-likelihood of one of them."""

    chunks: Any
    log_likelihood: Callable[[Any, belief.Values, EnvParams], Array]
    """Log-likelihood of a chunk, given the effects by name and the environment with these effects; a function of a
    module, so that what was compiled for it serves again."""


def draws_to_params(draws: Mapping[str, Any], offers: Sequence[str], params: EnvParams) -> EnvParams:
    """The environments of K draws: `params` whose leaves of effects have a leading axis of K, one row per draw.

    All other leaves, the population included, are shared. The risk process is among the effects where the draws leave
    it in doubt.
    """
    risk = {name: jnp.asarray(draws[name]) for name in RISK if name in draws}
    return belief.believed(draws, offers, params).replace(**risk)  # type: ignore[attr-defined]


def estimate(log: Log, prior: Mapping[str, Effect], params: EnvParams, *, seed: int = 0) -> Posterior:
    """The posterior of the effects that `log` can tell; `params` holds everything else of the environment.

    `prior` as `company.prior.resolve` gives it, of the offers of the log. Linear in customers × days. The day of
    acceptance is taken as that of the contact.
    """
    refused = refusals(log, {**prior, **belief.IN_A_LOG}, params)
    prior = belief.in_a_log(prior, {name for each in refused for name in each.effects})
    lanes = in_chunks(log.lanes(), _CHUNK)
    declared = belief.believed({name: each.median for name, each in prior.items()}, log.offers, params)
    evidence = Evidence((lanes, _booked(lanes, declared)), of_customers if log.tells_departures else of_answers)
    return from_evidence(evidence, log.offers, prior, params, refused, seed=seed)


def unlearned(prior: Mapping[str, Effect], reason: str, *, seed: int = 0) -> Posterior:
    """The prior as it stands, where `reason` leaves nothing to learn from."""
    return _drawn(prior, (Refusal("no_log", belief.learnable(prior), reason),), None, seed)


_booked = jax.jit(jax.vmap(likelihood.all_books, (0, None)))


def of_customers(chunk: tuple[Lane, Books], effects: belief.Values, params: EnvParams) -> Array:
    """Log-likelihood of some customers' days."""
    return _seen(chunk, effects, params).log_likelihood.sum()


def of_answers(chunk: tuple[Lane, Books], effects: belief.Values, params: EnvParams) -> Array:
    """Log-likelihood of their answers alone: whoever was not asked again may have left."""
    return _seen(chunk, effects, params).log_answers.sum()


def _seen(chunk: tuple[Lane, Books], effects: belief.Values, params: EnvParams) -> likelihood.Seen:
    lanes, books = chunk
    people = Population(lanes.monthly_charge, lanes.churn_probability, lanes.accept_probability)
    people = belief.shifted(people, effects)
    lanes = lanes._replace(churn_probability=people.churn_probability, accept_probability=people.accept_probability)
    drift = effects.get(belief.DRIFT, 0.0)
    return likelihood.filtered(lanes, books, params, drift)


def from_evidence(
    evidence: Evidence,
    offers: tuple[str, ...],
    prior: Mapping[str, Effect],
    params: EnvParams,
    refused: tuple[Refusal, ...],
    *,
    seed: int = 0,
) -> Posterior:
    """The posterior given any evidence; the effects that `refused` names keep the prior."""
    known = belief.learnable(prior)
    refusals_of = {name for each in refused for name in each.effects}
    free = np.array([name not in refusals_of for name in known], bool)
    moving = jnp.asarray([list(prior).index(name) for name in known])
    target = _Target(evidence, Belief.of(prior), moving, offers, params, free) if free.any() else None
    return _drawn(prior, refused, target, seed)


def _drawn(prior: Mapping[str, Effect], refused: tuple[Refusal, ...], target: "_Target | None", seed: int) -> Posterior:
    """The posterior by its draws: of the target's free coordinates, of the prior for what is refused or not in it."""
    random = np.random.default_rng(seed)
    reasons = {name: each.reason for each in reversed(refused) for name in each.effects}
    estimated = set(belief.learnable(prior)) - set(reasons)
    # Sobol's points: each half of the prior's draws, and each quarter, has the prior's mean. With independent ones the
    # half that teaches a policy and the half that judges it disagreed on what a contact does by more than it is worth.
    z = stats.norm.ppf(stats.qmc.Sobol(len(prior), seed=random).random(DRAWS))
    z[:, [index for index, name in enumerate(prior) if not _is_drawn(name, estimated)]] = 0.0
    pareto_k, r_hat = 0.0, None
    if target is not None:
        moving = np.asarray(target.moving)
        z[:, moving], pareto_k, r_hat = _sample(target, z[:, moving], random)
    coordinates = jnp.asarray(z, jnp.float32)
    values = {name: np.asarray(each, np.float64) for name, each in Belief.of(prior).values(coordinates).items()}
    estimates = {
        name: _estimate(effect, values[name], "" if name in estimated else reasons.get(name, _DECLARED))
        for name, effect in prior.items()
    }
    return Posterior(estimates, values, pareto_k, r_hat, refused)


def _is_drawn(name: str, estimated: set[str]) -> bool:
    """Whether an effect that is not estimated varies over the draws.

    What an estimate took for given stays given beside it: the risk process wherever anything was estimated, an offer's
    days of effect where its hazard multiplier was.
    """
    kind, _, offer = name.partition(".")
    if kind.startswith("risk_"):
        return not estimated
    return not (kind == "effect_days" and f"hazard_multiplier.{offer}" in estimated)


def _estimate(effect: Effect, values: np.ndarray, because: str) -> Estimate:
    if because:
        return Estimate(effect, effect.median, *effect.interval, is_estimated=False, because=because)
    low, median, high = (float(each) for each in np.quantile(values, [0.05, 0.5, 0.95]))
    return Estimate(effect, median, low, high, is_estimated=True)


# --- the log-posterior in standard normal coordinates --------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """Log-posterior over L coordinates, of which those not `free` are held by whoever asks."""

    evidence: Evidence
    model: Belief
    moving: Array  # i32[L], coordinates of the belief; the rest are at their medians
    offers: tuple[str, ...]
    params: EnvParams
    free: Bool[np.ndarray, " L"]

    def at(self, z: np.ndarray) -> np.ndarray:
        """The log-posterior at each of the points z[S, L]; −∞ where effects are beyond what numbers hold."""
        values = [self._sum(_values, few, self.evidence.chunks) for few in z.reshape(-1, _ABREAST, z.shape[1])]
        found = np.concatenate(values) - 0.5 * np.einsum("sl,sl->s", z, z)
        return np.where(np.isnan(found), -np.inf, found)

    def curved(self, z: np.ndarray, chunks: Any) -> tuple[np.ndarray, np.ndarray]:
        """Gradient [L] and Hessian [L, L] given the evidence of `chunks`."""
        gradient, hessian = self._sum(_curvature, z, chunks)
        return gradient - z, hessian - np.eye(len(z))

    def log_density(self, centre: Array, free: Array, chunks: Any) -> Array:
        """The log-posterior at the free coordinates `free`, the others as in `centre`; single precision."""
        z = centre.at[np.flatnonzero(self.free)].set(free)
        rest = (self.model, self.moving, self.params, self.offers, self.evidence.log_likelihood)
        return jax.lax.map(lambda chunk: _of_chunk(z, chunk, *rest), chunks).sum() - 0.5 * jnp.sum(z**2)

    def _sum(self, function: Any, z: np.ndarray, chunks: Any) -> Any:
        """The sum over chunks, taken in double precision."""
        point = jnp.asarray(z, jnp.float32)
        parts = function(point, chunks, self.model, self.moving, self.params, self.offers, self.evidence.log_likelihood)
        return jax.tree.map(lambda part: np.asarray(part, np.float64).sum(axis=0), parts)


def _of_chunk(z: Array, chunk: Any, model: Belief, moving: Array, params: EnvParams, offers: Any, of: Any) -> Array:
    everything = jnp.zeros(len(model.names)).at[moving].set(z)
    effects = model.values(everything)
    return of(chunk, effects, belief.believed(effects, offers, params))


@functools.partial(jax.jit, static_argnums=(5, 6))
def _values(points: Array, chunks: Any, *rest: Any) -> Array:
    return jax.lax.map(lambda chunk: jax.vmap(lambda z: _of_chunk(z, chunk, *rest))(points), chunks)


@functools.partial(jax.jit, static_argnums=(5, 6))
def _curvature(z: Array, chunks: Any, *rest: Any) -> tuple[Array, Array]:
    def both(chunk: Any) -> tuple[Array, Array]:
        def gradient(point: Array) -> tuple[Array, Array]:
            slope = jax.grad(_of_chunk)(point, chunk, *rest)
            return slope, slope

        hessian, slope = jax.jacfwd(gradient, has_aux=True)(z)
        return slope, hessian

    return jax.lax.map(both, chunks)


# --- the search and the draws ---------------------------------------------------------------------------------------


def _sample(target: _Target, held: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, float, float | None]:
    """Draws of the L coordinates, f64[K, L], k̂ and R̂; `held` f64[K, L] has those that are not free."""
    free = target.free
    few = jax.tree.map(lambda chunk: chunk[:_FEW], target.evidence.chunks)
    peak, *_ = _newton(target, np.zeros(len(free)), few)
    peak, covariance, hessian = _newton(target, peak, target.evidence.chunks)
    found, pareto_k = _weighed(target, peak, covariance, random)
    r_hat = None
    if pareto_k > TRUSTED:
        seed = int(random.integers(2**31))
        density = functools.partial(target.log_density, jnp.asarray(peak, jnp.float32))
        found, r_hat = chain.sample(density, target.evidence.chunks, peak[free], covariance, draws=DRAWS, seed=seed)
    # ẑ_free moves by −H⁻¹·H_free,held·z_held when the held are elsewhere than at their medians.
    moved = held[:, ~free] @ (covariance @ hessian[np.ix_(free, ~free)]).T
    draws = held.copy()
    draws[:, free] = found + moved
    return draws, pareto_k, r_hat


def _newton(target: _Target, z: np.ndarray, chunks: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The peak over the free coordinates from `z` on, their covariance there, and the Hessian of all.

    A step is at most two of the prior's standard deviations long, no curvature less than the prior's.
    """
    free = target.free
    for _ in range(_STEPS):
        gradient, hessian = target.curved(z, chunks)
        values, vectors = np.linalg.eigh(-hessian[np.ix_(free, free)])
        curvature = np.maximum(values, 1.0)
        along = vectors.T @ gradient[free] / curvature
        length = float(np.linalg.norm(along))
        if float(np.sum(along**2 * curvature)) < _CLOSE:
            break
        z = z.copy()
        z[free] += vectors @ along * min(1.0, 2.0 / length)
    return z, vectors @ np.diag(1 / curvature) @ vectors.T, hessian


def _weighed(
    target: _Target, centre: np.ndarray, covariance: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Draws of the free coordinates, the others at `centre`, and k̂ of their weights.

    A proposal that fails is followed by a heavy-tailed one with the mean and the covariance of its weighed candidates;
    after the last try the best stands, and k̂ says that it failed.
    """
    free = target.free
    mean, shape, degrees = centre[free], covariance, np.inf
    best, best_k = np.empty(0), np.inf
    for _ in range(_TRIES):
        proposal = stats.multivariate_t(mean, shape, degrees)  # normal at first
        candidates = proposal.rvs(_CANDIDATES, random).reshape(_CANDIDATES, len(mean))
        points = np.repeat(centre[None], _CANDIDATES, axis=0)
        points[:, free] = candidates
        log_ratio = target.at(points) - proposal.logpdf(candidates)
        weights, pareto_k = smoothed(log_ratio)
        if pareto_k < best_k:
            best, best_k = candidates[_systematic(weights, DRAWS, random)], pareto_k
        if pareto_k <= TRUSTED:
            break
        mean = weights @ candidates
        spread = np.cov(candidates.T, aweights=weights, ddof=0).reshape(covariance.shape)
        shape, degrees = 0.5 * (spread + shape), _HEAVY
    return best, best_k


def _systematic(weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Rows drawn by weight, each ⌊count·w⌋ or ⌈count·w⌉ times, in random order with copies side by side.

    So whoever divides the draws in halves, to teach by one and to judge by the other, has a row in one of them.
    """
    ticks = (np.arange(count) + random.random()) / count
    rows = np.searchsorted(np.cumsum(weights), ticks).clip(max=len(weights) - 1)
    return rows[np.argsort(random.permutation(len(weights))[rows], kind="stable")]


# --- Pareto smoothing ------------------------------------------------------------------------------------------------


def smoothed(log_ratio: Float[np.ndarray, " S"]) -> tuple[Float[np.ndarray, " S"], float]:
    """Weights that sum to 1, the largest min(S/5, 3√S) being quantiles of a fitted Pareto tail, and its k̂.

    Up to k̂ = 0.7 averages by these weights can be relied on.
    """
    count = len(log_ratio)
    weights = np.exp(log_ratio - log_ratio.max())
    order = np.argsort(weights)
    length = int(min(count / 5, 3 * np.sqrt(count)))
    tail, threshold = order[-length:], weights[order[-length - 1]]
    excess = weights[tail] - threshold
    if excess[-1] <= 1e-12:  # weights that are all alike have no tail
        return np.full(count, 1 / count), 0.0
    shape, scale = _fit(np.maximum(excess, 1e-300))
    probability = (np.arange(length) + 0.5) / length
    quantile = scale * np.expm1(-shape * np.log1p(-probability)) / shape
    weights[tail] = np.minimum(threshold + quantile, 1.0)  # no larger than the largest was
    return weights / weights.sum(), shape


def _fit(excess: np.ndarray) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution (Zhang, Stephens 2009; shape drawn to 0.5 by 10 numbers)."""
    ordered, count = np.sort(excess), len(excess)
    grid = np.arange(1, 30 + int(np.sqrt(count)) + 1)
    quartile = ordered[int(count / 4 + 0.5) - 1]
    theta = 1 / ordered[-1] + (1 - np.sqrt(len(grid) / (grid - 0.5))) / (3 * quartile)
    shapes = np.mean(np.log1p(-theta[:, None] * ordered), axis=1)
    profile = count * (np.log(-theta / shapes) - shapes - 1)
    posterior = 1 / np.sum(np.exp(profile - profile[:, None]), axis=1)
    best = float(np.sum(theta * posterior) / np.sum(posterior))
    shape = float(np.mean(np.log1p(-best * ordered)))
    drawn = (shape * count + 0.5 * 10) / (count + 10)
    return drawn, -shape / best
