"""What a filter means, said once more in Python."""

from __future__ import annotations

import operator
from collections.abc import Callable

from armprobe.codegen.filters import And, Compare, Constant, Filter, Not, Or
from armprobe.events.record import FieldType

_COMPARISONS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "&": operator.and_,
}


def convert(kind: FieldType, value: int) -> int:
    """The number that the 32 bits of a register are as a type."""
    bits = kind.size * 8
    value %= 1 << bits
    return value - (1 << bits) if kind.style == "s" and value >= 1 << bits - 1 else value


def holds(condition: Filter, read: Callable[[str], int]) -> bool:
    """Whether `condition` holds; `read` gives the 32 bits of a register by name."""
    match condition:
        case Not(operand):
            return not holds(operand, read)
        case And(left, right):
            return holds(left, read) and holds(right, read)
        case Or(left, right):
            return holds(left, read) or holds(right, read)
        case Compare(op, left, right):
            sides = [side.value if isinstance(side, Constant) else convert(side.type, read(side.name))
                     for side in (left, right)]  # fmt: skip
            if op in ("==", "!=", "&"):
                sides = [side % (1 << 32) for side in sides]  # the bits
            return bool(_COMPARISONS[op](*sides))
