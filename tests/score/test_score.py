"""A table of customers scored: the decisions are the single ones, and the folder tells what it was made of."""

import dataclasses
import json
import shutil
import unicodedata
from pathlib import Path

import bundles
import customer_tables
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retentionjax import cli, storage
from retentionjax.bundle import drift, write
from retentionjax.decide import draws
from retentionjax.decide.decision import decide
from retentionjax.decide.facts import Facts
from retentionjax.decide.program import Decider
from retentionjax.errors import ConfigError, DataError
from retentionjax.score.plan import Plan
from retentionjax.score.running import Request, run
from retentionjax.score.scorer import Scorer, check
from retentionjax.score.source import ScoredFile, describe

ROWS = 1000


@pytest.fixture(scope="module")
def customers(tmp_path_factory) -> Path:
    """Two parts in a folder, and files that are none of it."""
    folder = tmp_path_factory.mktemp("customers")
    customer_tables.write(folder / "a.parquet", 620, row_group=170)
    (folder / "more").mkdir()
    customer_tables.write(folder / "more/b.parquet", 380, first=620)
    (folder / "_SUCCESS").write_text("")
    (folder / "readme.txt").write_text("not a table")
    return folder


@pytest.fixture(scope="module")
def scored(bundle_folder, customers, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "out"
    run(Request(bundle_folder, customers, out, rows_per_shard=250))
    return out


def test_every_customer_is_decided_about_once_in_their_order(scored, customers):
    ids = customer_tables.decisions(scored)["customer_id"].to_pylist()
    assert ids == [f"C-{number}" for number in range(ROWS)]
    assert len(list(scored.glob("part-*"))) == 5  # 250, 250, 120 of the first file; 250, 130 of the second


def test_rows_without_ids_are_called_by_their_numbers_and_it_is_said(bundle_folder, customers, tmp_path, capsys):
    plain = tmp_path / "plain.parquet"
    table = pq.read_table(customers / "a.parquet")
    pq.write_table(table.drop_columns("customer_id"), plain, row_group_size=100)
    arguments = ["score", "--bundle", str(bundle_folder), "--customers", str(plain), "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--rows-per-shard", "250"]) == 0
    assert "called by the number of its row, from 0" in capsys.readouterr().out
    assert customer_tables.decisions(tmp_path / "out")["customer_id"].to_pylist() == [str(row) for row in range(620)]


def test_each_decision_is_that_of_the_customer_alone(bundle, scored):
    records = customer_tables.table(620).drop_columns("city").to_pylist()
    decisions = customer_tables.decisions(scored).to_pylist()
    assert min(row["expected_spend"] for row in decisions) == 0  # the network says less of some
    contacts, decider = 0, Decider(bundle, sizes=(1,))
    for place in range(0, 620, 13):
        alone, row = decide(decider, records[place]), decisions[place]
        assert row["action"] == alone.action
        assert row["propensity"] == pytest.approx(alone.propensity, abs=2e-6)
        np.testing.assert_allclose(row["propensities"], alone.propensities, atol=2e-6)
        assert row["churn_probability"] == pytest.approx(alone.risk.today, abs=1e-6)
        for offer in alone.explanation.offers:
            assert row[f"accept_probability_{offer.offer}"] == pytest.approx(offer.acceptance, abs=1e-6)
        expected = alone.explanation.expected
        assert row["expected_uplift"] == pytest.approx(expected["uplift"], rel=1e-4, abs=1e-4)
        assert row["expected_spend"] == pytest.approx(expected["campaign_budget"], rel=1e-4, abs=1e-4)
        assert row["contact"] == (alone.offer is not None)
        assert (row["offer"], row["delay_days"]) == (alone.offer_name, alone.delay_days)
        contacts += row["contact"]
    assert contacts > 3


