"""Files of events: what is written is read back by others' libraries."""

from __future__ import annotations

import json
import random
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent
from pyarrow import csv, parquet
from tests.events.samples import FIELDS, IN_MEMORY, batch_of, layout_of, record
from tests.missing import hide

from armprobe.errors import MissingDependency, UsageError
from armprobe.events import files
from armprobe.events.batch import Batch, Origin
from armprobe.events.files import create
from armprobe.events.record import FieldType, make_header
from armprobe.events.source import Text
from armprobe.events.values import unpack

SUMMARY = {"probes": [{"event": "all", "lost": 3}], "stop": {"message": "the program ended"}}
ORIGINS = {
    3: Origin("kprobes", "all", 0x8000, "main+0x0/0x40", layout_of(FIELDS)),
    4: Origin("net", "bare", 0x8010, "send+0x0/0x8", layout_of([])),
}


def describe(address: int) -> str:
    return f"symbol+0x{address % 64:x}"


def batches(count: int = 3, size: int = 4) -> list[Batch]:
    rng = random.Random(5)
    return [batch_of(record(ORIGINS[n].layout, n, rng) for n in rng.choices((3, 4), k=size)) for _ in range(count)]


def expected(found: list[Batch], first: int) -> list[dict[str, object]]:
    """The events in the form of NDJSON."""
    events: list[dict[str, object]] = []
    for number, data in enumerate(chain(*found), first):
        origin = ORIGINS[data[1]]
        events.append({
            "event": origin.event,
            "group": origin.group,
            "number": number,
            "address": f"0x{origin.address:08x}",
            "symbol": origin.place,
            "values": unpack(origin.layout, data, describe=describe),
        })  # fmt: skip
    return events


def write(path: Path, found: list[Batch]) -> None:
    """Write the first batch by itself, then the others; the first event has the number 10."""
    file = create(path, ORIGINS, describe=describe)
    file.write(10, found[:1])
    file.write(10 + len(found[0]), found[1:])
    file.close(SUMMARY)


def as_events(table: pa.Table) -> list[dict[str, object]]:
    events = []
    for row in table.to_pylist():
        event = {key: row[key] for key in ("event", "group", "number", "symbol")}
        events.append(event | {"address": f"0x{row['address']:08x}", "values": row.get(row["event"]) or {}})
    return events


@pytest.mark.parametrize("rows", [1, 5, 1 << 17])
def test_parquet_holds_all_events_and_the_summary_whatever_the_size_of_row_groups(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(files, "_ROWS", rows)
    found = batches()
    write(tmp_path / "run.parquet", found)
    file = parquet.ParquetFile(tmp_path / "run.parquet")
    assert as_events(file.read()) == expected(found, 10)
    assert json.loads(file.metadata.metadata[b"armprobe"]) == SUMMARY
    assert file.num_row_groups == (2 if rows == 1 else 1)


def test_an_arrow_file_holds_all_events_and_the_summary_with_its_last_batch(tmp_path):
    found = batches()
    write(tmp_path / "run.arrow", found)
    reader = pa.ipc.open_file(tmp_path / "run.arrow")
    assert as_events(reader.read_all()) == expected(found, 10)
    batch, metadata = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)
    assert (batch.num_rows, json.loads(metadata[b"armprobe"])) == (0, SUMMARY)


def test_csv_has_a_column_for_each_argument(tmp_path):
    layout = layout_of([
        ("r0", FieldType(1, "s")), (IN_MEMORY, FieldType(2, "u", count=2)), (Text('a "b", c'), FieldType(4, "string")),
    ])  # fmt: skip
    origins = {1: Origin("g", "e", 16, "f+0x0/0x4", layout), 2: Origin("g", "bare", 32, "h+0x0/0x4", layout_of([]))}
    data = make_header(1, layout.words).to_bytes(4, "little") + bytes(4) + b"\xff\0\0\0" + b"\x01\x00\xff\xff"
    fault = make_header(1, layout.words).to_bytes(4, "little") + b"\1\0\0\0" + bytes(8)
    file = create(tmp_path / "run.csv", origins, describe=describe)
    file.write(0, [batch_of([data, make_header(2, 1).to_bytes(4, "little"), fault])])
    file.close(SUMMARY)
    assert (tmp_path / "run.csv").read_text() == (
        '"number","group","event","address","symbol","e.f0","e.f1","e.f2"\n'
        '0,"g","e",16,"f+0x0/0x4",-1,"{1,65535}","a ""b"", c"\n'
        '1,"g","bare",32,"h+0x0/0x4",,,\n'
        '2,"g","e",16,"f+0x0/0x4",0,,"a ""b"", c"\n'
    )
    assert csv.read_csv(tmp_path / "run.csv")["e.f0"].to_pylist() == [-1, None, 0]


