"""Effects that are known come back from a log simulated with them; what a log cannot tell keeps the prior."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from simulated_logs import DESIGN, OFFERS, PRIOR, company, simulate, told

from retentionjax.company import prior
from retentionjax.company.prior import Effect
from retentionjax.effects import Log, Posterior, belief, draws_to_params, estimate
from retentionjax.effects import posterior as posteriors
from retentionjax.effects.balance import balance, predictability
from retentionjax.effects.belief import Belief
from retentionjax.effects.log import in_chunks
from retentionjax.effects.posterior import _systematic
from retentionjax.effects.refusals import refusals
from retentionjax.env import EnvParams
from retentionjax.env.types import NO_OFFER

GLOBE = dict(zip(OFFERS, (0.88, 0.72, 0.72, 0.74), strict=True))


def globe(customers: int) -> EnvParams:
    """A company whose offers are shaped like the Globe's and whose contacts help a little."""
    effects = {f"hazard_multiplier.{offer}": value for offer, value in GLOBE.items()}
    return told(effects | {"contact_effect": -0.2, "fatigue_hazard": 0.05}, company(customers))


@pytest.fixture(scope="module")
def truth() -> EnvParams:
    return globe(1500)


@pytest.fixture(scope="module")
def log(truth: EnvParams) -> Log:
    return simulate(truth, DESIGN, days=60)


