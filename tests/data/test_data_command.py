"""`retentionjax data …` as a user types it."""

import hashlib
import subprocess
import sys
from pathlib import Path

import customer_files
import pytest
from https_server import Page, Site

from retentionjax import cli
from retentionjax.data import command, sources, text_loading
from retentionjax.data.download import Download


def _link(folder: Path, real: Path, *names: str) -> None:
    for name in names:
        (folder / name).symlink_to(real / name)


def test_list_tells_where_each_set_was_found(
    real_data: Path, own_places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _link(own_places / "given", real_data, "telco")
    (own_places / "cache/data/bank").mkdir(parents=True)
    (own_places / "cache/data/bank/bank+marketing.zip").write_bytes(b"half a file")
    assert cli.main(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "7,043" in lines["telco"]
    assert "RETENTIONJAX_DATA" in lines["telco"]
    assert "ok (16320c9c…)" in lines["telco"]
    assert "Apache-2.0" in lines["telco"]
    assert "DIFFERS" in lines["bank"]
    assert "not here" in lines["hillstrom"]


def test_prepare_writes_and_then_says_up_to_date(own_places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "prepare", "telco", "--data", "synthetic", "--out", str(own_places / "out")]
    assert cli.main(arguments) == 0
    assert "telco: prepared, SYNTHETIC 7,043 rows" in capsys.readouterr().out
    assert cli.main(arguments) == 0
    assert "telco: up to date" in capsys.readouterr().out
    assert cli.main([*arguments, "--force"]) == 0
    assert "telco: prepared" in capsys.readouterr().out
    assert cli.main([*arguments, "--seed", "7"]) == 0
    assert "telco: prepared" in capsys.readouterr().out


def test_check_says_what_was_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    customer_files.write(tmp_path)
    assert cli.main(["data", "check", str(tmp_path / "acme.yaml")]) == 0
    said = capsys.readouterr().out
    for line in (
        "acme: 40 customers from ",
        "known whether they left: 40; not known yet, to decide about: 0",
        "left within 30 days: 25.00%\n",
        "charge of 30 days: $40 in the middle, $22.45 to $57.55 for 90 % of customers, $20.50 to $59.50 for all",
        "categorical plan: basic, plus, pro",
        "offer ten: 10 % off for 30 days; accepted, it costs at most $6.45",
        "contacts: 40 assignments from ",
        "from 2026-05-01 to 2026-05-28",
        "deliberately left alone: 14, drawn with probability 0.3 to 0.31",
        "WARNING: 25.0% left within 30 days: is window_days right?",
    ):
        assert line in said, line


def test_check_ends_with_1_on_faults_and_writes_the_rows_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = customer_files.customers()
    lines[3] = lines[3].replace("basic", "plus").replace("pro", "gold")
    customer_files.write(tmp_path, lines)
    arguments = ["data", "check", str(tmp_path / "acme.yaml"), "--rejects", str(tmp_path / "rejects.csv")]
    assert cli.main(arguments) == 1
    assert "line 4, column 'plan': 'gold' is an unknown category" in capsys.readouterr().err
    assert "C-002" in (tmp_path / "rejects.csv").read_text()
    (tmp_path / "acme.yaml").write_text(customer_files.COMPANY.replace("window_days", "window"))
    assert cli.main(arguments) == 1
    assert "unknown key 'window'; did you mean 'window_days'?" in capsys.readouterr().err


def test_a_company_called_as_a_public_set_overwrites_nothing(
    tmp_path: Path, own_places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Companies' files are read where they are; `source:` alone means a public set."""
    customer_files.write(tmp_path, company=customer_files.COMPANY.replace("name: acme", "name: telco"))
    assert cli.main(["data", "check", str(tmp_path / "acme.yaml")]) == 0
    assert "telco: 40 customers" in capsys.readouterr().out
    assert not list((own_places / "given").iterdir())
    assert not (own_places / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prepare", "mars"], "no data set is called 'mars'"),
        (["fetch", "mars"], "no data set is called 'mars'"),
        (["prepare", "hillstrom", "--data", "synthetic"], "has no synthetic form"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    own_places: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.main(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error


def test_fetch_downloads_once_and_again_when_forced(
    own_places: Path, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = b"a,b\n1,2\n"
    digest = hashlib.sha256(body).hexdigest()
    site.pages["tiny.csv"] = Page(body)
    address = Download(site.url("tiny.csv"), "tiny.csv", digest, len(body))
    tiny = sources.PublicDataSet("tiny", "Tiny", "none", "", 1, ("tiny.csv",), None, {digest: "official"}, (address,))
    monkeypatch.setattr(sources, "SOURCES", {"tiny": tiny})
    for arguments, requests in ([], 1), ([], 1), (["--force"], 2):
        assert cli.main(["data", "fetch", *arguments]) == 0
        assert len(site.asked) == requests
    assert "sha256" in capsys.readouterr().out
    (own_places / "cache/data/tiny/tiny.csv").write_bytes(b"rotten")
    assert cli.main(["data", "fetch"]) == 2
    assert "`retentionjax data fetch tiny --force` downloads it anew" in capsys.readouterr().err
    assert cli.main(["data", "fetch", "--force"]) == 0


def test_text_sets_are_listed_prepared_and_told_apart_from_tables(
    real_data: Path, own_places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _link(own_places / "given", real_data, "oasst1", "upworthy")
    assert cli.main(["data", "list"]) == 0
    listed = capsys.readouterr().out
    assert "OpenAssistant Conversations" in listed
    assert "which of two headlines was clicked more" in listed
    arguments = ["data", "prepare", "oasst1", "--out", str(own_places / "out")]
    assert cli.main(arguments) == 0
    assert "oasst1: prepared, 1,153 rows: train" in capsys.readouterr().out
    assert cli.main(arguments) == 0
    assert "oasst1: up to date" in capsys.readouterr().out
    assert cli.main(["data", "fetch", "upworthy"]) == 0
    assert "upworthy packages" in capsys.readouterr().out


def test_the_help_names_every_text_set() -> None:
    assert command._TEXTS == text_loading.NAMES


def test_help_needs_no_pandas() -> None:
    code = (
        "import sys\nfrom retentionjax import cli\n"
        "try:\n    cli.main(['data', 'prepare', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'pandas' not in sys.modules and 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
