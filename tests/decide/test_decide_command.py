"""`retentionjax decide`: words for people, JSON for machines, and one line with status 2 for what cannot be."""

import json
import shutil
from pathlib import Path
from typing import Any

import bundles
import pytest

from retentionjax import cli
from retentionjax.bundle import FORMAT_VERSION


def run(bundle: Path, text: str | dict[str, Any], folder: Path, *more: str) -> int:
    path = folder / "customer.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return cli.main(["decide", "--bundle", str(bundle), "--customer", str(path), *more])


def test_words_say_decision_risk_offers_rules_and_reasons(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = {"day": 20, "contacts_days_ago": [3], "baseline_churn_probability": 0.1}
    assert run(bundle_folder, bundles.CUSTOMER | {"history": history}, tmp_path) == 0
    shown = capsys.readouterr().out
    for words in (
        "Customer C-1, day 20 of 90, $80.50 per 30 days",
        "Decision: WAIT today (drawn with probability 100.0%)",
        "usually 10.0% (ELEVATED: something happened)",
        "Contacts in this campaign: 3 days ago",
        "Rule: no contact: the last was 3 days ago, and 7 days must lie between two (cooldown)",
        "20 % off for 30 days",
        "not allowed today",
        "months is 3: raises it from ",
        f"format {FORMAT_VERSION}",
    ):
        assert words in shown
    assert "\x1b" not in shown  # plain where there is no terminal
    assert "SYNTHETIC" not in shown


def test_json_is_json(bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle_folder, bundles.CUSTOMER, tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["customer_id"] == "C-1"


def test_a_decision_from_synthetic_data_says_so_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = bundles.make(tmp_path / "made", kind="synthetic")
    assert run(made, bundles.CUSTOMER, tmp_path) == 0
    assert capsys.readouterr().out.startswith("SYNTHETIC DATA")


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in bundles.CUSTOMER.items() if key != name}


WRONG: list[tuple[str | dict[str, Any], str]] = [
    (without("plan"), "the field 'plan' is missing"),
    (without("customer_id"), "the field 'customer_id' is missing"),
    (bundles.CUSTOMER | {"shoe": 44}, "unknown field 'shoe'"),
    (json.dumps(bundles.CUSTOMER).replace("80.5", "NaN"), "NaN is not a number that JSON allows"),
    (json.dumps(bundles.CUSTOMER).replace("80.5", "1e999"), "1e999 is too large"),
    (bundles.CUSTOMER | {"bill": 1e39}, "1e+39"),
    (bundles.CUSTOMER | {"bill": 0}, "allowed: money, 1e-06 to"),
    (bundles.CUSTOMER | {"bill": None}, "'bill'"),
    (bundles.CUSTOMER | {"plan": ""}, "'' is missing; allowed: 'basic', 'plus'"),
    (bundles.CUSTOMER | {"age": "41"}, "'41' is not a number"),
    (bundles.CUSTOMER | {"age": True}, "True is not a number"),
    (bundles.CUSTOMER | {"plan": ["basic"]}, "is not text"),
    (bundles.CUSTOMER | {"history": {"day": 400}}, "history, day: 400; allowed: a whole number, 0 to 89"),
    (bundles.CUSTOMER | {"history": []}, "an object with some of the keys"),
    ("{", "not JSON at line 1"),
    ("[]", "an object with the facts of one customer is wanted"),
    ('{"age": 1, "age": 2}', "the key 'age' stands twice"),
    ("\udcff", "not UTF-8"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_customer_is_one_line_and_status_2(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: Any, message: str
) -> None:
    if text == "\udcff":
        (tmp_path / "customer.json").write_bytes(b"\xff")
        status = cli.main(["decide", "--bundle", str(bundle_folder), "--customer", str(tmp_path / "customer.json")])
    else:
        status = run(bundle_folder, text, tmp_path)
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {tmp_path / 'customer.json'}") or "customer.json" in err or "row 0" in err
    assert err.count("\n") == 1
    assert message in err


def test_a_missing_file_and_a_tampered_bundle_are_one_line_and_status_2(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["decide", "--bundle", str(bundle_folder), "--customer", str(tmp_path / "nobody.json")]) == 2
    assert "nobody.json: no such file" in capsys.readouterr().err
    copy = Path(shutil.copytree(bundle_folder, tmp_path / "copy"))
    (copy / "manifest.json").write_text(
        (copy / "manifest.json").read_text().replace('"synthetic": false', '"synthetic": true')
    )
    assert run(copy, bundles.CUSTOMER, tmp_path) == 2
    assert "manifest.json: changed since it was written" in capsys.readouterr().err
    (copy / "policy/decide.stablehlo").write_bytes(b"")
    (copy / "manifest.json").write_text((bundle_folder / "manifest.json").read_text())
    assert run(copy, bundles.CUSTOMER, tmp_path) == 2
    assert "decide.stablehlo: 0 bytes" in capsys.readouterr().err
