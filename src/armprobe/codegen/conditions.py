"""Filters to LLVM's language."""

from __future__ import annotations

from armprobe.codegen.fetch import Fetched, Fetcher
from armprobe.codegen.filters import And, Compare, Constant, Filter, Not, Operand

_PREDICATES = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def condition(fetcher: Fetcher, wanted: Filter) -> str:
    """The i1 that says whether a filter holds."""
    ir = fetcher.ir
    match wanted:
        case Not(operand):
            return ir.value(f"xor i1 {condition(fetcher, operand)}, true")
        case Compare():
            return _comparison(fetcher, wanted)
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


def _operand(fetcher: Fetcher, operand: Operand, bits: int) -> Fetched:
    if isinstance(operand, Constant):
        return str(operand.value & (1 << bits) - 1), None
    return fetcher.operand(operand.source, operand.type, bits)
