"""Many records to NumPy arrays, by the same layout as one record to values (`armprobe.events.values`).

No step takes time per record in Python, but for the characters of strings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armprobe.events.batch import Batch
from armprobe.events.record import HEADER_BYTES, Field, FieldType, Layout
from armprobe.events.source import Text, is_constant
from armprobe.events.timebase import TimeBase
from armprobe.events.values import Describe, decode_text, unpack

#: what the names begin with of fields that all records have
COMMON = "common_"
#: bytes in a batch at which records begin
Starts = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Column:
    """One field of many records: `values` has a row each, `valid` is False where memory could not be read."""

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None = None


def probe_numbers(batch: Batch) -> NDArray[np.uint32]:
    """The number of the probe of each record."""
    numbers: NDArray[np.uint32] = np.frombuffer(batch.data, "<u4")[starts_of(batch) >> 2] >> 8
    return numbers


def starts_of(batch: Batch) -> Starts:
    """Where each record begins."""
    return np.frombuffer(batch.starts, np.uint32)


def decode(
    layout: Layout,
    batches: Iterable[Batch],
    number: int,
    *,
    describe: Describe = hex,
    timebase: TimeBase | None = None,
) -> NDArray[Any]:
    """The records of the probe `number` as a structured array with a field for each of the layout.

    What all records have comes first, as `common_time` (in the unit of the clock), `common_cpu` and so on. Strings are
    objects: str, or None where they could not be read. Where other fields can be unreadable, the array is a masked one,
    and those are masked.
    """
    kind = dtype_of(layout)
    data, masks = [np.zeros(0, kind)], [np.zeros(0, np.ma.make_mask_descr(kind))]
    for batch in batches:
        starts = starts_of(batch)[probe_numbers(batch) == number]
        rows: NDArray[Any] = np.zeros(len(starts), kind)
        mask: NDArray[Any] = np.zeros(len(starts), masks[0].dtype)
        for field in layout.common:
            rows[COMMON + field.name] = decode_common(field, batch, starts, timebase)
        for field in layout.fields:
            column = decode_field(field, layout, batch, starts, describe=describe)
            rows[field.name] = column.values
            if column.valid is not None:
                mask[field.name] = ~column.valid if column.values.ndim == 1 else ~column.valid[:, np.newaxis]
        data.append(rows)
        masks.append(mask)
    values = np.concatenate(data)
    return np.ma.MaskedArray(values, np.concatenate(masks)) if layout.faults else values


def dtype_of(layout: Layout) -> np.dtype[Any]:
    """The type of one record in a structured array."""
    common = [(COMMON + field.name, element_dtype(field.type)) for field in layout.common]
    fields = [(field.name, element_dtype(field.type), field.type.count or ()) for field in layout.fields]
    return np.dtype([*common, *fields])


def element_dtype(kind: FieldType) -> np.dtype[Any]:
    """The type of a value, of one element where the field is an array."""
    if kind.style in ("string", "symstr", "text"):
        return np.dtype(object)
    return np.dtype(f"{'i' if kind.signed else 'u'}{kind.size}")


def decode_common(field: Field, batch: Batch, starts: Starts, timebase: TimeBase | None) -> NDArray[Any]:
    """One of the fields that all records have."""
    if isinstance(field.source, Text):
        return np.full(len(starts), field.source.text, object)
    if field.type.style == "text":
        return _texts_in_place(field, batch, starts)
    values = _gather(field.type, batch, starts + np.uint32(field.offset))
    return timebase.units(values[:, 0]) if field.name == "time" and timebase is not None else values[:, 0]


def decode_field(field: Field, layout: Layout, batch: Batch, starts: Starts, *, describe: Describe = hex) -> Column:
    """One field of the records that begin at `starts`, all of that layout."""
    kind = field.type
    if is_constant(field.source):
        constant = unpack(Layout((field,), 1), b"", describe=describe)[field.name]
        return Column(np.full(len(starts), constant, element_dtype(kind)))
    if kind.style == "text":
        return Column(_texts_in_place(field, batch, starts))
    values = _gather(kind, batch, starts + np.uint32(field.offset))
    if kind.is_text:
        values = _texts(values, batch, starts, layout.text)
    elif kind.bits is not None:
        width, low = kind.bits
        above = kind.size * 8 - width
        values = values << above - low >> above
    elif kind.style == "symstr":
        addresses, inverse = np.unique(values, return_inverse=True)
        names = np.array([describe(int(address)) for address in addresses], object)
        values = names[inverse.reshape(values.shape)]
    valid = None
    if field.fault is not None:
        words = np.frombuffer(batch.data, "<u4")
        faults = words[(starts + np.uint32(HEADER_BYTES) >> 2) + field.fault // 32]
        valid = faults >> field.fault % 32 & 1 == 0
    return Column(values if kind.count else values[:, 0], valid)


def _gather(kind: FieldType, batch: Batch, places: Starts) -> NDArray[Any]:
    """The elements of a field that stands at `places`: a row for each record."""
    unit = min(kind.size, kind.alignment)
    data = np.frombuffer(batch.data, f"<u{unit}")
    index = places[:, np.newaxis] // unit + np.arange(kind.stored // unit, dtype=np.uint32)
    signed = "i" if kind.signed else "u"
    return np.ascontiguousarray(data[index]).view(f"<{signed}{kind.size}")


def _texts_in_place(field: Field, batch: Batch, starts: Starts) -> NDArray[Any]:
    """The strings that stand in a field themselves."""
    size = field.type.size
    found = [batch.data[begin : begin + size] for begin in (starts + np.uint32(field.offset)).tolist()]
    known = {data: decode_text(data, 0) for data in set(found)}
    values = np.empty(len(found), object)
    values[:] = [known[data] for data in found]
    return values


def _texts(words: NDArray[np.uint32], batch: Batch, starts: Starts, text: int) -> NDArray[Any]:
    """The strings that `words` (length and offset in the record) point to, None where there is none."""
    begins = (starts[:, np.newaxis] + (words & 0xFFFF)).ravel().tolist()
    lengths = (words >> 16).ravel().tolist()
    found = [batch.data[begin : begin + length] for begin, length in zip(begins, lengths, strict=True)]
    # The same strings come again and again.
    known: dict[bytes, str | None] = {data: decode_text(data, text) for data in set(found)}
    known[b""] = None
    values = np.empty(words.size, object)
    values[:] = [known[data] for data in found]
    return values.reshape(words.shape)
