"""`retentionjax data …` as a user types it."""

import hashlib
import json
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


def test_prepare_takes_a_users_own_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    customer_files.write(tmp_path)
    files = ["--schema", str(tmp_path / "acme.yaml"), "--customers", str(tmp_path / "customers.csv")]
    arguments = [
        "data",
        "prepare",
        *files,
        "--contacts",
        str(tmp_path / "contacts.csv"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "acme: prepared, 40 rows, churned 25.00%: train 32, validation 4, test 4" in said
    assert "acme-contacts: prepared, 40 rows" in said
    assert set(json.loads((tmp_path / "out/catalog.json").read_text())["sets"]) == {"acme", "acme-contacts"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prepare", "mars"], "no data set is called 'mars'"),
        (["prepare", "--schema", "x.yaml"], "takes --schema and --customers"),
        (["prepare", "telco", "--schema", "x.yaml", "--customers", "x.csv"], "and no NAME"),
        (["prepare", "--schema", "x.yaml", "--customers", "x.csv"], "x.yaml: no such file"),
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
    tiny = sources.Source("tiny", "Tiny", "none", "", 1, ("tiny.csv",), None, {digest: "official"}, (address,))
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
    assert "evaluation text only, never trained on" in listed
    arguments = ["data", "prepare", "oasst1", "--out", str(own_places / "out")]
    assert cli.main(arguments) == 0
    assert "oasst1: prepared, 1,153 rows: train" in capsys.readouterr().out
    assert cli.main(arguments) == 0
    assert "oasst1: up to date" in capsys.readouterr().out
    assert cli.main(["data", "fetch", "upworthy"]) == 0
    assert "upworthy packages" in capsys.readouterr().out
    assert cli.main(["data", "fetch", "cs_text"]) == 2
    assert "none that needs no hand" in capsys.readouterr().err


def test_the_help_names_every_text_set() -> None:
    assert command._TEXTS == text_loading.NAMES


def test_help_needs_no_pandas() -> None:
    code = (
        "import sys\nfrom retentionjax import cli\n"
        "try:\n    cli.main(['data', 'prepare', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'pandas' not in sys.modules and 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
