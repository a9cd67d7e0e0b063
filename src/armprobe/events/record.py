"""The layout of a record: one definition, used by the code that writes records and by the reader.

A record is a header word, `probe id << 8 | size in words`, and its fields in the order of their definition, each at its
natural alignment. All is little-endian. A header is never zero: zero says that the record is not yet complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from armprobe.errors import UsageError

HEADER_BYTES = 4
MAX_WORDS = 255
MAX_PROBE = (1 << 24) - 1


@dataclass(frozen=True, slots=True)
class FieldType:
    """How a field is stored and shown: `size` bytes; `style` is `u`, `s`, `x` or `char`, as in the kernel's names."""

    size: int
    style: str

    @property
    def name(self) -> str:
        """The kernel's name: `u8`, `x32`, `char`."""
        return self.style if self.style == "char" else f"{self.style}{self.size * 8}"

    @property
    def signed(self) -> bool:
        """Whether comparisons are signed and the value is extended with its sign."""
        return self.style == "s"

    def show(self, value: int) -> str:
        """The text of `value` in the kernel's trace file."""
        if self.style == "char":
            return f"'{chr(value)}'" if 32 <= value < 127 else f"'\\x{value:02x}'"
        return f"0x{value:x}" if self.style == "x" else str(value)


#: every type a field may have, by name
TYPES = {kind.name: kind for kind in (*(FieldType(size, style) for style in "usx" for size in (1, 2, 4)),
                                      FieldType(1, "char"))}  # fmt: skip
#: the type of a field whose definition names none
DEFAULT_TYPE = TYPES["x32"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `source` is the register it comes from (`r0` to `r12`, `sp`, `lr`, `pc`, `cpsr`)."""

    name: str
    source: str
    type: FieldType
    #: bytes from the start of the record
    offset: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a record, and its size in words with the header."""

    fields: tuple[Field, ...]
    words: int


def make_layout(fields: Iterable[tuple[str, str, FieldType]]) -> Layout:
    """Place fields, given as (name, source, type).

    Raises UsageError when the record is longer than a header can say (255 words).
    """
    placed = []
    offset = HEADER_BYTES
    for name, source, kind in fields:
        offset += -offset % kind.size
        placed.append(Field(name, source, kind, offset))
        offset += kind.size
    words = (offset + 3) // 4
    if words > MAX_WORDS:
        raise UsageError(f"a record holds at most {MAX_WORDS} words, and these fields need {words}")
    return Layout(tuple(placed), words)


def make_header(probe: int, words: int) -> int:
    """The header word of a record of `words` words of the probe with the number `probe`."""
    if not 0 <= probe <= MAX_PROBE:
        raise UsageError(f"a probe number is 0 to {MAX_PROBE}, not {probe}")
    if not 1 <= words <= MAX_WORDS:
        raise UsageError(f"a record has 1 to {MAX_WORDS} words, not {words}")
    return probe << 8 | words


def split_header(header: int) -> tuple[int, int]:
    """(probe number, size in words) of a header word."""
    return header >> 8, header & 0xFF


def unpack(layout: Layout, record: bytes | memoryview) -> dict[str, int]:
    """The values of the fields of a record by name, in the order of the layout."""
    return {
        field.name: int.from_bytes(
            record[field.offset : field.offset + field.type.size], "little", signed=field.type.signed
        )
        for field in layout.fields
    }
