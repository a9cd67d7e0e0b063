"""What a relocation is made of: steps, which `codegen` assembles where they will stand."""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.isa.insn import Insn
from armprobe.isa.instruction_set import InstructionSet


@dataclass(frozen=True, slots=True)
class Word:
    """One instruction of `size` bytes, executed as it is; the first halfword of four bytes of T32 is the upper one."""

    word: int
    size: int = 4


@dataclass(frozen=True, slots=True)
class InBlock:
    """A 16-bit T32 instruction, executed as in an IT block, where it leaves alone the flags that it sets outside."""

    word: int


@dataclass(frozen=True, slots=True)
class Constant:
    """`register` := `value`; no flag and no other register changes."""

    register: int
    value: int


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on at `target` (bit 0 set: in T32); no register and no flag changes."""

    target: int


@dataclass(frozen=True, slots=True)
class CompareJump:
    """Go on at `target` (bit 0 set) if `register`, one of r0 to r7, is zero, or with `nonzero` if it is not: T32."""

    register: int
    nonzero: bool
    target: int


Step = Word | InBlock | Constant | Jump | CompareJump


@dataclass(frozen=True, slots=True)
class Relocation:
    """How the instruction at `address` is executed elsewhere.

    `verbatim`: the only step is the instruction itself, with condition AL if it has a condition. `falls_through`:
    control can reach the end of the steps, so that a way back to the next instruction must follow.
    """

    address: int
    insn: Insn
    steps: tuple[Step, ...]
    verbatim: bool
    falls_through: bool

    @property
    def way_back(self) -> int:
        """The next instruction, as `Jump` takes it."""
        thumb = self.insn.instruction_set is InstructionSet.T32
        return (self.address + self.insn.length | thumb) & 0xFFFFFFFF
