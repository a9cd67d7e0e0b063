"""Target code that reads maps, and takes keys out of them. `armprobe.codegen.map_layout` says what stands where."""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.codegen.ir import Lines
from armprobe.codegen.map_layout import CELLS, MapKind, MapShape
from armprobe.codegen.map_removal import RemovableKey
from armprobe.codegen.map_search import cell, look_for, look_for_number
from armprobe.codegen.map_writer import find_bucket
from armprobe.codegen.words import Type


def read_map(ir: Lines, symbol: str, shape: MapShape, key: str | Sequence[str] | None, kind: Type | None) -> str:
    """The i64 number of a key, as `update_map` takes it; 0 where there is none."""
    base = ir.symbol(symbol, f"[{shape.bytes} x i8]", 8)
    if key is None:
        return ir.get(ir.offset(base, CELLS), bits=64)
    total, index, end = ir.variable("i64"), ir.variable("i32"), ir.label()
    ir.line(f"store i64 0, ptr {total}")
    if shape.kind is not MapKind.TABLE:
        assert isinstance(key, str)
        assert kind is not None
        find_bucket(ir, shape, key, kind, index, end)
        _take(ir, base, index, total)
        ir.jump(end)
    elif shape.removable:
        place = RemovableKey(ir, base, shape, key)
        place.find(lambda: _add_to(ir, place.number, total), end)
        ir.jump(end)
    elif isinstance(key, str):
        _find(ir, base, shape, key, index, total, end)
    else:
        look = look_for(ir, base, shape, key, index, end)
        ir.begin(look.same)
        _take(ir, base, index, total)
        ir.jump(look.search.onward)  # a key may have several cells
        ir.begin(look.free)
        ir.jump(end)
        look.search.close()
    ir.begin(end)
    return ir.value(f"load i64, ptr {total}")


def pop_key(ir: Lines, symbol: str, shape: MapShape, key: str | Sequence[str]) -> str:
    """The i64 number of a key, which is removed; 0 where there is none."""
    base = ir.symbol(symbol, f"[{shape.bytes} x i8]", 8)
    popped, end = ir.variable("i64"), ir.label()
    ir.line(f"store i64 0, ptr {popped}")
    number = RemovableKey(ir, base, shape, key).remove(end)
    ir.line(f"store i64 {number}, ptr {popped}")
    ir.jump(end)
    ir.begin(end)
    return ir.value(f"load i64, ptr {popped}")


def _find(ir: Lines, base: str, shape: MapShape, key: str, index: str, total: str, end: str) -> None:
    """Find the cell of a number, and take what it has."""
    look, found = look_for_number(ir, base, shape, key, index, end)
    ir.jump(end)
    look.search.close()
    ir.begin(found)
    _take(ir, base, index, total)
    ir.jump(end)


def _take(ir: Lines, base: str, index: str, total: str) -> None:
    _add_to(ir, cell(ir, base, index), total)


def _add_to(ir: Lines, place: str, total: str) -> None:
    number = ir.get(place, bits=64)
    known = ir.value(f"load i64, ptr {total}")
    ir.line(f"store i64 {ir.value(f'add i64 {known}, {number}')}, ptr {total}")
