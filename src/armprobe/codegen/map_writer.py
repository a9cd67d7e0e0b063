"""Target code that updates maps. `armprobe.codegen.map_layout` says what stands where."""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.codegen.cell_search import begin_search
from armprobe.codegen.ir import Lines
from armprobe.codegen.map_layout import CELL_BYTES, CELLS, FREE, HASH, READY, TAKEN, MapKind, MapShape
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
    index = ir.variable("i32")
    if not isinstance(key, str):
        _find_parts(ir, base, shape, key, index, missed)
    elif shape.kind is MapKind.TABLE:
        _find(ir, base, shape, key, index, missed)
    else:
        assert kind is not None
        found = ir.label()
        ir.branch(ir.value(f"icmp ult i{kind.bits} {key}, {shape.size}"), found, missed)
        ir.begin(found)
        ir.line(f"store i32 {key if kind.bits == 32 else ir.value(f'trunc i64 {key} to i32')}, ptr {index}")
    offset = ir.value(f"mul i32 {ir.value(f'load i32, ptr {index}')}, {CELL_BYTES}")
    change(ir.offset(ir.offset(base, CELLS), offset), amount, bits=64)
    ir.jump(end)
    ir.begin(missed)
    ir.add(base, bits=64)
    ir.jump(end)
    ir.begin(end)


def _find(ir: Lines, base: str, shape: MapShape, key: str, index: str, missed: str) -> None:
    """Leave the cell of a key in `index`, where there is one; claim a free one for a new key."""
    zero, other, taken, found = (ir.label() for _ in range(4))
    ir.branch(ir.value(f"icmp eq i32 {key}, 0"), zero, other)
    ir.begin(zero)
    ir.line(f"store i32 {shape.size}, ptr {index}")
    ir.jump(found)
    ir.begin(other)
    _start(ir, shape, [key], index)
    search = begin_search(ir, index, size=shape.size, steps=shape.steps, none=missed)
    here, onward = search.here, search.onward
    place = ir.value(f"getelementptr i32, ptr {ir.offset(base, shape.keys)}, i32 {here}")
    held = ir.value(f"load volatile i32, ptr {place}")
    ir.branch(ir.value(f"icmp eq i32 {held}, {key}"), found, taken)
    ir.begin(taken)
    claim = ir.label()
    ir.branch(ir.value(f"icmp eq i32 {held}, 0"), claim, onward)
    ir.begin(claim)
    if ir.atomic:
        # Somebody may have been faster: with the same key, which is as good, or with another.
        pair = ir.value(f"cmpxchg ptr {place}, i32 0, i32 {key} monotonic monotonic")
        old = ir.value(f"extractvalue {{ i32, i1 }} {pair}, 0")
        free = ir.value(f"icmp eq i32 {old}, 0")
        same = ir.value(f"icmp eq i32 {old}, {key}")
        ir.branch(ir.value(f"or i1 {free}, {same}"), found, onward)
    else:
        ir.line(f"store volatile i32 {key}, ptr {place}")
        ir.jump(found)
    search.close()
    ir.begin(found)


def _find_parts(ir: Lines, base: str, shape: MapShape, words: Sequence[str], index: str, missed: str) -> None:
    """The same for a key that is made of parts, given as its words."""
    used, same, claim, mine, found = (ir.label() for _ in range(5))
    _start(ir, shape, words, index)
    search = begin_search(ir, index, size=shape.size, steps=shape.steps, none=missed)
    here, onward = search.here, search.onward
    place = ir.offset(ir.offset(base, shape.keys), ir.value(f"mul i32 {here}, {shape.key_bytes}"))
    places = [ir.offset(place, 4 * (1 + number)) for number in range(len(words))]
    # What a cell that is ready holds was written before: neither is seen the other way round.
    state = ir.value(f"load atomic volatile i32, ptr {place} acquire, align 4" if ir.atomic else
                     f"load volatile i32, ptr {place}, align 4")  # fmt: skip
    ir.branch(ir.value(f"icmp eq i32 {state}, {READY}"), same, used)
    ir.begin(same)
    for word, at in zip(words, places, strict=True):
        equal = ir.label()
        ir.branch(ir.value(f"icmp eq i32 {ir.value(f'load volatile i32, ptr {at}, align 4')}, {word}"), equal, onward)
        ir.begin(equal)
    ir.jump(found)
    ir.begin(used)
    ir.branch(ir.value(f"icmp eq i32 {state}, {FREE}"), claim, onward)
    ir.begin(claim)
    if ir.atomic:
        pair = ir.value(f"cmpxchg ptr {place}, i32 {FREE}, i32 {TAKEN} monotonic monotonic")
        ir.branch(ir.value(f"extractvalue {{ i32, i1 }} {pair}, 1"), mine, onward)
        ir.begin(mine)
    for word, at in zip(words, places, strict=True):
        ir.line(f"store volatile i32 {word}, ptr {at}, align 4")
    ir.line(f"store atomic volatile i32 {READY}, ptr {place} release, align 4" if ir.atomic else
            f"store volatile i32 {READY}, ptr {place}, align 4")  # fmt: skip
    ir.jump(found)
    search.close()
    ir.begin(found)


def _start(ir: Lines, shape: MapShape, words: Sequence[str], index: str) -> None:
    """Leave in `index` where the search for a key begins: `map_layout.first_cell`."""
    mixed = "0"
    for word in words:
        mixed = ir.value(f"mul i32 {ir.value(f'xor i32 {mixed}, {word}')}, {HASH}")
    spread = ir.value(f"zext i32 {mixed} to i64")
    first = ir.value(f"lshr i64 {ir.value(f'mul i64 {spread}, {shape.size}')}, 32")
    ir.line(f"store i32 {ir.value(f'trunc i64 {first} to i32')}, ptr {index}")
