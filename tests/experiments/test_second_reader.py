"""The second reader is what its messages teach, and it does not learn the frame in which attacks are written."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from experiments.second_reader import MESSAGES, WEIGHTS, Models, lesson, main, marked, text_of, unread
from retentionjax.shield.reading import BLANK
from retentionjax.shield.second_reader import SecondReader, features


def test_a_fault_is_learned_and_the_frame_around_it_is_not(tmp_path: Path) -> None:
    lines = []
    for company in range(20):
        lines.append(f"== Company {chr(65 + company % 26)}{company} | c{company}.example")
        good = "No hurry, take your time." if company % 2 else "We are glad that you are with us."
        lines.append(
            f"pass: sms | d10/30 | Ann | | Company {chr(65 + company % 26)}{company}: Ann, {good} It is a joy."
        )
        lines.append(
            f"refuse: sms | d10/30 | Ann | | Plain words. [[Spots are {'filling' if company % 2 else 'going'}.]]"
        )
    Models.learned(list(marked(lines))).save(tmp_path / "reader.npz")
    reader = SecondReader.load(tmp_path / "reader.npz")
    fault, frame = (reader.judged(text).log_odds for text in ("plain words. spots are filling.", "plain words."))
    assert fault > 0 > frame


def test_what_is_own_is_no_feature() -> None:
    for one, other in ((f"{BLANK * 4}: hi", f"{BLANK * 9}: hi"), ("12 days", "7,5 days")):
        assert [places for places, _ in features(one)] == [places for places, _ in features(other)]
    assert next(features("days"))[0][0] in {place for places, _ in features("12 days") for place in places}


def test_of_what_is_refused_the_fault_is_marked() -> None:
    with pytest.raises(ValueError, match=r"the fault stands in \[\[ \]\]"):
        list(marked(["== A | a.example", "refuse: sms | none | | | A: pay up."]))
    with pytest.raises(ValueError, match="the offer is 'ten'"):
        list(marked(["== A | a.example", "pass: sms | ten | | | A: hello."]))


def test_the_words_in_marks_are_at_fault_and_where_all_is_marked_nobody_has_said() -> None:
    lines = [
        "== Acme | acme.example | 2 | z",
        "refuse: sms | none | Ann | | Acme: Ann, stay well [[or pay up]]. Reply STOP.",
        "refuse: sms | none | Ann | | [[Acme: Ann, pay up.]]",
        "pass: sms | none | Ann | | Acme: Ann, stay well.",
    ]
    one, whole, good = marked(lines)
    taught = lesson(one)
    assert taught.fault is not None
    assert [token for token, fault in zip(taught.tokens, taught.fault, strict=True) if fault] == ["or", "pay", "up"]
    assert (taught.weight, one.writer) == (2.0, "z")
    assert lesson(whole).fault is None
    assert not any(lesson(good).fault or ())


@pytest.mark.slow
def test_a_writer_is_judged_by_models_that_have_not_read_her() -> None:
    lines = []
    for writer in "vw":
        lines.append(f"== Acme | acme.example | 1 | {writer}")
        lines += [f"pass: sms | none | Ann | | Acme: Ann, hello number {n}. Reply STOP to opt out." for n in range(5)]
        lines += [
            f"refuse: sms | none | Ann | | Acme: Ann, [[{writer * 4} {n}]]. Reply STOP to opt out." for n in range(5)
        ]
    (row, *_) = rows = [each for each in unread(list(marked(lines)), ["w"]) if each.bad]
    assert len(rows) == 5
    known = (
        Models.learned(list(marked(lines))).reader(1.0, 0.0, 0.0).judged("····: ···, wwww 0. reply stop to opt out.")
    )
    assert known.log_odds > row.evidence[0]


@pytest.mark.slow
def test_the_one_shipped_is_what_its_messages_teach(tmp_path: Path) -> None:
    lines = text_of(MESSAGES).splitlines()
    assert len(lines) > 10_000
    main(["--out", str(tmp_path / "again.npz")])
    shipped, again = SecondReader.load(WEIGHTS), SecondReader.load(tmp_path / "again.npz")
    np.testing.assert_allclose(again.weights, shipped.weights, atol=2e-2)
    plain = [each.plain for each in itertools.islice(marked(lines), 0, None, 50)]
    one, other = ([reader.judged(each).log_odds for each in plain] for reader in (shipped, again))
    assert np.corrcoef(one, other)[0, 1] > 0.97
