"""Downloads from a real HTTPS server that truncates, lies, forgets and redirects."""

import hashlib
from pathlib import Path

import pytest
from https_server import Page, Site

from retentionjax.data.download import Download, DownloadError, download

BODY = bytes(range(256)) * 1_000
PATIENT = (0.0, 0.0, 0.0)


def _wanted(site: Site, body: bytes = BODY, name: str = "table.csv") -> Download:
    return Download(site.url(name), name, hashlib.sha256(body).hexdigest(), len(body))


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_alone(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(BODY)
    path = download(_wanted(site), tmp_path / "new" / "folder")
    assert path.read_bytes() == BODY
    assert _left(path.parent) == ["table.csv"]


def test_a_truncated_transfer_is_resumed_from_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(BODY, cuts=[100_000, 50_000])
    assert download(_wanted(site), tmp_path, pauses=PATIENT).read_bytes() == BODY
    assert [asked for _, asked in site.asked] == ["", "bytes=100000-", "bytes=150000-"]


def test_a_transfer_that_stays_truncated_fails_and_the_next_run_goes_on(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(BODY, cuts=[1_000, 1_000])
    with pytest.raises(DownloadError, match=r"broke off .* in 2 attempts; the 2,000 bytes that came are kept"):
        download(_wanted(site), tmp_path, pauses=(0.0,))
    assert _left(tmp_path) == ["table.csv.part"], "a truncated file must not be visible under its name"
    assert download(_wanted(site), tmp_path).read_bytes() == BODY
    assert site.asked[-1][1] == "bytes=2000-"


def test_a_server_without_ranges_sends_all_again(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(BODY, ranges=False, cuts=[100_000])
    assert download(_wanted(site), tmp_path, pauses=PATIENT).read_bytes() == BODY


def test_a_range_other_than_asked_for_is_not_appended(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(BODY, cuts=[100_000], lie="bytes 5-255999/256000")
    assert download(_wanted(site), tmp_path, pauses=PATIENT).read_bytes() == BODY
    assert [asked for _, asked in site.asked] == ["", "bytes=100000-", ""]


def test_bytes_of_another_version_are_thrown_away_and_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "table.csv.part").write_bytes(b"of another version")
    site.pages["table.csv"] = Page(BODY)
    assert download(_wanted(site), tmp_path).read_bytes() == BODY
    assert [asked for _, asked in site.asked] == ["bytes=18-", ""]


def test_a_part_longer_than_the_file_is_thrown_away(site: Site, tmp_path: Path) -> None:
    (tmp_path / "table.csv.part").write_bytes(BODY + b"more")
    site.pages["table.csv"] = Page(BODY)
    assert download(_wanted(site), tmp_path).read_bytes() == BODY


def test_a_complete_part_is_taken_without_asking_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "table.csv.part").write_bytes(BODY)
    assert download(_wanted(site), tmp_path).read_bytes() == BODY
    assert site.asked == []


def test_a_file_with_another_checksum_is_refused(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(BODY[::-1])
    with pytest.raises(DownloadError, match=r"checksum differs: sha256 .*, expected"):
        download(_wanted(site), tmp_path, pauses=())
    assert _left(tmp_path) == []


def test_an_old_file_stays_when_the_new_one_is_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"old")
    site.pages["table.csv"] = Page(BODY[::-1])
    with pytest.raises(DownloadError):
        download(_wanted(site), tmp_path, pauses=())
    assert (tmp_path / "table.csv").read_bytes() == b"old"


@pytest.mark.parametrize("body", [BODY + b"x", BODY[:-1], b"<html>sign in</html>"])
def test_a_file_of_another_size_is_refused_at_once(site: Site, tmp_path: Path, body: bytes) -> None:
    site.pages["table.csv"] = Page(body)
    with pytest.raises(DownloadError, match=f"has {len(body):,} bytes, expected 256,000"):
        download(_wanted(site), tmp_path, pauses=PATIENT)
    assert len(site.asked) == 1


def test_a_missing_page_is_said_and_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="HTTP 404 Not Found"):
        download(_wanted(site), tmp_path, pauses=PATIENT)
    assert len(site.asked) == 1


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(BODY, statuses=[503, 429])
    assert download(_wanted(site), tmp_path, pauses=PATIENT).read_bytes() == BODY


def test_a_server_that_stays_broken_is_named_with_its_status(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(BODY, statuses=[500, 502])
    with pytest.raises(DownloadError, match="HTTP 502 Bad Gateway, in 2 attempts"):
        download(_wanted(site), tmp_path, pauses=(0.0,))


def test_a_self_signed_certificate_is_refused(untrusted_site: Site, tmp_path: Path) -> None:
    untrusted_site.pages["table.csv"] = Page(BODY)
    with pytest.raises(DownloadError, match="TLS certificate cannot be trusted"):
        download(_wanted(untrusted_site), tmp_path, pauses=PATIENT)
    assert untrusted_site.asked == []


def test_a_certificate_of_another_name_is_refused(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(BODY)
    wanted = _wanted(site)
    other = Download(wanted.url.replace("localhost", "127.0.0.1"), wanted.file, wanted.sha256, wanted.size)
    with pytest.raises(DownloadError, match="TLS certificate cannot be trusted"):
        download(other, tmp_path, pauses=PATIENT)


def test_a_redirect_is_followed_to_https(site: Site, tmp_path: Path) -> None:
    site.pages |= {"table.csv": Page(b"", redirect="/moved.csv"), "moved.csv": Page(BODY)}
    assert download(_wanted(site), tmp_path).read_bytes() == BODY


def test_a_redirect_to_http_is_refused(site: Site, tmp_path: Path) -> None:
    site.pages["table.csv"] = Page(b"", redirect=f"http://{site.host}/moved.csv")
    with pytest.raises(DownloadError, match="only https is allowed"):
        download(_wanted(site), tmp_path, pauses=PATIENT)


def test_plain_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="only https is allowed"):
        download(Download("http://localhost:1/table.csv", "table.csv", "0" * 64, 1), tmp_path)


def test_without_a_connection_there_are_two_attempts_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    with pytest.raises(DownloadError, match=r"no connection \(.*\), in 2 attempts"):
        download(Download("https://localhost:1/table.csv", "table.csv", "0" * 64, 1), tmp_path, pauses=PATIENT)
