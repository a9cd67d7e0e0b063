"""Events as a Perfetto trace, for https://ui.perfetto.dev.

There is a track for each event, with an instant for each time it came. Calls have tracks of their own, one for each
task (or processor, where tasks are not known): a function of which both the entry and the return are events is a slice
from one to the other.

The time is that of the target's clock. One that does not count nanoseconds says what one nanosecond stands for; without
a clock it is the number of the event, as no time is invented. The trace's attributes say so (`clock`), and so does the
track above all others. Source: perfetto.dev/docs/reference/synthetic-track-event.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket, TrackEvent
from perfetto.trace_builder.proto_builder import TraceProtoBuilder

from armprobe.events.batch import Batch, Origin
from armprobe.events.callslices import Call, Calls
from armprobe.events.record import FieldType, split_header
from armprobe.events.timebase import TimeBase
from armprobe.events.values import Describe, Value, show, unpack, unpack_common

NO_CLOCK = "the number of the event: 1 ns is one event, as the target has no clock"
_SEQUENCE = 1
_ROOT = 1
_PLACE = "symbol"


class PerfettoFile:
    """Writes events to `file` as they come."""

    def __init__(
        self,
        file: IO[bytes],
        origins: Mapping[int, Origin],
        *,
        describe: Describe,
        timebase: TimeBase | None = None,
    ) -> None:
        timed = any(field.name == "time" for origin in origins.values() for field in origin.layout.common)
        self._timebase = timebase if timed else None
        self._clock = _describe_clock(self._timebase)
        #: the time of the last event
        self._last = 0
        self._calls = Calls(origins.values())
        #: the tracks of calls, by task or processor
        self._call_tracks: dict[str, int] = {}
        self._file = file
        self._origins = origins
        self._describe = describe
        tracks = dict.fromkeys((origin.group, origin.event) for origin in origins.values())
        self._tracks = {key: uuid for uuid, key in enumerate(tracks, _ROOT + 1)}
        arguments = {field.name for origin in origins.values() for field in origin.layout.fields}
        self._arguments = _number({_PLACE: None} | dict.fromkeys(sorted(arguments)))
        self._events = _number(origin.event for origin in origins.values())
        self._groups = _number(origin.group for origin in origins.values())
        self._places = _number(origin.place for origin in origins.values())
        builder = TraceProtoBuilder()
        self._add_names(builder)
        _add_attributes(builder, {"clock": self._clock})
        self._file.write(builder.serialize())

    def write(self, first: int, batches: Sequence[Batch]) -> None:
        """Write the events of these records; `first` is the number of the first."""
        for batch in batches:
            builder = TraceProtoBuilder()
            for number, record in enumerate(batch, first):
                probe, _ = split_header(int.from_bytes(record[:4], "little"))
                self._add_event(builder, number, self._origins[probe], record)
            first += len(batch)
            # One trace after another is a trace.
            self._file.write(builder.serialize())

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write what is known at the end, and close the file."""
        builder = TraceProtoBuilder()
        _add_attributes(builder, {"armprobe": json.dumps(summary)})
        self._file.write(builder.serialize())
        self._file.close()

    def _add_names(self, builder: TraceProtoBuilder) -> None:
        """Add the names that later packets refer to by number, and the tracks."""
        packet = _add_packet(builder)
        packet.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        packet.first_packet_on_sequence = True
        names = packet.interned_data
        for numbers, entries in (
            (self._events, names.event_names),
            (self._groups, names.event_categories),
            (self._arguments, names.debug_annotation_names),
        ):
            for name, number in numbers.items():
                entries.add(iid=number, name=name)
        for place, number in self._places.items():
            names.debug_annotation_string_values.add(iid=number, str=place.encode())
        packet.track_descriptor.uuid = _ROOT
        packet.track_descriptor.name = "armprobe"
        packet.track_descriptor.description = f"The time is {self._clock}."
        for (group, event), uuid in self._tracks.items():
            packet = _add_packet(builder)
            packet.track_descriptor.uuid = uuid
            packet.track_descriptor.parent_uuid = _ROOT
            packet.track_descriptor.name = event
            packet.track_descriptor.description = f"{group}/{event}"

    def _add_event(self, builder: TraceProtoBuilder, number: int, origin: Origin, record: memoryview) -> None:
        common = unpack_common(origin.layout, record, self._timebase)
        if self._timebase is None:
            self._last = number
        elif "time" in common:
            self._last = int(common["time"])
        call = self._calls.follow(origin, _runner(common))
        if call.began:
            self._add_call(builder, call, origin, record)
        for _ in range(call.ended - 1):
            self._add_end(builder, call)
        if call.ended:
            self._fill(self._add_end(builder, call), origin, record)
        if not (call.began or call.ended):
            event = self._add_track_event(builder, self._tracks[origin.group, origin.event], TrackEvent.TYPE_INSTANT)
            event.name_iid = self._events[origin.event]
            self._fill(event, origin, record)

    def _add_call(self, builder: TraceProtoBuilder, call: Call, origin: Origin, record: memoryview) -> None:
        if call.runner not in self._call_tracks:
            uuid = self._call_tracks[call.runner] = _ROOT + 1 + len(self._tracks) + len(self._call_tracks)
            packet = _add_packet(builder)
            packet.track_descriptor.uuid = uuid
            packet.track_descriptor.parent_uuid = _ROOT
            packet.track_descriptor.name = f"calls {call.runner}".rstrip()
        event = self._add_track_event(builder, self._call_tracks[call.runner], TrackEvent.TYPE_SLICE_BEGIN)
        event.name = origin.place.partition("+")[0]
        self._fill(event, origin, record)

    def _add_end(self, builder: TraceProtoBuilder, call: Call) -> Any:
        return self._add_track_event(builder, self._call_tracks[call.runner], TrackEvent.TYPE_SLICE_END)

    def _add_track_event(self, builder: TraceProtoBuilder, track: int, kind: Any) -> Any:
        packet = _add_packet(builder)
        packet.timestamp = self._last
        packet.sequence_flags = TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        packet.track_event.type = kind
        packet.track_event.track_uuid = track
        return packet.track_event

    def _fill(self, event: Any, origin: Origin, record: memoryview) -> None:
        """Add what the record says."""
        event.category_iids.append(self._groups[origin.group])
        event.debug_annotations.add(name_iid=self._arguments[_PLACE], string_value_iid=self._places[origin.place])
        values = unpack(origin.layout, record, describe=self._describe)
        for field in origin.layout.fields:
            annotation = event.debug_annotations.add(name_iid=self._arguments[field.name])
            _set(annotation, field.type, values[field.name], self._describe)


