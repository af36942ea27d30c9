"""Wordings that not everybody can be sent are compared by what they do, not by whom they reach; the truth is known."""

import numpy as np
import pytest

from retentionjax.decide.comparing import best_probabilities, choose, comparable, is_worse, lift, matched
from retentionjax.decide.variants import NOBODY, Answers, Stratum

NAMES = ("template", "tenure", "short")
"""`tenure` speaks of one, so that only old customers, who accept four times as often, can be sent it."""
OLD, NEW = (0.24, 0.06)


def campaign(
    effects: dict[str, float], messages: int, seed: int, *, drawn: bool = True, every: int = 250
) -> tuple[list[Stratum], float]:
    """Strata after a campaign whose customers accept by who they are, by the week and by the wording; and the share of
    the last messages that were the best wording for their customer.

    `drawn`: by Thompson sampling, as the service does; else each wording that fits is as likely.
    """
    random = np.random.default_rng(seed)
    cells: dict[tuple[bool, int], dict[str, Answers]] = {}
    best_sent = 0
    for start in range(0, messages, every):
        week = start // 1000
        known, best_sent = comparable(list(cells.values()), NAMES), 0
        fits = {True: [0, 1, 2], False: [0, 2]}
        found = {old: best_probabilities([known[each] for each in fit]) for old, fit in fits.items()}
        for _ in range(every):
            old = random.random() < 0.5
            fit = fits[old]
            place = fit[choose(found[old] if drawn else np.ones(len(fit)), random.random())[0]]
            rate = (OLD if old else NEW) * (1.0, 0.5, 0.8, 0.6)[week % 4] * effects[NAMES[place]]
            stratum = cells.setdefault((old, week), {})
            answer = Answers(1, float(random.random() < rate), 0)
            stratum[NAMES[place]] = stratum.get(NAMES[place], NOBODY).plus(answer)
            best_sent += effects[NAMES[place]] == max(effects[NAMES[each]] for each in fit)
    return list(cells.values()), best_sent / every


def raw(strata: list[Stratum], name: str) -> Answers:
    total = NOBODY
    for stratum in strata:
        total = total.plus(stratum.get(name, NOBODY))
    return total


def test_a_wording_for_those_who_accept_anyway_is_not_taken_for_a_good_one() -> None:
    worse = {"template": 1.0, "tenure": 0.65, "short": 1.0}
    strata, _ = campaign(worse, 16_000, seed=0, drawn=False)
    assert lift(raw(strata, "tenure"), raw(strata, "template"))[0] > 0.005, "by raw rates it seems the better one"
    ours, theirs = matched(strata, "tenure", "template")
    # Of old customers alone, 0.24 · 0.725 on average over the weeks, a third less.
    assert lift(ours, theirs)[0] == pytest.approx(-0.35 * OLD * 0.725, abs=0.02)
    assert is_worse(ours, theirs)
    assert not is_worse(*matched(strata, "short", "template"))
    found = {name: each.accepted / each.sent for name, each in zip(NAMES, comparable(strata, NAMES), strict=True)}
    assert found["tenure"] / found["template"] == pytest.approx(0.65, abs=0.07)
    assert found["short"] / found["template"] == pytest.approx(1.0, abs=0.09)


@pytest.mark.parametrize(
    "effects",
    [
        pytest.param({"template": 1.0, "tenure": 0.6, "short": 1.5}, id="the one for old customers is worst"),
        pytest.param(
            {"template": 1.0, "tenure": 1.7, "short": 0.8},
            id="the one for old customers is best",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_customers_come_to_be_sent_what_is_best_for_them(effects: dict[str, float]) -> None:
    ends = [campaign(effects, 12_000, seed)[1] for seed in range(3)]
    assert np.mean(ends) > 0.8


@pytest.mark.parametrize("campaigns", [6, pytest.param(30, marks=pytest.mark.slow)])
def test_a_wording_as_good_as_the_template_is_hardly_ever_found_worse_however_often_one_looks(campaigns: int) -> None:
    """Eight looks at each campaign, in which both wordings are alike and the drawing of them is not."""
    random, wrong = np.random.default_rng(1), 0
    for _ in range(campaigns):
        counts, found = np.zeros((8, 2, 3)), False
        for stratum in range(8):
            sent = random.multinomial(1000, (0.2, 0.8) if stratum % 2 else (0.7, 0.3))
            rate = (0.05, 0.3)[stratum % 2]
            counts[stratum] += np.stack([sent, random.binomial(sent, rate), random.binomial(sent, 0.02)], axis=1)
            strata = [{"one": Answers(*each[0]), "template": Answers(*each[1])} for each in counts]
            found = found or is_worse(*matched(strata, "one", "template"))
        wrong += found
    assert wrong <= 1


def test_of_customers_alike_nothing_changes() -> None:
    strata = [{"a": Answers(1000, 100, 10), "b": Answers(300, 45, 3)}]
    assert matched(strata, "a", "b") == (pytest.approx((1000, 100, 10)), pytest.approx((300, 45, 3)))
    for found, told in zip(comparable(strata, ("a", "b")), strata[0].values(), strict=True):
        assert found == pytest.approx(told, rel=0.01)


def test_customers_who_had_no_choice_tell_nothing() -> None:
    alone = [{"a": Answers(1000, 900, 0)}, {"b": Answers(50, 1, 0)}]
    assert matched(alone, "a", "b") == (NOBODY, NOBODY)
    assert comparable(alone, ("a", "b")) == [NOBODY, NOBODY]
    assert comparable([], ("a", "b")) == [NOBODY, NOBODY]
    both = [*alone, {"a": Answers(100, 10, 0), "b": Answers(100, 10, 0)}]
    assert [each.sent for each in comparable(both, ("a", "b"))] == pytest.approx([100, 100])
