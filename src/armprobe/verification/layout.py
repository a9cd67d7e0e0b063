"""Where things stand in the small address space that the sweep runs in. Every region is far from the others."""

from __future__ import annotations

from armprobe.isa.instruction_set import InstructionSet

#: The probed instructions: one slot a case, with enough memory around for literals on both sides. The sizes make
#: addresses of all remainders modulo 8; a T32 slot has room for an IT block and what stops after it.
SLOT_SIZES = {InstructionSet.A32: 12, InstructionSet.T32: 26}
PAD = 0x2000
CODE, CODE_SIZE = 0x00400000, 0x10000
FIRST_SLOT = CODE + PAD
#: The out-of-line copies, within reach of a branch.
COPIES, COPY_SIZE = 0x00600000, 256
#: Data that base registers point to, and the stack. An offset of 12 bits stays inside from the middle of both.
DATA, STACK, REGION_SIZE = 0x10000000, 0x20000000, 0x4000
#: Targets for branches. What stands there is undefined in A32 and at either half in T32 (0xe7ff goes on to the next
#: half): nothing lasting happens where an engine does not stop before it.
STOP, STOP_SIZE = 0x30000000, 0x1000
STOP_WORD = 0xE7FFDEF0
STOP_CODE = STOP_WORD.to_bytes(4, "little")
#: what stands after the instructions of a case; after T32, where `bx pc` leads to, is an undefined word of A32 as well
AFTER = {InstructionSet.A32: STOP_CODE, InstructionSet.T32: STOP_CODE + b"\xf0\xe7"}


def slots(instruction_set: InstructionSet) -> int:
    """How many cases have a slot of their own."""
    return (CODE_SIZE - 2 * PAD) // SLOT_SIZES[instruction_set]


#: out-of-line copies
COPIES_COUNT = max(map(slots, InstructionSet))
