"""One decoded instruction, as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.isa import itstate
from armprobe.isa.instruction_set import InstructionSet, to_bytes
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
    """A valid instruction: the word and the row it matches.

    `it` is the ITSTATE it is executed with (see `itstate`): 0 outside of an IT block, and in A32.
    """

    word: int
    row: Row
    it: int = 0

    @property
    def instruction_set(self) -> InstructionSet:
        return self.row.instruction_set

    @property
    def length(self) -> int:
        """Bytes the instruction occupies."""
        return self.row.length

    @property
    def code(self) -> bytes:
        """The instruction as it lies in memory, little-endian."""
        return to_bytes(self.word, self.instruction_set)

    @property
    def cond(self) -> int:
        """The condition: of the encoding if it has one, else of the IT block; ALWAYS (14) where there is none."""
        if "cond" in self.row.fields:
            shift, mask = self.row.fields["cond"]
            return self.word >> shift & mask
        return ALWAYS if "unconditional" in self.row.effects else itstate.condition(self.it)

    @property
    def fields(self) -> dict[str, int]:
        """The fields of the word by the names of its row, and what the row derives from them (`Row.let`)."""
        return self.row.values(self.word)

    @property
    def usage(self) -> Usage:
        """What the instruction uses when its condition holds, with the flags its condition tests."""
        usage = self.row.usage(self.word, self.it)
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
        return self.row.branch_target(self.word, address + self.instruction_set.pc_offset)
