"""Events whose probes are known at the end alone: the file is as if they had been known at the begin."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.events.test_files import ORIGINS, SUMMARY, batches, describe, write

from armprobe.errors import UsageError
from armprobe.events.files import EventFile, create
from armprobe.events.spooled import SpooledFile


@pytest.mark.parametrize("suffix", [".ndjson", ".csv", ".arrow", ".pftrace"])
def test_file_is_as_if_all_had_been_known_before(tmp_path: Path, suffix: str):
    found, known, path = batches(), {}, tmp_path / f"late{suffix}"

    def create_now() -> EventFile:
        return create(path, known, describe=describe)

    file = SpooledFile(path, create_now)
    file.write(10, found[:1])
    known |= ORIGINS
    file.write(10 + len(found[0]), found[1:])
    file.close(SUMMARY)
    write(tmp_path / f"early{suffix}", found)
    assert path.read_bytes() == (tmp_path / f"early{suffix}").read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([path, tmp_path / f"early{suffix}"])


def test_what_the_file_refuses_is_told_at_once(tmp_path: Path):
    path = tmp_path / "run.xyz"
    with pytest.raises(UsageError, match=r"^wanted a file name that ends in "):
        SpooledFile(path, lambda: create(path, {}, describe=describe))
    assert not list(tmp_path.iterdir())
