"""PPO on text with the tiny model: the published details one by one, learning, the safety limit, exact resume."""

import itertools
from dataclasses import replace
from pathlib import Path

import compiled_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from retentionjax.checkpoint import Checkpoints
from retentionjax.errors import ConfigError, DataError
from retentionjax.language import experience, hub, lora, packing, ppo, ppo_epochs, precision, reward, stepwise
from retentionjax.language.lora import Adapter, LoraConfig
from retentionjax.language.losses import KLConfig
from retentionjax.language.optimiser import OptimiserConfig
from retentionjax.language.ppo_config import Objective, SafetyConfig, TextPPOConfig
from retentionjax.language.reward import RewardConfig, RewardModel
from retentionjax.tracking import Tracker, read_metrics

MODEL = hub.random("tiny", jax.random.key(0))
DECODER, EOS, PAD = MODEL.decoder, MODEL.tokenizer.eos_token_id, MODEL.tokenizer.pad_token_id
LORA = LoraConfig(rank=4, alpha=8, targets=("q_proj", "v_proj", "down_proj"), first_layer=2)
CONFIG = TextPPOConfig(
    iterations=4,
    batch=8,
    copies=2,
    minibatch=4,
    epochs=2,
    max_new_tokens=8,
    multiple=8,
    temperature=0.9,
    optimiser=OptimiserConfig(learning_rate=0.01, schedule="linear", eps=1e-5),
    approx_kl_target=None,
    checkpoint_every=2,
)
PROMPTS = [packing.tokenise_prompt(MODEL.tokenizer, text, system="") for text in ("Hi", "Offer 10", "To Maria", "a b")]
ROWS = packing.pad_left(PROMPTS, PAD, CONFIG.multiple)


def filled(key: int) -> Adapter:
    """An adapter that changes something: its B is not zero."""
    made = lora.init(LORA, DECODER, jax.random.key(key))
    b = {
        name: 0.1 * jax.random.normal(jax.random.fold_in(jax.random.key(key), place), each.shape)
        for place, (name, each) in enumerate(made.b.items())
    }
    return made.replace(b=b)


def scorer() -> RewardModel:
    made = reward.init(RewardConfig(lora=LORA), DECODER, jax.random.key(7))
    return reward.normalise(DECODER, made.replace(adapter=filled(8)), PROMPTS, pad=PAD)


POLICY, REWARD = filled(5), scorer()


def no_costs(texts: list[str], numbers: np.ndarray) -> np.ndarray:
    return np.zeros(len(texts), np.float32)


def train(
    config: TextPPOConfig = CONFIG, costs: experience.Costs = no_costs, model: hub.Model = MODEL, **extra: object
) -> tuple:
    return ppo.train(model, POLICY, REWARD, PROMPTS, costs, config, jax.random.key(3), **extra)


def drawn(config: TextPPOConfig = CONFIG) -> experience.Texts:
    numbers = experience.choose(ROWS, config, 0, seed=1)
    fast = stepwise.take_apart(DECODER)
    return experience.draw(fast, POLICY, ROWS, numbers, config, jax.random.key(4), eos=EOS, pad=PAD)


def whole(texts: experience.Texts) -> np.ndarray:
    """Prompts and texts side by side."""
    numbers = experience.choose(ROWS, CONFIG, 0, seed=1)
    return np.concatenate([ROWS.tokens[numbers], texts.tokens], 1)


# --- the published details ------------------------------------------------------------------------------------


def test_reference_reward_and_old_log_probabilities_are_those_of_the_whole_model() -> None:
    texts = drawn()
    critic = ppo.init(CONFIG, POLICY, REWARD, jax.random.key(0)).critic.params
    judgement, own = experience.judge(
        DECODER, POLICY, None, REWARD, critic, texts, layers=2, temperature=0.9, recompute=True
    )
    tokens = whole(texts)

    def log_probs(adapter: Adapter | None) -> np.ndarray:
        first = tokens.shape[1] - texts.mask.shape[1] - 1
        logits = np.asarray(compiled_model.logits(DECODER, tokens, texts.seen, adapter=adapter))[:, first:-1]
        spread = scipy.special.log_softmax(logits / 0.9, axis=-1)
        return np.where(texts.mask, np.take_along_axis(spread, np.asarray(texts.tokens)[..., None], -1)[..., 0], 0)

    np.testing.assert_allclose(judgement.reference_log_probs, log_probs(None), atol=1e-4)
    np.testing.assert_allclose(own, log_probs(POLICY), atol=1e-4)
    np.testing.assert_allclose(texts.log_probs, own, atol=1e-4)
    np.testing.assert_allclose(judgement.scores, scores(tokens, texts.seen), atol=1e-4)


