"""Events as Arrow tables, which pandas, Polars and DuckDB read, also from Parquet files.

All events of a session are one table: `number` (counts all events from 0), `time` (in the unit that its metadata
names), `cpu`, `pid` and `comm` where the target knows them, `group`, `event`, `address`, `symbol` (`name+0x0/0xsize`),
then a struct for each event that has arguments, named as it, null in the rows of other events.
`table.flatten()` makes columns of them: `packet.length`. A value is null where memory could not be read. The metadata
of an argument holds its type in the language of kprobe_events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from armprobe.events.batch import Batch, Origin
from armprobe.events.decode import (
    Column,
    decode_common,
    decode_field,
    element_dtype,
    probe_numbers,
    starts_of,
)
from armprobe.events.record import Field, FieldType, Layout
from armprobe.events.timebase import TimeBase
from armprobe.events.values import Describe

TYPE_KEY = b"armprobe.type"
#: of the time: its unit, and what the clock counts
UNIT_KEY, CLOCK_KEY = b"armprobe.unit", b"armprobe.clock"
_NAMES = pa.dictionary(pa.int32(), pa.string())
_NUMBER = pa.field("number", pa.uint64(), nullable=False)
_FIRST = (
    pa.field("group", _NAMES, nullable=False),
    pa.field("event", _NAMES, nullable=False),
    pa.field("address", pa.uint32(), nullable=False),
    pa.field("symbol", _NAMES, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Struct:
    """A column of arguments, and the probes it is for: those whose records have the same layout together."""

    column: Any
    layouts: Mapping[Layout, Sequence[int]]


class Converter:
    """Makes Arrow data, all of one schema, of the records of the probes whose numbers `origins` knows."""

    def __init__(self, origins: Mapping[int, Origin], *, describe: Describe, timebase: TimeBase | None = None) -> None:
        self._describe = describe
        self._timebase = timebase
        common = _common_columns(origins, timebase)
        first = (_NUMBER, *common.values(), *_FIRST)
        self._structs = _make_structs(origins, taken={field.name for field in first})
        self.schema = pa.schema([*first, *(struct.column for struct in self._structs)])
        self._common = {
            name: [
                (field, [number for number, origin in origins.items() if field in origin.layout.common])
                for field in {field for origin in origins.values() for field in origin.layout.common}
                if field.name == name
            ]
            for name in common
        }
        # Tables that probe numbers index.
        size = max(origins, default=0) + 1
        self._addresses = np.zeros(size, np.uint32)
        for number, origin in origins.items():
            self._addresses[number] = origin.address
        self._names = {
            key: _index({number: getattr(origin, attribute) for number, origin in origins.items()}, size)
            for key, attribute in (("group", "group"), ("event", "event"), ("symbol", "place"))
        }

    def table(self, batches: Iterable[Batch], first: int) -> Any:
        """A pyarrow.Table of all batches; `first` is the number of the first event."""
        converted = []
        for batch in batches:
            converted.append(self.record_batch(batch, first))
            first += len(batch)
        return pa.Table.from_batches(converted, self.schema)

    def record_batch(self, batch: Batch, first: int) -> Any:
        """A pyarrow.RecordBatch; `first` is the number of its first event."""
        probes = probe_numbers(batch)
        arrays = {
            "number": pa.array(np.arange(first, first + len(batch), dtype=np.uint64)),
            "address": pa.array(self._addresses[probes]),
        }
        for name, fields in self._common.items():
            arrays[name] = self._convert_common(name, fields, batch, probes)
        for key, (indices, names) in self._names.items():
            arrays[key] = pa.DictionaryArray.from_arrays(indices[probes], names)
        for struct in self._structs:
            arrays[struct.column.name] = self._convert(struct, batch, probes)
        return pa.RecordBatch.from_arrays([arrays[name] for name in self.schema.names], schema=self.schema)

    def _convert_common(
        self, name: str, fields: Sequence[tuple[Field, Sequence[int]]], batch: Batch, probes: NDArray[np.uint32]
    ) -> Any:
        """One of the columns that all events have, null where an event does not know it."""
        values = np.zeros(len(batch), element_dtype(fields[0][0].type))
        absent = np.ones(len(batch), np.bool_)
        for field, numbers in fields:
            rows = np.flatnonzero(np.isin(probes, numbers))
            values[rows] = decode_common(field, batch, starts_of(batch)[rows], self._timebase)
            absent[rows] = False
        return pa.array(values, self.schema.field(name).type, mask=absent)

    def _convert(self, struct: Struct, batch: Batch, probes: NDArray[np.uint32]) -> Any:
        """The arguments of the events of one struct, null in the rows of other events."""
        parts: list[Any] = []
        index, present = np.zeros(len(batch), np.int32), np.zeros(len(batch), np.bool_)
        for layout, numbers in struct.layouts.items():
            rows = np.flatnonzero(np.isin(probes, numbers))
            if not len(rows):
                continue
            index[rows] = np.arange(len(rows)) + np.count_nonzero(present)
            present[rows] = True
            starts = starts_of(batch)[rows]
            arrays = []
            for field, kind in zip(layout.fields, struct.column.type, strict=True):
                column = decode_field(field, layout, batch, starts, describe=self._describe)
                arrays.append(_to_array(column, kind.type))
            parts.append(pa.StructArray.from_arrays(arrays, fields=list(struct.column.type)))
        if not parts:
            return pa.nulls(len(batch), struct.column.type)
        return pa.concat_arrays(parts).take(pa.array(index, mask=~present))


def flatten(table: Any) -> Any:
    """The table with a column for each argument, `packet.length`; arrays as the text `{1,2}`, which CSV can hold."""
    flat = table.flatten()
    for place, column in enumerate(flat.schema):
        if pa.types.is_list(column.type):
            texts = [
                "{" + ",".join(map(str, row)) + "}" if row is not None else None for row in flat[place].to_pylist()
            ]
            flat = flat.set_column(place, column.name, pa.array(texts, pa.string()))
    return flat


def _index(names: Mapping[int, str], size: int) -> tuple[NDArray[np.int32], Any]:
    """An array from probe numbers to indices, and the names that they index."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names.values()))}
    indices = np.zeros(size, np.int32)
    for number, name in names.items():
        indices[number] = places[name]
    return indices, pa.array(list(places), pa.string())


