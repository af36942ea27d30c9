"""A file that is written piece by piece appears whole or not at all, and replaces what was there in one step."""

import os
from pathlib import Path

import pytest

from retentionjax import storage


@pytest.fixture(params=["disk", "bucket"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "folder" / "table.bin")
    return f"{request.getfixturevalue('bucket')}/folder/table.bin"


def test_it_appears_when_its_block_ends_well(target: str) -> None:
    for content in (b"first", b"second, longer"):
        with storage.new_file(target) as partial, partial.open("wb") as file:
            file.write(content)
            file.flush()
            assert not storage.as_path(target).exists() or storage.as_path(target).read_bytes() == b"first"
        assert storage.as_path(target).read_bytes() == content
        assert not partial.exists()


def test_what_was_there_stays_when_its_block_raises(target: str) -> None:
    storage.write_bytes(target, b"before")
    with pytest.raises(RuntimeError, match="on the way"), storage.new_file(target) as partial:
        partial.write_bytes(b"half")
        raise RuntimeError("on the way")
    assert storage.as_path(target).read_bytes() == b"before"
    assert not partial.exists()
    assert [file.name for file in storage.files(os.path.dirname(target))] == ["table.bin"]
