"""The arena: every two systems on the same briefs, ties, and intervals that resample briefs."""

import math

import numpy as np
import pytest

from retentionjax.language import arena


def _by_length(_: int, one: str, other: str) -> float:
    return 0.5 if len(one) == len(other) else float(len(one) > len(other))


SYSTEMS = {"long": ["aaaa", "aaa", "aaaa"], "mid": ["aaa", "aaa", "aa"], "short": ["a", "a", "aaaaa"]}


def test_a_tie_is_half_a_win_and_the_duels_count_briefs() -> None:
    found = arena.compare(SYSTEMS, _by_length)
    duel = found.duel("long", "mid")
    assert (duel.wins, duel.ties, duel.losses) == (2, 1, 0)
    assert duel.win_rate == pytest.approx(2.5 / 3)
    assert (found.duel("mid", "short").wins, found.duel("mid", "short").losses) == (2, 1)
    assert found.briefs == 3


def test_a_duel_seen_from_the_other_side_is_its_mirror() -> None:
    found = arena.compare(SYSTEMS, _by_length)
    one, other = found.duel("long", "short"), found.duel("short", "long")
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert one.win_rate + other.win_rate == pytest.approx(1)
    assert one.win_rate_low + other.win_rate_high == pytest.approx(1)
    with pytest.raises(KeyError, match="long against nobody"):
        found.duel("long", "nobody")


def test_standings_are_the_means_of_the_duels_from_the_best_down() -> None:
    found = arena.compare(SYSTEMS, _by_length)
    assert [each.system for each in found.standings] == ["long", "mid", "short"]
    long = found.standings[0]
    assert long.win_rate == pytest.approx((2.5 / 3 + 2 / 3) / 2)
    assert sum(each.win_rate for each in found.standings) == pytest.approx(3 / 2)


def test_a_judge_who_always_likes_the_first_text_finds_nobody_better() -> None:
    found = arena.compare(SYSTEMS, lambda brief, one, other: 1.0)
    assert all(each.ties == 3 and each.win_rate == 0.5 for each in found.duels)
    assert all(each.win_rate_low == each.win_rate_high == 0.5 for each in found.duels)


def test_the_interval_is_that_of_a_share() -> None:
    """Against the normal approximation, p ± 1.96 √(p(1 − p)/n), of a win rate without ties."""
    rng = np.random.default_rng(0)
    wins = rng.random(500) < 0.7
    texts = {"one": ["win" if win else "" for win in wins], "other": ["xx"] * 500}
    duel = arena.compare(texts, _by_length, resamples=4000).duels[0]
    rate = wins.mean()
    half = 1.96 * math.sqrt(rate * (1 - rate) / 500)
    assert duel.win_rate == pytest.approx(rate)
    assert (duel.win_rate_low, duel.win_rate_high) == pytest.approx((rate - half, rate + half), abs=0.006)


def test_the_same_seed_gives_the_same_intervals() -> None:
    once, again = (arena.compare(SYSTEMS, _by_length, seed=3) for _ in range(2))
    assert once == again


@pytest.mark.parametrize("systems", [{"a": ["x"]}, {"a": ["x"], "b": []}, {"a": [], "b": []}])
def test_systems_must_write_for_the_same_briefs(systems: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="two systems or more, one text a brief"):
        arena.compare(systems, _by_length)


def test_a_verdict_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"the judge says \(3.0, 3.0\) of brief 0; allowed: 0 to 1"):
        arena.compare(SYSTEMS, lambda brief, one, other: 3.0)


def test_the_p_value_is_the_sign_tests() -> None:
    """By hand: 5 of 5 won is 2/2⁵; ties tell nothing."""
    assert arena.Duel("a", "b", 5, 7, 0, 0.7, 0.5, 0.9).p == pytest.approx(2 / 32)
    assert arena.Duel("a", "b", 3, 0, 3, 0.5, 0.1, 0.9).p == 1
    assert arena.Duel("a", "b", 0, 4, 0, 0.5, 0.5, 0.5).p == 1


def test_the_table_names_every_system() -> None:
    text = arena.table(arena.compare(SYSTEMS, _by_length))
    header, _, *rows = text.splitlines()
    assert header.split(" | ")[2:] == ["over long", "over mid", "over short |"]
    assert [row.split()[1] for row in rows] == ["long", "mid", "short"]
    assert "83.3%" in rows[0]
