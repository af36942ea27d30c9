"""The sieve finds what Python's regular expressions find, and asks few of them."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retentionjax.shield import form, links, load_rules, personal, wording
from retentionjax.shield.brief import Language
from retentionjax.shield.grounding import _contexts
from retentionjax.shield.quantities import reader
from retentionjax.shield.sieve import Guarded, Sieve, alternatives, needed

PATTERNS = [
    r"(?:big|huge) savings?",
    r"top [0-9]+",
    r"half[ -](?:price|off)|free",
    r"(?:no|never) [^.!?]{2,40}(?:won't|without)",
    r"stop(?! it)(?: us)?",
    r"(?<!you )free (?:[a-z]+ )?gifts?",
    r"a{2,}b|x{0,2}y+",
    r"\$\{|;--|[$€]\d|\(c\)",
    r"(?:|very )good",
    r"(?P<word>win)(?:ner)? \d{1,2}|(?i:lol)",
    r"(?:very )?|(?=top)",
    r"stopp|(o)(f)\2",
    r"savings|(?P<twice>[a-z])(?P=twice)y",
    r"half|(x)?(?(1)xy|free)",
    "(?i:skins?)",
]
TEXTS = [
    "stop 9 on top 10 of the tops",
    "huge saving, big savings, biggest savings",
    "half-price and half off: free, freely",
    "never mind, you won't",
    "stop it. stop us! don't stop",
    "you free gift, a free nice gifts, free gift",
    "aaab y xy xxyy aab",
    "pay ${x} ;-- $5 (c) lol",
    "good very good goodly",
    "win 12 winner 3 winner",
    "SKIN skins s\u212ain \u017fk\u0131n\u017f sk\u0130ns",
    "",
]


@pytest.mark.parametrize("of_words", [True, False])
def test_a_sieve_finds_what_each_pattern_finds(of_words: bool) -> None:
    groups = [PATTERNS[:3], [], *([each] for each in PATTERNS)]
    form = r"(?<!\w)(?:{})(?!\w)" if of_words else "{}"
    sieve = Sieve(groups, of_words=of_words)
    for text in TEXTS:
        expected = [
            (group, match.span())
            for group, patterns in enumerate(groups)
            if patterns
            for match in re.finditer(form.replace("{}", "|".join(patterns)), text)
        ]
        assert [(group, match.span()) for group, match in sieve.found(text)] == expected
        assert sieve.holds(text) is bool(expected)


SPOKEN = pytest.mark.parametrize(
    ("language", "file", "mark"), [("en", "stranger.txt", ""), ("es", "messages.yaml", 'language: "es"')]
)


@SPOKEN
def test_the_rules_find_the_same_through_the_sieve(language: Language, file: str, mark: str) -> None:
    lines = Path(__file__).with_name(file).read_text(encoding="utf-8").lower().splitlines()
    phrasing = load_rules().phrasing(language)
    met = []
    for text in [line for line in lines if mark in line][:: 4 if language == "en" else 1]:
        plain = [
            (rule.id, *match.span()) for rule in phrasing.phrases if rule.regex for match in rule.regex.finditer(text)
        ]
        assert [(rule.id, start, end) for rule, start, end, _ in phrasing.hits(text)] == plain
        met += plain
    assert met


@SPOKEN
def test_the_same_sentences_serve_a_purpose_through_the_sieve(language: Language, file: str, mark: str) -> None:
    lines = Path(__file__).with_name(file).read_text(encoding="utf-8").lower().splitlines()
    purposes = load_rules().phrasing(language).purposes
    stems = "|".join(map(re.escape, purposes.stems))
    plain = re.compile("|".join((rf"(?<!\w)(?:{stems})", *purposes.patterns)))
    sentences = {each for line in lines if mark in line for each in re.split(r"(?<=[.!?]) |: |, ", line)}
    served = {each for each in sentences if plain.search(each)}
    assert {each for each in sentences if purposes.served(each)} == served
    assert set() < served < sentences


RULES = load_rules().phrasing("en").phrases
SIEVE = Sieve([rule.patterns for rule in RULES])
GUARDED = [
    each
    for kept in (vars(form), vars(links), vars(personal), vars(wording), vars(reader("en")), _contexts("en"))
    for each in kept.values()
    if isinstance(each, Guarded)
]
AROUND = st.sampled_from(["", " ", "a", "9", ". ", ", ", "\n", "Reply STOP to opt out.", "Ünd "])


def said(pattern: str) -> st.SearchStrategy[str]:
    """Texts that match, with figures as they are in folded text, and something around."""
    folded = st.from_regex(pattern).map(lambda text: re.sub(r"[^\D0-9]", "7", text))
    return st.tuples(AROUND, folded, AROUND).map("".join)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_the_sieve_of_the_rules_misses_nothing_that_a_pattern_may_say(data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from([each for each in RULES if each.patterns]))
    text = data.draw(said(data.draw(st.sampled_from(rule.patterns))))
    regexes = [(place, one.regex) for place, one in enumerate(RULES) if one.regex]
    expected = [(place, match.span()) for place, regex in regexes for match in regex.finditer(text)]
    assert [(place, match.span()) for place, match in SIEVE.found(text)] == expected


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.sampled_from(GUARDED), st.data())
def test_a_guard_misses_nothing_that_its_pattern_may_say(guarded: Guarded, data: st.DataObject) -> None:
    text = data.draw(said(guarded.regex.pattern))
    assert [each.span() for each in guarded.finditer(text)] == [each.span() for each in guarded.regex.finditer(text)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_guarded_pattern_finds_what_it_finds_unguarded(pattern: str) -> None:
    guarded, plain = Guarded(pattern), re.compile(pattern)
    for text in TEXTS:
        assert [each.span() for each in guarded.finditer(text)] == [each.span() for each in plain.finditer(text)]
        assert guarded.sub(lambda match: "-", text) == plain.sub("-", text)
        assert (guarded.search(text, 3, 20) is None) is (plain.search(text, 3, 20) is None)
        assert (guarded.match(text, 3) is None) is (plain.match(text, 3) is None)


@pytest.mark.parametrize(
    ("alternative", "pieces"),
    [
        ("(?:big|huge) savings?", {"big saving", "huge saving"}),
        ("(?:no )?[a-z]+ price", {" price"}),
        ("[a-z]+", {""}),
        ("(?i:3 tv)s?", {"3 tv", "3 tV", "3 Tv", "3 TV"}),
        (r"(?:so )?\d{1,2}(?:st|nd)", {f"{each}{end}" for each in "0123456789" for end in ("st", "nd")}),
        (r"(?:x|(y)\1)", {""}),
    ],
)
def test_what_a_pattern_needs(alternative: str, pieces: set[str]) -> None:
    assert needed(alternative) == pieces


def test_a_pattern_is_cut_at_its_own_bars() -> None:
    assert alternatives(r"a|(?:b|c)[|]|\|d") == ["a", "(?:b|c)[|]", r"\|d"]


@pytest.mark.parametrize(
    "pattern", [r"(a)b|(cde) \2", r"(?P<a>b)|c(?P=a)", r"(b)?|(?(1)c|d)", r"a(?# ( )|b(?# [ )|c]?", "(?x: a # (\n)|b"]
)
def test_a_pattern_is_not_cut_where_a_bar_may_not_part_it(pattern: str) -> None:
    assert re.compile(pattern)
    assert alternatives(pattern) == [pattern]


@pytest.mark.parametrize("pattern", [*PATTERNS, r"[]|]|[^]|(]|[\]|)]|a", r"\N{LEFT PARENTHESIS}|\x7c|\012|\\|b{,2}c"])
def test_each_part_of_a_pattern_is_a_pattern(pattern: str) -> None:
    parts = alternatives(pattern)
    assert "|".join(parts) == pattern
    assert all(re.compile(part) for part in parts)
