"""Target code that waits while the ring is nearly full: for programs on Linux, whose host reads memory as they run.

It needs no stop, so that threads, and children that the program forks, may all wait at once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from armprobe.codegen.assembler import Assembler, Label
from armprobe.events.ring import READ, WRITE

#: the control block: the process that reads the ring, 0 when none does; then how long a thread sleeps (struct timespec)
_READER = 0
_TIME = 4
CONTROL_SIZE = 12
_SLEEP_NANOSECONDS = 500_000
#: system calls (arch/arm/tools/syscall.tbl), and what kill says of a process that is not there
_KILL, _NANOSLEEP = 37, 162
_ESRCH = 3
_EQ, _NE, _LS = 0, 1, 9
_R0, _R1, _R2, _R3, _R7, _IP = 0, 1, 2, 3, 7, 12
_USED = (_R0, _R1, _R2, _R3, _R7, _IP)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Where the control block and the ring are; waiting ends when `enough` words or fewer are in the ring."""

    control: int
    ring: int
    enough: int


def control_block(reader: int) -> bytes:
    """The content of the control block, with the number of the process that reads the ring."""
    return struct.pack("<III", reader, 0, _SLEEP_NANOSECONDS)


def emit_wait(asm: Assembler, waiting: Waiting) -> None:
    """Sleep until the ring has been read, or nobody is there to do so; all registers and flags are as before."""
    again, out = Label("the ring is still nearly full"), Label("there is room")
    asm.push(_USED, "wait for room in the ring")
    asm.mrs(_R3)
    asm.emit_constant(_R2, waiting.ring)
    asm.emit_constant(_IP, waiting.control)
    asm.bind(again)
    asm.ldr(_R0, _IP, _READER)
    asm.cmp_imm(_R0, 0)
    asm.b(out, "nobody reads", cond=_EQ)
    asm.ldr(_R0, _R2, WRITE)
    asm.ldr(_R1, _R2, READ)
    asm.sub(_R0, _R0, _R1)
    asm.cmp_imm(_R0, waiting.enough)
    asm.b(out, "there is room", cond=_LS)
    asm.add_imm(_R0, _IP, _TIME)
    asm.mov_imm(_R1, 0)
    asm.mov_imm(_R7, _NANOSLEEP)
    asm.svc("nanosleep")
    asm.ldr(_R0, _IP, _READER)
    asm.mov_imm(_R1, 0)
    asm.mov_imm(_R7, _KILL)
    asm.svc("is the reader there?")
    asm.cmn_imm(_R0, _ESRCH)
    asm.b(again, cond=_NE)
    asm.mov_imm(_R0, 0)
    asm.str_(_R0, _IP, _READER, "the reader is gone")
    asm.bind(out)
    asm.msr_flags(_R3)
    asm.pop(_USED)
