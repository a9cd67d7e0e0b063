"""Target code that makes the record of an event: `armprobe.events.record` says how it is laid out."""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.codegen import memory
from armprobe.codegen.fetch import Fetcher
from armprobe.codegen.ir import Lines
from armprobe.codegen.memory import Readable
from armprobe.codegen.ring_writer import store, write_filled
from armprobe.errors import InternalError
from armprobe.events.record import HEADER_BYTES, Field, Layout
from armprobe.events.source import KnownText, Memory, Read
from armprobe.isa.reading import Load


def write_event(fetcher: Fetcher, layout: Layout, *, ring: str, capacity: int, header: str, lost: str) -> str:
    """Fetch all fields and write the record; symbols and result are those of `write_filled`.

    Strings are measured first: the record is as long as they need. All else is fetched when there is room.
    """
    ir = fetcher.ir
    texts = {field.name: _measure(fetcher, field, layout.text) for field in layout.own if field.type.is_text}
    more = _words(ir, [length for parts in texts.values() for _, length in parts])

    def fill(place: str) -> None:
        store_common(fetcher, place, layout)
        faults = ["0"] * layout.faults
        free = str(4 * layout.words)
        for field in layout.own:
            for number, (address, length) in enumerate(texts.get(field.name, ())):
                at = field.offset + 4 * number
                free = _store_text(ir, fetcher.readable, place, at, free, address, length)
            if not field.type.is_text:
                good = _store_field(fetcher, place, field)
                if field.fault is not None and good is not None:
                    word, bit = divmod(field.fault, 32)
                    failed = ir.value(f"zext i1 {ir.value(f'xor i1 {good}, true')} to i32")
                    faults[word] = ir.value(f"or i32 {faults[word]}, {ir.value(f'shl i32 {failed}, {bit}')}")
        for number, bits in enumerate(faults):
            store(ir, place, HEADER_BYTES + 4 * number, bits, 4)

    with fetcher.scope():
        return write_filled(ir, layout, fill, more=more, ring=ring, capacity=capacity, header=header, lost=lost)


def write_values(
    fetcher: Fetcher,
    layout: Layout,
    values: Sequence[str | tuple[str, str]],
    faults: str,
    *,
    ring: str,
    capacity: int,
    header: str,
    lost: str,
) -> str:
    """Write a record of values, one for each own field: as wide as it, or of a string (address, length).

    `faults` are the bits of those that could not be read. Symbols and result are those of `write_filled`.
    """
    ir = fetcher.ir
    more = _words(ir, [value[1] for value in values if isinstance(value, tuple)])

    def fill(place: str) -> None:
        store_common(fetcher, place, layout)
        free = str(4 * layout.words)
        for index in range(layout.faults):
            store(ir, place, HEADER_BYTES + 4 * index, faults, 4)
        for field, value in zip(layout.own, values, strict=True):
            if isinstance(value, tuple):
                free = _store_text(ir, fetcher.readable, place, field.offset, free, *value)
            else:
                store(ir, place, field.offset, value, field.type.size)

    with fetcher.scope():
        return write_filled(ir, layout, fill, more=more, ring=ring, capacity=capacity, header=header, lost=lost)


def _words(ir: Lines, lengths: Sequence[str]) -> str:
    """The words that strings of these lengths take; empty for none."""
    more = ""
    for length in lengths:
        words = ir.value(f"lshr i32 {ir.value(f'add i32 {length}, 3')}, 2")
        more = ir.value(f"add i32 {more}, {words}") if more else words
    return more


def store_common(fetcher: Fetcher, place: str, layout: Layout) -> None:
    """Store what all records of the target have."""
    for field in layout.shared:
        _store_field(fetcher, place, field)


def _measure(fetcher: Fetcher, field: Field, most: int) -> list[tuple[str, str]]:
    """(address, length) of a string, or of each string of an array of pointers."""
    source = field.source
    if not isinstance(source, Memory):
        raise InternalError(f"the string {field.name} is not in memory: {source!r}")
    if not field.type.count:
        return [fetcher.text(source, most)]
    pointers = [Memory(source.base, source.offset + 4 * number) for number in range(field.type.count)]
    return [fetcher.text(Memory(pointer, 0), most) for pointer in pointers]


def _store_text(ir: Lines, readable: Readable, place: str, offset: int, free: str, address: str, length: str) -> str:
    """Store where a string is and, unless it could not be read, its bytes at `free`; return what is free then."""
    mark = ir.value(f"or i32 {ir.value(f'shl i32 {length}, 16')}, {free}")
    there, absent, good, end = (ir.label() for _ in range(4))
    ir.branch(ir.value(f"icmp eq i32 {length}, 0"), absent, there, rare=True)
    ir.begin(there)
    copied = memory.copy(ir, address, ir.offset(place, free), length, readable)
    ir.branch(copied, good, absent)
    ir.begin(good)
    store(ir, place, offset, mark, 4)
    ir.jump(end)
    ir.begin(absent)
    store(ir, place, offset, "0", 4)
    ir.jump(end)
    ir.begin(end)
    padded = ir.value(f"and i32 {ir.value(f'add i32 {length}, 3')}, -4")
    return ir.value(f"add i32 {free}, {padded}")


def _store_field(fetcher: Fetcher, place: str, field: Field) -> str | None:
    """Store a number or an array; return whether it could be read (None: always)."""
    ir, kind = fetcher.ir, field.type
    if isinstance(field.source, KnownText):
        for offset in range(0, kind.size, 4):
            word, _ = fetcher.fetch(Read(Load(field.source.address, offset)), 4)
            store(ir, place, field.offset + offset, word, 4)
        return None
    if not kind.count:
        value, good = fetcher.fetch(field.source, kind.size)
        store(ir, place, field.offset, value, kind.size)
        return good
    if not isinstance(field.source, Memory):
        raise InternalError(f"the array {field.name} is not in memory: {field.source!r}")
    address, good = fetcher.array(field.source, kind.stored)
    done, there, end = ir.variable("i1", "false"), ir.label(), ir.label()
    ir.branch(good, there, end)
    ir.begin(there)
    copied = memory.copy(ir, address, ir.offset(place, field.offset), str(kind.stored), fetcher.readable)
    ir.line(f"store i1 {copied}, ptr {done}")
    ir.jump(end)
    ir.begin(end)
    return ir.value(f"load i1, ptr {done}")