def scores(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    rows = zip(np.asarray(tokens), np.asarray(mask), strict=True)
    return reward.score_texts(DECODER, REWARD, [row[real] for row, real in rows], pad=PAD)


@pytest.mark.parametrize("matmul", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_at_the_start_the_policy_is_the_reference_and_the_first_ratio_is_one(matmul: precision.Resolved) -> None:
    model = replace(MODEL, decoder=precision.keep_for(DECODER, matmul))
    _, history = train(replace(CONFIG, iterations=1), model=model)
    assert abs(history[0]["objective/kl"]) < 1e-3
    assert history[0]["val/first_ratio_error"] < 1e-4
    fresh = lora.init(LORA, DECODER, jax.random.key(1))  # B is zero: the base model
    config = replace(CONFIG, iterations=1, reference="base")
    _, history = ppo.train(MODEL, fresh, REWARD, PROMPTS, no_costs, config, jax.random.key(3))
    assert abs(history[0]["objective/kl"]) < 1e-3


def test_the_value_head_begins_as_the_reward_models_reading() -> None:
    texts = drawn()
    critic = ppo.init(CONFIG, POLICY, REWARD, jax.random.key(0)).critic.params
    judgement, _ = experience.judge(DECODER, POLICY, None, REWARD, critic, texts, layers=2, temperature=0.9)
    tokens, seen, values = whole(texts), np.asarray(texts.seen), np.asarray(judgement.values)
    prompt = texts.seen.shape[1] - texts.mask.shape[1]
    for step in range(2):  # the value before token t is the score of what stands before it
        score = scores(tokens[:, : prompt + step], seen[:, : prompt + step])
        reached = np.asarray(texts.mask)[:, step]
        np.testing.assert_allclose(values[reached, step, 0], score[reached], atol=1e-4)
    assert np.abs(values[..., 1]).max() == 0
    zeros = ppo.init(replace(CONFIG, value_head="zeros"), POLICY, REWARD, jax.random.key(0)).critic.params
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(zeros))


def test_a_text_that_did_not_end_pays_for_it_and_a_short_one_is_preferred() -> None:
    scores, lengths = jnp.array([2.0, 2.0, 3.0]), jnp.array([4, 8, 2])
    finished = jnp.array([True, False, True])
    config = replace(CONFIG, reward_weight=0.5, brevity_weight=2.0, missing_eos_penalty=1.0)
    found = experience.total_scores(config, scores, lengths, finished)
    np.testing.assert_allclose(found, [1.0 + 1.0, 1.0 + 0.0 - 1.0, 1.5 + 1.5])


def test_an_epoch_stops_when_the_policy_has_moved_enough() -> None:
    eager = replace(CONFIG, optimiser=replace(CONFIG.optimiser, learning_rate=0.5), iterations=1, epochs=4)
    _, history = train(replace(eager, approx_kl_target=1e-4))
    assert history[0]["policy/stopped_early"] == 1
    assert history[0]["policy/updates"] < 8
    _, history = train(eager)
    assert (history[0]["policy/stopped_early"], history[0]["policy/updates"]) == (0, 8)


def test_the_kl_price_follows_the_distance() -> None:
    config = replace(CONFIG, iterations=3, kl=KLConfig(initial=0.1, target=1e-6, horizon=80.0))
    _, history = train(replace(config, reference="base"))
    for one, following in itertools.pairwise(history):
        error = np.clip(one["objective/kl"] / 1e-6 - 1, -0.2, 0.2)
        assert following["objective/kl_coef"] == pytest.approx(one["objective/kl_coef"] * (1 + error * 8 / 80))


def test_every_prompt_is_dealt_once_an_epoch() -> None:
    for iteration in range(3):
        numbers = experience.choose(ROWS, CONFIG, iteration, seed=2)
        assert sorted(numbers.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]


# --- learning, safety, resume ---------------------------------------------------------------------------------


def test_the_reward_goes_up_and_the_base_stays(tmp_path: Path) -> None:
    before = jax.tree.map(np.asarray, DECODER.parameters())
    config = replace(CONFIG, iterations=12, batch=16, kl=KLConfig(initial=0.0))
    with Tracker(tmp_path) as tracker:
        _, history = train(config, tracker=tracker)
    scores = [each["objective/scores"] for each in history]
    assert np.mean(scores[-3:]) > np.mean(scores[:3]) + 0.3
    names = {"objective/kl", "policy/approxkl_avg", "policy/clipfrac_avg", "val/ratio", "eps", "lr", "objective/lambda"}
    assert names <= set(read_metrics(tmp_path / "metrics.jsonl")[0])
    after = DECODER.parameters()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("objective", ["rloo", "dpo"])
def test_other_objectives_make_the_better_text_of_a_pair_likelier(objective: Objective) -> None:
    config = replace(CONFIG, objective=objective, iterations=1, epochs=3)
    texts, costs = drawn(config), jnp.zeros(config.batch)
    state = ppo.init(config, POLICY, REWARD, jax.random.key(3))
    judged, own = experience.judge(
        DECODER, POLICY, POLICY, REWARD, state.critic.params, texts, layers=2, temperature=config.temperature
    )
    texts = replace(texts, log_probs=own)
    learned, _ = experience.learn_from(config, texts, judged, costs, jnp.float32(0.0), jnp.float32(0.0))
    policy, _, _ = ppo_epochs.run_epochs(DECODER, config, state.policy, state.critic, learned, 0, jax.random.key(0))
    after, _ = experience.text_log_probs(DECODER, policy.params, texts, 2, config.temperature)
    gained, merit = (np.asarray(after) - texts.log_probs).sum(1).reshape(-1, 2), np.asarray(learned.merit)
    better = np.sign(merit[0::2] - merit[1::2])
    assert np.mean(better * (gained[:, 0] - gained[:, 1])) > 0.05


@pytest.mark.parametrize(("objective", "copies", "minibatch"), [("rloo", 1, 4), ("dpo", 4, 4), ("dpo", 2, 1)])
def test_texts_that_cannot_be_compared_are_refused(objective: Objective, copies: int, minibatch: int) -> None:
    with pytest.raises(ConfigError, match=f"with the objective {objective}"):
        replace(CONFIG, objective=objective, copies=copies, minibatch=minibatch)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("batch", "8", "'8' is not a whole number; allowed: 1 or more"),
        ("copies", 2.5, "2.5 is not a whole number; allowed: 1 or more"),
        ("temperature", None, "None is not a number; allowed: above 0"),
    ],
)
def test_a_setting_that_is_no_number_is_named_before_settings_are_compared(name: str, value: object, said: str) -> None:
    """As whoever runs it without the tests' type checker meets it."""
    wrong = replace(CONFIG)
    object.__setattr__(wrong, name, value)
    with pytest.raises(ConfigError, match=f"^{name}: {said}$"):
        wrong.__post_init__()


