"""Layouts of all kinds of fields, and records of them with random values."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable

from armprobe.events.batch import Batch
from armprobe.events.record import FieldType, Layout, make_header, make_layout
from armprobe.events.source import Memory, Number, Source, Text

IN_MEMORY = Memory("r0", 4)
#: every way in which a field is stored
FIELDS: tuple[tuple[Source, FieldType], ...] = (
    *(("r0", FieldType(size, style)) for style in "usx" for size in (1, 2, 4)),
    *((IN_MEMORY, FieldType(8, style)) for style in "usx"),
    ("r1", FieldType(1, "char")),
    ("r2", FieldType(4, "u", bits=(5, 3))),
    (IN_MEMORY, FieldType(2, "u", bits=(1, 15))),
    ("lr", FieldType(4, "symbol")),
    ("lr", FieldType(4, "symstr")),
    (IN_MEMORY, FieldType(1, "x", count=6)),
    (IN_MEMORY, FieldType(2, "s", count=3)),
    (IN_MEMORY, FieldType(8, "u", count=2)),
    (IN_MEMORY, FieldType(4, "symstr", count=2)),
    (IN_MEMORY, FieldType(4, "string")),
    (IN_MEMORY, FieldType(4, "string", count=2)),
    (Number(-2), FieldType(4, "s")),
    (Number(200), FieldType(1, "u")),
    (Text("constant"), FieldType(4, "string")),
)
_TEXTS = (b"", b"a", b"caf\xc3\xa9", b"\xff\xfe", b"/etc/passwd", b"x" * 300, None)


def layout_of(fields: Iterable[tuple[Source, FieldType]]) -> Layout:
    """The layout of fields named `f0`, `f1`, and so on."""
    return make_layout((f"f{number}", source, kind) for number, (source, kind) in enumerate(fields))


def record(layout: Layout, number: int, rng: random.Random) -> bytes:
    """A record of the probe `number` with random values, as the target would write it."""
    data = bytearray(rng.randbytes(4 * layout.words))
    for field in layout.fields:
        if field.type.is_text and not isinstance(field.source, Text):
            for element in range(field.type.count or 1):
                text = rng.choice(_TEXTS)
                word = 0
                if text is not None:
                    text = (text + b"\0")[: layout.text]
                    word = len(text) << 16 | len(data)
                    data += text + bytes(-len(text) % 4)
                at = field.offset + 4 * element
                data[at : at + 4] = word.to_bytes(4, "little")
    data[:4] = make_header(number, len(data) // 4).to_bytes(4, "little")
    return bytes(data)


def batch_of(records: Iterable[bytes]) -> Batch:
    """One batch of these records."""
    data, starts = b"", array("I")
    for one in records:
        starts.append(len(data))
        data += one
    return Batch(data, starts)