def _describe_clock(timebase: TimeBase | None) -> str:
    if timebase is None:
        return NO_CLOCK
    if timebase.unit == "ns":
        return timebase.name
    return f"{timebase.name}: 1 ns is one of the {timebase.unit}"


def _runner(common: Mapping[str, int | str]) -> str:
    """Who runs: the task, or else the processor, as far as it is known."""
    if "pid" in common:
        return f"{common['comm']}-{common['pid']}"
    return f"on CPU {common['cpu']}" if "cpu" in common else ""


def _add_packet(builder: TraceProtoBuilder) -> Any:
    packet = builder.add_packet()
    packet.trusted_packet_sequence_id = _SEQUENCE
    return packet


def _add_attributes(builder: TraceProtoBuilder, attributes: Mapping[str, str]) -> None:
    packet = _add_packet(builder)
    for key, value in attributes.items():
        packet.trace_attributes.attribute.add(key=key, string_value=value)


def _number(names: Iterable[str]) -> dict[str, int]:
    """Give each name a number, from 1: 0 stands for none."""
    return {name: number for number, name in enumerate(dict.fromkeys(names), 1)}


def _set(annotation: Any, kind: FieldType, value: Value, describe: Describe) -> None:
    """Set the value in the form that the user interface shows as the kernel's trace file does."""
    if isinstance(value, list):
        for element in value:
            _set(annotation.array_values.add(), kind, element, describe)
    elif isinstance(value, str):
        annotation.string_value = value
    elif value is None or kind.style in ("char", "symbol"):
        annotation.string_value = show(kind, value, describe)
    elif kind.style == "x":
        annotation.pointer_value = value
    elif kind.signed:
        annotation.int_value = value
    else:
        annotation.uint_value = value