def test_a_usual_risk_makes_a_decision_that_of_a_customer_with_this_history(bundle, bundle_folder, tmp_path, capsys):
    usual = [None if row % 3 == 0 else 0.02 + 0.9 * row / 300 for row in range(300)]
    customers = customer_tables.write(tmp_path / "c.parquet", 300, usual_risk=usual)
    arguments = ["score", "--bundle", str(bundle_folder), "--customers", str(customers)]
    assert cli.main([*arguments, "--out", str(tmp_path / "without")]) == 0
    assert "no usual one was given (--usual COLUMN)" in capsys.readouterr().out
    assert cli.main([*arguments, "--out", str(tmp_path / "out"), "--usual", "usual_risk"]) == 0
    assert "200 customers have a usual one" in capsys.readouterr().out
    records = customer_tables.table(300).drop_columns("city").to_pylist()
    decided, without = (customer_tables.decisions(tmp_path / each).to_pylist() for each in ("out", "without"))
    decider, moved = Decider(bundle, sizes=(1,)), 0
    for row in range(0, 300, 7):
        history = {} if usual[row] is None else {"baseline_churn_probability": usual[row]}
        alone = decide(decider, {**records[row], "history": history})
        np.testing.assert_allclose(decided[row]["propensities"], alone.propensities, atol=2e-6)
        moved += not np.allclose(decided[row]["propensities"], without[row]["propensities"], atol=1e-3)
    assert moved > 5


def test_an_accent_in_the_name_of_a_column_is_the_same_however_it_is_encoded(bundle, tmp_path):
    """As macOS and its spreadsheets write it, in two characters; the company's description has one."""
    named = {"customer_id": "número", "months": "mónths", "plan": "plán", "usual_risk": "üblich"}
    schema = dataclasses.replace(
        bundle.schema,
        id="número",
        numeric=("mónths", "bill", "age"),
        nullable=("mónths",),
        categorical={named.get(name, name): allowed for name, allowed in bundle.schema.categorical.items()},
    )
    assert [named.get(name, name) for name in bundle.schema.features] == list(schema.features)
    table = customer_tables.table(50, usual_risk=[0.1] * 50)
    decided = []
    for form in ("NFC", "NFD"):
        path, out = storage.as_path(tmp_path) / f"{form}.parquet", storage.as_path(tmp_path) / form
        out.mkdir()
        names = [unicodedata.normalize(form, named.get(name, name)) for name in table.column_names]
        pq.write_table(table.rename_columns(names), path)
        source = ScoredFile(str(path))
        plan = Plan(bundle="b", synthetic=False, sources=describe({path.name: source}), usual=names[-1])
        scorer = Scorer(bundle, plan, {path.name: source}, out)
        scorer.facts = Facts(schema)
        check(scorer.facts, plan.usual, source)
        assert scorer.score(plan.shards[0]).usual == 50
        decided.append(customer_tables.decisions(out))
    assert decided[0].equals(decided[1])


def test_two_columns_whose_names_differ_only_in_how_an_accent_is_encoded_are_refused(tmp_path):
    path = storage.as_path(tmp_path) / "c.parquet"
    pq.write_table(pa.table({"r\u00e9gion": [1.0], "re\u0301gion": [2.0]}), path)
    with pytest.raises(DataError, match=r"c\.parquet: 'r\\xe9gion' and 're\\u0301gion' are the same name, 'région'"):
        ScoredFile(str(path)).columns  # noqa: B018


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("risk", 0.2, "c.parquet: the column 'risk', which --usual names, is missing; allowed: .*'usual_risk'"),
        ("plan", 0.2, "column 'plan': holds string; allowed: numbers, for --usual names it"),
        ("usual_risk", 20.0, "row 1, field 'usual_risk': '20.0' is out of range; allowed: above 0, below 1, or null"),
        ("usual_risk", 0.0, "row 1, field 'usual_risk': '0.0' is out of range"),
    ],
)
def test_a_usual_risk_that_is_none_is_refused(bundle_folder, tmp_path, column, values, message):
    customers = customer_tables.write(tmp_path / "c.parquet", 20, usual_risk=[values] * 20)
    with pytest.raises(DataError, match=message):
        run(Request(bundle_folder, customers, tmp_path / "out", usual=column))
    assert run(Request(bundle_folder, customers, tmp_path / "out")).count.rows == 20, (
        "the mended command is not refused"
    )
    with pytest.raises(ConfigError, match=r"was begun with --usual none, and this is usual_risk;"):
        run(Request(bundle_folder, customers, tmp_path / "out", usual="usual_risk"))


