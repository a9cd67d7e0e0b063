"""Files of events, read back for a report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.events.samples import IN_MEMORY, batch_of, layout_of
from tests.missing import hide

from armprobe.errors import MissingDependency, UsageError
from armprobe.events.batch import Origin
from armprobe.events.files import create
from armprobe.events.record import FieldType, make_header
from armprobe.events.recording import READABLE, load
from armprobe.events.source import Text

SUMMARY = {"probes": [{"event": "e", "lost": 3}], "stop": {"message": "the program ended"}}
FIELDS = (
    ("r0", FieldType(4, "s")),
    (IN_MEMORY, FieldType(8, "x")),
    (IN_MEMORY, FieldType(1, "u", count=4)),
    (Text("same"), FieldType(4, "string")),
)
ORIGINS = {
    1: Origin("g", "e.part.0", 0x10, "f+0x0/0x4", layout_of(FIELDS)),
    2: Origin("g", "e.part.0", 0x20, "h+0x0/0x4", layout_of(FIELDS)),
    3: Origin("g", "bare", 0x30, "k+0x0/0x4", layout_of([])),
}


def event(probe: int, number: int, wide: int, *, faults: int = 0) -> bytes:
    words = (make_header(probe, 6), faults, number & 0xFFFFFFFF, wide & 0xFFFFFFFF, wide >> 32, 0x04030201)
    return b"".join(word.to_bytes(4, "little") for word in words)


@pytest.fixture
def recorded(tmp_path):
    """Writes five events to a file with the ending given."""

    def write(suffix: str) -> Path:
        file = create(tmp_path / f"run{suffix}", ORIGINS, describe=hex)
        bare = make_header(3, 1).to_bytes(4, "little")
        file.write(0, [batch_of([event(1, -5, 2**64 - 1), event(2, 7, 1), bare, event(1, 0, 5, faults=0b11)])])
        file.write(4, [batch_of([bare])])
        file.close(SUMMARY)
        return tmp_path / f"run{suffix}"

    return write


@pytest.mark.parametrize("suffix", READABLE)
def test_what_was_written_is_read_back(recorded, suffix):
    found = load(recorded(suffix))
    assert found.events == 5
    assert sorted(found.places) == [
        ("bare", "k+0x0/0x4", 2),
        ("e.part.0", "f+0x0/0x4", 2),
        ("e.part.0", "h+0x0/0x4", 1),
    ]
    assert [count for _, _, count in found.places] == [2, 2, 1]
    number, wide, elements, text = found.arguments
    assert {argument.event for argument in found.arguments} == {"e.part.0"}
    assert [argument.name for argument in found.arguments] == ["f0", "f1", "f2", "f3"]
    assert number.values.tolist() == [-5, 7, 0]
    assert wide.values.tolist() == [2**64 - 1, 1]
    assert wide.values.dtype == np.uint64
    assert text.values.tolist() == ["same"] * 3
    if suffix == ".csv":
        assert elements.values.tolist() == ["{1,2,3,4}"] * 2
        assert found.summary == {}
    else:
        assert elements.values.tolist() == [1, 2, 3, 4] * 2
        assert (number.unreadable, wide.unreadable, elements.unreadable) == (0, 1, 1)
        assert found.summary == SUMMARY
    if suffix in (".parquet", ".arrow"):
        assert [argument.kind for argument in found.arguments] == ["s32", "x64", "u8[4]", "string"]


@pytest.mark.parametrize(
    ("name", "content", "evidence"),
    [
        ("a.csv", b"x,y\n1,2\n", 'Field "event" does not exist in schema'),
        ("a.arrow", b"nonsense", "File is too small: 8"),
        ("a.ndjson", b'{"summary": {}}\nnonsense\n', "line 2: nonsense"),
        ("a.ndjson", b'{"event": "e"}\n', 'line 1: {"event": "e"}'),
        ("a.ndjson", b"[]\n", "line 1: []"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, name, content, evidence):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        load(path)
    assert error.value.message == f"{path} holds no events that armprobe recorded"
    assert error.value.evidence.strip("'\"") == evidence.strip("'\"")
    assert error.value.hint == "`armprobe record -o FILE` makes such files"


def test_parquet_of_something_else_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"nonsense")
    with pytest.raises(UsageError) as error:
        load(tmp_path / "a.parquet")
    assert error.value.message == f"{tmp_path / 'a.parquet'} holds no events that armprobe recorded"


def test_perfetto_traces_are_for_perfetto():
    with pytest.raises(UsageError) as error:
        load(Path("run.pftrace"))
    assert error.value.message == ("wanted a file name that ends in .parquet, .arrow, .csv, .ndjson, got 'run.pftrace'")
    assert error.value.hint == "open it in https://ui.perfetto.dev"


def test_ndjson_is_read_without_pyarrow_and_parquet_is_not(tmp_path, monkeypatch):
    line = {"event": "e", "symbol": "f", "values": {"a": 1, "b": None, "c": [1, None]}}
    (tmp_path / "a.ndjson").write_text(json.dumps(line) + "\n")
    hide(monkeypatch, "pyarrow")
    found = load(tmp_path / "a.ndjson")
    assert [(one.name, one.values.tolist(), one.unreadable) for one in found.arguments] == [
        ("a", [1], 0),
        ("b", [], 1),
        ("c", [1], 0),
    ]
    with pytest.raises(MissingDependency) as error:
        load(tmp_path / "a.parquet")
    assert (error.value.message, error.value.hint) == (
        "a .parquet file needs pyarrow",
        "pip install 'armprobe[arrow]'",
    )
