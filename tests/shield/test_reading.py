"""Folding, disguises, short-message lengths and check digits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.shield.form import measure
from retentionjax.shield.personal import IBAN_LENGTHS, iban, luhn
from retentionjax.shield.reading import disguises, read, unspelled


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("FREE", "free"),
        ("frеe", "free"),  # Cyrillic е
        ("ｆｒｅｅ", "free"),
        ("𝐟𝐫𝐞𝐞", "free"),
        ("ƒʀᴇᴇ", "free"),
        ("f\u200bree", "free"),
        ("f\u00adr\u2060ee", "free"),
        ("is**sue**", "issue"),
        ("gu_aran_teed", "guaranteed"),
        ("Zoë café", "zoe cafe"),
        ("٢٠٪", "20%"),
        ("１５％", "15%"),
        ("“don’t”", '"don\'t"'),
        ("30–60", "30-60"),
        ("a\u00a0b", "a b"),
        ("小明", "小明"),
    ],
)
def test_text_is_read_as_people_see_it(text: str, folded: str) -> None:
    assert read(text).folded == folded


@given(st.text(max_size=60))
def test_every_folded_character_knows_where_it_came_from(text: str) -> None:
    reading = read(text)
    assert len(reading.origin) == len(reading.folded) + 1
    assert list(reading.origin) == sorted(reading.origin)
    for index in range(len(reading.folded)):
        start, end = reading.span(index, index + 1)
        assert read(text[start:end]).folded.find(reading.folded[index]) >= 0


@given(st.text(st.characters(codec="ascii", exclude_characters="*_~`", exclude_categories=["Cc"]), max_size=60))
def test_plain_text_is_only_put_in_lower_case(text: str) -> None:
    assert read(text).folded == text.lower()


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("plain", []),
        ("Zoë, Мария, 小明", []),
        ("👨\u200d👩\u200d👧", []),
        ("hid\u200bden", ["text.invisible"]),
        ("left\u202eright", ["text.invisible"]),
        ("soft\u00adhyphen", ["text.invisible"]),
        ("\u3164", ["text.invisible"]),
        ("frеe", ["text.homoglyph"]),
        ("𝐟𝐫𝐞𝐞", ["text.homoglyph"]),
        ("f r e e", ["text.obfuscated"]),
        ("U.S.A. and 1 2 3 4", []),
    ],
)
def test_disguises(text: str, rules: list[str]) -> None:
    assert sorted({each.rule for each in disguises(read(text))}) == rules


@pytest.mark.parametrize(
    ("text", "word"), [("gu4r4nt33d", "guaranteed"), ("f.r.e.e", "free"), ("s-u-e", "sue"), ("$hit", "shit")]
)
def test_words_in_disguise_are_undone(text: str, word: str) -> None:
    assert word in [found for found, _, _ in unspelled(read(text))]


@pytest.mark.parametrize(
    ("text", "alphabet", "units", "segments"),
    [
        ("", "gsm", 0, 1),
        ("a" * 160, "gsm", 160, 1),
        ("a" * 161, "gsm", 161, 2),
        ("a" * 306, "gsm", 306, 2),
        ("a" * 307, "gsm", 307, 3),
        ("€" * 80, "gsm", 160, 1),
        ("a" * 152 + "€" + "a" * 152, "gsm", 306, 3),  # the sign is not split: 152 + 153 + 1
        ("é" * 160, "gsm", 160, 1),
        ("ê" * 70, "ucs2", 70, 1),
        ("ê" * 71, "ucs2", 71, 2),
        ("ê" * 134, "ucs2", 134, 2),
        ("ê" * 135, "ucs2", 135, 3),
        ("😀" * 35, "ucs2", 70, 1),
        ("😀" * 36, "ucs2", 72, 2),
        ("’" + "a" * 70, "ucs2", 71, 2),
    ],
)
def test_short_messages_are_measured_as_networks_do(text: str, alphabet: str, units: int, segments: int) -> None:
    size = measure(text)
    assert (size.alphabet, size.units, size.segments) == (alphabet, units, segments)


@pytest.mark.parametrize("number", ["4111111111111111", "378282246310005", "5555555555554444", "6011111111111117"])
def test_test_cards_of_the_networks_pass_luhn(number: str) -> None:
    assert luhn(number)
    assert not luhn(number[:-1] + str((int(number[-1]) + 1) % 10))


@pytest.mark.parametrize(
    "code", ["de89370400440532013000", "gb29nwbk60161331926819", "fr1420041010050500013m02606", "no9386011117947"]
)
def test_the_registrys_own_examples_are_ibans(code: str) -> None:
    assert iban(code)
    assert not iban(code[:-1] + str((int(code[-1]) + 1) % 10))
    assert len(code) == IBAN_LENGTHS[code[:2]]
