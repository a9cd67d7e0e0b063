"""One instruction and a new place for it: a plan of steps that leave every effect as it was, or Refused.

The plan holds steps, not bytes: `codegen` assembles them where they will stand. The condition of the instruction is
tested before its copy is reached (by the trap handler, or by the branch at the site), so every step is unconditional.
In T32 the steps are executed outside of an IT block, whatever they were made of.

No branch leads back into an IT block with the state that its instructions need. So an IT instruction, and one in a
block that does not end it, is displaced together with all that follow in the block: `relocate_run` plans each, and
codegen tests the condition of each when its turn comes, as an instruction in between may set flags.

What a plan guarantees when it ran to its end: every register, flag and instruction-set state, the final PC and every
byte of memory are as the original instruction would have left them. Memory below SP is used as an interrupt handler
would use it (AAPCS 6.2.1.1: a program keeps nothing there). Nothing live ever lies below SP, SP always points to the
program's stack, and no fixed memory is written: an interrupt, a signal, or another CPU in the same copy do no harm.

What it guarantees when one of its steps faults: the access that faults is the original's, made with the same rights;
the faulting step can be executed again where it stands, as demand paging does. A verbatim copy, and one whose scratch
is a register that the instruction overwrites anyway, can also be executed again from the original address. A copy that
spilled leaves SP lowered and its scratch registers changed. A spill needs an SP that points to memory.

Not preserved: what an instruction reads when it reads its own word as data, because there the probe stands. With an
immediate offset that is refused; with an offset in a register nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.isa.insn import Insn
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.relocate_a32 import relocate_a32
from armprobe.isa.relocate_t32 import relocate_run_t32, relocate_t32
from armprobe.isa.steps import Relocation


def relocate(insn: Insn, address: int, *, architecture: int = 7) -> Relocation:
    """Plan the execution of `insn`, which stands at `address`, at another place.

    `architecture` is that of the target: before 7, an ALU instruction that writes PC does not interwork, and the plan
    keeps it so; T32 takes 7. Raises Refused with the reason.
    """
    if insn.instruction_set is InstructionSet.T32:
        return relocate_t32(insn, address, architecture)
    return relocate_a32(insn, address, architecture)


def relocate_run(insns: Sequence[Insn], address: int, *, architecture: int = 7) -> tuple[Relocation, ...]:
    """Plan the execution of successive T32 instructions, the first at `address`, at another place.

    The first may stand in an IT block, but the last ends outside of one. Each relocation is that of one instruction
    and is reached if its condition holds when its turn comes; IT itself has none. Raises Refused with the reason.
    """
    return relocate_run_t32(insns, address, architecture)
