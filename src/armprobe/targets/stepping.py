"""Single steps of a processor that has interrupts: a stub that does not mask them may take one instead of the step.

QEMU masks them unless it is told not to (`maintenance packet Qqemu.sstep`), OpenOCD on some processors
(`cortex_a maskisr`), and a process may get a signal.
"""

from __future__ import annotations

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.insn import Insn
from armprobe.isa.usage import ALL_FLAGS
from armprobe.targets.base import CPSR_MODE, CPSR_T, Registers

#: CPSR.I and CPSR.F: interrupts wait
MASKED = 0xC0
#: what an instruction does that changes with the masks, or changes them
_ABOUT_MASKS = frozenset({"mode", "exception", "exception_return", "jazelle", "wait"})
#: exception modes -> how far behind an instruction LR points that was not executed. It may be corrected by the first
#: instruction at the vector (DDI 0406C B1.8.3)
_NOT_EXECUTED = {0x11: (0, 4), 0x12: (0, 4), 0x16: (0, 4), 0x17: (0, 4, 8)}


def was_executed(before: Registers, after: Registers, word: int | None) -> bool:
    """Whether a step from `before` to `after` executed the instruction at PC, which was no call and no SVC.

    Else an interrupt, an abort or a signal came instead. `word` is the A32 instruction; None: a T32 one.
    """
    if after.pc == before.pc:
        return False
    if after.pc - before.pc & 0xFFFFFFFF in ((2, 4) if before.cpsr & CPSR_T else (4,)):
        return True
    mode = after.cpsr & CPSR_MODE
    if mode != before.cpsr & CPSR_MODE and mode in _NOT_EXECUTED:
        return after.lr - before.pc & 0xFFFFFFFF not in _NOT_EXECUTED[mode]
    if word is None:
        return after.lr == before.lr
    insn = _decoded(word)
    return insn is not None and insn.writes_pc


def mask_interrupts(registers: Registers, word: int | None) -> bool:
    """Let interrupts wait for the step of an instruction, `word` as above; False where it would see that."""
    insn = None if word is None else _decoded(word)
    if word is not None and (insn is None or not insn.row.effects.isdisjoint(_ABOUT_MASKS)):
        return False
    registers.cpsr |= MASKED
    return True


def unmask_interrupts(before: Registers, after: Registers, word: int | None) -> None:
    """Undo `mask_interrupts` in the registers `after` the step."""
    if after.cpsr & CPSR_MODE == before.cpsr & CPSR_MODE:
        after.cpsr = after.cpsr & ~MASKED | before.cpsr & MASKED
    insn = None if word is None else _decoded(word)
    if insn is not None and insn.usage.flags_read == ALL_FLAGS and after.pc != before.pc:
        # MRS has read the masks.
        for number in range(15):
            if insn.usage.writes == 1 << number:
                after.values[number] = after.values[number] & ~MASKED | before.cpsr & MASKED


def _decoded(word: int) -> Insn | None:
    try:
        return decode(word)
    except Refused:
        return None
