"""The types of values in compiled handlers: machine words, whose arithmetic is modulo 2^bits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Type:
    """A word of `bits` bits, seen as a number with or without a sign; 1 bit is a truth value."""

    bits: int
    signed: bool

    @property
    def name(self) -> str:
        if self.bits == 0:
            return "string"
        return "bool" if self.bits == 1 else f"{'s' if self.signed else 'u'}{self.bits}"

    @property
    def lowest(self) -> int:
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def highest(self) -> int:
        return (1 << self.bits - self.signed) - 1

    def holds(self, value: int) -> bool:
        return self.lowest <= value <= self.highest

    def wrap(self, value: int) -> int:
        """The number of this type that is `value` modulo 2^bits."""
        value &= (1 << self.bits) - 1
        return value - (1 << self.bits) if self.signed and value >> self.bits - 1 else value


BOOL = Type(1, False)
#: no word: the bytes of a string
TEXT = Type(0, False)
U32, S32, U64, S64 = Type(32, False), Type(32, True), Type(64, False), Type(64, True)


def common_type(left: Type, right: Type) -> Type | None:
    """The type that holds all numbers of both types; None if no word does (u32 and s32, u64 and a signed type)."""
    if left == right:
        return left
    if BOOL in (left, right) or TEXT in (left, right):
        return None
    if left.signed == right.signed:
        return left if left.bits > right.bits else right
    unsigned, signed = (right, left) if left.signed else (left, right)
    return signed if signed.bits > unsigned.bits else None


def word_for(*numbers: int) -> Type | None:
    """The first of u32, s32, u64, s64 that holds all of the numbers; None if there is none."""
    return next((kind for kind in (U32, S32, U64, S64) if all(map(kind.holds, numbers))), None)


def shift_left(kind: Type, value: int, distance: int) -> int:
    """`value << distance` in a word; 0 once the distance is the width of the word or more."""
    return kind.wrap(value << distance) if distance < kind.bits else 0