def test_a_column_that_only_the_last_file_lacks_is_told_before_anything_is_scored(bundle_folder, tmp_path):
    (tmp_path / "in").mkdir()
    customer_tables.write(tmp_path / "in/a.parquet", 20, usual_risk=[0.2] * 20)
    customer_tables.write(tmp_path / "in/b.parquet", 20)
    with pytest.raises(DataError, match=r"b\.parquet: the column 'usual_risk'"):
        run(Request(bundle_folder, tmp_path / "in", tmp_path / "out", usual="usual_risk"))
    assert not (tmp_path / "out").exists()


def test_what_training_never_saw_is_counted_and_said(bundle_folder, tmp_path, capsys, monkeypatch):
    plan = ["gold" if row % 10 == 0 else "basic " for row in range(500)]
    bill = [90_000.0 if row % 5 == 1 else 50.0 for row in range(500)]
    customers = customer_tables.write(tmp_path / "c.parquet", 500, plan=plan, bill=bill)
    monkeypatch.setattr(drift, "span", lambda bundle, column: (20.0, 120.0))
    arguments = ["--bundle", str(bundle_folder), "--customers", str(customers), "--out", str(tmp_path / "out")]
    assert cli.main(["score", *arguments, "--rows-per-shard", "200"]) == 0
    said = capsys.readouterr().out
    assert "WARNING: column 'plan': 50 rows have a value that training never saw" in said
    assert "WARNING: 100 rows have a charge that training never came to" in said
    assert json.loads((tmp_path / "out/summary.json").read_text())["unseen"] == {"plan": 50}


def test_the_summary_counts_what_the_parts_hold(scored):
    summary = json.loads((scored / "summary.json").read_text())
    decisions = customer_tables.decisions(scored)
    assert summary["rows"] == ROWS
    assert summary["rejected"] == 0
    assert summary["contacts"] == sum(decisions["contact"].to_pylist())
    assert summary["expected_spend"] == pytest.approx(sum(decisions["expected_spend"].to_pylist()), rel=1e-5)
    assert summary["synthetic"] is False


def test_shards_and_threads_change_nothing(bundle_folder, customers, scored, tmp_path):
    run(Request(bundle_folder, customers, tmp_path / "one", rows_per_shard=10_000, workers=1))
    one, many = customer_tables.decisions(tmp_path / "one"), customer_tables.decisions(scored)
    assert one.equals(many)


def test_asked_again_nothing_is_done_again(bundle_folder, customers, scored, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(scored, out)
    (out / "part-00002.parquet").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    result = run(Request(bundle_folder, customers, out, rows_per_shard=250))
    assert result.rows_now == 120
    assert customer_tables.content(out) == customer_tables.content(scored)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert {name for name in after if before.get(name) != after[name]} == {"part-00002.parquet"}
    arguments = ["score", "--bundle", str(bundle_folder), "--customers", str(customers), "--out", str(out)]
    assert cli.main([*arguments, "--rows-per-shard", "250"]) == 0
    assert "1,000 decisions in 5 parts" in (printed := capsys.readouterr().out)
    assert "all done before" in printed


def changed_input(folder: Path) -> None:
    customer_tables.write(folder / "a.parquet", 620, row_group=170, age=np.full(620, 50))


def new_input(folder: Path) -> None:
    customer_tables.write(folder / "c.parquet", 5, first=1000)


def missing_input(folder: Path) -> None:
    (folder / "more/b.parquet").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed_input, r"another content of the input a\.parquet"),
        (new_input, r"c\.parquet is new"),
        (missing_input, r"the input more/b\.parquet, which is not there now"),
    ],
)
def test_another_input_is_refused(bundle_folder, customers, scored, tmp_path, change, message):
    inputs, out = tmp_path / "customers", tmp_path / "out"
    shutil.copytree(customers, inputs)
    shutil.copytree(scored, out)
    change(inputs)
    with pytest.raises(ConfigError, match=message):
        run(Request(bundle_folder, inputs, out, rows_per_shard=250))
    assert customer_tables.content(out) == customer_tables.content(scored)


