"""Wheel and source distribution: whole, of one version, and with the licences of what is in them."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import retentionjax

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="what builds the project is not installed")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


def tracked(*folders: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).exists()}


def test_the_wheel_holds_every_file_of_the_packages_and_the_licences(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert tracked("retentionjax", "serving", "experiments") <= names
    licences = {name.split("/licenses/")[1] for name in names if "/licenses/" in name}
    assert licences == {
        "LICENSE",
        "serving/console/static/NOTICE",
        "retentionjax/demo/NOTICE",
        "retentionjax/shield/NOTICE",
    }
    assert not {name.split("/")[0] for name in names} & {"tests", "scripts"}


def test_the_source_distribution_holds_what_builds_and_tests_it(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.split("/", 1)[1] for name in opened.getnames() if "/" in name}
    wanted = tracked("retentionjax", "serving", "experiments", "scripts", "tests")
    assert wanted | {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names


def test_the_version_stands_in_one_place(built: Path) -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    (archive,) = built.glob("*.tar.gz")
    assert archive.name == f"retentionjax-{retentionjax.__version__}.tar.gz"
    assert f"## {retentionjax.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_what_the_console_bundles_is_named_with_its_licence() -> None:
    static = ROOT / "serving/console/static"
    notice = (static / "NOTICE").read_text()
    foreign = [path.name for path in static.glob("*.min.js")]
    assert foreign
    for name in foreign:
        assert name in notice
        (licence,) = re.findall(rf"{re.escape(name)}.*?: (\S+\.txt)\.", notice, re.DOTALL)
        assert (static / licence).exists()
    assert "psycopg" in notice
