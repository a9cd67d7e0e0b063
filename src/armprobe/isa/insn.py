"""One decoded instruction, as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from armprobe.isa.rows import Row
from armprobe.isa.usage import FLAG_BITS, Usage

REGISTER_NAMES = (*(f"r{n}" for n in range(13)), "sp", "lr", "pc")
#: every spelling a user may type -> register number (AAPCS and Linux names)
REGISTER_NUMBERS = {name: n for n, name in enumerate(REGISTER_NAMES)} | {
    "r13": 13, "r14": 14, "r15": 15, "fp": 11, "ip": 12, "sl": 10,
}  # fmt: skip
CONDITIONS = ("eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "", "")
ALWAYS = 14

_N, _Z, _C, _V = (FLAG_BITS[flag] for flag in "NZCV")
#: flags each condition tests (DDI 0406C table A8-1)
CONDITION_FLAGS = (_Z, _Z, _C, _C, _N, _N, _V, _V, _C | _Z, _C | _Z, _N | _V, _N | _V, _N | _Z | _V, _N | _Z | _V, 0, 0)


class InstructionSet(Enum):
    """The instruction set a word belongs to. Tables, so far, are for A32 alone; T32 covers its 16-bit encodings."""

    A32 = "A32"
    T32 = "T32"


def condition_holds(cond: int, cpsr: int) -> bool:
    """Whether condition `cond` (0 to 15) holds for the flags of `cpsr` (DDI 0406C A8.3.1)."""
    n, z, c, v = cpsr >> 31 & 1, cpsr >> 30 & 1, cpsr >> 29 & 1, cpsr >> 28 & 1
    holds = (z, c, n, v, c and not z, n == v, n == v and not z, True)[cond >> 1]
    return bool(holds) != bool(cond & 1) or cond >= ALWAYS


def expand_immediate(imm12: int) -> int:
    """The value of a modified immediate (DDI 0406C A5.2.4)."""
    rotation, byte = 2 * (imm12 >> 8), imm12 & 0xFF
    return (byte >> rotation | byte << 32 - rotation) & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Insn:
    """A valid instruction: the word and the row it matches."""

    word: int
    row: Row

    @property
    def instruction_set(self) -> InstructionSet:
        return InstructionSet.A32

    @property
    def length(self) -> int:
        """Bytes the instruction occupies."""
        return 4

    @property
    def cond(self) -> int:
        """The condition, ALWAYS (14) where the encoding has none."""
        return self.word >> 28 if self.row.conditional else ALWAYS

    @property
    def fields(self) -> dict[str, int]:
        """The fields of the word by the names of its row."""
        return self.row.extract(self.word)

    @property
    def usage(self) -> Usage:
        """What the instruction uses when its condition holds, with the flags its condition tests."""
        usage = self.row.usage(self.word)
        tested = CONDITION_FLAGS[self.cond]
        return usage._replace(flags_read=usage.flags_read | tested) if tested else usage

    @property
    def reads_pc(self) -> bool:
        return bool(self.usage.reads & 0x8000)

    @property
    def writes_pc(self) -> bool:
        return bool(self.usage.writes & 0x8000)

    def target(self, address: int) -> int | None:
        """Where an immediate branch at `address` goes (bit 0 clear), None for any other instruction."""
        fields = self.row.fields
        if "imm24" not in fields or self.row.relocate not in ("branch", "call"):
            return None
        offset = ((self.word & 0xFFFFFF) ^ 0x800000) - 0x800000
        half = (self.word >> 24 & 1) if "H" in fields else 0
        return (address + 8 + offset * 4 + half * 2) & 0xFFFFFFFF
