"""The two instruction sets of AArch32 and how their encodings lie in memory.

An instruction is one number here. A 32-bit encoding of T32 is its first halfword above its second, as the manual
shows it (DDI 0406C A6.1); no 16-bit encoding is the first halfword of a longer one, so that the number tells its size.
"""

from __future__ import annotations

from enum import Enum


class InstructionSet(Enum):
    """The instruction set a word belongs to. T32 covers its 16-bit encodings."""

    A32 = "A32"
    T32 = "T32"

    @property
    def pc_offset(self) -> int:
        """How far beyond its own address an instruction reads PC (DDI 0406C A2.3)."""
        return 8 if self is InstructionSet.A32 else 4


def is_wide(halfword: int) -> bool:
    """Whether `halfword` is the first half of a 32-bit T32 instruction (DDI 0406C A6.1)."""
    return halfword >= 0xE800


def join(first: int, second: int) -> int:
    """Return the T32 instruction that begins with `first`; `second`, which follows it, counts if it is 32 bits long."""
    return first << 16 | second if is_wide(first) else first


def show(word: int, instruction_set: InstructionSet) -> str:
    """Return an instruction in hexadecimal, with the digits that its size has."""
    return f"0x{word:0{4 if instruction_set is InstructionSet.T32 and word < 0x10000 else 8}x}"


def to_bytes(word: int, instruction_set: InstructionSet) -> bytes:
    """Return an instruction as it lies in memory, little-endian."""
    if instruction_set is InstructionSet.A32:
        return word.to_bytes(4, "little")
    if word < 0x10000:
        return word.to_bytes(2, "little")
    return (word >> 16 | (word & 0xFFFF) << 16).to_bytes(4, "little")
