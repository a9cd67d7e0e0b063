"""Target code that reads the program's memory and never faults: addresses are checked against the ranges known.

Loads are volatile: what is read once is used as it was read, and an aligned word is read as a whole. Ranges are
[start, end), multiples of 4; every one costs three instructions, so they should be few (`readable_ranges`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from armprobe.codegen.ir import Lines
from armprobe.targets.base import Region

Ranges = Sequence[tuple[int, int]]
_WORD = 0xFFFFFFFF


def readable_ranges(regions: Iterable[Region]) -> tuple[tuple[int, int], ...]:
    """The ranges of whole words that can be read, those that touch joined, the largest first."""
    ranges: list[tuple[int, int]] = []
    for start, end in sorted((region.start + 3 & ~3, region.end & ~3) for region in regions if region.readable):
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(ranges[-1][1], end)
        elif start < end:
            ranges.append((start, end))
    if ranges == [(0, _WORD + 1)]:
        ranges = [(0, _WORD & ~3)]  # so that sizes fit in a word
    return tuple(sorted(ranges, key=lambda pair: (pair[0] - pair[1], pair)))


def check(ir: Lines, address: str, size: int, readable: Ranges, fault: str) -> None:
    """Go on where `size` bytes at `address` can be read, else to the label `fault`."""
    good = ir.label()
    for start, end in readable:
        if end - start >= size:
            onward = ir.label()
            distance = ir.value(f"sub i32 {address}, {start}")
            ir.branch(ir.value(f"icmp ule i32 {distance}, {end - start - size}"), good, onward)
            ir.begin(onward)
    ir.jump(fault)
    ir.begin(good)


def room(ir: Lines, address: str, readable: Ranges, fault: str) -> str:
    """How many bytes can be read from `address` on; go to `fault` where that is none."""
    good, found = ir.label(), ir.variable("i32")
    for start, end in readable:
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


def load(ir: Lines, address: str, size: int) -> str:
    """The 1, 2, 4 or 8 bytes at `address`, which may have any alignment, as a number of that width."""
    if size == 8:
        halves = [load(ir, part, 4) for part in (address, ir.value(f"add i32 {address}, 4"))]
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


def measure(ir: Lines, address: str, readable: Ranges, most: int, fault: str) -> str:
    """The bytes of the string at `address` with its zero, or `most`; go to `fault` where it runs out of memory."""
    bytes_left = room(ir, address, readable, fault)
    long = ir.value(f"icmp uge i32 {bytes_left}, {most}")
    limit = ir.value(f"select i1 {long}, i32 {most}, i32 {bytes_left}")
    pointer = ir.value(f"inttoptr i32 {address} to ptr")
    index = ir.variable("i32")
    again, onward, full, end = ir.label(), ir.label(), ir.label(), ir.label()
    ir.line(f"store i32 0, ptr {index}")
    ir.jump(again)
    ir.begin(again)
    old = ir.value(f"load i32, ptr {index}")
    byte = ir.value(f"load volatile i8, ptr {ir.offset(pointer, old)}, align 1")
    count = ir.value(f"add i32 {old}, 1")
    ir.line(f"store i32 {count}, ptr {index}")
    ir.branch(ir.value(f"icmp eq i8 {byte}, 0"), end, onward)
    ir.begin(onward)
    ir.branch(ir.value(f"icmp ult i32 {count}, {limit}"), again, full)
    ir.begin(full)
    ir.branch(long, end, fault)
    ir.begin(end)
    return ir.value(f"load i32, ptr {index}")


def copy(ir: Lines, address: str, place: str, size: str) -> None:
    """Copy `size` bytes, 1 or more, to the word-aligned `place`; by words where it can, up to the end of the last."""
    pointer = ir.value(f"inttoptr i32 {address} to ptr")
    words, bytes_, end = ir.label(), ir.label(), ir.label()
    ir.branch(_aligned(ir, address, 4), words, bytes_)
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
