"""Target code that looks at the cells of a table that a key may have. `armprobe.codegen.map_layout` says where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from armprobe.codegen.cell_search import Search, begin_search
from armprobe.codegen.ir import Lines
from armprobe.codegen.map_layout import CELL_BYTES, CELLS, FREE, HASH, READY, MapShape


@dataclass(frozen=True, slots=True)
class Look:
    """A search that has begun. The code at two labels is yet to be emitted: for a cell that has the `same` key, and for
    one that is `free`; then `search.close`. `place` is where the cell at hand keeps its key.
    """

    search: Search
    place: str
    same: str
    free: str


def look_for(ir: Lines, base: str, shape: MapShape, key: str | Sequence[str], index: str, none: str) -> Look:
    """Look at the cells of a key of a table, given as a number that is not 0 or as its words; go to `none` after them.

    `index` keeps the number of the cell at hand.
    """
    begin_at(ir, shape, [key] if isinstance(key, str) else key, index)
    search = begin_search(ir, index, size=shape.size, steps=shape.steps, none=none)
    same, other, free = ir.label(), ir.label(), ir.label()
    if isinstance(key, str):
        place = ir.value(f"getelementptr i32, ptr {ir.offset(base, shape.keys)}, i32 {search.here}")
        held = ir.value(f"load volatile i32, ptr {place}")
        ir.branch(ir.value(f"icmp eq i32 {held}, {key}"), same, other)
    else:
        place = ir.offset(ir.offset(base, shape.keys), ir.value(f"mul i32 {search.here}, {shape.key_bytes}"))
        # What a cell that is ready holds was written before: neither is seen the other way round.
        held = ir.value(f"load atomic volatile i32, ptr {place} acquire, align 4" if ir.atomic else
                        f"load volatile i32, ptr {place}, align 4")  # fmt: skip
        ready = ir.label()
        ir.branch(ir.value(f"icmp eq i32 {held}, {READY}"), ready, other)
        ir.begin(ready)
        for word, at in zip(key, word_places(ir, place, len(key)), strict=True):
            equal = ir.label()
            kept = ir.value(f"load volatile i32, ptr {at}, align 4")
            ir.branch(ir.value(f"icmp eq i32 {kept}, {word}"), equal, search.onward)
            ir.begin(equal)
        ir.jump(same)
    ir.begin(other)
    ir.branch(ir.value(f"icmp eq i32 {held}, {FREE}"), free, search.onward)
    return Look(search, place, same, free)


def look_for_number(ir: Lines, base: str, shape: MapShape, key: str, index: str, none: str) -> tuple[Look, str]:
    """The same for any number: at the free cell, with a label that is yet to be begun, where the cell is found."""
    zero, other, found = (ir.label() for _ in range(3))
    ir.branch(ir.value(f"icmp eq i32 {key}, 0"), zero, other)
    ir.begin(zero)
    ir.line(f"store i32 {shape.size}, ptr {index}")
    ir.jump(found)
    ir.begin(other)
    look = look_for(ir, base, shape, key, index, none)
    ir.begin(look.same)
    ir.jump(found)
    ir.begin(look.free)
    return look, found


def word_places(ir: Lines, place: str, count: int) -> list[str]:
    """Where a cell keeps the words of its key."""
    return [ir.offset(place, 4 * (1 + number)) for number in range(count)]


def cell(ir: Lines, base: str, index: str) -> str:
    """Where the number of the cell stands whose number is in `index`."""
    offset = ir.value(f"mul i32 {ir.value(f'load i32, ptr {index}')}, {CELL_BYTES}")
    return ir.offset(ir.offset(base, CELLS), offset)


def begin_at(ir: Lines, shape: MapShape, words: Sequence[str], index: str) -> None:
    """Leave in `index` where the search for a key begins: `map_layout.first_cell`."""
    mixed = "0"
    for word in words:
        mixed = ir.value(f"mul i32 {ir.value(f'xor i32 {mixed}, {word}')}, {HASH}")
    spread = ir.value(f"zext i32 {mixed} to i64")
    first = ir.value(f"lshr i64 {ir.value(f'mul i64 {spread}, {shape.size}')}, 32")
    ir.line(f"store i32 {ir.value(f'trunc i64 {first} to i32')}, ptr {index}")
