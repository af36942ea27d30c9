"""Evaluations: against what a policy really earns in the environment, and refused where a log cannot answer."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import simulated_decisions
from scipy import special

from retentionjax.env import EnvParams, Population, RetentionEnv
from retentionjax.errors import ConfigError, DataError
from retentionjax.evaluation.off_policy import estimators
from retentionjax.evaluation.off_policy.evaluation import OffPolicySettings, evaluate, show
from retentionjax.evaluation.off_policy.log import DecisionLog, build
from retentionjax.evaluation.off_policy.overlap import OverlapError

LOGGED_WAIT, TARGET_WAIT = 0.7, 0.5


@jax.jit
def explorer(observations: jax.Array, masks: jax.Array) -> jax.Array:
    """Waits with 0.7, else any legal contact."""
    return _mixed(masks, jnp.full(len(masks), LOGGED_WAIT), jnp.ones(13))


@jax.jit
def discounter(observations: jax.Array, masks: jax.Array) -> jax.Array:
    """Contacts risky customers more readily, and rather with the largest discount."""
    wait = jnp.where(observations[:, 0] > 0.3, TARGET_WAIT, 0.8)
    return _mixed(masks, wait, jnp.where(jnp.arange(13) >= 10, 3.0, 1.0))


def _mixed(masks: jax.Array, wait: jax.Array, taste: jax.Array) -> jax.Array:
    contacts = (masks * taste).at[:, 0].set(0.0)
    total = contacts.sum(axis=1, keepdims=True)
    shares = contacts / jnp.where(total > 0, total, 1.0)
    return jnp.where(total > 0, (shares * (1 - wait[:, None])).at[:, 0].set(wait), jax.nn.one_hot(0, 13))


def short_campaign(days: int) -> EnvParams:
    """Customers about to leave whom a contact mostly keeps: in so few days, policies differ by what they do."""
    random = np.random.default_rng(1)
    people = Population(
        jnp.asarray(random.uniform(60, 80, 200), jnp.float32),
        jnp.asarray(random.uniform(0.99, 0.9999, 200), jnp.float32),
        jnp.asarray(random.beta(8, 4, 200), jnp.float32),
    )
    return EnvParams(population=people, horizon_days=days, hazard_multiplier=jnp.array([0.3, 0.2, 0.1, 0.02]))


COVERING = ("ips", "snips", "dr")
"""Estimators with an interval."""


def coverage(days: int, episodes: int, repeats: int) -> dict[str, float]:
    """Share of `repeats` logs of so many episodes whose 95 % interval covers what the target really earns."""
    env, params = RetentionEnv(), short_campaign(days)
    truth, error = simulated_decisions.value(env, params, discounter, jax.random.key(1), episodes=100_000)
    log = simulated_decisions.simulate(env, params, explorer, jax.random.key(2), episodes=episodes * repeats)
    log = replace(log, customer=log.episode)  # each draw of a customer is one of a large population
    target = simulated_decisions.probabilities(discounter, log)
    model = _linear_model(log, target)
    covered = dict.fromkeys((*COVERING, "logging", "bernstein"), 0)
    settings = OffPolicySettings(resamples=200)
    for number in range(repeats):
        rows = (log.episode // episodes) == number
        report = evaluate(log.rows(rows), target[rows], settings, model=model[rows])
        found = {name: report.estimates[name] for name in COVERING}
        found |= {"logging": report.logging, "bernstein": report.bounds["dr"]}
        for name, each in found.items():
            covered[name] += each.low - error <= truth <= each.high + error
    return {name: count / repeats for name, count in covered.items()}


def _linear_model(log: DecisionLog, target: np.ndarray) -> np.ndarray:
    """A rough q̂, fitted on other episodes: the reward to come by a line in what is observed, whatever is done."""
    env, params = RetentionEnv(), short_campaign(int(log.step.max()) + 1)
    other = simulated_decisions.simulate(env, params, explorer, jax.random.key(9), episodes=4_000)
    to_come = np.zeros(len(other))
    for row in range(len(other) - 1, -1, -1):
        follows = row + 1 < len(other) and other.episode[row + 1] == other.episode[row]
        to_come[row] = other.reward[row] + (to_come[row + 1] if follows else 0.0)
    inputs = np.concatenate([np.ones((len(other), 1)), other.observation], axis=1)
    line = np.linalg.lstsq(inputs, to_come, rcond=None)[0]
    predicted = np.concatenate([np.ones((len(log), 1)), log.observation], axis=1) @ line
    return np.repeat(predicted[:, None], target.shape[1], axis=1)


@pytest.mark.slow
def test_intervals_cover_what_the_policy_really_earns():
    found = coverage(days=4, episodes=600, repeats=40)
    for name in COVERING:
        assert found[name] >= 0.88, (name, found)
    assert found["bernstein"] == 1.0
    assert found["logging"] < 0.85  # what the logged policy earns is another number


@pytest.mark.slow
@pytest.mark.parametrize("days", [1, 4])
def test_intervals_cover_in_93_of_100_of_500_repeats(days):
    found = coverage(days=days, episodes=600, repeats=500)
    for name in COVERING:
        assert found[name] >= 0.93, (name, found)


def five_actions(decisions: int, seed: int) -> tuple[DecisionLog, np.ndarray, np.ndarray]:
    """A contextual bandit with four features, five actions, a curved reward and a target unlike the logging policy;
    the log, the target, and what each action earns in each row."""
    taste = np.random.default_rng(7).normal(size=(4, 5))
    random = np.random.default_rng([decisions, seed])
    context = random.normal(size=(decisions, 4))
    earns = 0.5 * context @ taste + np.sin(context[:, [0]] * np.arange(1, 6))
    logging = 0.9 * special.softmax(0.7 * context @ taste[:, ::-1], axis=1) + 0.02
    action = (logging.cumsum(axis=1) > random.random((decisions, 1))).argmax(axis=1)
    reward = earns[np.arange(decisions), action] + random.normal(size=decisions)
    log = build(observation=context, propensities=logging, action=action, reward=reward)
    return log, special.softmax(2 * context @ taste, axis=1), earns


def bandit_coverage(decisions: int, repeats: int, *, learned: bool) -> dict[str, float]:
    """Share of logs whose interval or bound holds the value, by the estimators that have one; with a model that each
    learns, or with a line."""
    _, target, earns = five_actions(200_000, 0)
    other, _, _ = five_actions(20_000, 0)
    slopes = [
        np.linalg.lstsq(other.observation[other.action == each], other.reward[other.action == each], rcond=None)[0]
        for each in range(5)
    ]
    truth = float((target * earns).sum(axis=1).mean())
    held: dict[str, int] = {}
    for number in range(repeats):
        log, target, _ = five_actions(decisions, number + 1)
        line = None if learned else log.observation @ np.transpose(slopes)
        report = evaluate(log, target, OffPolicySettings(resamples=200, seed=number), model=line)
        found = report.estimates | {f"bound of {name}": each for name, each in report.bounds.items()}
        for name, each in found.items():
            if not np.isnan(each.low):
                held[name] = held.get(name, 0) + (each.low <= truth <= each.high)
    return {name: count / repeats for name, count in held.items()}


def test_what_has_an_interval_holds_the_value_of_a_contextual_bandit():
    found = bandit_coverage(800, 30, learned=False)
    assert set(found) == {*COVERING, "bound of ips", "bound of dr"}
    assert min(found.values()) >= 0.83  # 25 of 30, passed by luck in 97 of 100 runs where the rate is 0.93


@pytest.mark.slow
@pytest.mark.parametrize("decisions", [800, 4_000])
def test_what_has_an_interval_holds_the_value_in_9_of_10_logs(decisions):
    assert min(bandit_coverage(decisions, 300, learned=True).values()) >= 0.90


def test_what_is_biased_has_neither_interval_nor_bound():
    """Whatever trusts the model more than the log does."""
    log, target, _ = bandit(2_000)
    report = evaluate(log, target, OffPolicySettings(resamples=20))
    assert {name for name, each in report.estimates.items() if np.isnan(each.low)} == {"dm", "switch_dr", "dr_os"}
    assert {name for name, each in report.gains.items() if np.isnan(each.high)} == {"dm", "switch_dr", "dr_os"}
    assert set(report.bounds) == {"ips", "dr"}


def test_a_weight_at_the_threshold_is_kept():
    weights = np.array([[1.0, 2.0, np.nextafter(2.0, 3.0)]])
    assert estimators.switched(weights, 2.0).tolist() == [[1.0, 2.0, 0.0]]


def bandit(episodes: int, seed: int = 0) -> tuple[DecisionLog, np.ndarray, float]:
    """One decision a customer between two actions: reward 2·context if 1 is done, else 1; the target does 1 where
    the context is above ½."""
    random = np.random.default_rng(seed)
    context = random.random(episodes)
    propensities = np.stack([np.full(episodes, 0.6), np.full(episodes, 0.4)], axis=1)
    action = (random.random(episodes) < 0.4).astype(np.int64)
    reward = np.where(action == 1, 2 * context, 1.0) + random.normal(0, 0.5, episodes)
    log = build(observation=context[:, None], propensities=propensities, action=action, reward=reward)
    target = np.stack([context <= 0.5, context > 0.5], axis=1).astype(np.float64)
    return log, target, 0.5 * 1.0 + 0.5 * 1.5


def test_all_estimators_find_the_value_of_a_bandit_solved_exactly():
    log, target, value = bandit(4_000)
    report = evaluate(log, target, OffPolicySettings(resamples=300))
    for name, each in report.estimates.items():
        assert each.mean == pytest.approx(value, abs=0.1), name
    for name in COVERING:
        each = report.estimates[name]
        assert each.low <= value <= each.high, name
        assert each.high - each.low < 0.2, name
    assert report.gains["dr"].low > 0.1  # the logging policy is worth 1
    assert report.logging.mean == pytest.approx(1.0, abs=0.05)
    for name, each in report.bounds.items():
        narrow = report.estimates[name]
        assert each.low < narrow.low < narrow.high < each.high, name
    assert report.overlap.effective_episodes == pytest.approx(2_000, rel=0.1)
    assert report.overlap.mean_weight == pytest.approx(1, abs=0.1)


def test_a_learned_model_narrows_the_interval_and_never_sees_its_own_outcome(monkeypatch):
    log, target, _ = bandit(4_000)
    report = evaluate(log, target, OffPolicySettings(resamples=300))
    width = {name: each.high - each.low for name, each in report.estimates.items()}
    assert width["dr"] < 0.85 * width["ips"]
    noise = replace(log, reward=np.random.default_rng(1).normal(size=len(log)))
    monkeypatch.setattr(estimators, "TREES", 100)
    monkeypatch.setattr(estimators, "SETTINGS", estimators.SETTINGS | {"max_depth": 6, "min_child_weight": 1})
    model = estimators.cross_fit(noise, target)
    predicted = model[np.arange(len(log)), log.action]
    assert abs(np.corrcoef(predicted, noise.reward)[0, 1]) < 0.05


def test_fitted_q_follows_the_target_through_the_steps():
    """Two steps, known values: the second reward is what the target's second action earns, discounted."""
    random = np.random.default_rng(0)
    count = 3_000
    first, second = random.integers(0, 2, count), random.integers(0, 2, count)
    rows = {
        "observation": np.stack([np.zeros(count), 1.0 + first], axis=1).reshape(-1, 1),
        "propensities": np.full((2 * count, 2), 0.5),
        "action": np.stack([first, second], axis=1).ravel(),
        "reward": np.stack([1.0 * first, 3.0 * second * (1 + first)], axis=1).ravel(),
        "discount": np.full(2 * count, 0.5),
        "episode": np.repeat(np.arange(count), 2),
    }
    log = build(**rows)
    target = np.tile([0.4, 0.6], (2 * count, 1))
    model = estimators.cross_fit(log, target)
    starts = model[log.step == 0].mean(axis=0)
    np.testing.assert_allclose(starts, [0.5 * 0.6 * 3, 1 + 0.5 * 0.6 * 6], rtol=0.03)


