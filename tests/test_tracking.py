"""Metrics survive a kill and a resume; progress tells how far, how long, and how much is left."""

import io
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
from etils import epath
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from retentionjax import storage, tracking
from retentionjax.tracking import Tracker, duration, progress, read_metrics


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """(name, step, value) of every TensorBoard event below `folder`, read record by record as TensorBoard does."""
    found = []
    for path in sorted(folder.glob("tensorboard/events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            body = data[at + 12 : at + 12 + length]
            assert masked_crc32c(body) == int.from_bytes(data[at + 12 + length : at + 16 + length], "little")
            event = event_pb2.Event.FromString(body)
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            at += 16 + length
    return found


def without_time(folder: Path | epath.Path) -> list[dict[str, float | None]]:
    return [
        {key: value for key, value in line.items() if key != "time"} for line in read_metrics(folder / "metrics.jsonl")
    ]


def test_metrics_go_to_lines_and_to_tensorboard(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.log(0, {"loss": 2.0, "reward": jnp.float32(0.5)})
        tracker.log(10, {"loss": 1.0})
    assert without_time(tmp_path) == [{"step": 0, "loss": 2.0, "reward": 0.5}, {"step": 10, "loss": 1.0}]
    assert scalars(tmp_path) == [("loss", 0, 2.0), ("reward", 0, 0.5), ("loss", 10, 1.0)]


def test_a_value_that_is_not_finite_is_null(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.log(0, {"loss": float("nan"), "other": float("inf"), "fine": 1.0})
    assert without_time(tmp_path) == [{"step": 0, "loss": None, "other": None, "fine": 1.0}]


def test_a_line_is_on_disk_before_the_next_step(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.log(0, {"loss": 1.0})
        assert without_time(tmp_path) == [{"step": 0, "loss": 1.0}]


def test_resuming_drops_what_came_after_the_checkpoint_and_the_torn_line(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        for step in range(5):
            tracker.log(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    with Tracker(tmp_path, resume_step=2) as tracker:
        tracker.log(3, {"loss": 30.0})
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path / "metrics.jsonl")] == [
        (0, 0.0),
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]
    assert scalars(tmp_path) == [("loss", 0, 0.0), ("loss", 1, 1.0), ("loss", 2, 2.0), ("loss", 3, 30.0)]


def test_resuming_where_nothing_was_logged_starts_empty(tmp_path: Path) -> None:
    with Tracker(tmp_path, resume_step=7) as tracker:
        tracker.log(8, {"loss": 1.0})
    assert without_time(tmp_path) == [{"step": 8, "loss": 1.0}]


def test_without_resume_the_old_metrics_are_gone(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        with Tracker(tmp_path) as tracker:
            tracker.log(0, {"loss": value})
    assert scalars(tmp_path) == [("loss", 0, 2.0)]


def test_steps_never_go_back(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.log(3, {"a": 1.0})
        with pytest.raises(ValueError, match="step 2 comes after step 3"):
            tracker.log(2, {"a": 1.0})


@pytest.mark.parametrize("name", ["step", "time"])
def test_a_metric_cannot_take_a_reserved_name(tmp_path: Path, name: str) -> None:
    with Tracker(tmp_path) as tracker, pytest.raises(ValueError, match=name):
        tracker.log(0, {name: 1.0})


def test_in_a_bucket_lines_are_kept_and_written_whole(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = storage.as_path(bucket)
    with Tracker(folder) as tracker:
        tracker.log(0, {"loss": 1.0})
        tracker.log(1, {"loss": 2.0})
        assert without_time(folder) == []
        monkeypatch.setattr(tracking.time, "monotonic", lambda: tracker._flushed + 31)
        tracker.log(2, {"loss": 3.0})
        assert len(without_time(folder)) == 3
    assert [line["loss"] for line in without_time(folder)] == [1.0, 2.0, 3.0]
    assert len(list((folder / "tensorboard").iterdir())) == 1


def test_progress_in_a_log_is_a_line_now_and_then_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(tracking.time, "monotonic", lambda: now[0])
    with progress("training", 7, "updates") as bar:  # at most: five do
        for now[0], done in ((6.0, 1), (8.0, 1), (12.0, 1), (13.0, 2)):  # the first compiles: it tells no pace
            bar.advance(done, loss=now[0] / 4)
        now[0] = 20.0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "training:  14%, 1 of 7 updates, 6.0 s, loss 1.5",
        "training:  43%, 3 of 7 updates, 12 s, about 12 s left, loss 3",
        "training: 100%, 5 of 5 updates, 20 s, loss 3.25",
    ]


def _terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 140 columns is shown from now on."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    return terminal


def test_a_bar_does_not_pass_its_end_when_there_is_more_to_do_than_was_thought(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress("exact optimum", 4, "campaigns") as bar:
        bar.advance(5)
    assert capsys.readouterr().err.startswith("exact optimum: 100%, 5 of 5 campaigns")

    terminal = _terminal(monkeypatch)
    with progress("exact optimum", 4, "campaigns") as bar:
        bar.advance(5)
    assert "5 of 5 campaigns" in terminal.getvalue()
    assert "125%" not in terminal.getvalue()


def test_progress_that_fails_does_not_claim_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), progress("training", 4) as bar:
        bar.advance()
        raise KeyError
    assert capsys.readouterr().err == ""


def test_progress_of_nothing_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", 0, "rows"):
        pass
    assert capsys.readouterr().err.startswith("reading: 100%, 0 of 0 rows")


def test_on_a_terminal_a_bar_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    with progress("training", 3, "updates") as bar:
        bar.advance(3, loss=0.5)
    assert "3 of 3 updates" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert "loss 0.5" in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7860, "2 h 11 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
