"""Approved wordings: what they say to whom, and which one customers come to be sent."""

import functools
from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from shield_briefs import SENDER

from retentionjax.company.messages import FactRule, Messages
from retentionjax.data.messages import grammar
from retentionjax.decide.comparing import (
    LEVEL,
    UNIFORM_SHARE,
    best_probabilities,
    choose,
    is_worse,
    lift,
    rate_interval,
)
from retentionjax.decide.variants import (
    Answers,
    Kind,
    Proposed,
    Variant,
    WordingAuthor,
    alike,
    examples,
    judge,
    mask,
    propose,
)
from retentionjax.errors import ConfigError
from retentionjax.shield import Brief, OfferTerms, load_rules

KIND = Kind("ten", "sms", "warm")
RULES = load_rules()
TEXT = "{sender}: Hi {name}, take 10% off your {plan} for 30 days. Reply YES to accept. Reply STOP to opt out."


def brief(name: str | None = "Maria", **facts: str) -> Brief:
    return Brief("sms", OfferTerms(0.1), SENDER, first_name=name, facts=facts)


def test_one_text_serves_everybody_who_has_what_it_speaks_of():
    variant = Variant(KIND, TEXT)
    ((text, verdict),) = judge(variant, [brief(plan="DSL internet")], RULES)
    assert text.startswith("Northwind: Hi Maria, take 10% off your DSL internet for 30 days.")
    assert verdict.passed, verdict.violations
    # No plan is known; no name is fit to use.
    assert judge(variant, [brief(), brief(name="evil.com", plan="DSL internet")], RULES) == []


def test_a_wording_is_judged_with_every_word_that_the_company_has_for_a_fact():
    facts = (
        FactRule("plan", say="DSL internet"),
        FactRule("plan", say="fiber internet"),
        FactRule("tenure", months="m"),
    )
    settings = Messages(SENDER, facts=facts)
    briefs = examples(settings, KIND, OfferTerms(0.1))
    assert {each.known["plan"] for each in briefs} == {"DSL internet", "fiber internet"}
    assert {each.name is None for each in briefs} == {True, False}
    verdicts = judge(Variant(KIND, TEXT), briefs, RULES)
    assert len(verdicts) == 2  # those with a name
    assert all(verdict.passed for _, verdict in verdicts)
    twice = Variant(KIND, TEXT.replace("10%", "20%"))
    assert not any(verdict.passed for _, verdict in judge(twice, briefs, RULES))


def test_a_fact_becomes_a_stand_in_and_back():
    known = brief(plan="fiber internet", tenure="2 years")
    written = "{sender}: Hi {name}, thanks for 2 years! 10% off your fiber internet for 30 days. Reply YES to accept."
    masked = mask(written, known)
    assert masked == written.replace("2 years", "{tenure}").replace("fiber internet", "{plan}")
    assert Variant(KIND, masked).fill(known) == known.fill(written)


@pytest.mark.parametrize("text", ["", "  ", "Hi {first_name}", "Hi {}", "{NAME} hello"])
def test_a_text_with_an_unknown_stand_in_is_refused_by_name(text):
    with pytest.raises(ConfigError, match="text"):
        Variant(KIND, text)


def test_ids_follow_kind_and_text_alone():
    assert Variant(KIND, TEXT, "model").id == Variant(KIND, TEXT, "person").id
    others = {Kind("ten", "push", "warm"), Kind("ten", "sms", "formal"), Kind("five", "sms", "warm")}
    ids = {kind.identify(TEXT) for kind in others} | {kind.template_id for kind in others} | {KIND.identify(TEXT)}
    assert len(ids) == 7


def test_the_authors_favourites_are_proposed_and_of_two_alike_the_better_one():
    """What the shield refuses, or nobody has approved the like of, is dropped however much the author likes it."""
    tail = "10% off your bill for 30 days. Reply YES to accept. Reply STOP to opt out."
    written = {
        f"{{sender}}: Hi {{name}}, take {tail}": 1.0,
        f"{{sender}}: Hi {{name}}, enjoy {tail}": 3.0,  # nearly the same
        f"{{sender}}: Thank you for being our customer! As a thank-you, here's {tail}": 2.0,
        f"{{sender}}: Hello {{name}}, we are pleased to offer you {tail.replace('10%', '90%')}": 9.0,
        "{sender}: Hi {first_name}!": 8.0,
        f"{{sender}}: Hi {{name}}, what a joy! Take {tail}": 7.0,
    }
    texts = list(written)
    author = WordingAuthor(
        lambda briefs, seeds: [texts[seed % 6] for seed in seeds],
        lambda _, given: [written[each] for each in given],
    )
    settings = Messages(SENDER)
    approved = [texts[0], texts[2], texts[3]]

    def proposed(**more: list[str]) -> Proposed:
        return propose(
            KIND, OfferTerms(0.1), settings, RULES, author, count=3, tries=2, rounds=1, approved=approved, **more
        )

    made = proposed()
    assert [each.text for each in made.variants] == [texts[1], texts[2]]
    assert made.refused["stand_in"] == 1
    assert made.refused["copy"] == made.refused["text.phrase"] == 1
    assert any(rule.startswith("offer.") for rule in made.refused)
    assert [each.text for each in proposed(known=[texts[1]]).variants] == [texts[2]]