def vowels(texts: list[str], numbers: np.ndarray) -> np.ndarray:
    """A cost that texts have at first, a sixth a vowel."""
    return np.array([min(1.0, sum(text.count(letter) for letter in "eaio") / 6) for text in texts])


@pytest.mark.slow
def test_a_violated_limit_raises_its_price_and_violations_fall() -> None:
    safety = SafetyConfig(limit=0.1, initial=1.0, integral=0.5, maximum=20.0, window=2)
    free = KLConfig(initial=0.0)
    # A cold temperature gives the random model, whose logits hardly differ, something to move.
    config = replace(CONFIG, iterations=12, batch=16, temperature=0.1, reward_weight=0.0, safety=safety, kl=free)
    _, history = train(config, costs=vowels)
    costs = [each["objective/cost"] for each in history]
    prices = [each["objective/lambda"] for each in history]
    assert costs[0] > safety.limit
    assert max(prices) > prices[0]
    assert np.mean(costs[-8:]) < 0.6 * np.mean(costs[:2])


def test_the_multiplier_moves_by_the_gains_in_reward_a_cost() -> None:
    """I ← I + .2 e and λ = I + .3 ē, ē ← .4 ē + .6 e, e the violation within ±1; a cost of nothing is no alarm."""
    safety = SafetyConfig(limit=0.1, window=1, initial=0.5, proportional=0.3, integral=0.2, smoothing=0.4, maximum=2.0)
    multiplier = ppo.init_multiplier(safety)
    for cost, price in ((0.3, 0.7 + 0.3 * 0.6), (0.05, 0.6 + 0.3 * -0.06), (0.0, 0.4 + 0.3 * -0.624)):
        multiplier = ppo.update_multiplier(safety, multiplier, jnp.float32(cost))
        assert float(multiplier.value) == pytest.approx(price, abs=1e-6)


