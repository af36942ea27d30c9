"""Estimators: against the Open Bandit Pipeline's on the same arrays, and against bandits solved exactly."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from retentionjax.evaluation.off_policy import estimators, evaluation
from retentionjax.evaluation.off_policy.estimators import steps
from retentionjax.evaluation.off_policy.evaluation import all_terms
from retentionjax.evaluation.off_policy.log import DecisionLog, build
from retentionjax.evaluation.statistics import Bootstrap

ORACLE = json.loads((Path(__file__).parents[2] / "oracles/obp_ope.json").read_text())


@pytest.fixture(scope="module")
def peers_data():
    given = {name: np.asarray(values) for name, values in ORACLE["given"].items()}
    log = build(
        observation=np.zeros((60, 1)),
        propensities=given["propensities"],
        action=given["action"],
        reward=given["reward"],
    )
    return steps(log, given["target"], given["model"])


def test_every_contextual_estimator_gives_the_peers_value(peers_data):
    for name, each in all_terms(peers_data, **ORACLE["settings"]).items():
        assert each.value == pytest.approx(ORACLE["values"][name], rel=1e-12), name


def test_threshold_and_strength_are_chosen_as_the_peer_chooses_them(peers_data):
    grids = ORACLE["grids"]
    threshold = estimators.tune(peers_data, estimators.switched, tuple(grids["thresholds"]))
    strength = estimators.tune(peers_data, estimators.shrunk, tuple(grids["strengths"]))
    assert {"switch_dr": threshold, "dr_os": strength} == ORACLE["chosen"]
    assert estimators.switch(peers_data, threshold).value == pytest.approx(ORACLE["values"]["switch_dr_tuned"])
    assert estimators.shrinkage(peers_data, strength).value == pytest.approx(ORACLE["values"]["dr_os_tuned"])


def test_bootstrap_interval_of_independent_decisions_is_the_peers(peers_data):
    bootstrap = Bootstrap(peers_data.customer, resamples=20_000, seed=1)
    terms = {"dr": estimators.doubly_robust(peers_data)}
    ours = evaluation.intervals(terms, estimators.logged(peers_data), bootstrap)[0]["dr"]
    assert (ours.low, ours.high) == pytest.approx(ORACLE["dr_interval"], rel=0.01)


def test_bernstein_bound_is_the_peers(peers_data):
    """Its one-sided bound at δ/2 divides a variance over n by n − 1, ours one over n − 1 by n: the same number."""
    expected = ORACLE["bernstein"]
    terms = estimators.ips(peers_data)
    np.testing.assert_allclose(terms.numerator[:, 0], expected["scores"])
    ours = evaluation.empirical_bernstein(terms, peers_data.customer, low=0.0, high=expected["range"])
    assert ours.low == pytest.approx(expected["lower"], rel=1e-9)


def whole_tree(target_first: float) -> tuple[DecisionLog, np.ndarray, float]:
    """Every course of a two-step problem, once per eighth of its probability, so that the log is its expectation.

    First action 0 or 1 (logged with ½, ½), then context 2·action, second action (logged with ¼, ¾); rewards
    action₀ + 3 action₁ (1 + action₀), discount ½. The target takes 1 with `target_first`, then with 0.6.
    """
    rows = []
    for number, (first, second) in enumerate(itertools.product((0, 1), (0, 1, 1, 1))):
        rows.append((number, 0, 0.0, first, float(first), (0.5, 0.5), (1 - target_first, target_first)))
        rows.append((number, 1, 2.0 * first, second, 3.0 * second * (1 + first), (0.25, 0.75), (0.4, 0.6)))
    episode, step, context, action, reward, logging, target = (np.asarray(column) for column in zip(*rows, strict=True))
    log = build(
        observation=context[:, None],
        propensities=logging,
        action=action,
        reward=reward,
        discount=np.full(len(rows), 0.5),
        episode=episode,
        step=step,
    )
    value = target_first + 0.5 * 0.6 * 3 * (1 + target_first)
    return log, target, value


@pytest.mark.parametrize("target_first", [0.0, 0.3, 1.0])
def test_sequential_estimators_are_exact_in_expectation(target_first):
    """Summed over every course by its probability, with a model that is wrong, only the model alone is off."""
    log, target, value = whole_tree(target_first)
    wrong = np.random.default_rng(0).normal(size=target.shape)
    wrong = np.where(log.step[:, None] == 0, wrong[0], wrong[1])  # a function of the context, as a model is
    found = {
        name: each.value
        for name, each in all_terms(steps(log, target, wrong), threshold=np.inf, strength=np.inf).items()
    }
    for name in ("ips", "snips", "dr", "switch_dr", "dr_os"):
        assert found[name] == pytest.approx(value), name
    assert found["dm"] != pytest.approx(value)


def test_the_right_model_alone_is_exact_and_needs_no_weights():
    log, target, value = whole_tree(0.3)
    first, second = log.observation[:, 0] / 2, np.arange(2)
    later = 3.0 * second * (1 + first[:, None])
    now = second + 0.5 * 0.6 * 3 * (1 + second)
    model = np.where(log.step[:, None] == 0, now, later)
    for name, each in all_terms(steps(log, target, model), threshold=0.0, strength=0.0).items():
        if name not in ("ips", "snips"):
            assert each.value == pytest.approx(value), name


def test_without_a_difference_of_policies_every_estimate_is_the_plain_mean():
    log, _, _ = whole_tree(0.3)
    data = steps(log, log.propensities, np.zeros_like(log.propensities))
    mean = estimators.logged(data).value
    for name, each in all_terms(data, threshold=np.inf, strength=np.inf).items():
        if name != "dm":
            assert each.value == pytest.approx(mean), name


def test_an_ended_episode_keeps_its_weight_among_the_others():
    """Self-normalisation at a later step counts those who are gone; leaving them out would favour who stays."""
    log = build(
        observation=np.zeros((3, 1)),
        propensities=[[0.5, 0.5]] * 3,
        action=[0, 1, 1],
        reward=[0.0, 1.0, 1.0],
        episode=[0, 1, 1],
        step=[0, 0, 1],
    )
    data = steps(log, np.array([[0.75, 0.25], [0.75, 0.25], [0.5, 0.5]]), np.zeros((3, 2)))
    assert estimators.snips(data).value == pytest.approx(0.5 / 2.0 + 0.5 / 2.0)