def test_ndjson_is_an_object_an_event_and_the_summary(tmp_path):
    found = batches()
    write(tmp_path / "run.ndjson", found)
    *events, summary = map(json.loads, (tmp_path / "run.ndjson").read_text().splitlines())
    assert events == expected(found, 10)
    assert summary == {"summary": SUMMARY}


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_a_file_without_events_can_be_read(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    file = create(path, ORIGINS, describe=describe)
    file.write(0, [])
    file.close({})
    match suffix:
        case ".parquet":
            assert parquet.read_table(path).num_rows == 0
        case ".arrow":
            assert pa.ipc.open_file(path).read_all().num_rows == 0
        case ".csv":
            assert csv.read_csv(path).num_rows == 0
        case ".ndjson":
            assert path.read_text() == '{"summary": {}}\n'
        case _:
            assert [packet.track_event.type for packet in packets(path) if packet.HasField("track_event")] == []


def packets(path: Path) -> list[TracePacket]:
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    return list(trace.packet)


def test_a_perfetto_trace_has_an_instant_for_each_event_at_its_number(tmp_path):
    found = batches()
    write(tmp_path / "run.pftrace", found)
    all_packets = packets(tmp_path / "run.pftrace")
    assert {packet.trusted_packet_sequence_id for packet in all_packets} == {1}
    names = all_packets[0].interned_data
    events = {entry.iid: entry.name for entry in names.event_names}
    groups = {entry.iid: entry.name for entry in names.event_categories}
    tracks = {packet.track_descriptor.uuid: packet.track_descriptor.name for packet in all_packets}
    seen = [packet for packet in all_packets if packet.HasField("track_event")]
    assert all(packet.track_event.type == TrackEvent.TYPE_INSTANT for packet in seen)
    assert all(packet.sequence_flags == TracePacket.SEQ_NEEDS_INCREMENTAL_STATE for packet in seen)
    assert [
        (
            packet.timestamp,
            events[packet.track_event.name_iid],
            tracks[packet.track_event.track_uuid],
            [groups[iid] for iid in packet.track_event.category_iids],
        )
        for packet in seen
    ] == [(event["number"], event["event"], event["event"], [event["group"]]) for event in expected(found, 10)]


def test_arguments_in_a_perfetto_trace_have_the_form_in_which_they_are_shown(tmp_path):
    layout = layout_of([
        ("r0", FieldType(4, "u")), ("r1", FieldType(4, "s")), ("r2", FieldType(4, "x")), ("r3", FieldType(1, "char")),
        ("lr", FieldType(4, "symbol")), (IN_MEMORY, FieldType(2, "u", count=2)), (IN_MEMORY, FieldType(4, "u")),
        (Text("text"), FieldType(4, "string")),
    ])  # fmt: skip
    words = (make_header(1, layout.words), 2, 7, 0xFFFFFFFE, 0x9000, 0x41, 0x8004, 0x00020001, 5)
    path = tmp_path / "run.pftrace"
    file = create(path, {1: Origin("g", "e", 16, "f+0x0/0x4", layout)}, describe=describe)
    file.write(0, [batch_of([b"".join(word.to_bytes(4, "little") for word in words)])])
    file.close(SUMMARY)
    all_packets = packets(path)
    names = {entry.iid: entry.name for entry in all_packets[0].interned_data.debug_annotation_names}
    places = {entry.iid: entry.str for entry in all_packets[0].interned_data.debug_annotation_string_values}
    (event,) = (packet.track_event for packet in all_packets if packet.HasField("track_event"))
    symbol, *arguments = event.debug_annotations
    assert (names[symbol.name_iid], places[symbol.string_value_iid]) == ("symbol", b"f+0x0/0x4")
    assert [names[argument.name_iid] for argument in arguments] == [f"f{number}" for number in range(8)]
    shown = [(argument.WhichOneof("value"), argument) for argument in arguments]
    assert [(kind, getattr(argument, kind)) for kind, argument in shown if kind] == [
        ("uint_value", 7),
        ("int_value", -2),
        ("pointer_value", 0x9000),
        ("string_value", "'A'"),
        ("string_value", "symbol+0x4"),
        ("string_value", "(fault)"),
        ("string_value", "text"),
    ]
    assert [element.uint_value for element in arguments[5].array_values] == [1, 2]


def test_a_perfetto_trace_says_that_its_time_is_none(tmp_path):
    write(tmp_path / "run.pftrace", batches())
    attributes = {
        attribute.key: attribute.string_value
        for packet in packets(tmp_path / "run.pftrace")
        for attribute in packet.trace_attributes.attribute
    }
    assert attributes["clock"] == "the number of the event: 1 ns is one event, as the target has no clock"
    assert json.loads(attributes["armprobe"]) == SUMMARY
    root = packets(tmp_path / "run.pftrace")[0].track_descriptor
    assert root.description == "The time is the number of the event: 1 ns is one event, as the target has no clock."


def test_another_ending_is_refused_before_a_file_is_made(tmp_path):
    with pytest.raises(UsageError) as error:
        create(tmp_path / "run.txt", ORIGINS, describe=describe)
    assert error.value.message == (
        "wanted a file name that ends in .parquet, .arrow, .csv, .ndjson, .pftrace, got 'run.txt'"
    )
    assert not (tmp_path / "run.txt").exists()


@pytest.mark.parametrize(
    ("name", "library", "message", "hint"),
    [
        ("run.csv", "pyarrow", "a .csv file needs pyarrow", "pip install 'armprobe[arrow]'"),
        ("run.parquet", "numpy", "a .parquet file needs numpy", "pip install 'armprobe[arrow]'"),
        ("run.pftrace", "perfetto", "a Perfetto trace needs perfetto", "pip install 'armprobe[perfetto]'"),
    ],
)
def test_a_missing_library_is_named_with_the_command(tmp_path, monkeypatch, name, library, message, hint):
    hide(monkeypatch, library)
    with pytest.raises(MissingDependency) as error:
        create(tmp_path / name, ORIGINS, describe=describe)
    assert (error.value.message, error.value.hint) == (message, hint)
    assert not (tmp_path / name).exists()
