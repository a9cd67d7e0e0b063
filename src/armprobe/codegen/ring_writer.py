"""Target code that writes a record: reserve, fill, commit. The rules are those of `armprobe.events.ring`."""

from __future__ import annotations

from collections.abc import Callable

from armprobe.codegen.ir import Lines
from armprobe.errors import UsageError
from armprobe.events.record import Layout
from armprobe.events.ring import BUFFER, LOST, READ, WRITE


def write_filled(
    ir: Lines,
    layout: Layout,
    fill: Callable[[str], None],
    *,
    ring: str,
    capacity: int,
    header: str,
    lost: str,
    more: str = "",
) -> str:
    """Write a record that `fill` stores all of but the header, given a pointer to the record.

    `ring`, `header` and `lost` are symbols; `more` are the words (an i32) that the record has beyond `layout.words`.

    Returns an i1 that says that the host should empty the ring: it is three quarters full, or the record was lost.
    """
    longest = max(layout.words, layout.longest)
    if capacity & (capacity - 1) or capacity < 4 * longest:
        raise UsageError(f"a ring of {capacity} words is no ring for records of {longest} words")
    base = ir.symbol(ring, "[4 x i32]", 8)
    full, room, out = ir.label(), ir.label(), ir.label()
    size = ir.value(f"add i32 {more}, {layout.words}") if more else str(layout.words)
    write, used = _reserve(ir, base, size, capacity, full, room)
    ir.begin(full)
    ir.add(ir.offset(base, LOST))
    ir.add(ir.symbol(lost))
    ir.jump(out)
    ir.begin(room)
    start = ir.value(f"and i32 {write}, {capacity - 1}")
    place = ir.value(f"getelementptr i32, ptr {ir.offset(base, BUFFER)}, i32 {start}")
    fill(place)
    number = ir.number(header)
    if more:
        number = ir.value(f"add i32 {number}, {more}")
    if ir.atomic:
        ir.line("fence release")
    ir.line(f"store volatile i32 {number}, ptr {place}")
    many, done = ir.value(f"icmp ugt i32 {used}, {capacity * 3 // 4}"), ir.label()
    ir.jump(done)
    ir.begin(done)
    ir.jump(out)
    ir.begin(out)
    return ir.value(f"phi i1 [ true, %{full} ], [ {many}, %{done} ]")


def store(ir: Lines, place: str, offset: int, value: str, size: int) -> None:
    """Store `size` bytes in a record; volatile, so that the header stays last.

    (It also keeps LLVM from moving fields about to pair their stores.)
    """
    for part, text, at in _parts(ir, value, 8 * size, offset):
        ir.line(f"store volatile i{part} {text}, ptr {ir.offset(place, at)}, align {part // 8}")


def _parts(ir: Lines, value: str, bits: int, offset: int) -> list[tuple[int, str, int]]:
    """The stores of a field: one, or two halves, as records are aligned to words only."""
    if bits < 64:
        return [(bits, value, offset)]
    high = ir.value(f"trunc i64 {ir.value(f'lshr i64 {value}, 32')} to i32")
    return [(32, ir.value(f"trunc i64 {value} to i32"), offset), (32, high, offset + 4)]


def _reserve(ir: Lines, ring: str, words: str, capacity: int, full: str, room: str) -> tuple[str, str]:
    """Move `write` on and go to `room`, or go to `full`; give the old `write` and the words in use with the record.

    `read` is loaded first: it is never ahead of a `write` loaded later, so a ring with room never looks full.
    """
    again, free = ir.label(), ir.label()
    ir.jump(again)
    ir.begin(again)
    consumed = ir.value(f"load volatile i32, ptr {ir.offset(ring, READ)}")
    write = ir.value(f"load volatile i32, ptr {ir.offset(ring, WRITE)}")
    new = ir.value(f"add i32 {write}, {words}")
    used = ir.value(f"sub i32 {new}, {consumed}")
    ir.branch(ir.value(f"icmp ugt i32 {used}, {capacity}"), full, free, rare=True)
    ir.begin(free)
    if ir.atomic:
        pair = ir.value(f"cmpxchg weak ptr {ring}, i32 {write}, i32 {new} monotonic monotonic")
        ir.branch(ir.value(f"extractvalue {{ i32, i1 }} {pair}, 1"), room, again)
    else:
        ir.line(f"store i32 {new}, ptr {ring}")
        ir.jump(room)
    return write, used
