"""The second reader is what its messages teach, and it does not learn the frame in which attacks are written."""

from pathlib import Path

import numpy as np
import pytest

from experiments.second_reader import MESSAGES, WEIGHTS, _text, main, marked, teach
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
    teach(list(marked(lines)), tmp_path / "reader.npz")
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


@pytest.mark.slow
def test_the_one_shipped_is_what_its_messages_teach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(_text(MESSAGES).splitlines()) > 10_000
    main(["--out", str(tmp_path / "again.npz")])
    shipped, again = SecondReader.load(WEIGHTS), SecondReader.load(tmp_path / "again.npz")
    np.testing.assert_allclose(again.weights, shipped.weights, atol=2e-2)
    assert again.suspect == pytest.approx(shipped.suspect, abs=0.05)
    assert '"auc": 0.8' in capsys.readouterr().out