def test_an_author_of_whom_little_may_be_sent_is_asked_again() -> None:
    asked: list[int] = []

    def write(briefs: Sequence[Brief], seeds: Sequence[int]) -> list[str]:
        asked.extend(seeds)
        rare = [
            grammar.write(grammar.draft(brief, "train", Random(seed)))
            for brief, seed in zip(briefs, seeds, strict=True)
        ]
        return [text if seed % 10 == 0 else "nonsense" for text, seed in zip(rare, seeds, strict=True)]

    made = propose(KIND, OfferTerms(0.1), Messages(SENDER), RULES, WordingAuthor(write), count=2, seed=1, rounds=9)
    assert len(made.variants) == 2
    assert 16 < len(asked) < 72
    assert asked == sorted(set(asked))
    assert made.refused["text.phrase"] > 0
    none = propose(KIND, OfferTerms(0.1), Messages(SENDER), RULES, WordingAuthor.of(lambda *_: "no"), count=2, rounds=2)
    assert none == Proposed((), Counter({"text.phrase": 16}))


def test_copies_are_alike_and_others_are_not():
    assert alike(TEXT, TEXT.upper().replace("{SENDER}", "{sender}")) > 0.8
    assert alike(TEXT, "{sender}: Bills feel high? We can take 10% off for 30 days. Text YES.") < 0.5


def simulate(rates, leaves, messages: int, seed: int, every: int = 200):
    """(Chances of each wording, accept rate at the end, mean accept rate) of a campaign under true rates."""
    random = np.random.default_rng(seed)
    rates, leaves = np.array(rates), np.array(leaves)
    counts = np.zeros((len(rates), 3), int)
    earned = 0.0
    for start in range(0, messages, every):
        best = best_probabilities([Answers(*row) for row in counts])
        places = np.array([choose(best, number)[0] for number in random.random(every)])
        accepted = random.random(every) < rates[places]
        left = ~accepted & (random.random(every) < leaves[places])
        np.add.at(counts, places, np.stack([np.ones(every, int), accepted, left], axis=1))
        earned += rates[places].sum()
        assert start + every == counts[:, 0].sum()
    chances = (1 - UNIFORM_SHARE) * best_probabilities([Answers(*row) for row in counts]) + UNIFORM_SHARE / len(rates)
    return chances, float(chances @ rates), earned / messages


def test_accepts_come_near_those_of_the_best_wording_within_five_thousand_messages():
    truth = [0.08, 0.085, 0.10, 0.16, 0.09, 0.08, 0.11, 0.07, 0.10]  # the template first
    ends = [simulate(truth, np.zeros(9), 5000, seed) for seed in range(4)]
    assert np.mean([end for _, end, _ in ends]) >= 0.95 * max(truth)
    assert min(earned for _, _, earned in ends) > truth[0]  # never worse than the template alone


def test_where_all_are_alike_or_worse_nothing_is_lost_but_the_uniform_share():
    worse = [0.12, 0.04, 0.04, 0.04]
    ends = [simulate(worse, np.zeros(4), 5000, seed)[1] for seed in range(4)]
    assert np.mean(ends) >= 0.12 - UNIFORM_SHARE * 0.08


def test_opt_outs_count_against_a_wording():
    chances, _, _ = simulate([0.10, 0.12], [0.0, 0.03], 4000, seed=3)
    assert chances[0] > 0.8


def test_propensities_are_those_of_the_draw():
    best = np.array([0.7, 0.3, 0.0])
    numbers = np.linspace(0, 1, 20_001)[:-1]
    drawn = [choose(best, number) for number in numbers]
    for place in range(3):
        (chance,) = {chance for at, chance in drawn if at == place}
        assert chance == pytest.approx(0.9 * best[place] + 0.1 / 3)
        assert np.mean([at == place for at, _ in drawn]) == pytest.approx(chance, abs=1e-3)
    assert choose(np.zeros(2), 0.6) == (1, 0.5)  # neither can be the best of those that fit: alike


def test_the_interval_of_a_rate_covers_at_all_times_together():
    random, runs, rate = np.random.default_rng(0), 400, 0.1
    interval = functools.cache(rate_interval)
    accepted = (random.random((runs, 1000)) < rate).cumsum(axis=1)
    looks = np.array([1, 5, 20, 50, 100, 300, 1000])
    missed = 0
    for run in accepted:
        intervals = [interval(int(run[n - 1]), int(n)) for n in looks]
        missed += any(not low <= rate <= high for low, high in intervals)
    assert missed / runs <= 1 - LEVEL
    low, high = rate_interval(1000, 10_000)
    assert 0.08 < low < 0.1 < high < 0.12  # and it is no empty promise


def test_a_wording_is_worse_when_that_is_certain_and_not_before():
    assert is_worse(Answers(3000, 150, 0), Answers(3000, 300, 0))
    assert is_worse(Answers(3000, 300, 90), Answers(3000, 300, 15))
    assert not is_worse(Answers(50, 3, 1), Answers(50, 6, 0))
    assert not is_worse(Answers(3000, 300, 15), Answers(3000, 150, 90))
    assert not is_worse(Answers(0, 0, 0), Answers(3000, 300, 0))


def test_the_lift_is_found_where_there_is_one():
    estimate, low, high = lift(Answers(4000, 640, 0), Answers(4000, 320, 0))
    assert 0 < low < estimate < high
    assert estimate == pytest.approx(0.08)
    _, low, high = lift(Answers(50, 5, 0), Answers(50, 4, 0))
    assert low < 0 < high