def test_a_policy_that_does_what_was_never_tried_is_refused():
    log, target, _ = bandit(400)
    never_one = replace(log, propensities=np.tile([1.0, 0.0], (400, 1)), action=np.zeros(400, np.int64))
    row = int(np.argmax(target[:, 1] > 0))
    with pytest.raises(OverlapError, match=rf"no support: in row {row} the target takes action 1 with probability 1"):
        evaluate(never_one, target)


def test_too_few_effective_episodes_are_refused():
    log, target, _ = bandit(60)
    with pytest.raises(OverlapError, match=r"worth \d\d\.\d of the target policy's own .* allowed: 50 or more"):
        evaluate(log, target)
    evaluate(log, target, OffPolicySettings(minimum_effective_episodes=10, resamples=20))


def test_targets_that_are_no_policies_are_refused():
    log, target, _ = bandit(100)
    with pytest.raises(DataError, match=r"target, row 0: .*; allowed: probabilities that sum to 1"):
        evaluate(log, 0.5 * target)
    masked = replace(log, mask=np.tile([True, False], (100, 1)))
    with pytest.raises(DataError, match="gives probability to action 1, which is masked"):
        evaluate(masked, target)
    with pytest.raises(DataError, match="no episode of the log has all its outcomes"):
        evaluate(replace(log, reward=np.full(100, np.nan)), target)
    with pytest.raises(ConfigError, match="minimum_effective_episodes: nan"):  # nothing is fewer than that
        OffPolicySettings(minimum_effective_episodes=float("nan"))


