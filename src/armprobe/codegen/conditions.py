"""Filters to LLVM's language."""

from __future__ import annotations

from armprobe.codegen import memory
from armprobe.codegen.fetch import Fetched, Fetcher
from armprobe.codegen.filters import And, Compare, CompareText, Constant, Filter, Not, Operand
from armprobe.codegen.python_emit import emit_condition
from armprobe.codegen.python_tree import Condition

_PREDICATES = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def condition(fetcher: Fetcher, wanted: Filter) -> str:
    """The i1 that says whether a filter holds."""
    ir = fetcher.ir
    match wanted:
        case Not(operand):
            return ir.value(f"xor i1 {condition(fetcher, operand)}, true")
        case Compare():
            return _comparison(fetcher, wanted)
        case CompareText():
            return _text_comparison(fetcher, wanted)
        case Condition():
            return emit_condition(
                ir, wanted, readable=fetcher.readable, has_clz=fetcher.has_clz, register=fetcher.register
            )
        case _:
            word = "and" if isinstance(wanted, And) else "or"
            return ir.value(f"{word} i1 {condition(fetcher, wanted.left)}, {condition(fetcher, wanted.right)}")


def _comparison(fetcher: Fetcher, wanted: Compare) -> str:
    ir, kind = fetcher.ir, f"i{wanted.bits}"
    sides = [_operand(fetcher, side, wanted.bits) for side in (wanted.left, wanted.right)]
    values = f"{sides[0][0]}, {sides[1][0]}"
    if wanted.op == "&":
        result = ir.value(f"icmp ne {kind} {ir.value(f'and {kind} {values}')}, 0")
    else:
        sign = "" if wanted.op in ("==", "!=") else "s" if wanted.signed else "u"
        result = ir.value(f"icmp {sign}{_PREDICATES[wanted.op]} {kind} {values}")
    for _, good in sides:
        if good is not None:
            result = ir.value(f"and i1 {result}, {good}")
    return result


def _text_comparison(fetcher: Fetcher, wanted: CompareText) -> str:
    """Byte by byte, with the zero, and only where there are as many."""
    ir, data = fetcher.ir, wanted.text + b"\0"
    address, length = fetcher.text(wanted.source, len(data))
    same, looking, end = ir.variable("i1", "false"), ir.label(), ir.label()
    ir.branch(ir.value(f"icmp eq i32 {length}, {len(data)}"), looking, end)
    ir.begin(looking)
    pointer = ir.value(f"inttoptr i32 {address} to ptr")
    if fetcher.readable.walked:
        pointer, copied = ir.variable(f"[{-(-len(data) // 4)} x i32]"), ir.label()
        ir.branch(memory.copy(ir, address, pointer, length, fetcher.readable), copied, end)
        ir.begin(copied)
    for index, byte in enumerate(data):
        onward = ir.label()
        found = ir.value(f"load volatile i8, ptr {ir.offset(pointer, index)}, align 1")
        ir.branch(ir.value(f"icmp eq i8 {found}, {byte}"), onward, end)
        ir.begin(onward)
    ir.line(f"store i1 true, ptr {same}")
    ir.jump(end)
    ir.begin(end)
    equal = ir.value(f"load i1, ptr {same}")
    if wanted.equal:
        return equal
    return ir.value(f"and i1 {ir.value(f'icmp ne i32 {length}, 0')}, {ir.value(f'xor i1 {equal}, true')}")


def _operand(fetcher: Fetcher, operand: Operand, bits: int) -> Fetched:
    if isinstance(operand, Constant):
        return str(operand.value & (1 << bits) - 1), None
    return fetcher.operand(operand.source, operand.type, bits)