def test_the_cost_is_taken_over_a_window_and_no_limit_is_no_price() -> None:
    multiplier = ppo.init_multiplier(SafetyConfig(window=3))
    for cost, mean in ((0.3, 0.3), (0.0, 0.15), (0.6, 0.3), (0.0, 0.2)):
        multiplier = ppo.update_multiplier(SafetyConfig(window=3), multiplier, jnp.float32(cost))
        assert float(ppo.windowed(multiplier)) == pytest.approx(mean, abs=1e-6)
    off = SafetyConfig(limit=np.inf)
    assert float(ppo.update_multiplier(off, ppo.init_multiplier(off), jnp.float32(1)).value) == 0


def test_a_run_cut_in_two_has_the_same_bits(tmp_path: Path) -> None:
    whole_run, history = train(costs=vowels, checkpoints=Checkpoints(tmp_path / "c", keep=5))
    (tmp_path / "c" / "4").rename(tmp_path / "gone")
    resumed, later = train(costs=vowels, checkpoints=Checkpoints(tmp_path / "c"), resume=True)
    jax.tree.map(np.testing.assert_array_equal, whole_run, resumed)
    timeless = [name for name in history[0] if not name.startswith("time/") and name != "eps"]
    assert [[each[name] for name in timeless] for each in later] == [
        [each[name] for name in timeless] for each in history[2:]
    ]


def test_what_does_not_fit_is_refused_by_name() -> None:
    low = reward.init(RewardConfig(lora=replace(LORA, first_layer=0)), DECODER, jax.random.key(0))
    with pytest.raises(ConfigError, match="first_layer is 0; allowed: 2"):
        ppo.train(MODEL, POLICY, REWARD.replace(scorer=low), PROMPTS, no_costs, CONFIG, jax.random.key(0))
    with pytest.raises(ConfigError, match=r"minibatch: 3; allowed: a divisor of batch, 8"):
        replace(CONFIG, minibatch=3)
    with pytest.raises(DataError, match="costs has the shape"):
        train(costs=lambda texts, numbers: np.zeros(3))


def test_losses_count_no_padding() -> None:
    """Garbage behind the end of a text moves neither loss nor statistics."""
    texts = drawn()
    texts = replace(texts, mask=texts.mask.at[:, 5:].set(False), seen=texts.seen.at[:, -3:].set(False))
    state = ppo.init(CONFIG, POLICY, REWARD, jax.random.key(0))
    judgement, _ = experience.judge(
        DECODER, POLICY, None, REWARD, state.critic.params, texts, layers=2, temperature=0.9
    )
    learned, _ = experience.learn_from(CONFIG, texts, judgement, jnp.ones(8), jnp.float32(0.1), jnp.float32(1.0))
    spoiled = replace(
        learned,
        texts=replace(texts, tokens=texts.tokens.at[:, 5:].set(9), log_probs=texts.log_probs.at[:, 5:].set(-7.0)),
        values=learned.values.at[:, 5:].set(99.0),
        advantages=learned.advantages.at[:, 5:].set(99.0),
    )
    loss = jax.jit(ppo_epochs.minibatch_loss, static_argnames="config")
    parts = [loss(DECODER, CONFIG.loss, POLICY, state.critic.params, batch) for batch in (learned, spoiled)]
    for one, other in zip(jax.tree.leaves(parts[0]), jax.tree.leaves(parts[1]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
