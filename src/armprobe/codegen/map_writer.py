"""Target code that updates maps. `armprobe.codegen.map_layout` says what stands where."""

from __future__ import annotations

from armprobe.codegen.ir import Lines
from armprobe.codegen.map_layout import CELL_BYTES, CELLS, HASH, MapKind, MapShape
from armprobe.codegen.words import Type


def update_map(
    ir: Lines, symbol: str, shape: MapShape, key: str | None, kind: Type | None, amount: str, *, replace: bool = False
) -> None:
    """Add the i64 `amount` to the cell of `key`, which is of the unsigned type `kind`; a counter has none.

    With `replace`, the amount takes the place of what is there.
    """
    change = ir.put if replace else ir.add
    base = ir.symbol(symbol, f"[{shape.bytes} x i8]", 8)
    if key is None or kind is None:
        change(ir.offset(base, CELLS), amount, bits=64)
        return
    missed, end = ir.label(), ir.label()
    index = ir.variable("i32")
    if shape.kind is MapKind.TABLE:
        _find(ir, base, shape, key, index, missed)
    else:
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
    size = shape.size
    zero, other, look, taken, onward, again, found = (ir.label() for _ in range(7))
    steps = ir.variable("i32")
    ir.branch(ir.value(f"icmp eq i32 {key}, 0"), zero, other)
    ir.begin(zero)
    ir.line(f"store i32 {size}, ptr {index}")
    ir.jump(found)
    ir.begin(other)
    spread = ir.value(f"zext i32 {ir.value(f'mul i32 {key}, {HASH}')} to i64")
    first = ir.value(f"lshr i64 {ir.value(f'mul i64 {spread}, {size}')}, 32")
    ir.line(f"store i32 {ir.value(f'trunc i64 {first} to i32')}, ptr {index}")
    ir.line(f"store i32 0, ptr {steps}")
    ir.jump(look)
    ir.begin(look)
    here = ir.value(f"load i32, ptr {index}")
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
    ir.begin(onward)
    following = ir.value(f"add i32 {here}, 1")
    around = ir.value(f"icmp eq i32 {following}, {size}")
    ir.line(f"store i32 {ir.value(f'select i1 {around}, i32 0, i32 {following}')}, ptr {index}")
    step = ir.value(f"add i32 {ir.value(f'load i32, ptr {steps}')}, 1")
    ir.line(f"store i32 {step}, ptr {steps}")
    ir.branch(ir.value(f"icmp eq i32 {step}, {shape.steps}"), missed, again)
    ir.begin(again)
    ir.jump(look)
    ir.begin(found)