def test_the_same_input_elsewhere_is_the_same_input(bundle_folder, customers, scored, tmp_path):
    shutil.copytree(customers, tmp_path / "moved")
    shutil.copytree(scored, tmp_path / "out")
    assert run(Request(bundle_folder, tmp_path / "moved", tmp_path / "out", rows_per_shard=250)).rows_now == 0


def test_another_bundle_or_setting_is_refused(bundle_folder, customers, scored, tmp_path):
    other = tmp_path / "other"
    write(other, bundles.contents(bundles.trained(seed=1)))
    shutil.copytree(scored, tmp_path / "out")
    for request, message in (
        (Request(other, customers, tmp_path / "out", rows_per_shard=250), "was begun with bundle"),
        (Request(bundle_folder, customers, tmp_path / "out", rows_per_shard=100), "--rows-per-shard 250, and this is"),
        (Request(bundle_folder, customers, tmp_path / "out", rows_per_shard=250, day=3), "--day 0, and this is 3"),
        (Request(bundle_folder, customers, tmp_path / "out", rows_per_shard=250, on_error="skip"), "--on-error stop"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(request)


def test_a_part_of_another_run_is_refused(bundle_folder, customers, scored, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(scored, out)
    shutil.copy(out / "part-00000.parquet", out / "part-00001.parquet")
    with pytest.raises(DataError, match=r"part-00001\.parquet: not written by this run"):
        run(Request(bundle_folder, customers, out, rows_per_shard=250))


def test_a_folder_that_holds_something_else_is_refused(bundle_folder, customers):
    with pytest.raises(ConfigError, match="holds files and no manifest"):
        run(Request(bundle_folder, customers, customers, rows_per_shard=250))


@pytest.fixture
def flawed(tmp_path) -> Path:
    """700 customers of whom two cannot be read: row 150 and row 501."""
    table = customer_tables.table(700)
    plan, bill = table["plan"].to_pylist(), table["bill"].to_pylist()
    plan[149], bill[500] = "", None
    path = tmp_path / "flawed.parquet"
    return customer_tables.write(path, 700, row_group=300, plan=plan, bill=pa.array(bill))


def test_a_bad_row_stops_with_file_row_and_column(bundle_folder, flawed, tmp_path, capsys):
    arguments = ["--bundle", str(bundle_folder), "--customers", str(flawed), "--out", str(tmp_path / "out")]
    assert cli.main(["score", *arguments, "--rows-per-shard", "100", "--workers", "1"]) == 2
    said = capsys.readouterr().err
    assert "flawed.parquet, row 150, field 'plan': '' is missing; allowed: 'basic', 'plus'" in said
    assert (tmp_path / "out/part-00000.parquet").exists()  # what was done before stays
    assert not (tmp_path / "out/part-00001.parquet").exists()


def test_a_bad_row_may_be_left_out_and_is_then_named_in_a_file(bundle_folder, flawed, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--bundle", str(bundle_folder), "--customers", str(flawed), "--out", str(out)]
    assert cli.main(["score", *arguments, "--rows-per-shard", "400", "--on-error", "skip"]) == 0
    assert "698 decisions in 2 parts" in (printed := capsys.readouterr().out)
    assert "2 rows left out" in printed
    rejects = [pq.read_table(path).to_pylist() for path in sorted(out.glob("rejects-*.parquet"))]
    assert [[(each["file"], each["row"], each["column"]) for each in shard] for shard in rejects] == [
        [("flawed.parquet", 150, "plan")],
        [("flawed.parquet", 501, "bill")],
    ]
    ids = customer_tables.decisions(out)["customer_id"].to_pylist()
    assert ids == [f"C-{number}" for number in range(700) if number not in (149, 500)]


def test_a_shard_of_nothing_but_bad_rows_is_an_empty_part(bundle_folder, tmp_path):
    path = customer_tables.write(tmp_path / "bad.parquet", 60, plan=[""] * 30 + ["plus"] * 30)
    result = run(Request(bundle_folder, path, tmp_path / "out", rows_per_shard=30, on_error="skip"))
    assert (result.count.rows, result.count.rejected) == (30, 30)
    assert pq.read_metadata(tmp_path / "out/part-00000.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("absent.parquet", "no such file or folder"),
        ("text.parquet", "not a readable Parquet file"),
        ("empty.parquet", "no rows"),
        ("nothing", r"holds no \.parquet file"),
    ],
)
def test_what_holds_no_customers_is_refused(bundle_folder, tmp_path, what, message):
    (tmp_path / "text.parquet").write_text("customer_id,months")
    customer_tables.write(tmp_path / "empty.parquet", 0)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=message):
        run(Request(bundle_folder, tmp_path / what, tmp_path / "out"))


def test_settings_out_of_range_are_refused(bundle_folder, customers, tmp_path):
    for settings, message in (
        ({"day": 90}, "--day is 90; allowed: 0 to 89"),
        ({"rows_per_shard": 0}, "rows_per_shard is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"engine": "abacus"}, "engine is 'abacus'; allowed: local, ray"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(Request(bundle_folder, customers, tmp_path / "out", **settings))


@pytest.mark.parametrize("writes", range(0, 9, 2))
def test_a_crash_at_any_write_costs_nothing(bundle_folder, customers, scored, tmp_path, monkeypatch, writes):
    """Manifest, five parts, summary: whichever write fails, the next call ends where the uninterrupted one does."""
    done = 0
    replace = storage.os.replace

    def failing(*names):
        nonlocal done
        done += 1
        if done > writes:
            raise KeyboardInterrupt
        replace(*names)

    request = Request(bundle_folder, customers, tmp_path / "out", rows_per_shard=250, workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "replace", failing)
        if writes < 7:
            with pytest.raises(KeyboardInterrupt):
                run(request)
        else:
            run(request)
    run(request)
    assert customer_tables.content(tmp_path / "out") == customer_tables.content(scored)


def test_the_holdout_is_left_alone_and_written(bundle_folder, customers, scored, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["score", "--bundle", str(bundle_folder), "--customers", str(customers), "--out", str(out)]
    assert cli.main([*arguments, "--holdout", "0.3", "--salt", "spring"]) == 0
    rows, before = customer_tables.decisions(out).to_pylist(), customer_tables.decisions(scored).to_pylist()
    held_out = {row["customer_id"] for row in rows if row["holdout"]}
    assert held_out == {f"C-{number}" for number in range(ROWS) if draws.place("spring", f"C-{number}") < 0.3}
    for row, open_ in zip(rows, before, strict=True):
        if row["holdout"]:
            assert (row["reason"], row["contact"], row["action"], row["propensity"]) == ("holdout", False, 0, 1.0)
            assert row["expected_spend"] == row["expected_uplift"] == row["expected_contacts"] == 0
        else:
            assert row == open_
    summary = json.loads((out / "summary.json").read_text())
    assert summary["held_out"] == len(held_out) > 200
    assert f"{len(held_out)} held out" in capsys.readouterr().out


@pytest.mark.parametrize(("changed", "message"), [({"holdout": 1.0, "salt": "s"}, "holdout is 1.0; allowed: 0 to 0.9"),
                                                  ({"holdout": 0.1}, "salt is missing")])  # fmt: skip
def test_a_holdout_that_cannot_be_is_refused(bundle_folder, customers, tmp_path, changed, message):
    with pytest.raises(ConfigError, match=message):
        run(Request(bundle_folder, customers, tmp_path / "out", **changed))
