"""The prefilter leaves out no rule whose pattern stands in a text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.shield import load_rules
from retentionjax.shield.prefilter import Prefilter, initials

PHRASES = load_rules().languages["en"].phrases
WORDS = sorted({word for rule in PHRASES for pattern in rule.patterns for word in re.findall(r"[a-z%$0-9']+", pattern)})


@pytest.mark.parametrize(
    ("pattern", "letters"),
    [
        ("free", "f"),
        ("(?:a|one )?half", "aoh"),
        ("[0-3]+ days", "0123"),
        ("(?<!toll-)free", "f"),
        ("x?y", "xy"),
        (r"(?:a\\|b|c)d", "abc"),
        (r"\Asure", None),
        ("(?:#1|one)", None),
        ("[^a]b", None),
        ("a{0,2}b", None),
    ],
)
def test_what_a_match_begins_with(pattern: str, letters: str | None) -> None:
    assert initials(pattern) == (letters and set(letters))


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_every_rule_that_matches_is_among_them(text: str) -> None:
    matching = {rule.id for rule in PHRASES if rule.regex and rule.regex.search(text)}
    assert matching <= load_rules().languages["en"].suspects.among(text)


def test_rules_of_other_letters_are_left_out() -> None:
    rules = Prefilter({"gift": ("free month",), "claim": ("best price",), "sign": ("#1",)})
    assert rules.among("a free month") == {"gift"}
    assert rules.among("we are #1") == {"sign"}
    assert rules.among("a prefree month") == set()
