"""Target code that reads the program's memory and never faults: addresses are checked against the ranges known.

Loads are volatile: what is read once is used as it was read, and an aligned word is read as a whole. Ranges are
[start, end), multiples of 4; every one costs three instructions, so they should be few (`readable_ranges`).

Where the target has translation tables, memory beyond the ranges is read by the routines of
`armprobe.codegen.page_walk`: READ copies and MEASURE measures, and both say so when they can't.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from armprobe.codegen.ir import Lines
from armprobe.targets.base import Region

Ranges = Sequence[tuple[int, int]]
#: READ(to, from, size): 0 when not all can be read. MEASURE(from, most): as `measure`, 0 when it can't be read.
READ, MEASURE = "armprobe_read", "armprobe_measure"
#: bytes that a routine writes below SP, at most
ROUTINE_STACK = 128
_READ_SIGNATURE = f"i32 @{READ}(ptr, i32, i32) nounwind"
_MEASURE_SIGNATURE = f"i32 @{MEASURE}(i32, i32) nounwind"
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Readable:
    """What may be read: `ranges` by plain loads, and `walked`, whether the routines are there for the rest."""

    ranges: Ranges
    walked: bool = False


def readable_ranges(regions: Iterable[Region]) -> tuple[tuple[int, int], ...]:
    """The ranges of whole words that can be read, those that touch joined, the largest first."""
    ranges: list[tuple[int, int]] = []
    for start, end in sorted(
        (region.start + 3 & ~3, region.end & ~3) for region in regions if region.readable and region.lasting
    ):
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(ranges[-1][1], end)
        elif start < end:
            ranges.append((start, end))
    if ranges == [(0, _WORD + 1)]:
        ranges = [(0, _WORD & ~3)]  # so that sizes fit in a word
    return tuple(sorted(ranges, key=lambda pair: (pair[0] - pair[1], pair)))


def read(ir: Lines, address: str, size: int, readable: Readable, fault: str) -> str:
    """The 1, 2, 4 or 8 bytes at `address`, of any alignment, as a number of that width; else go to `fault`."""
    if not readable.walked:
        check(ir, address, size, readable.ranges, fault)
        return _load(ir, address, size)
    kind = f"i{8 * size}"
    value, buffer, elsewhere, copied, end = ir.variable(kind), ir.variable("i64"), *(ir.label() for _ in range(3))
    check(ir, address, size, readable.ranges, elsewhere)
    ir.line(f"store {kind} {_load(ir, address, size)}, ptr {value}")
    ir.jump(end)
    ir.begin(elsewhere)
    ir.branch(copy(ir, address, buffer, str(size), readable), copied, fault)
    ir.begin(copied)
    ir.line(f"store {kind} {ir.value(f'load {kind}, ptr {buffer}')}, ptr {value}")
    ir.jump(end)
    ir.begin(end)
    return ir.value(f"load {kind}, ptr {value}")


def check(ir: Lines, address: str, size: int, ranges: Ranges, fault: str) -> None:
    """Go on where `size` bytes at `address` lie in one of the ranges, else to the label `fault`."""
    good = ir.label()
    for start, end in ranges:
        if end - start >= size:
            onward = ir.label()
            distance = ir.value(f"sub i32 {address}, {start}")
            ir.branch(ir.value(f"icmp ule i32 {distance}, {end - start - size}"), good, onward)
            ir.begin(onward)
    ir.jump(fault)
    ir.begin(good)


def _room(ir: Lines, address: str, ranges: Ranges, fault: str) -> str:
    """How many bytes can be read from `address` on; go to `fault` where that is none."""
    good, found = ir.label(), ir.variable("i32")
    for start, end in ranges:
        yes, onward = ir.label(), ir.label()
        distance = ir.value(f"sub i32 {address}, {start}")
        ir.branch(ir.value(f"icmp ult i32 {distance}, {end - start}"), yes, onward)
        ir.begin(yes)
        ir.line(f"store i32 {ir.value(f'sub i32 {end & _WORD}, {address}')}, ptr {found}")
        ir.jump(good)
        ir.begin(onward)
    ir.jump(fault)
    ir.begin(good)
    return ir.value(f"load i32, ptr {found}")


def _load(ir: Lines, address: str, size: int) -> str:
    if size == 8:
        halves = [_load(ir, part, 4) for part in (address, ir.value(f"add i32 {address}, 4"))]
        low, high = (ir.value(f"zext i32 {half} to i64") for half in halves)
        return ir.value(f"or i64 {low}, {ir.value(f'shl i64 {high}, 32')}")
    kind = f"i{8 * size}"
    pointer = ir.value(f"inttoptr i32 {address} to ptr")
    if size == 1:
        return ir.value(f"load volatile {kind}, ptr {pointer}, align 1")
    loaded, whole, pieces, end = ir.variable(kind), ir.label(), ir.label(), ir.label()
    ir.branch(_aligned(ir, address, size), whole, pieces)
    ir.begin(whole)
    ir.line(f"store {kind} {ir.value(f'load volatile {kind}, ptr {pointer}, align {size}')}, ptr {loaded}")
    ir.jump(end)
    ir.begin(pieces)
    # Bytes by name: a load of low alignment would be joined with the other, and every word read in pieces.
    number = "0"
    for index in range(size):
        byte = ir.value(f"load volatile i8, ptr {ir.offset(pointer, index)}, align 1")
        shifted = ir.value(f"shl {kind} {ir.value(f'zext i8 {byte} to {kind}')}, {8 * index}")
        number = ir.value(f"or {kind} {number}, {shifted}")
    ir.line(f"store {kind} {number}, ptr {loaded}")
    ir.jump(end)
    ir.begin(end)
    return ir.value(f"load {kind}, ptr {loaded}")


def measure(ir: Lines, address: str, readable: Readable, most: int, fault: str) -> str:
    """The bytes of the string at `address` with its zero, or `most`; go to `fault` where it runs out of memory."""
    if readable.walked:
        ir.declare(_MEASURE_SIGNATURE)
        length, good = ir.value(f"call i32 @{MEASURE}(i32 {address}, i32 {most})"), ir.label()
        ir.branch(ir.value(f"icmp eq i32 {length}, 0"), fault, good)
        ir.begin(good)
        return length
    bytes_left = _room(ir, address, readable.ranges, fault)
    long = ir.value(f"icmp uge i32 {bytes_left}, {most}")
    limit = ir.value(f"select i1 {long}, i32 {most}, i32 {bytes_left}")
    length, found, full, end = ir.variable("i32"), ir.label(), ir.label(), ir.label()
    count = find_zero(ir, address, limit, found, full)
    ir.begin(found)
    ir.line(f"store i32 {ir.value(f'load i32, ptr {count}')}, ptr {length}")
    ir.jump(end)
    ir.begin(full)
    ir.line(f"store i32 {most}, ptr {length}")
    ir.branch(long, end, fault)
    ir.begin(end)
    return ir.value(f"load i32, ptr {length}")


def find_zero(ir: Lines, address: str, limit: str, found: str, full: str) -> str:
    """Look at up to `limit` bytes, 1 or more; go to `found`, or to `full`.

    Returns a pointer to the number of bytes that were looked at, with the zero.
    """
    pointer = ir.value(f"inttoptr i32 {address} to ptr")
    index = ir.variable("i32")
    again, onward = ir.label(), ir.label()
    ir.line(f"store i32 0, ptr {index}")
    ir.jump(again)
    ir.begin(again)
    old = ir.value(f"load i32, ptr {index}")
    byte = ir.value(f"load volatile i8, ptr {ir.offset(pointer, old)}, align 1")
    count = ir.value(f"add i32 {old}, 1")
    ir.line(f"store i32 {count}, ptr {index}")
    ir.branch(ir.value(f"icmp eq i8 {byte}, 0"), found, onward)
    ir.begin(onward)
    ir.branch(ir.value(f"icmp ult i32 {count}, {limit}"), again, full)
    return index


def copy(ir: Lines, address: str, place: str, size: str, readable: Readable) -> str:
    """Copy `size` bytes, 1 or more, to the word-aligned `place`; up to the end of the last word there may change.

    Returns an i1: all could be read. Without routines the caller has checked that.
    """
    if readable.walked:
        ir.declare(_READ_SIGNATURE)
        done = ir.value(f"call i32 @{READ}(ptr {place}, i32 {address}, i32 {size})")
        return ir.value(f"icmp ne i32 {done}, 0")
    copy_plainly(ir, address, place, size, alignment=address)
    return "true"


def copy_plainly(ir: Lines, address: str, place: str, size: str, *, alignment: str) -> None:
    """Copy by words, up to the end of the last, where `alignment` is a multiple of 4; else by bytes."""
    pointer = ir.value(f"inttoptr i32 {address} to ptr")
    words, bytes_, end = ir.label(), ir.label(), ir.label()
    ir.branch(_aligned(ir, alignment, 4), words, bytes_)
    for label, step in ((words, 4), (bytes_, 1)):
        ir.begin(label)
        index, again, kind = ir.variable("i32"), ir.label(), f"i{8 * step}"
        ir.line(f"store i32 0, ptr {index}")
        ir.jump(again)
        ir.begin(again)
        at = ir.value(f"load i32, ptr {index}")
        moved = ir.value(f"load volatile {kind}, ptr {ir.offset(pointer, at)}, align {step}")
        ir.line(f"store volatile {kind} {moved}, ptr {ir.offset(place, at)}, align {step}")
        following = ir.value(f"add i32 {at}, {step}")
        ir.line(f"store i32 {following}, ptr {index}")
        ir.branch(ir.value(f"icmp ult i32 {following}, {size}"), again, end)
    ir.begin(end)


def _aligned(ir: Lines, address: str, size: int) -> str:
    return ir.value(f"icmp eq i32 {ir.value(f'and i32 {address}, {size - 1}')}, 0")
