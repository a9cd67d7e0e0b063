"""Filters: conditions over registers and constants, decided in the target."""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.errors import UsageError
from armprobe.events.record import TYPES, FieldType

_UNSIGNED = TYPES["u32"]
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "&"})


@dataclass(frozen=True, slots=True)
class Register:
    """A register (`r0` to `r12`, `sp`, `lr`, `pc`, `cpsr`) seen as a type."""

    name: str
    type: FieldType = _UNSIGNED


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, -2**31 to 2**32 - 1."""

    value: int


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right`, with `op` out of COMPARISONS; `&` asks whether they share a bit.

    The comparison is of numbers: signed if a side has a signed type. Raises UsageError for two constants, where 32 bits
    cannot hold both sides, and for a constant that the other side's type never has.
    """

    op: str
    left: Register | Constant
    right: Register | Constant

    def __post_init__(self) -> None:
        if isinstance(self.left, Constant) and isinstance(self.right, Constant):
            raise UsageError("a comparison needs a field or a register")
        for side, other in ((self.left, self.right), (self.right, self.left)):
            if isinstance(side, Constant):
                if not -(1 << 31) <= side.value < 1 << 32:
                    raise UsageError(f"{side.value} does not fit in 32 bits")
                if isinstance(other, Register):
                    self._check_constant(side.value, other.type)
            elif isinstance(other, Register) and side.type.signed and _is_unsigned_word(other.type):
                if self.op != "&":
                    raise UsageError(
                        f"{side.type.name} and {other.type.name} do not compare: 32 bits cannot hold both",
                        hint="give both sides a signed or an unsigned type",
                    )

    def _check_constant(self, value: int, kind: FieldType) -> None:
        bits = kind.size * 8
        lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind.signed else (0, (1 << bits) - 1)
        pattern = (self.op in ("==", "!=") and kind.size == 4) or self.op == "&"  # only the bits matter
        if not lowest <= value <= highest and not pattern:
            raise UsageError(
                f"{value} is no {kind.name}: that is {lowest} to {highest}",
                hint="" if kind.signed or value >= 0 else f"write :s{bits} to compare with a sign",
            )

    @property
    def signed(self) -> bool:
        """Whether the comparison is of signed 32-bit numbers."""
        return any(isinstance(side, Register) and side.type.signed for side in (self.left, self.right))


@dataclass(frozen=True, slots=True)
class Not:
    operand: Filter


@dataclass(frozen=True, slots=True)
class And:
    left: Filter
    right: Filter


@dataclass(frozen=True, slots=True)
class Or:
    left: Filter
    right: Filter


Filter = Compare | Not | And | Or


def sources(condition: Filter) -> frozenset[str]:
    """The registers that `condition` reads."""
    match condition:
        case Not(operand):
            return sources(operand)
        case And(left, right) | Or(left, right):
            return sources(left) | sources(right)
        case Compare(_, left, right):
            return frozenset(side.name for side in (left, right) if isinstance(side, Register))


def _is_unsigned_word(kind: FieldType) -> bool:
    return kind.size == 4 and not kind.signed
