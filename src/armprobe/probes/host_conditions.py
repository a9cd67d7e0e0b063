"""Conditions of host handlers, decided on the host.

The target decides them too, but where several probes share a place it stops for any of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

from armprobe.codegen.filters import And, Compare, CompareText, Constant, Filter, Not, Operand, Or
from armprobe.codegen.python_host import Fault, read_text
from armprobe.codegen.words import Type
from armprobe.errors import InternalError
from armprobe.events.source import KnownText, Memory, Number, Operation, Read, Source, Wide
from armprobe.symbols.places import compute

_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "&": operator.and_,
}  # fmt: skip
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Looking:
    """What a condition looks at: registers by name, memory, (address, size) to bytes or Fault, and what is known."""

    register: Callable[[str], int]
    read: Callable[[int, int], bytes]
    value: Callable[[Read], int]
    text: Callable[[KnownText], bytes]


def holds(condition: Filter, looking: Looking) -> bool:
    """Whether a filter holds, as target code would decide it."""
    match condition:
        case Not(operand):
            return not holds(operand, looking)
        case And(left, right):
            return holds(left, looking) and holds(right, looking)
        case Or(left, right):
            return holds(left, looking) or holds(right, looking)
        case Compare(op, left, right):
            word = Type(condition.bits, condition.signed)
            try:
                sides = [word.wrap(_number(side, looking)) for side in (left, right)]
            except Fault:
                return False
            return bool(_OPERATORS[op](*sides))
        case CompareText(KnownText() as source, pattern, equal):
            return pattern.matches(looking.text(source)) is equal
        case CompareText(source, pattern, equal):
            assert isinstance(source, Memory)
            try:
                return pattern.matches(read_text(looking.read, _address(source, looking), pattern.most)) is equal
            except Fault:
                return False
    raise InternalError(f"{condition!r} is not decided by its tree")


def _number(operand: Operand, looking: Looking) -> int:
    if isinstance(operand, Constant):
        return operand.value
    kind = operand.type
    value = _value(operand.source, kind.size, looking) & (1 << 8 * kind.size) - 1
    width, low = kind.bits or (8 * kind.size, 0)
    return Type(width, kind.signed).wrap(value >> low)


def _value(source: Source, size: int, looking: Looking) -> int:
    match source:
        case str():
            return looking.register(source)
        case Number(value):
            return value & _WORD
        case Memory():
            return int.from_bytes(looking.read(_address(source, looking), size), "little")
        case Read():
            return looking.value(source)
        case Operation(op, left, right):
            return compute(op, _word(left, looking), _word(right, looking))
        case Wide(low, high):
            return _word(high, looking) << 32 | _word(low, looking)
    raise InternalError(f"{source!r} is not read on the host")


def _word(source: Source, looking: Looking) -> int:
    """A part of another source."""
    return _value(source, source.size if isinstance(source, Memory) else 4, looking) & _WORD


def _address(source: Memory, looking: Looking) -> int:
    return _word(source.base, looking) + source.offset & _WORD
