"""An assembler for T32 code that we make: the steps of relocations, conditions around them, and jumps of any distance.

`armprobe.isa.encode_t32` knows the instructions. A condition is that of an IT instruction where one instruction is all
that depends on it, so that a 16-bit one keeps its meaning, and else a branch around.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from armprobe.errors import InternalError
from armprobe.isa import encode_t32 as t32
from armprobe.isa.branch_t32 import branch_t32, reaches_t32
from armprobe.isa.insn import ALWAYS
from armprobe.isa.steps import CompareJump, Constant, InBlock, Jump, Relocation, Step, Word

_PC = 15
_ADDRESS = 0xFFFFFFFF


class AssemblerT32:
    """Builds T32 code that will stand at `base`, a multiple of 4: architecture 7, or 6T2."""

    def __init__(self, base: int) -> None:
        if base % 4:
            raise InternalError(f"code with literals starts at a multiple of 4, not at 0x{base:08x}")
        self.base = base
        self._halves: list[int] = []
        #: value -> indices of the loads from it
        self._literals: dict[int, list[int]] = {}

    @property
    def here(self) -> int:
        """The address of the next instruction."""
        return self.base + 2 * len(self._halves)

    def word(self, word: Word) -> None:
        """Append one instruction."""
        self._halves += [word.word >> 16, word.word & 0xFFFF] if word.size == 4 else [word.word]

    def emit_constant(self, register: int, value: int) -> None:
        """Set `register`, which is not SP or PC, to `value`; no flag and no other register changes."""
        self.word(t32.movw(register, value & 0xFFFF))
        if value >> 16:
            self.word(t32.movt(register, value >> 16))

    def emit_jump(self, target: int) -> None:
        """Go to `target` (bit 0 set: in T32); no register and no flag changes."""
        if target & 3 == 2:
            raise InternalError(f"0x{target:08x} is no place for A32 code")
        if target & 1 and reaches_t32(self.here, target & ~1):
            self._bytes(branch_t32("b.w", self.here, target & ~1))
        else:
            self._literals.setdefault(target, []).append(len(self._halves))
            self.word(t32.ldr_literal(_PC, 0))

    def emit_steps(self, steps: Iterable[Step]) -> None:
        """Assemble the steps of a relocation."""
        for step in steps:
            match step:
                case Word():
                    self.word(step)
                case InBlock(word):
                    self.word(t32.it(ALWAYS))
                    self.word(Word(word, 2))
                case Constant(register, value):
                    self.emit_constant(register, value)
                case Jump(target):
                    self.emit_jump(target)
                case CompareJump(register, nonzero, target):
                    start = self._leave_room()
                    self.emit_jump(target)
                    pc = self.base + 2 * start + 4
                    self._halves[start] = t32.cbz(register, self.here - pc, nonzero=not nonzero).word

    def emit_run(self, relocations: Sequence[Relocation]) -> None:
        """Assemble successive instructions, each under its condition, which is tested when its turn comes."""
        for relocation in relocations:
            cond, steps = relocation.insn.cond, relocation.steps
            if cond == ALWAYS or not steps:
                self.emit_steps(steps)
            elif len(steps) == 1 and isinstance(steps[0], Word | InBlock):
                self.word(t32.it(cond))
                self.word(steps[0] if isinstance(steps[0], Word) else Word(steps[0].word, 2))
            else:
                start = self._leave_room()
                self.emit_steps(steps)
                place = self.base + 2 * start
                (self._halves[start],) = struct.unpack("<H", branch_t32("b", place, self.here, cond=cond ^ 1))

    def finish(self) -> bytes:
        """Place the literals and return the code. The assembler is used up."""
        if self._literals and len(self._halves) % 2:
            self.word(t32.NOP)
        for value, loads in self._literals.items():
            for index in loads:
                pc = self.base + 2 * index + 4 & ~3
                load = t32.ldr_literal(_PC, self.here - pc)
                self._halves[index : index + 2] = [load.word >> 16, load.word & 0xFFFF]
            self._halves += [value & 0xFFFF, value >> 16]
        return struct.pack(f"<{len(self._halves)}H", *self._halves)

    def _leave_room(self) -> int:
        """The index of a halfword that is known later."""
        self.word(t32.NOP)
        return len(self._halves) - 1

    def _bytes(self, code: bytes) -> None:
        self._halves += struct.unpack(f"<{len(code) // 2}H", code)
