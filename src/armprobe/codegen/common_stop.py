"""Code that stops at a place which all code in slots shares, for targets that set traps by themselves.

The place is a call away. Its trap stops the target there; without a trap, it returns.
"""

from __future__ import annotations

from armprobe.codegen.assembler import LR, PC, Assembler

#: bytes of the stack in use at the place, where LR of the program is
ROOM = 8
#: where the slot goes on, from LR at the place, when what was on the stack is taken from there
WAY_BACK = 4


def emit_stop(asm: Assembler, place: int) -> None:
    """Stop at `place`; what follows goes on, with all registers and flags as before."""
    asm.push_below(LR, ROOM, "stop")
    asm.call(place, "stop")
    asm.pop_above(LR, ROOM, "nobody stopped it")


def build_place(base: int) -> bytes:
    """Assemble the place, at `base`."""
    asm = Assembler(base)
    asm.mov(PC, LR, "back to the slot")
    return asm.finish().data
