"""Target code that compares strings with patterns. `TextPattern.matches` is the same on the host."""

from __future__ import annotations

from armprobe.codegen import memory
from armprobe.codegen.ir import Lines
from armprobe.codegen.memory import Readable
from armprobe.codegen.text_pattern import Item, TextPattern


def match_text(ir: Lines, address: str, length: str, pattern: TextPattern, readable: Readable, fault: str) -> str:
    """The i1 that says whether the string matches; `length` are its bytes with the zero, or `pattern.most` of them.

    Goes to `fault` where it can't be read after all.
    """
    same, end = ir.variable("i1"), ir.label()
    ir.line(f"store i1 false, ptr {same}")
    pointer = ir.value(f"inttoptr i32 {address} to ptr")
    if readable.walked:
        pointer, copied = ir.variable(f"[{-(-pattern.most // 4)} x i32]"), ir.label()
        ir.branch(memory.copy(ir, address, pointer, length, readable), copied, fault)
        ir.begin(copied)
    if len(pattern.pieces) == 1:
        _require(ir, f"icmp eq i32 {length}, {pattern.most}", end)
        _compare(ir, pointer, "0", (*pattern.pieces[0], (((0, 0),), True)), end)
    elif len(pattern.pieces) == 2 and not pattern.pieces[1]:
        _require(ir, f"icmp uge i32 {length}, {pattern.shortest}", end)
        _compare(ir, pointer, "0", pattern.pieces[0], end)
    else:
        _compare_pieces(ir, pointer, length, pattern, end)
    ir.line(f"store i1 true, ptr {same}")
    ir.jump(end)
    ir.begin(end)
    return ir.value(f"load i1, ptr {same}")


def match_known_text(ir: Lines, address: str, size: int, pattern: TextPattern) -> str:
    """The i1 that says whether a string matches that ends within `size` bytes, which can be read, from a word on."""
    same, end = ir.variable("i1", "false"), ir.label()
    literal = pattern.literal
    if literal is None:
        length, never = _measure(ir, address, min(pattern.most, size)), ir.label()
        matched = match_text(ir, address, length, pattern, Readable(()), never)
        ir.line(f"store i1 {matched}, ptr {same}")
        ir.jump(end)
        ir.begin(never)
    elif len(literal) <= size:
        pointer = ir.value(f"inttoptr i32 {address} to ptr")
        for offset in range(0, len(literal), 4):
            part = literal[offset : offset + 4]
            word = ir.value(f"load volatile i32, ptr {ir.offset(pointer, offset)}, align 4")
            if len(part) < 4:
                word = ir.value(f"and i32 {word}, {(1 << 8 * len(part)) - 1}")
            _require(ir, f"icmp eq i32 {word}, {int.from_bytes(part, 'little')}", end)
        ir.line(f"store i1 true, ptr {same}")
    ir.jump(end)
    ir.begin(end)
    return ir.value(f"load i1, ptr {same}")


def _measure(ir: Lines, address: str, most: int) -> str:
    """The bytes of a string with its zero, or `most`."""
    found, full, end = ir.label(), ir.label(), ir.label()
    count = memory.find_zero(ir, address, str(most), found, full)
    for label in (found, full):
        ir.begin(label)
        ir.jump(end)
    ir.begin(end)
    return ir.value(f"load i32, ptr {count}")


def _compare_pieces(ir: Lines, pointer: str, length: str, pattern: TextPattern, end: str) -> None:
    """Each piece is taken where it is found first: if the rest matches anywhere behind it, it matches there."""
    first, *middle, last = pattern.pieces
    final = ir.value(f"load volatile i8, ptr {ir.offset(pointer, ir.value(f'add i32 {length}, -1'))}, align 1")
    ended = ir.value(f"icmp eq i8 {final}, 0")
    size = ir.value(f"sub i32 {length}, {ir.value(f'zext i1 {ended} to i32')}")
    _require(ir, f"icmp uge i32 {size}, {pattern.shortest}", end)
    _compare(ir, pointer, "0", first, end)
    behind = ir.value(f"sub i32 {size}, {len(last)}")
    if last:
        _require(ir, f"and i1 {ended}, true", end)
        _compare(ir, pointer, behind, last, end)
    place = ir.variable("i32")
    ir.line(f"store i32 {len(first)}, ptr {place}")
    for piece in middle:
        again, onward = ir.label(), ir.label()
        ir.jump(again)
        ir.begin(again)
        at = ir.value(f"load i32, ptr {place}")
        _require(ir, f"icmp ule i32 {ir.value(f'add i32 {at}, {len(piece)}')}, {behind}", end)
        _compare(ir, pointer, at, piece, onward)
        found = ir.label()
        ir.line(f"store i32 {ir.value(f'add i32 {at}, {len(piece)}')}, ptr {place}")
        ir.jump(found)
        ir.begin(onward)
        ir.line(f"store i32 {ir.value(f'add i32 {at}, 1')}, ptr {place}")
        ir.jump(again)
        ir.begin(found)


def _compare(ir: Lines, pointer: str, at: str, piece: tuple[Item, ...], other: str) -> None:
    """Go on where the bytes from `at` on are a piece; else to `other`."""
    start = ir.offset(pointer, at)
    for index, (ranges, inside) in enumerate(piece):
        if not ranges and not inside:
            continue
        byte = ir.value(f"load volatile i8, ptr {ir.offset(start, index)}, align 1")
        within = "false"
        for low, high in ranges:
            distance = ir.value(f"sub i8 {byte}, {low}")
            part = ir.value(f"icmp ule i8 {distance}, {high - low}") if low <= high else "false"
            within = part if within == "false" else ir.value(f"or i1 {within}, {part}")
        _require(ir, f"icmp eq i1 {within}, {'true' if inside else 'false'}", other)


def _require(ir: Lines, condition: str, other: str) -> None:
    """Go on where the condition holds, else to `other`."""
    onward = ir.label()
    ir.branch(ir.value(condition), onward, other)
    ir.begin(onward)
