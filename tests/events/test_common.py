"""What all records of a target have: time, processor, task. In arrays, tables and files, and as text."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent
from tests.events.samples import FIELDS, batch_of

from armprobe.events.arrow import Converter
from armprobe.events.batch import Batch, Origin
from armprobe.events.decode import decode
from armprobe.events.files import create
from armprobe.events.record import COMM_TYPE, NAMED_TYPES, TYPES, Layout, make_header, make_layout
from armprobe.events.source import KnownText, Read
from armprobe.events.timebase import TimeBase
from armprobe.events.values import show_common, unpack, unpack_common
from armprobe.isa.reading import CNTVCT, PROCESSOR, Constant

TIME = ("time", Read(CNTVCT), NAMED_TYPES["u64"])
CPU = ("cpu", Read(PROCESSOR), TYPES["u32"])
TASK = (("pid", Read(Constant(0)), TYPES["s32"]), ("comm", KnownText(Constant(0), 16), COMM_TYPE))
EVERYTHING = (TIME, CPU, *TASK)
TIMER = TimeBase("generic timer, 24 MHz", "ns", Fraction(125, 3))
INSTRUCTIONS = TimeBase("instructions executed", "instructions", Fraction(1))


def place(value: str) -> str:
    return f"{value}+0x0/0x10"


def record(layout: Layout, number: int, **common: int | bytes) -> bytes:
    """A record of the probe `number` with zeros as arguments."""
    data = bytearray(4 * layout.words)
    data[:4] = make_header(number, layout.words).to_bytes(4, "little")
    for field in layout.common:
        value = common[field.name]
        data[field.offset : field.offset + field.type.stored] = (
            value.ljust(16, b"\0") if isinstance(value, bytes) else value.to_bytes(field.type.stored, "little")
        )
    return bytes(data)


@given(
    ticks=st.integers(0, 2**63), frequency=st.sampled_from([1, 24_000_000, 62_500_000, 62_499_999, 1_000_000_000])
)  # fmt: skip
def test_ticks_become_nanoseconds_to_the_last_digit(ticks, frequency):
    base = TimeBase("timer", "ns", Fraction(1_000_000_000, frequency))
    assert base.units(ticks) == int(ticks * base.ns_per_tick)


@pytest.mark.parametrize("chosen", [[], [0, 3], [12, 15, 8]])
@pytest.mark.parametrize("common", [(), (TIME,), (TIME, CPU), EVERYTHING])
def test_arguments_and_what_is_common_do_not_touch(chosen, common):
    fields = [(f"f{index}", *FIELDS[index]) for index in chosen]
    layout = make_layout(fields, common=common)
    spans = [(0, 4), (4, 4 + 4 * layout.faults)]
    spans += [(at.offset, at.offset + at.type.stored) for at in (*layout.common, *layout.fields) if at.offset]
    spans.sort()
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert spans[-1][1] <= 4 * layout.words


@pytest.mark.parametrize(
    ("common", "timebase", "expected"),
    [
        ((), None, ""),
        ((TIME,), INSTRUCTIONS, "123456789: "),
        ((TIME,), TIMER, "5.144032: "),
        ((TIME, CPU), TIMER, "[002] 5.144032: "),
        (EVERYTHING, TIMER, "kworker/2:1-77 [002] 5.144032: "),
        ((CPU,), None, "[002] "),
    ],
)
def test_text_has_in_front_what_is_known_as_in_the_kernel_trace_file(common, timebase, expected):
    layout = make_layout([], common=common)
    data = record(layout, 1, time=123_456_789, cpu=2, pid=77, comm=b"kworker/2:1")
    assert show_common(layout, data, timebase) == expected


def origins() -> dict[int, Origin]:
    """Two events of which one has an argument, and only one knows the task."""
    number = ("f0", *FIELDS[0])
    return {
        1: Origin("g", "first", 16, place("first"), make_layout([number], common=EVERYTHING)),
        2: Origin("g", "second", 32, place("second"), make_layout([], common=(TIME, CPU))),
    }


def batches(known: dict[int, Origin]) -> list[Batch]:
    rng = random.Random(1)
    return [
        batch_of(
            record(
                known[number].layout, number,
                time=rng.getrandbits(58), cpu=rng.randrange(4), pid=rng.getrandbits(15),
                comm=rng.choice([b"sh", b"x" * 16]),
            )
            for number in rng.choices((1, 2), k=9)
        )
        for _ in range(3)
    ]  # fmt: skip


def test_arrays_and_tables_hold_what_one_record_at_a_time_gives():
    known, empty = origins(), {"time": None, "cpu": None, "pid": None, "comm": None}
    found = batches(known)
    records = [data for batch in found for data in batch]
    for number, origin in known.items():
        rows = decode(origin.layout, found, number, timebase=TIMER)
        expected = [unpack_common(origin.layout, data, TIMER) for data in records if data[1] == number]
        for name in expected[0]:
            assert rows[f"common_{name}"].tolist() == [row[name] for row in expected]
    table = Converter(known, describe=hex, timebase=TIMER).table(found, 0)
    assert table.schema.names[:5] == ["number", "time", "cpu", "pid", "comm"]
    assert table.schema.field("time").metadata == {
        b"armprobe.unit": b"ns", b"armprobe.clock": b"generic timer, 24 MHz",
    }  # fmt: skip
    assert [{name: row[name] for name in empty} for row in table.to_pylist()] == [
        empty | unpack_common(known[data[1]].layout, data, TIMER) for data in records
    ]


def test_objects_of_ndjson_have_what_is_known(tmp_path):
    known = origins()
    found = batches(known)
    file = create(tmp_path / "run.ndjson", known, describe=hex, timebase=TIMER)
    file.write(0, found)
    file.close({})
    lines = [json.loads(line) for line in (tmp_path / "run.ndjson").read_text().splitlines()[:-1]]
    for line, data in zip(lines, (data for batch in found for data in batch), strict=True):
        layout = known[data[1]].layout
        assert line["values"] == unpack(layout, data)
        common = unpack_common(layout, data, TIMER)
        assert {name: line[name] for name in ("time", "cpu", "pid", "comm") if name in line} == common


def test_a_time_is_null_in_rows_of_events_without_one():
    known = {
        1: Origin("g", "timed", 16, place("timed"), make_layout([], common=(TIME,))),
        2: Origin("g", "plain", 16, place("plain"), make_layout([])),
    }
    table = Converter(known, describe=hex, timebase=INSTRUCTIONS).table(
        [batch_of([record(known[2].layout, 2), record(known[1].layout, 1, time=7)])], 0
    )
    assert isinstance(table, pa.Table)
    assert table["time"].to_pylist() == [None, 7]


def slices(path, *found: tuple[int, int, int], known: dict[int, Origin], timebase=INSTRUCTIONS):
    """(time, type, name or "", track) of the events of a Perfetto file with records of (probe, time, cpu)."""
    file = create(path, known, describe=hex, timebase=timebase)
    file.write(0, [batch_of(record(known[n].layout, n, time=time, cpu=cpu) for n, time, cpu in found)])
    file.close({})
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    tracks = {packet.track_descriptor.uuid: packet.track_descriptor.name for packet in trace.packet}
    kinds = {
        TrackEvent.TYPE_SLICE_BEGIN: "begin",
        TrackEvent.TYPE_SLICE_END: "end",
        TrackEvent.TYPE_INSTANT: "at",
    }
    return [
        (packet.timestamp, kinds[event.type], event.name, tracks[event.track_uuid])
        for packet in trace.packet if packet.HasField("track_event") for event in [packet.track_event]
    ]  # fmt: skip


def calls(*names: str) -> dict[int, Origin]:
    """For each function the event of its entry, and that of its return."""
    layout = make_layout([], common=(TIME, CPU))
    return {
        2 * index + returned: Origin("g", f"{name}{returned}", 16 * index, place(name), layout, bool(returned))
        for index, name in enumerate(names, 1)
        for returned in (0, 1)
    }


def test_entries_and_returns_of_a_function_are_slices_on_the_track_of_who_runs(tmp_path):
    found = slices(
        tmp_path / "run.pftrace",
        (2, 10, 0), (4, 12, 0), (4, 13, 1), (5, 14, 0), (4, 15, 0), (5, 16, 0), (5, 17, 1), (3, 20, 0),
        known=calls("outer", "inner"),
    )  # fmt: skip
    first, second = "calls on CPU 0", "calls on CPU 1"
    assert found == [
        (10, "begin", "outer", first),
        (12, "begin", "inner", first),
        (13, "begin", "inner", second),
        (14, "end", "", first),
        (15, "begin", "inner", first),
        (16, "end", "", first),
        (17, "end", "", second),
        (20, "end", "", first),
    ]


def test_a_return_ends_the_calls_within_that_were_left(tmp_path):
    known = calls("outer", "inner")
    found = slices(tmp_path / "run.pftrace", (2, 1, 0), (4, 2, 0), (3, 3, 0), (5, 4, 0), known=known)
    assert [(time, kind) for time, kind, _, _ in found] == [
        (1, "begin"),
        (2, "begin"),
        (3, "end"),
        (3, "end"),
        (4, "at"),
    ]


def test_a_function_without_both_events_is_an_instant(tmp_path):
    known = {number: origin for number, origin in calls("outer", "inner").items() if number != 3}
    found = slices(tmp_path / "run.pftrace", (2, 1, 0), (4, 2, 0), (5, 3, 0), known=known)
    assert [kind for _, kind, _, _ in found] == ["at", "begin", "end"]


@pytest.mark.parametrize(
    ("timebase", "clock", "time"),
    [
        (TIMER, "generic timer, 24 MHz", 41),
        (INSTRUCTIONS, "instructions executed: 1 ns is one of the instructions", 1),
    ],
)
def test_a_perfetto_trace_says_what_its_time_is(tmp_path, timebase, clock, time):
    path = tmp_path / "run.pftrace"
    found = slices(path, (2, 1, 0), known=calls("outer"), timebase=timebase)
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    attributes = [attribute.string_value for packet in trace.packet for attribute in packet.trace_attributes.attribute]
    assert clock in attributes
    assert found[0][0] == time
