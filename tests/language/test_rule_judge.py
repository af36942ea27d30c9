"""The arena's judge: what each of its pieces says of a text."""

import dataclasses

import compiled_model
import numpy as np
import pytest
import scipy.special

from retentionjax.language import hub, packing, rule_judge
from retentionjax.language.arena import compare
from retentionjax.language.rule_judge import Asked, mean_log_probs

ASKED = Asked({"name": "Maria", "sender": "Northwind", "discount": "10%", "days": "30 days"}, "warm", 160)
GOOD = "Hi Maria! Northwind here, enjoy 10% off for 30 days. Reply STOP to opt out."


def test_coverage_is_the_share_of_facts_said_as_whole_words() -> None:
    assert rule_judge.coverage(ASKED, GOOD) == 1.0
    assert rule_judge.coverage(ASKED, GOOD.replace("Maria", "Mariana")) == 0.75
    assert rule_judge.coverage(ASKED, GOOD.replace("10%", "110%")) == 0.75
    assert rule_judge.coverage(ASKED, "") == 0.0
    assert rule_judge.coverage(dataclasses.replace(ASKED, facts={}), "") == 1.0


@pytest.mark.parametrize(
    ("tone", "text"),
    [
        ("warm", "Hey Maria! We'd love to treat you to 10% off your fiber internet for the next 30 days."),
        ("formal", "Dear Maria, we are pleased to offer you 10% off your fiber internet. Kindly reply to accept."),
        ("brief", "Maria: 10% off fiber internet, 30 days."),
    ],
)
def test_the_tone_asked_for_scores_above_the_others(tone: str, text: str) -> None:
    scores = {name: rule_judge.tone(name, text) for name in ("warm", "formal", "brief")}
    assert scores[tone] > 0.7
    if tone != "brief":  # few words are neither warm nor formal
        assert max(scores, key=scores.__getitem__) == tone
    assert all(0 <= score <= 1 for score in scores.values())


def test_room_and_fluency_are_lines_between_two_marks() -> None:
    assert [rule_judge.room(100, "x" * size) for size in (10, 100, 125, 150, 200)] == [1, 1, 0.5, 0, 0]
    assert [rule_judge.fluency(value) for value in (0.0, -1.0, -3.5, -6.0, -60.0)] == [1, 1, 0.5, 0, 0]
    for impossible in (float("nan"), 0.1):
        with pytest.raises(ValueError, match="allowed: a number up to 0"):
            rule_judge.fluency(impossible)
    with pytest.raises(ValueError, match="'rude' is not known"):
        rule_judge.tone("rude", GOOD)


def test_the_total_is_the_weighted_mean_of_the_pieces() -> None:
    found = rule_judge.points(ASKED, GOOD, grounded=False, takeable=True, log_prob=-3.5)
    tone, room = rule_judge.tone("warm", GOOD), rule_judge.room(160, GOOD)
    assert found == pytest.approx((3 * 1.0 + 4 * 0.0 + 2 * 1.0 + tone + room + 0.5) / 12)


def test_an_untrue_message_loses_to_a_true_one_however_fluent() -> None:
    true = rule_judge.points(ASKED, GOOD, grounded=True, takeable=True, log_prob=-6.0)
    untrue = rule_judge.points(ASKED, GOOD, grounded=False, takeable=True, log_prob=-1.0)
    assert true > untrue


def test_of_two_true_messages_the_one_that_says_how_to_take_the_offer_is_better() -> None:
    with_action, without = (
        rule_judge.points(ASKED, GOOD, grounded=True, takeable=said, log_prob=-3.0) for said in (True, False)
    )
    assert with_action > without


def test_the_judge_looks_at_a_text_once_and_calls_small_differences_ties() -> None:
    looked: list[tuple[int, str]] = []

    def log_prob(brief: int, text: str) -> float:
        looked.append((brief, text))
        return -3.0 if "Maria" in text else -3.05

    judge = rule_judge.judge([ASKED, ASKED], lambda brief, text: "10%" in text, lambda brief, text: True, log_prob)
    systems = {"good": [GOOD, GOOD], "bad": [GOOD.replace("10%", "20%"), GOOD + " "]}
    found = compare(systems, judge, resamples=10).duels[0]
    assert (found.wins, found.ties, found.losses) == (1, 1, 0)
    assert len(looked) == len(set(looked)) == 4


def test_fluency_is_of_the_text_alone_whatever_is_read_beside_it() -> None:
    model = hub.load("tiny")
    prompts, texts = ["SMS.", "Push, from us.", "SMS."], ["Hi", "Reply YES to accept it", "10% off " * 40]
    for prompt, text, found in zip(prompts, texts, mean_log_probs(model, prompts, texts, ""), strict=True):
        example = packing.tokenise(model.tokenizer, prompt, text, system="")
        tokens = example.tokens[None]
        logits = compiled_model.logits(model.decoder, tokens, np.ones(tokens.shape, bool))
        log_probs = scipy.special.log_softmax(logits, axis=-1)[0, :-1]
        own = log_probs[np.arange(len(example) - 1), tokens[0, 1:]][len(example.prompt) - 1 :]
        assert found == pytest.approx(float(own.mean()), abs=1e-4)
