"""Target code that updates maps. `armprobe.codegen.map_layout` says what stands where."""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.codegen.ir import Lines
from armprobe.codegen.map_layout import CELLS, FREE, READY, TAKEN, MapKind, MapShape
from armprobe.codegen.map_removal import RemovableKey
from armprobe.codegen.map_search import cell, look_for, look_for_number, word_places
from armprobe.codegen.words import Type


def update_map(
    ir: Lines,
    symbol: str,
    shape: MapShape,
    key: str | Sequence[str] | None,
    kind: Type | None,
    amount: str,
    *,
    replace: bool = False,
) -> None:
    """Add the i64 `amount` to the cell of `key`, which is of the unsigned type `kind`; a counter has none.

    A key that is made of parts is given as its words. With `replace`, the amount takes the place of what is there.
    """
    change = ir.put if replace else ir.add
    base = ir.symbol(symbol, f"[{shape.bytes} x i8]", 8)
    if key is None:
        change(ir.offset(base, CELLS), amount, bits=64)
        return
    missed, end = ir.label(), ir.label()
    if shape.removable:
        place = RemovableKey(ir, base, shape, key)
        place.find_or_add(lambda: change(place.number, amount, bits=64), missed)
    else:
        index = ir.variable("i32")
        _find_cell(ir, base, shape, key, kind, index, missed)
        change(cell(ir, base, index), amount, bits=64)
    ir.jump(end)
    ir.begin(missed)
    ir.add(base, bits=64)
    ir.jump(end)
    ir.begin(end)


def _find_cell(
    ir: Lines, base: str, shape: MapShape, key: str | Sequence[str], kind: Type | None, index: str, missed: str
) -> None:
    """Leave the cell that an update changes in `index`; go to `missed` where there is none."""
    if not isinstance(key, str):
        _find_parts(ir, base, shape, key, index, missed)
    elif shape.kind is MapKind.TABLE:
        _find(ir, base, shape, key, index, missed)
    else:
        assert kind is not None
        find_bucket(ir, shape, key, kind, index, missed)


def find_bucket(ir: Lines, shape: MapShape, key: str, kind: Type, index: str, none: str) -> None:
    """Leave a bucket in `index`, where there is one of that number; go to `none` where not."""
    found = ir.label()
    ir.branch(ir.value(f"icmp ult i{kind.bits} {key}, {shape.size}"), found, none)
    ir.begin(found)
    ir.line(f"store i32 {key if kind.bits == 32 else ir.value(f'trunc i64 {key} to i32')}, ptr {index}")


def _find(ir: Lines, base: str, shape: MapShape, key: str, index: str, missed: str) -> None:
    """Leave the cell of a key in `index`, where there is one; claim a free one for a new key."""
    look, found = look_for_number(ir, base, shape, key, index, missed)
    if ir.atomic:
        # Somebody may have been faster: with the same key, which is as good, or with another.
        pair = ir.value(f"cmpxchg ptr {look.place}, i32 0, i32 {key} monotonic monotonic")
        old = ir.value(f"extractvalue {{ i32, i1 }} {pair}, 0")
        free = ir.value(f"icmp eq i32 {old}, 0")
        same = ir.value(f"icmp eq i32 {old}, {key}")
        ir.branch(ir.value(f"or i1 {free}, {same}"), found, look.search.onward)
    else:
        ir.line(f"store volatile i32 {key}, ptr {look.place}")
        ir.jump(found)
    look.search.close()
    ir.begin(found)


def _find_parts(ir: Lines, base: str, shape: MapShape, words: Sequence[str], index: str, missed: str) -> None:
    """The same for a key that is made of parts, given as its words."""
    mine, found = ir.label(), ir.label()
    look = look_for(ir, base, shape, words, index, missed)
    ir.begin(look.same)
    ir.jump(found)
    ir.begin(look.free)
    if ir.atomic:
        pair = ir.value(f"cmpxchg ptr {look.place}, i32 {FREE}, i32 {TAKEN} monotonic monotonic")
        ir.branch(ir.value(f"extractvalue {{ i32, i1 }} {pair}, 1"), mine, look.search.onward)
        ir.begin(mine)
    for word, at in zip(words, word_places(ir, look.place, len(words)), strict=True):
        ir.line(f"store volatile i32 {word}, ptr {at}, align 4")
    ir.line(f"store atomic volatile i32 {READY}, ptr {look.place} release, align 4" if ir.atomic else
            f"store volatile i32 {READY}, ptr {look.place}, align 4")  # fmt: skip
    ir.jump(found)
    look.search.close()
    ir.begin(found)
