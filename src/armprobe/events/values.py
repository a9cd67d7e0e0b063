"""Records to values, and values as the kernel's trace file shows them."""

from __future__ import annotations

from collections.abc import Callable

from armprobe.events.record import HEADER_BYTES, Field, FieldType, Layout
from armprobe.events.source import Number, Text
from armprobe.events.timebase import TimeBase

#: What a field is: a number, a string, None for memory that could not be read, or a list of these for an array.
Element = int | str | None
Value = Element | list[Element]
#: Names an address, as in `symbol+0x10/0x40`.
Describe = Callable[[int], str]


def unpack(layout: Layout, record: bytes | memoryview, *, describe: Describe = hex) -> dict[str, Value]:
    """The values of the fields of a record by name, in the order of the layout. `describe` makes those of `symstr`."""
    faults = int.from_bytes(record[HEADER_BYTES : HEADER_BYTES + 4 * layout.faults], "little")
    return {
        field.name: None
        if field.fault is not None and faults >> field.fault & 1
        else _value(field, record, layout.text, describe)
        for field in layout.fields
    }


def unpack_common(layout: Layout, record: bytes | memoryview, timebase: TimeBase | None) -> dict[str, int | str]:
    """What all records of the target have, by name: `time` in the unit of its clock, `cpu`, `pid`, `comm`."""
    found: dict[str, int | str] = {}
    for field in layout.common:
        if isinstance(field.source, Text):
            found[field.name] = field.source.text
            continue
        data = bytes(record[field.offset : field.offset + field.type.stored])
        found[field.name] = (
            decode_text(data, 0)
            if field.type.style == "text"
            else int.from_bytes(data, "little", signed=field.type.signed)
        )
    if timebase is not None and "time" in found:
        found["time"] = timebase.units(found["time"])
    return found


def show_common(layout: Layout, record: bytes | memoryview, timebase: TimeBase | None) -> str:
    """What the kernel's trace file shows in front of an event: `comm-pid [cpu] time: `, as far as it is known."""
    found = unpack_common(layout, record, None)
    parts = [f"{found['comm']}-{found['pid']}"] if "pid" in found else []
    parts += [f"[{found['cpu']:03}]"] if "cpu" in found else []
    if timebase is not None and "time" in found:
        parts.append(f"{timebase.show(int(found['time']))}:")
    return " ".join([*parts, ""]) if parts else ""


def show(kind: FieldType, value: Value, describe: Describe = hex) -> str:
    """The text of a value in the kernel's trace file. Characters that would break the line are escaped."""
    if value is None:
        return "(fault)"
    if isinstance(value, list):
        return "{" + ",".join(show(kind, element, describe) for element in value) + "}"
    if isinstance(value, str):
        return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value) + '"'
    if kind.style == "char":
        return f"'{chr(value)}'" if 32 <= value < 127 else f"'\\x{value:02x}'"
    if kind.style == "symbol":
        return describe(value)
    label = next((word for number, word in kind.labels if number == value), None)
    if label is not None:
        return label
    return f"0x{value:x}" if kind.style == "x" else str(value)


def _value(field: Field, record: bytes | memoryview, text: int, describe: Describe) -> Value:
    kind, source = field.type, field.source
    if isinstance(source, Text):
        return source.text
    if isinstance(source, Number):
        return _element(kind, (source.value & 0xFFFFFFFF).to_bytes(8, "little")[: kind.size], record, text, describe)
    parts = [
        record[offset : offset + kind.size] for offset in range(field.offset, field.offset + kind.stored, kind.size)
    ]
    elements = [_element(kind, part, record, text, describe) for part in parts]
    return elements if kind.count else elements[0]


def _element(
    kind: FieldType, part: bytes | memoryview, record: bytes | memoryview, text: int, describe: Describe
) -> Element:
    if kind.style == "text":
        return decode_text(bytes(part), 0)
    number = int.from_bytes(part, "little", signed=kind.signed)
    if kind.is_text:
        return decode_text(bytes(record[number & 0xFFFF :][: number >> 16]), text) if number else None
    if kind.bits is not None:
        width, low = kind.bits
        number = number >> low & (1 << width) - 1
        return number - (1 << width) if kind.signed and number >> width - 1 else number
    return describe(number) if kind.style == "symstr" else number


def decode_text(data: bytes, text: int) -> str:
    """The characters before the zero; a string that was cut at `text` bytes ends in an ellipsis."""
    end = data.find(0)
    cut = "…" if end < 0 and len(data) == text else ""
    return (data if end < 0 else data[:end]).decode("utf-8", "backslashreplace") + cut
