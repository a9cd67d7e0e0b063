"""The out-of-line copy of a case: its code, and which instruction of the program each place in it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from armprobe.codegen.assembler import Assembler
from armprobe.codegen.assembler_t32 import AssemblerT32
from armprobe.isa.decoder import decode
from armprobe.isa.insn import ALWAYS
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.steps import Constant, InBlock, Relocation, Step, Word


@dataclass(frozen=True, slots=True)
class Copy:
    """Code at `address`; `parts` are where each displaced instruction begins, in the order of their execution."""

    address: int
    code: bytes
    parts: tuple[tuple[int, Relocation], ...]

    @property
    def places(self) -> range:
        """Where the copy lies."""
        return range(self.address, self.address + len(self.code))

    @property
    def verbatim(self) -> bool:
        """Whether it has the instructions of the program as they are, and no steps of ours."""
        return all(
            relocation.verbatim or (len(relocation.steps) == 1 and isinstance(relocation.steps[0], InBlock))
            for _, relocation in self.parts
        )

    def original(self, pc: int) -> int:
        """Where the program is when PC may be in the copy."""
        found = self._part(pc)
        if found is None:
            return pc
        start, relocation = found
        insn = relocation.insn
        if insn.instruction_set is InstructionSet.T32 and insn.cond != ALWAYS:
            start += 2  # the IT instruction of the copy
        return relocation.address + (max(0, pc - start) if relocation.verbatim else 0)

    def excused(self, pc: int) -> tuple[int, int]:
        """The core and vector registers that may differ when a step faults at `pc`.

        They may hold something of ours; and in an IT block Unicorn 2.1.4 completes what faults.
        """
        found = self._part(pc)
        if found is None:
            return 0, 0
        relocation, core, vector = found[1], 0, 0
        if relocation.insn.it:
            core, vector = relocation.insn.usage.writes, relocation.insn.usage.vector_writes
        if not relocation.verbatim:
            for step in relocation.steps:
                core |= _written(step, relocation.insn.instruction_set)
        return core, vector

    def _part(self, pc: int) -> tuple[int, Relocation] | None:
        if not self.address <= pc <= self.address + len(self.code):
            return None
        return [part for part in self.parts if part[0] <= pc][-1]


def make_copy(relocations: Sequence[Relocation], address: int) -> Copy:
    """Assemble the copy for `address` with its way back."""
    last = relocations[-1]
    if last.insn.instruction_set is InstructionSet.A32:
        asm = Assembler(address)
        asm.emit_steps(last.steps)
        if last.falls_through:
            asm.emit_jump(last.way_back)
        return Copy(address, asm.finish().data, ((address, last),))
    t32, parts = AssemblerT32(address), []
    for relocation in relocations:
        parts.append((t32.here, relocation))
        t32.emit_run((relocation,))
    if last.falls_through or last.insn.cond != ALWAYS:
        t32.emit_jump(last.way_back)
    return Copy(address, t32.finish(), tuple(parts))


def _written(step: Step, instruction_set: InstructionSet) -> int:
    match step:
        case Word(word) | InBlock(word):
            return decode(word, instruction_set).usage.writes
        case Constant(register):
            return 1 << register
    return 0
