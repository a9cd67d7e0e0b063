"""Whether a step executed the instruction, or an interrupt came instead; and steps for which interrupts wait."""

from __future__ import annotations

import pytest

from armprobe.targets.base import Registers
from armprobe.targets.stepping import mask_interrupts, unmask_interrupts, was_executed

PC, VECTOR, HANDLER = 0x8100, 0x18, 0x9000
USER, FIQ, IRQ, SUPERVISOR, ABORT = 0x10, 0xD1, 0x92, 0x13, 0x97
#: str; ldr pc; ldm sp!, {pc}^; mrs r3, cpsr
STORE, LOAD_PC, RETURN, READ_CPSR = 0xE5840100, 0xE59FF010, 0xE8FD8000, 0xE10F3000


def registers(pc: int, cpsr: int = SUPERVISOR, *, lr: int = 0x1234, r3: int = 0) -> Registers:
    return Registers([0, 0, 0, r3, *[0] * 10, lr, pc], cpsr)


@pytest.mark.parametrize(
    ("after", "word", "executed"),
    [
        (registers(PC + 4), STORE, True),
        (registers(PC), STORE, False),
        (registers(VECTOR, IRQ, lr=PC + 4), STORE, False),
        (registers(VECTOR, FIQ, lr=PC + 4), STORE, False),
        # The processor stopped at the vector after the instruction, and an interrupt behind it.
        (registers(VECTOR, IRQ, lr=PC + 8), STORE, True),
        # The first instruction at the vector was executed as well: a branch, or the correction of LR.
        (registers(HANDLER, IRQ, lr=PC + 4), STORE, False),
        (registers(HANDLER, IRQ, lr=PC), STORE, False),
        (registers(0x10, ABORT, lr=PC + 8), STORE, False),
        (registers(0x9000), LOAD_PC, True),
        (registers(0x9000, USER), RETURN, True),
        # The handler of a signal.
        (registers(0x9000, lr=0x7000), STORE, False),
    ],
)
def test_a_step_that_executed_is_told_from_one_that_was_interrupted(after, word, executed):
    assert was_executed(registers(PC), after, word) is executed


@pytest.mark.parametrize(
    ("after", "executed"),
    [
        (registers(PC + 2, SUPERVISOR | 0x20), True),
        (registers(PC + 4, SUPERVISOR | 0x20), True),
        (registers(VECTOR, IRQ, lr=PC + 4), False),
        (registers(VECTOR, IRQ, lr=PC + 6), True),
        (registers(0x9000, SUPERVISOR | 0x20), True),  # pop {pc}
    ],
)
def test_t32_instructions_are_told_apart_without_a_look_at_them(after, executed):
    assert was_executed(registers(PC, SUPERVISOR | 0x20), after, None) is executed


@pytest.mark.parametrize("word", [0xE8FD8000, 0xE321F0D3, 0xEF000000, 0xF10C0080, 0xE320F003])
def test_what_looks_at_the_masks_or_changes_them_is_stepped_as_it_is(word):
    regs = registers(PC)
    assert not mask_interrupts(regs, word)
    assert regs.cpsr == SUPERVISOR


@pytest.mark.parametrize(("masks", "flags"), [(0, 0x60000000), (0x80, 0), (0x40, 0), (0xC0, 0)])
def test_the_masks_are_as_before_after_the_step_and_so_is_what_was_read_of_them(masks, flags):
    before = registers(PC, SUPERVISOR | masks)
    stepped = before.copy()
    assert mask_interrupts(stepped, READ_CPSR)
    assert stepped.cpsr == SUPERVISOR | 0xC0
    after = registers(PC + 4, stepped.cpsr | flags, r3=stepped.cpsr)
    unmask_interrupts(before, after, READ_CPSR)
    assert (after.cpsr, after.r3) == (SUPERVISOR | masks | flags, SUPERVISOR | masks)