@pytest.fixture(scope="module", params=[500, pytest.param(1500, marks=pytest.mark.slow)])
def customers(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture(scope="module")
def posterior(customers: int) -> Posterior:
    return estimate(simulate(globe(customers), DESIGN, days=60), PRIOR, company(1))


def true_effects(truth: EnvParams) -> dict[str, float]:
    scalars = ("contact_effect", "fatigue_hazard", "accept_fatigue", "accept_risk")
    found = {name: float(getattr(truth, name)) for name in scalars}
    found |= {f"appeal.{offer}": float(truth.appeal[i]) for i, offer in enumerate(OFFERS) if offer != "hello"}
    return found | {f"hazard_multiplier.{offer}": float(truth.hazard_multiplier[i]) for i, offer in enumerate(OFFERS)}


def test_known_effects_come_back(posterior: Posterior, truth: EnvParams) -> None:
    assert posterior.is_reliable
    assert not posterior.refused
    missed = 0
    for name, value in true_effects(truth).items():
        found = posterior.estimates[name]
        assert found.is_estimated
        half = (found.high - found.low) / 2
        assert abs(found.median - value) < 2.2 * half, name  # 3.6 standard errors
        missed += abs(found.median - value) > half
    assert missed <= 4  # of 11 at 90 %


def test_effects_beyond_what_numbers_hold_are_impossible_and_no_failure() -> None:
    """Heavy-tailed candidates come that far; weights that were no numbers ended the estimation of an honest log."""
    log, params = simulate(globe(64), DESIGN, days=30), company(1)
    believed = belief.in_a_log(PRIOR, ())
    lanes = in_chunks(log.lanes(), 64)
    medians = belief.believed({name: each.median for name, each in believed.items()}, log.offers, params)
    evidence = posteriors.Evidence((lanes, posteriors._booked(lanes, medians)), posteriors.of_customers)
    known = belief.learnable(believed)
    moving, free = jnp.array([list(believed).index(name) for name in known]), np.ones(len(known), bool)
    target = posteriors._Target(evidence, Belief.of(believed), moving, log.offers, params, free)
    far = np.concatenate([step * np.eye(len(known)) for step in (-60.0, -15.0, 15.0, 60.0)])[:48]
    found = target.at(far)
    assert not np.isnan(found).any()
    assert np.isneginf(found).any()


def test_the_log_sharpens_what_was_believed(posterior: Posterior, customers: int) -> None:
    for name in ("hazard_multiplier.ten", "appeal.ten", "fatigue_hazard", "accept_fatigue"):
        found = posterior.estimates[name]
        low, high = found.prior.interval
        assert found.high - found.low < (0.6 if customers == 1500 else 0.85) * (high - low), name


def test_every_draw_is_an_environment(posterior: Posterior, truth: EnvParams) -> None:
    environments = draws_to_params(posterior.draws, OFFERS, truth)
    for leaf in (environments.hazard_multiplier, environments.appeal, environments.effect_days):
        assert leaf.shape == (256, 4)
    assert environments.contact_effect.shape == environments.accept_risk.shape == (256,)
    assert environments.population is truth.population
    assert (environments.effect_days >= truth.offer_days).all()
    np.testing.assert_allclose(environments.appeal[:, 0], 0)
    ten = environments.hazard_multiplier[:, 2]
    np.testing.assert_allclose(ten, posterior.draws["hazard_multiplier.ten"], rtol=1e-6)


def test_each_prior_has_its_median_and_its_interval() -> None:
    z = jnp.array([-1.6448536, 0.0, 1.6448536])[:, None] * jnp.ones(len(PRIOR))
    values = Belief.of(PRIOR).values(z)
    for name, effect in PRIOR.items():
        expected = (effect.interval[0], effect.median, effect.interval[1])
        np.testing.assert_allclose(values[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_probability_of_the_prior_is_one_in_every_draw() -> None:
    """Beyond 1 the risk chain would have negative probabilities, and a campaign's value would grow without end."""
    z = jnp.linspace(-6.0, 6.0, 1001)[:, None] * jnp.ones(len(PRIOR))
    values = Belief.of(PRIOR).values(z)
    for name in ("risk_onset", "risk_recovery"):
        drawn = np.asarray(values[name])
        assert (drawn > 0).all()
        assert (drawn < 1).all()
        assert drawn.max() > 0.9  # the tail is there


@pytest.mark.parametrize("ends", [(0.24, 1.6), (0.6, 2.4), (0.79, 8.0), (0.1, 0.81)])
def test_no_prior_says_that_an_effect_cannot_be(ends: tuple[float, float]) -> None:
    skewed = Belief.of({"appeal.ten": Effect(0.8, *ends, "assumed")})
    z = jnp.linspace(-10.0, 10.0, 2001)[:, None]
    value = np.asarray(skewed.values(z)["appeal.ten"])
    assert (np.diff(value) > 0).all()
    assert value[0] < ends[0] - 3 * (0.8 - ends[0])
    assert value[-1] > ends[1] + 3 * (ends[1] - 0.8)


# --- refused by name --------------------------------------------------------------------------------------------


def rows(log: Log, kept: np.ndarray, propensity: float | None = None) -> Log:
    """Some of the assignments; with `propensity` the arms that stay are as likely as each other."""
    share = log.propensity[kept] if propensity is None else np.full(kept.sum(), propensity)  # type: ignore[index]
    parts = {name: getattr(log, name)[kept] for name in ("customer", "day", "arm", "accepted")}
    return dataclasses.replace(log, **parts, propensity=share)


def refused_names(log: Log) -> dict[str, tuple[str, ...]]:
    return {each.name: each.effects for each in refusals(log, PRIOR, company(1))}


def test_a_log_that_does_not_say_how_arms_were_drawn_teaches_nothing(log: Log) -> None:
    found = estimate(dataclasses.replace(log, propensity=None), PRIOR, company(1))
    assert [each.name for each in found.refused] == ["no_design"]
    for name, each in found.estimates.items():
        assert not each.is_estimated
        assert ((each.low, each.high), each.median) == (each.prior.interval, each.prior.median)
        assert each.prior == PRIOR[name]
    middle = np.quantile(found.draws["hazard_multiplier.ten"], [0.05, 0.95])
    np.testing.assert_allclose(middle, PRIOR["hazard_multiplier.ten"].interval, rtol=0.15)


def test_those_draws_of_the_prior_that_teach_and_those_that_judge_agree_on_its_mean(log: Log) -> None:
    draws = estimate(dataclasses.replace(log, propensity=None), PRIOR, company(1)).draws
    for name in ("contact_effect", "fatigue_hazard", "hazard_multiplier.ten", "accept_risk"):
        teach, judge = draws[name][:128], draws[name][128:192]
        assert abs(teach.mean() - judge.mean()) < 0.05 * draws[name].std(), (
            name
        )  # 0.15 is one error of independent ones


def test_contacts_by_risk_are_refused(log: Log) -> None:
    risky = log.churn_probability[log.customer] > np.median(log.churn_probability)
    kept = risky | (log.arm == NO_OFFER)
    assert "predictable_arms" in refused_names(rows(log, kept))


def test_a_company_s_own_belief_about_its_scores_stands() -> None:
    own = prior.Effect(0.0, -0.2, 0.2)
    assert belief.in_a_log({**PRIOR, "churn_shift": own}, ())["churn_shift"] == own
    assert belief.in_a_log(PRIOR, ())["churn_shift"] == belief.IN_A_LOG["churn_shift"]
    assert belief.in_a_log(PRIOR, ("churn_shift",))["churn_shift"] == PRIOR["churn_shift"]


def test_a_rule_that_no_mean_shows_is_found_by_trees(log: Log) -> None:
    charge = log.monthly_charge[log.customer]
    is_spared = (log.arm == 3) & (charge > 50) & (charge < 80) & (np.random.default_rng(0).random(len(charge)) < 0.6)
    hidden = rows(log, ~is_spared)
    assert balance(hidden) > 0.01
    told = predictability(hidden)
    assert told.arm == 3
    assert told.auc > 0.5 + 5 * told.error
    assert "AUC" in {each.name: each.reason for each in refusals(hidden, PRIOR, company(1))}["predictable_arms"]
    honest = predictability(log)
    assert honest.auc < 0.5 + 3 * honest.error


def test_the_auc_of_honest_arms_varies_as_its_standard_error_says() -> None:
    away = []
    for seed in range(80):
        random = np.random.default_rng(seed)
        customer, day = np.repeat(np.arange(400), 6), np.tile(np.arange(0, 60, 10), 400)
        honest = Log(
            offers=("hello",),
            monthly_charge=random.uniform(20, 110, 400),
            churn_probability=random.beta(1.2, 3.2, 400),
            accept_probability=random.beta(2, 16, 400),
            followed_days=np.full(400, 60),
            left_day=np.full(400, -1),
            customer=customer,
            day=day,
            arm=random.integers(NO_OFFER, 1, len(day)),
            accepted=np.zeros(len(day), bool),
            propensity=np.full(len(day), 0.5),
        )
        told = predictability(honest)
        away.append((told.auc - 0.5) / told.error)
    assert 0.75 < np.std(away) < 1.2  # 80 of them tell a standard deviation to 0.08


def test_a_design_that_follows_facts_with_stated_probabilities_is_no_rule(log: Log) -> None:
    dear = log.monthly_charge[log.customer] > 60
    kept = (log.arm != 3) | ~dear | (np.random.default_rng(1).random(len(dear)) < 0.4)
    share = np.where(dear, 0.4, 1.0)
    whole = np.where(dear, 1 - 0.15 * 0.6, 1.0)
    assert log.propensity is not None
    stated = log.propensity * np.where(log.arm == 3, share, 1.0) / whole
    honest = dataclasses.replace(rows(log, kept), propensity=stated[kept])
    told = predictability(honest)
    assert told.auc < 0.5 + 3 * told.error
    assert "predictable_arms" in refused_names(rows(log, kept))


def test_an_offer_that_was_never_assigned_keeps_its_prior(log: Log) -> None:
    without = rows(log, log.arm != 1)
    scaled = dataclasses.replace(without, propensity=without.propensity / 0.85)  # type: ignore[operator]
    assert refused_names(scaled)["never_offered"] == ("appeal.five", "hazard_multiplier.five")


def test_one_who_says_that_nothing_confounds_is_believed(log: Log) -> None:
    assert not refused_names(dataclasses.replace(log, propensity=None, is_assumed_unconfounded=True))


def test_without_controls_there_is_no_effect_of_a_contact(log: Log) -> None:
    refused = refused_names(rows(log, log.arm != NO_OFFER, 0.25))
    assert refused["no_control"] == ("contact_effect", "hazard_multiplier.hello")


def test_with_one_offer_there_is_no_appeal(log: Log) -> None:
    refused = refused_names(rows(log, (log.arm == 2) | (log.arm == NO_OFFER), 0.5))
    assert "appeal.ten" in refused["one_level"]


def test_one_contact_a_customer_tells_nothing_of_fatigue(log: Log) -> None:
    refused = refused_names(rows(log, log.day == 0))
    assert refused["one_contact"] == ("fatigue_hazard", "accept_fatigue")


def test_missing_departures_of_controls_leave_no_hazard(log: Log) -> None:
    once = rows(log, log.day == 0)
    alone = np.isin(np.arange(len(log.monthly_charge)), once.customer[once.arm == NO_OFFER])
    untold = dataclasses.replace(once, left_day=np.where(alone, -1, log.left_day))
    hazards = refused_names(untold)["no_departures_of_controls"]
    assert {"contact_effect", "hazard_multiplier.ten"} <= set(hazards)
    assert not any(name.startswith(("appeal", "accept")) for name in hazards)


def test_a_short_log_does_not_tell_how_an_offer_works_to_its_end(log: Log) -> None:
    left = np.where(log.left_day < 15, log.left_day, -1)
    short = dataclasses.replace(rows(log, log.day < 15), followed_days=np.full(len(left), 15), left_day=left)
    assert refused_names(short)["short_observation"]


def test_an_arm_hardly_anyone_left_after_keeps_its_prior() -> None:
    params = company(150, effect_days=jnp.full(4, 30))
    assert refused_names(simulate(params, DESIGN, days=40))["few_departures"]


def test_copies_of_a_draw_lie_side_by_side():
    random = np.random.default_rng(3)
    weights = random.dirichlet(np.full(64, 0.3))
    rows = _systematic(weights, 256, random)
    counts = np.bincount(rows, minlength=64)
    assert (np.abs(counts - 256 * weights) < 1).all()
    changes = np.flatnonzero(np.diff(rows)) + 1
    assert len(changes) + 1 == np.count_nonzero(counts)  # each row in one run
    assert (np.diff([rows[0], *rows[changes]]) < 0).any()  # and the runs are not in the order of the candidates
