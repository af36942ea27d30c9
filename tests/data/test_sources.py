"""The order of the three places, and that nothing but the official content passes."""

import dataclasses
import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from https_server import Page, Site

from retentionjax.data import sources
from retentionjax.data.download import Download
from retentionjax.data.sources import PublicDataSet, UnavailableError
from retentionjax.errors import ConfigError, DataError

TABLE = b"a,b\n1,2\n"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> PublicDataSet:
    """A registered set whose official file is eight bytes at an address where nobody answers."""
    digest = hashlib.sha256(TABLE).hexdigest()
    nowhere = Download("https://localhost:1/tiny.csv", "tiny.csv", digest, len(TABLE))
    source = PublicDataSet(
        "tiny", "Tiny", "none", "https://localhost", 1, ("tiny.csv",), None, {digest: "official"}, (nowhere,)
    )
    _register(monkeypatch, source)
    monkeypatch.setenv("NO_PROXY", "localhost")
    return source


def _register(monkeypatch: pytest.MonkeyPatch, source: PublicDataSet) -> None:
    monkeypatch.setattr(sources, "SOURCES", {source.name: source})


def _zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _put(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def test_the_given_folder_comes_before_the_cache(own_places: Path, tiny: PublicDataSet) -> None:
    _put(own_places / "cache/data/tiny", "tiny.csv", TABLE)
    assert sources.obtain("tiny").origin == "cache"
    _put(own_places / "given/tiny", "tiny.csv", TABLE)
    assert sources.obtain("tiny").origin == "RETENTIONJAX_DATA"


def test_the_official_address_comes_last_and_fills_the_cache(
    own_places: Path, tiny: PublicDataSet, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["tiny.csv"] = Page(TABLE)
    address = dataclasses.replace(tiny.downloads[0], url=site.url("tiny.csv"))
    _register(monkeypatch, dataclasses.replace(tiny, downloads=(address,)))
    assert sources.obtain("tiny").origin == "download"
    assert sources.obtain("tiny").origin == "cache"
    assert len(site.asked) == 1


def test_the_next_address_is_tried_when_one_fails(
    own_places: Path, tiny: PublicDataSet, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["copy.csv"] = Page(TABLE)
    copy = dataclasses.replace(tiny.downloads[0], url=site.url("copy.csv"))
    _register(monkeypatch, dataclasses.replace(tiny, downloads=(*tiny.downloads, copy)))
    assert sources.obtain("tiny", pauses=()).data == TABLE


def test_what_is_nowhere_is_an_error_that_names_all_three_places(own_places: Path, tiny: PublicDataSet) -> None:
    with pytest.raises(UnavailableError) as raised:
        sources.obtain("tiny", pauses=())
    message = str(raised.value)
    assert f"{own_places}/given/tiny/tiny.csv is not there" in message
    assert f"{own_places}/cache/data/tiny/tiny.csv is not there" in message
    assert "https://localhost:1/tiny.csv: no connection" in message


def test_an_unset_folder_is_said_to_be_unset(
    own_places: Path, tiny: PublicDataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETENTIONJAX_DATA")
    with pytest.raises(UnavailableError, match="RETENTIONJAX_DATA: is not set"):
        sources.obtain("tiny", pauses=())


@pytest.mark.parametrize("folder", ["given/tiny", "cache/data/tiny"])
def test_a_changed_file_is_an_error_and_not_passed_over(own_places: Path, tiny: PublicDataSet, folder: str) -> None:
    _put(own_places / folder, "tiny.csv", TABLE + b"3,4\n")
    with pytest.raises(DataError, match=r"tiny\.csv: the checksum differs from the official Tiny: sha256"):
        sources.obtain("tiny", pauses=())


def test_a_gzipped_file_is_as_good(own_places: Path, tiny: PublicDataSet) -> None:
    _put(own_places / "given/tiny", "tiny.csv.gz", gzip.compress(TABLE))
    assert sources.obtain("tiny").data == TABLE


@pytest.mark.parametrize(
    "data",
    [gzip.compress(TABLE)[:-6], gzip.compress(TABLE)[:12] + b"rubbish!rubbish!"],
    ids=["truncated", "damaged"],  # the bytes hold the time of day, and two workers would name the tests differently
)
def test_a_truncated_or_damaged_gzip_is_an_error(own_places: Path, tiny: PublicDataSet, data: bytes) -> None:
    _put(own_places / "given/tiny", "tiny.csv.gz", data)
    with pytest.raises(DataError, match=r"tiny\.csv\.gz: damaged or truncated gzip"):
        sources.obtain("tiny")


@pytest.mark.parametrize(
    "data",
    [
        _zip(**{"folder/tiny.csv": TABLE}),
        _zip(**{"other.zip": _zip(**{"x.csv": b"x"}), "inner.zip": _zip(**{"folder/tiny.csv": TABLE})}),
    ],
)
def test_a_table_is_taken_out_of_a_zip_or_a_zip_in_a_zip(
    own_places: Path, tiny: PublicDataSet, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(monkeypatch, dataclasses.replace(tiny, files=("tiny.zip",), member="tiny.csv"))
    _put(own_places / "given/tiny", "tiny.zip", data)
    assert sources.obtain("tiny").data == TABLE


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<html>sign in</html>", "not a zip file"),
        (_zip(**{"tiny.csv": TABLE})[:-30], "not a zip file"),
        (_zip(**{"readme.txt": b""}), r"holds no tiny\.csv; it holds readme\.txt"),
    ],
    ids=["a page", "truncated", "another file"],
)
def test_a_zip_that_is_not_one_is_an_error(
    own_places: Path, tiny: PublicDataSet, data: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(monkeypatch, dataclasses.replace(tiny, files=("tiny.zip",), member="tiny.csv"))
    _put(own_places / "given/tiny", "tiny.zip", data)
    with pytest.raises(DataError, match=said):
        sources.obtain("tiny")


def test_an_unknown_set_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(DataError, match="no data set is called 'mars'; allowed: telco, bank, hillstrom"):
        sources.obtain("mars")


def test_a_cache_in_a_bucket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETENTIONJAX_CACHE", "gs://bucket/cache")
    with pytest.raises(ConfigError, match="must be a folder on a disk"):
        sources.cache_folder()


def test_every_registered_address_is_https_and_checked() -> None:
    for source in sources.SOURCES.values():
        for address in source.downloads:
            assert address.url.startswith("https://")
            assert len(address.sha256) == 64
            assert address.size > 0
            assert any(address.file in (name, f"{name}.gz") for name in source.files)
