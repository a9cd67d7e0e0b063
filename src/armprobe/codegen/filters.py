"""Filters: conditions over fields, registers and constants, decided in the target."""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.codegen.python_tree import Condition
from armprobe.codegen.text_pattern import TextPattern
from armprobe.errors import UsageError
from armprobe.events.record import TYPES, FieldType
from armprobe.events.source import Computed, KnownText, Memory, Source

_UNSIGNED = TYPES["u32"]
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "&"})


@dataclass(frozen=True, slots=True)
class Register:
    """A register (`r0` to `r12`, `sp`, `lr`, `pc`, `cpsr`) seen as a type."""

    name: str
    type: FieldType = _UNSIGNED

    @property
    def source(self) -> Source:
        return self.name


@dataclass(frozen=True, slots=True)
class Fetch:
    """A field that is not a register as it stands: memory, or a constant of a definition."""

    source: Source
    type: FieldType


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, -2**63 to 2**64 - 1."""

    value: int


Operand = Register | Fetch | Constant


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right`, with `op` out of COMPARISONS; `&` asks whether they share a bit.

    The comparison is of numbers: signed if a side has a signed type, of 64 bits if a side has. It does not hold when
    memory that it needs can't be read. Raises UsageError for two constants, where so many bits cannot hold both sides,
    for a constant that the other side's type never has, and for what is no number.
    """

    op: str
    left: Operand
    right: Operand

    def __post_init__(self) -> None:
        if isinstance(self.left, Constant) and isinstance(self.right, Constant):
            raise UsageError("a comparison needs a field or a register")
        for side, other in ((self.left, self.right), (self.right, self.left)):
            if isinstance(side, Constant):
                if not -(1 << self.bits - 1) <= side.value < 1 << self.bits:
                    raise UsageError(f"{side.value} does not fit in {self.bits} bits")
                if not isinstance(other, Constant):
                    self._check_constant(side.value, other.type)
                continue
            if side.type.count or side.type.style in ("string", "symstr", "text"):
                raise UsageError(
                    f"a field of type {side.type.name} can't be compared yet",
                    hint="numbers and strings can: +0(%r0):u8 is a number",
                )
            if not isinstance(other, Constant) and side.type.signed and self._fills(other.type):
                if self.op != "&":
                    raise UsageError(
                        f"{side.type.name} and {other.type.name} do not compare: {self.bits} bits cannot hold both",
                        hint="give both sides a signed or an unsigned type",
                    )

    def _check_constant(self, value: int, kind: FieldType) -> None:
        bits = kind.bits[0] if kind.bits is not None else kind.size * 8
        lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind.signed else (0, (1 << bits) - 1)
        pattern = (self.op in ("==", "!=") and bits == self.bits) or self.op == "&"  # only the bits matter
        if not lowest <= value <= highest and not pattern:
            raise UsageError(
                f"{value} is no {kind.name}: that is {lowest} to {highest}",
                hint="" if kind.signed or value >= 0 or kind.bits else f"write :s{bits} to compare with a sign",
            )

    @property
    def signed(self) -> bool:
        """Whether the comparison is of signed numbers."""
        return any(not isinstance(side, Constant) and side.type.signed for side in (self.left, self.right))

    @property
    def bits(self) -> int:
        """The width of the comparison: 32 or 64."""
        sizes = [side.type.size for side in (self.left, self.right) if not isinstance(side, Constant)]
        return 64 if 8 in sizes else 32

    def _fills(self, kind: FieldType) -> bool:
        """Whether the numbers of an unsigned type need all bits."""
        return kind.size * 8 == self.bits and not kind.signed and kind.bits is None


@dataclass(frozen=True, slots=True)
class CompareText:
    """Whether the string at `source` matches; with `equal` false, whether it can be read and does not.

    It is read up to its end, or as far as the pattern needs.
    """

    source: Memory | KnownText
    pattern: TextPattern
    equal: bool


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


Filter = Compare | CompareText | Not | And | Or | Condition


def maps_read(condition: Filter) -> frozenset[int]:
    """The addresses of the maps that `condition` looks at."""
    match condition:
        case Condition():
            return frozenset(address for _, address in condition.maps)
        case Not(operand):
            return maps_read(operand)
        case And(left, right) | Or(left, right):
            return maps_read(left) | maps_read(right)
    return frozenset()


def sources(condition: Filter) -> frozenset[Source]:
    """The registers and the memory that `condition` looks at."""
    match condition:
        case Condition(_, reads):
            return frozenset({Computed(reads)})
        case Not(operand):
            return sources(operand)
        case And(left, right) | Or(left, right):
            return sources(left) | sources(right)
        case CompareText(source):
            return frozenset({source})
        case Compare(_, left, right):
            return frozenset(side.source for side in (left, right) if not isinstance(side, Constant))
