"""What is measured on written messages: a text that was cut off is no message, and the shield reads each once."""

import datetime as dt

import jax
import numpy as np
import pytest

from experiments import ppo_text, text_evaluation
from retentionjax import shield
from retentionjax.language import hub, lora, reward
from retentionjax.shield import Brief, OfferTerms, Sender
from retentionjax.shield.brief import CHANNELS, Channel

NORTHWIND = Sender("Northwind", "12 Harbor Street", ("northwind.example",), "https://northwind.example/unsubscribe")
GOOD = "{sender}: Hi {name}, enjoy 10% off your bill for 30 days. Reply YES to accept. Reply STOP to opt out."
INVENTED = "Northwind: Hi Maria, enjoy 20% off your bill for 30 days. Reply YES to accept. Reply STOP to opt out."
RUDE = "Northwind: Hi Maria, enjoy 10% off your bill for 30 days. Reply YES to accept."


@pytest.fixture(scope="module")
def written() -> text_evaluation.Written:
    model = hub.load("tiny")
    adapter = lora.LoraConfig(rank=2, first_layer=2)
    key = jax.random.key(0)
    scorer = reward.init(reward.RewardConfig(lora=adapter), model.decoder, key)
    texts = [GOOD, GOOD, INVENTED, RUDE]
    briefs = [Brief("sms", OfferTerms(0.1), NORTHWIND, "warm", "Maria")] * len(texts)
    ended = np.array([True, False, True, True])
    judged = reward.RewardModel(scorer, np.float32(0), np.float32(1))
    return text_evaluation.measure(model, judged, briefs, texts, ended, shield.load_rules(), "")


def test_only_a_text_that_ended_and_breaks_no_rule_passes(written: text_evaluation.Written) -> None:
    assert written.passed.tolist() == [True, False, False, False]


def test_what_can_be_accepted_ended_says_what_is_so_and_how_to_take_it(written: text_evaluation.Written) -> None:
    assert written.acceptable.tolist() == [True, False, False, True]
    briefs = [Brief("sms", OfferTerms(0.1), NORTHWIND, "warm", "Maria")] * 3 + [Brief("sms", OfferTerms(), NORTHWIND)]
    found = text_evaluation.rates(briefs, written)
    assert found.acceptable == pytest.approx((1 / 3, 0.0615, 0.7923), abs=1e-3)  # Wilson (1927), one of three
    assert "| ppo | 33.3% (6.1% to 79.2%) | 25.0% (" in text_evaluation.table({"ppo": found})
    with pytest.raises(ValueError, match="no brief makes an offer"):
        text_evaluation.rates([Brief("sms", OfferTerms(), NORTHWIND)] * 4, written)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("offer", [OfferTerms(0.1), OfferTerms(0.2, ends=dt.date(2026, 6, 30)), OfferTerms()])
def test_what_no_model_wrote_passes_the_shield_and_can_be_accepted(channel: Channel, offer: OfferTerms) -> None:
    brief = Brief(channel, offer, NORTHWIND, "warm", "Maria")
    rules = shield.load_rules()
    for name, texts in text_evaluation.by_rule([brief], rules, seed=0).items():
        verdict = text_evaluation.check([brief], texts, rules)[0]
        assert (verdict.passed, verdict.takeable, verdict.grounded) == (True, True, True), (name, texts, verdict)


def test_grounding_is_about_the_offer_alone(written: text_evaluation.Written) -> None:
    assert written.grounded.tolist() == [True, True, False, True]
    assert written.broken_rules == {"offer.percent": 1, "offer.missing": 1, "channel.opt_out": 1}


def test_every_text_is_scored_and_its_end_counted(written: text_evaluation.Written) -> None:
    assert written.rewards.shape == (4,)
    # The same text in another row of the pack: equal up to the order of a sum.
    assert written.rewards[0] == pytest.approx(written.rewards[1], rel=1e-5)
    assert written.rewards[0] != pytest.approx(written.rewards[2], rel=1e-2)
    assert written.tokens[3] < written.tokens[0] == written.tokens[1]


@pytest.mark.parametrize("name", ["Maria", None])
def test_a_template_can_be_compared_with_what_has_stand_ins(name: str | None) -> None:
    brief = Brief("sms", OfferTerms(0.1), NORTHWIND, "warm", name)
    text = shield.render(brief)
    unfilled = brief.unfill(text)
    assert "Northwind" not in unfilled
    assert "Maria" not in unfilled
    assert brief.fill(unfilled) == text


def test_the_writer_stands_best_of_those_that_are_as_diverse_as_the_fine_tuned_one() -> None:
    diversity = {"sft": 0.22, "ppo": 0.13, "dpo": 0.25, "rloo": 0.22}
    standings = {"template": 0.9, "sft": 0.5, "ppo": 0.7, "dpo": 0.4, "rloo": 0.6}
    assert ppo_text.winner(standings, diversity) == "rloo"
    assert ppo_text.winner({**standings, "rloo": 0.3}, diversity) == "sft"
