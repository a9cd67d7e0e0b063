"""Filters to LLVM's language."""

from __future__ import annotations

from functools import partial

from armprobe.codegen.fetch import Fetched, Fetcher
from armprobe.codegen.filters import And, Compare, CompareText, Constant, Filter, Not, Operand
from armprobe.codegen.ir import Lines
from armprobe.codegen.map_reader import read_map
from armprobe.codegen.python_emit import emit_condition
from armprobe.codegen.python_tree import Condition
from armprobe.codegen.read_value import read_value
from armprobe.codegen.text_matcher import match_known_text, match_text
from armprobe.codegen.words import Type
from armprobe.events.source import KnownText

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
            moment = {name: fetcher.fetch(source, size)[0] for name, source, size in wanted.moment}
            return emit_condition(
                ir, wanted, readable=fetcher.readable, has_clz=fetcher.has_clz, register=fetcher.register,
                moment=moment.__getitem__, read_map=partial(_read_map, ir, wanted),
            )  # fmt: skip
        case _:
            word = "and" if isinstance(wanted, And) else "or"
            return ir.value(f"{word} i1 {condition(fetcher, wanted.left)}, {condition(fetcher, wanted.right)}")


def map_symbol(address: int) -> str:
    """The symbol of a map that a condition reads, for its address."""
    return f"map_{address:08x}"


def _read_map(ir: Lines, wanted: Condition, number: int, key: str | list[str] | None, kind: Type | None) -> str:
    shape, address = wanted.maps[number]
    return read_map(ir, map_symbol(address), shape, key, kind)


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
    ir = fetcher.ir
    if isinstance(wanted.source, KnownText):
        place = read_value(ir, wanted.source.address, fetcher.register)
        same = match_known_text(ir, place, wanted.source.size, wanted.pattern)
        return same if wanted.equal else ir.value(f"xor i1 {same}, true")
    address, length = fetcher.text(wanted.source, wanted.pattern.most)
    result, looking, end = ir.variable("i1"), ir.label(), ir.label()
    ir.line(f"store i1 false, ptr {result}")
    ir.branch(ir.value(f"icmp eq i32 {length}, 0"), end, looking)
    ir.begin(looking)
    same = match_text(ir, address, length, wanted.pattern, fetcher.readable, end)
    ir.line(f"store i1 {same if wanted.equal else ir.value(f'xor i1 {same}, true')}, ptr {result}")
    ir.jump(end)
    ir.begin(end)
    return ir.value(f"load i1, ptr {result}")


def _operand(fetcher: Fetcher, operand: Operand, bits: int) -> Fetched:
    if isinstance(operand, Constant):
        return str(operand.value & (1 << bits) - 1), None
    return fetcher.operand(operand.source, operand.type, bits)