@pytest.mark.parametrize("least", [1e-120, 1e-200])
def test_weights_beyond_every_number_are_refused_and_not_taken_for_evidence(least):
    """Two steps at a propensity of 1e-200: the product, and Σw² before it, are no numbers."""
    rows = 400
    log = build(
        observation=np.zeros((rows, 1)),
        propensities=np.tile([least, 1.0], (rows, 1)),
        action=np.zeros(rows, np.int64),
        reward=np.ones(rows),
        episode=np.repeat(np.arange(rows // 2), 2),
    )
    with pytest.raises(OverlapError, match=r"too little overlap: in episode 0 .* allowed: below 1e\+100"):
        evaluate(log, np.tile([1.0, 0.0], (rows, 1)))


def test_of_one_customer_there_is_an_estimate_and_no_interval():
    log, target, _ = bandit(200)
    report = evaluate(replace(log, customer=np.zeros(200, np.int64)), target, OffPolicySettings(resamples=20))
    assert np.isfinite([each.mean for each in report.estimates.values()]).all()
    assert np.isnan([end for each in report.estimates.values() for end in (each.low, each.high)]).all()
    assert np.isnan([report.logging.low, report.gains["dr"].high]).all()
    assert report.no_interval == "no interval: of one customer alone nothing is known of others"


def test_rewards_that_never_vary_have_an_estimate_and_no_interval(capsys):
    """0 sales of 300 are likely where three in a thousand buy: that interval would be [0, 0]."""
    log, target, _ = bandit(300)
    for reward in (0.0, 1.0):
        report = evaluate(replace(log, reward=np.full(300, reward)), target, OffPolicySettings(resamples=20))
        assert report.estimates["dr"].mean == pytest.approx(reward)
        every = [report.logging, *report.estimates.values(), *report.gains.values()]
        assert np.isnan([end for each in every for end in (each.low, each.high)]).all()
        assert not report.bounds
        show(report, title="a log", unit="decision")
        printed = capsys.readouterr().out
        assert f"no interval: every episode earned {reward:g}" in printed


def test_a_model_that_is_none_is_refused():
    log, target, _ = bandit(100)
    with pytest.raises(DataError, match=r"model has shape \(100, 1\); allowed: \(100, 2\), a number for each action"):
        evaluate(log, target, model=np.zeros((100, 1)))
    holed = np.zeros((100, 2))
    holed[7, 1] = np.nan
    with pytest.raises(DataError, match=r"model, row 7: .*nan.*; allowed: numbers within"):
        evaluate(log, target, model=holed)


def test_customers_are_resampled_with_all_their_episodes():
    """Ten copies of every customer's episode make the interval no narrower."""
    log, target, _ = bandit(500)
    copies = np.repeat(np.arange(500), 10)
    many = build(
        observation=log.observation[copies],
        propensities=log.propensities[copies],
        action=log.action[copies],
        reward=log.reward[copies],
        customer=copies,
        episode=np.arange(5_000),
    )
    zero = np.zeros_like(target)
    settings = OffPolicySettings(resamples=400)
    once, copied = (
        evaluate(log, target, settings, model=zero),
        evaluate(many, target[copies], settings, model=zero[copies]),
    )
    np.testing.assert_allclose(once.estimates["ips"], copied.estimates["ips"])
    np.testing.assert_allclose(once.bounds["ips"], copied.bounds["ips"])