def _common_columns(origins: Mapping[int, Origin], timebase: TimeBase | None) -> dict[str, Any]:
    """The columns of what all events have, by name."""
    columns = {}
    for field in (field for origin in origins.values() for field in origin.layout.common):
        dtype = element_dtype(field.type)
        kind = pa.string() if dtype.hasobject else pa.from_numpy_dtype(dtype)
        metadata = None
        if field.name == "time" and timebase is not None:
            metadata = {UNIT_KEY: timebase.unit, CLOCK_KEY: timebase.name}
        columns[field.name] = pa.field(field.name, kind, metadata=metadata)
    return columns


def _make_structs(origins: Mapping[int, Origin], *, taken: set[str]) -> list[Struct]:
    """One struct for all probes that record arguments of the same names and types under the same event name."""
    alike: dict[tuple[str, tuple[tuple[str, FieldType], ...]], dict[Layout, list[int]]] = {}
    for number, origin in origins.items():
        if origin.layout.fields:
            shape = tuple((field.name, field.type) for field in origin.layout.fields)
            alike.setdefault((origin.event, shape), {}).setdefault(origin.layout, []).append(number)
    structs = []
    for (event, shape), layouts in alike.items():
        name, count = event, 1
        while name in taken:
            count += 1
            name = f"{event}_{count}"
        taken.add(name)
        fields = [pa.field(field, _arrow_type(kind), metadata={TYPE_KEY: kind.name}) for field, kind in shape]
        structs.append(Struct(pa.field(name, pa.struct(fields)), layouts))
    return structs


def _arrow_type(kind: FieldType) -> Any:
    dtype = element_dtype(kind)
    element = pa.string() if dtype.hasobject else pa.from_numpy_dtype(dtype)
    return pa.list_(element) if kind.count else element


def _to_array(column: Column, kind: Any) -> Any:
    mask = None if column.valid is None else ~column.valid
    if column.values.ndim == 1:
        return pa.array(column.values, kind, mask=mask)
    flat = pa.array(column.values.ravel(), kind.value_type)
    offsets = np.arange(0, column.values.size + 1, column.values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat, type=kind, mask=None if mask is None else pa.array(mask))
