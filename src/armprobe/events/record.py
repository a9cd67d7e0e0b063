"""The layout of a record: one definition, used by the code that writes records and by the reader.

    header      `probe id << 8 | size in words`; never zero: zero says that the record is not yet complete
    faults      a bit for each field whose memory could not be read; no word where no field reads memory
    common      what every record of a target has: `time`, `cpu`, `pid`, `comm`, as far as the target knows them
    fields      in the order of their definition, each at its natural alignment, at most that of a word
    texts       the bytes of strings, each from a word on

A string's field is a word, `length << 16 | offset` of its bytes in the record, 0 where it could not be read. The bytes
end in a zero, but for a string longer than `Layout.text`, which is cut. A string that is known to be there stands in
its field. Constants take no place, and what all records have anyway is not stored twice. All is little-endian.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from armprobe.errors import UsageError
from armprobe.events.source import Source, is_constant, reads_memory

HEADER_BYTES = 4
MAX_WORDS = 255
MAX_PROBE = (1 << 24) - 1
#: bytes of a string that a record keeps, at most and at least
MAX_TEXT, MIN_TEXT = 256, 16
MAX_COUNT = 64


@dataclass(frozen=True, slots=True)
class FieldType:
    """How a field is read, stored and shown.

    `size` is bytes, of one element; `style` is `u`, `s`, `x`, `char`, `symbol`, `symstr` or `string`, as in the
    kernel's names, or `text`, a string of at most so many bytes that stands in its field. `bits` are (width, offset
    from the lowest bit) of a bit-field in `size` bytes; `count` is the number of elements of an array, 0 if it is none.
    An array of strings is one of pointers to strings. `labels` are words that stand for numbers in text.
    """

    size: int
    style: str
    bits: tuple[int, int] | None = None
    count: int = 0
    labels: tuple[tuple[int, str], ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """The kernel's name: `u8`, `x32`, `char`, `b4@2/32`, `u8[6]`, `string`."""
        if self.style == "text":
            return "string"
        if self.bits is not None:
            name = f"b{self.bits[0]}@{self.bits[1]}/{self.size * 8}"
        else:
            name = f"{self.style}{self.size * 8}" if self.style in ("u", "s", "x") else self.style
        return f"{name}[{self.count}]" if self.count else name

    @property
    def signed(self) -> bool:
        """Whether comparisons are signed and the value is extended with its sign."""
        return self.style == "s"

    @property
    def is_text(self) -> bool:
        """Whether the record holds the bytes of a string."""
        return self.style == "string"

    @property
    def stored(self) -> int:
        """Bytes in a record, without those of strings."""
        return self.size * (self.count or 1)

    @property
    def alignment(self) -> int:
        """Alignment in a record: a record starts at a word, and arrays are copied by words."""
        return 4 if self.count else min(self.size, 4)


#: every type of one number that a register can have, by name
TYPES = {kind.name: kind for kind in (*(FieldType(size, style) for style in "usx" for size in (1, 2, 4)),
                                      FieldType(1, "char"))}  # fmt: skip
#: all types that have a name of their own; bit-fields and arrays are made of these
NAMED_TYPES = TYPES | {kind.name: kind for kind in (*(FieldType(8, style) for style in "usx"),
                       FieldType(4, "symbol"), FieldType(4, "symstr"), FieldType(4, "string"))}  # fmt: skip
#: the type of a field whose definition names none
DEFAULT_TYPE = TYPES["x32"]
#: of a task's name, as long as Linux has it
COMM_TYPE = FieldType(16, "text")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where it comes from and where it stands."""

    name: str
    source: Source
    type: FieldType
    #: bytes from the start of the record; 0 for a constant, which is not in it
    offset: int
    #: the number of the bit that says that memory could not be read, None where that can't be
    fault: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a record, and its size in words with the header."""

    fields: tuple[Field, ...]
    #: without the bytes of strings
    words: int
    #: words of fault bits, after the header
    faults: int = 0
    #: bytes that are kept of each string, with its zero
    text: int = 0
    #: with the longest strings
    longest: int = 0
    #: the fields that all records of a target have; a constant is stored in none
    common: tuple[Field, ...] = ()

    @property
    def shared(self) -> tuple[Field, ...]:
        """The fields that are stored for all events."""
        return tuple(field for field in self.common if not is_constant(field.source))

    @property
    def own(self) -> tuple[Field, ...]:
        """The fields that are stored for this event, and not for all or not at all."""
        shared = {field.offset for field in self.common}
        return tuple(field for field in self.fields if not is_constant(field.source) and field.offset not in shared)


def make_layout(
    fields: Iterable[tuple[str, Source, FieldType]], *, common: Iterable[tuple[str, Source, FieldType]] = ()
) -> Layout:
    """Place fields, given as (name, source, type); `common` are those that all records of a target have.

    Raises UsageError when the record is longer than a header can say (255 words).
    """
    wanted = list(fields)
    faulting = [index for index, (_, source, kind) in enumerate(wanted) if reads_memory(source) and not kind.is_text]
    faults = (len(faulting) + 31) // 32
    placed = []
    offset = HEADER_BYTES + 4 * faults
    shared = []
    for name, source, kind in common:
        if is_constant(source):
            shared.append(Field(name, source, kind, 0))
            continue
        offset += -offset % kind.alignment
        shared.append(Field(name, source, kind, offset))
        offset += kind.stored
    texts = 0
    stored = {(field.source, field.type): field.offset for field in shared}
    for index, (name, source, kind) in enumerate(wanted):
        if is_constant(source) or (source, kind) in stored:
            placed.append(Field(name, source, kind, stored.get((source, kind), 0)))
            continue
        offset += -offset % kind.alignment
        placed.append(Field(name, source, kind, offset, faulting.index(index) if index in faulting else None))
        offset += kind.stored
        texts += kind.is_text and (kind.count or 1)
    words = (offset + 3) // 4
    if words > MAX_WORDS:
        raise UsageError(f"a record holds at most {MAX_WORDS} words, and these fields need {words}")
    text = min(MAX_TEXT, 4 * ((MAX_WORDS - words) // texts)) if texts else 0
    if texts and text < MIN_TEXT:
        raise UsageError(
            f"a record holds at most {MAX_WORDS} words, which leaves {text} bytes for each of {texts} strings",
            hint=f"ask for fewer: {MIN_TEXT} bytes are the least",
        )
    return Layout(tuple(placed), words, faults, text, words + texts * text // 4, tuple(shared))


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
