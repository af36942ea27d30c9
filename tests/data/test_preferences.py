"""HH-RLHF keeps the whole dialogue, SHP-2 its scores, Upworthy its clicks."""

import gzip
import hashlib
import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from https_server import Page, Site

from retentionjax.data import download, preferences, sources, text_loading, text_sources, texts
from retentionjax.data.download import DownloadError, HubFile
from retentionjax.data.preferences import Shown
from retentionjax.data.texts import TextLimits
from retentionjax.errors import DataError


def _lines(*rows: dict[str, object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


SAID = "\n\nHuman: Hi there\n\nAssistant: Hello!\n\nHuman: How are you?\n\nAssistant:"


def test_the_whole_dialogue_is_the_prompt_of_both_sides() -> None:
    found = preferences.read_hh(_lines({"chosen": f"{SAID} Very well.", "rejected": f"{SAID} No."}), "f", "helpful")
    assert [(turn.role, turn.text) for turn in found[0].prompt] == [
        ("user", "Hi there"), ("assistant", "Hello!"), ("user", "How are you?"),
    ]  # fmt: skip
    assert (found[0].chosen, found[0].rejected, found[0].source) == ("Very well.", "No.", "hh_rlhf/helpful")


def test_dialogues_that_part_before_the_last_reply_are_no_pair() -> None:
    other = SAID.replace("Hello!", "Good day.")
    assert not preferences.read_hh(_lines({"chosen": f"{SAID} Fine.", "rejected": f"{other} Bad."}), "f", "helpful")


def test_two_turns_of_one_speaker_are_one() -> None:
    prompt, reply = preferences.dialogue("\n\nHuman: A\n\nHuman: B\n\nAssistant: C\n\nAssistant: D")
    assert [turn.text for turn in prompt] == ["A\n\nB"]
    assert reply == "C\n\nD"


@pytest.mark.parametrize(
    "text", ["", "Hi", "\n\nAssistant: A\n\nHuman: B", "x\n\nHuman: A\n\nAssistant: B", "\n\nHuman: A"]
)
def test_what_is_no_dialogue_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(DataError, match="f, line 1: not a pair of HH-RLHF"):
        preferences.read_hh(_lines({"chosen": text, "rejected": text}), "f", "helpful")


def test_the_real_files_keep_all_their_dialogues(real_data: Path) -> None:
    for subset, rows in (("helpful-base", 2_354), ("harmless-base", 2_312)):
        found = text_sources.obtain("hh_rlhf", f"{subset}.test")
        pairs = preferences.read_hh(found.data, found.where, subset)
        assert len(pairs) == rows
        with gzip.open(real_data / f"hh_rlhf/{subset}.test.jsonl.gz", "rt", encoding="utf-8") as file:
            raw = [json.loads(line) for line in file]
        for pair, row in zip(pairs, raw, strict=True):
            words = " ".join([*(turn.text for turn in pair.prompt), pair.chosen]).split()
            assert words == re.sub(r"\n\n(Human|Assistant):", " ", row["chosen"]).split()


def test_the_probe_is_kept_out_of_training(own_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own_places / "given/hh_rlhf"
    folder.mkdir()
    parts = {}
    for subset, split in (("helpful-base", "train"), ("helpful-base", "test")):
        asked = range(40) if split == "train" else range(30, 50)
        rows = [
            {
                side: f"\n\nHuman: Question number {n}?\n\nAssistant: A {side} answer to {n}."
                for side in ("chosen", "rejected")
            }
            for n in asked
        ]
        (folder / f"{subset}.{split}.jsonl").write_bytes(_lines(*rows))
        source = text_sources.HH_RLHF.parts[f"{subset}.{split}"]
        parts[f"{subset}.{split}"] = type(source)(**{**vars(source), "tables": {}})
    home = text_sources.TextSet(**{**vars(text_sources.HH_RLHF), "parts": parts})
    monkeypatch.setattr(text_sources, "TEXTS", {"hh_rlhf": home})
    table = text_loading.load("hh_rlhf", limits=TextLimits(probe=15))
    assert len(table.splits["test"]) == 15
    learnt = {text.prompt[0].text for split in ("train", "validation") for text in table.splits[split]}
    assert learnt == {f"Question number {n}?" for n in range(30)}, "nor is a question of the test files left in it"


def _post(label: int, ratio: float, post: str = "How long to boil an egg?") -> dict[str, object]:
    answers = {"human_ref_A": "Six minutes, for me.", "human_ref_B": "I do not know."}
    return {"history": post, "labels": label, "score_ratio": ratio, **answers}


def test_label_1_prefers_the_first_comment_and_the_margin_is_the_log_of_the_ratio() -> None:
    first, second = preferences.read_shp(_lines(_post(1, 4.0), _post(0, 1.0)), "f")
    assert (first.chosen, second.chosen) == ("Six minutes, for me.", "I do not know.")
    assert (first.margin, second.margin) == (pytest.approx(math.log(4)), 0.0)
    assert len(preferences.read_shp(_lines(*[_post(1, 2.0)] * 9), "f")) == preferences.PAIRS_A_POST


@pytest.mark.parametrize(("label", "ratio"), [(2, 2.0), (1, 0.5), (1, math.inf)])
def test_a_pair_that_cannot_be_is_refused(label: int, ratio: float) -> None:
    with pytest.raises(DataError, match="f, line 1: label"):
        preferences.read_shp(_lines(_post(label, ratio)), "f")


def test_a_hub_file_is_taken_with_the_checksum_the_hub_states(
    own_places: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"https://{site.host}")
    body = _lines(_post(1, 2.0))
    digest = hashlib.sha256(body).hexdigest()
    domain = text_sources.SHP_DOMAINS[0]
    source = text_sources.SHP2.parts[f"{domain}.train"]
    address = source.downloads[0]
    assert isinstance(address, HubFile)
    page = address.url.removeprefix(f"https://{site.host}/")
    site.pages[page] = Page(body, headers={"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(body))})
    found = sources.take(source, pauses=())
    assert (found.data, found.sha256, found.origin) == (body, digest, "download")
    assert sources.take(source).origin == "cache"
    site.pages[page].headers["X-Linked-Etag"] = '"' + "0" * 64 + '"'
    with pytest.raises(DownloadError, match="the checksum differs"):
        sources.fetch(source, own_places / "elsewhere", pauses=())


@pytest.mark.parametrize(
    ("headers", "said"),
    [({}, "states neither size nor checksum"), ({"X-Linked-Etag": "0" * 64, "X-Linked-Size": "3"}, "expected f")],
)
def test_a_hub_file_without_or_with_another_checksum_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"https://{site.host}/")
    wanted = HubFile("some/set", "a.json", "a.json", sha256="f" * 64)
    site.pages["datasets/some/set/resolve/main/a.json"] = Page(b"abc", headers=headers)
    with pytest.raises(DownloadError, match=said):
        download.resolve(wanted)
    with pytest.raises(DownloadError, match="HTTP 404"):
        download.resolve(HubFile("some/set", "b.json", "b.json"))


def test_weeks_without_randomisation_are_left_out(real_data: Path) -> None:
    found = text_sources.obtain("upworthy", "packages")
    frame = preferences.read_upworthy(found.data, found.where)
    assert len(frame) == 18_176
    assert frame["clickability_test_id"].nunique() == 3_771
    pairs = preferences.headline_pairs(frame)
    assert len(pairs) > 4_000
    assert all(pair.margin > 0 for pair in pairs)
    parts = texts.split(pairs)
    headlines = [{text for pair in parts[name] for text in (pair.chosen, pair.rejected)} for name in texts.SPLITS]
    assert not headlines[0] & headlines[1]
    assert not headlines[0] & headlines[2]


def test_the_z_score_is_the_two_sample_test_of_proportions() -> None:
    """Against the textbook: 60 of 1000 and 40 of 1000, pooled p = 0.05, z = 0.02 / sqrt(0.05 · 0.95 · 0.002)."""
    assert preferences.z_score(Shown("a", "", 1000, 60), Shown("b", "", 1000, 40)) == pytest.approx(
        0.02 / math.sqrt(9.5e-5)
    )
    assert preferences.z_score(Shown("a", "", 1000, 0), Shown("b", "", 1000, 0)) == 0.0


def test_repetitions_of_a_headline_are_added_and_other_pictures_are_not_compared() -> None:
    rows = [
        ("t", "good", "p", 500, 40),
        ("t", "good", "p", 500, 40),
        ("t", "bad", "p", 1000, 20),
        ("t", "bad", "q", 1000, 0),
    ]
    names = ("clickability_test_id", "headline", "eyecatcher_id", "impressions", "clicks")
    frame = pd.DataFrame(rows, columns=list(names)).assign(lede="<b>So</b> it begins", test_week=201450)
    (pair,) = preferences.headline_pairs(frame)
    assert (pair.chosen, pair.rejected) == ("good", "bad")
    assert pair.margin == pytest.approx(math.log(80.5 / 920.5) - math.log(20.5 / 980.5))
    assert pair.prompt[0].text == "Write a headline for an article. It begins: So it begins"


def test_a_set_that_can_be_had_nowhere_says_so(own_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sources.UnavailableError, match=r"get upworthy_clean\.parquet from https://osf\.io/jd64p/"):
        text_loading.load("upworthy")
    with pytest.raises(DataError, match="no text set is called 'mars'; allowed: oasst1"):
        text_loading.load("mars")
