"""Where a function finds its arguments at its first instruction (AAPCS32 6.4 and 6.5)."""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.symbols.places import (
    ENDLESS,
    ConstantWord,
    InMemory,
    InWord,
    Place,
    RegisterWord,
    Where,
    absent,
    operation,
)
from armprobe.symbols.types import Array, Enumeration, Integer, Opaque, Pointer, Structure, Type

_REGISTERS = 4
_IN_VECTOR_REGISTERS = "in a floating-point register"


def argument_places(types: Sequence[Type], result: Type, *, hard_float: bool, variadic: bool = False) -> list[Place]:
    """The place of each argument, in terms of the registers at the first instruction.

    `hard_float`: floating-point numbers travel in registers of their own, unless the function is variadic. What
    follows an argument whose place types don't tell has none either.
    """
    register = 1 if _returned_in_memory(result) else 0
    stack, lost = 0, ""
    places: list[Place] = []
    for kind in types:
        size, alignment = _size(kind), _alignment(kind)
        if not lost and (size == 0 or alignment is None):
            lost = f"behind an argument of type {kind.name}, whose place types alone do not tell"
        if lost or alignment is None:
            places.append(absent(lost))
            continue
        if hard_float and not variadic and _floats(kind):
            if isinstance(kind, Structure):
                lost = f"behind an argument of type {kind.name}, whose place types alone do not tell"
            # Beyond the sixteen registers they would take words of the stack, which moves what follows there only.
            places.append(absent(lost or _IN_VECTOR_REGISTERS))
            continue
        words = (size + 3) // 4
        if alignment == 8 and register < _REGISTERS:
            register += register % 2
        parts: list[tuple[int, Where]] = []
        if register + words <= _REGISTERS or (register < _REGISTERS and stack == 0):
            taken = min(words, _REGISTERS - register)
            parts += [(4, InWord(RegisterWord(f"r{register + index}"))) for index in range(taken)]
            register, words = register + taken, words - taken
        else:
            register = _REGISTERS
        if words:
            stack += stack % 8 if alignment == 8 else 0
            address = operation("+", RegisterWord("sp"), ConstantWord(stack))
            parts.append((4 * words if parts else ENDLESS, InMemory(address)))
            stack += 4 * words
        places.append(Place(tuple(parts)))
    return places


def result_place(kind: Type, *, hard_float: bool) -> Place:
    """Where the result of a function is when it has returned."""
    if _returned_in_memory(kind):
        # The address was an argument; the callee need not leave it in r0.
        return absent("in memory, at an address that is not known any more")
    if hard_float and _floats(kind):
        return absent(_IN_VECTOR_REGISTERS)
    if _size(kind) == 0:
        return absent("void: the function returns nothing")
    return Place(tuple((4, InWord(RegisterWord(f"r{index}"))) for index in range((_size(kind) + 3) // 4)))


def _size(kind: Type) -> int:
    return kind.size


def _alignment(kind: Type) -> int | None:
    """4 or 8; None where the type does not tell: structures that are packed look like others."""
    if isinstance(kind, Structure):
        return None if _has_doubleword(kind) else 4
    if isinstance(kind, Integer | Enumeration | Opaque):
        return 8 if kind.size == 8 else 4 if kind.size <= 4 else None
    return 4


def _has_doubleword(kind: Type) -> bool:
    match kind:
        case Structure():
            return any(_has_doubleword(member.type) for member in kind.load())
        case Array():
            return _has_doubleword(kind.element)
        case Pointer():
            return False
        case _:
            return kind.size >= 8


def _floats(kind: Type) -> bool:
    """Whether it is a floating-point number, or may be a structure of nothing else."""
    match kind:
        case Structure():
            return any(_floats(member.type) for member in kind.load())
        case Array():
            return _floats(kind.element)
        case Opaque():
            return kind.size > 0
        case _:
            return False


def _returned_in_memory(kind: Type) -> bool:
    """Structures of more than a word; numbers never (AAPCS32 6.5)."""
    return isinstance(kind, Structure) and kind.size > 4
