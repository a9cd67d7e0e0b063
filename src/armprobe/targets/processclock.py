"""The clock of a Linux process: CLOCK_MONOTONIC, which the process asks its kernel for."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction

from armprobe.isa.reading import Routine

#: a function of AAPCS that calls the one whose address is in its last word, and gives nanoseconds in r0 and r1; then
#: one to call: the system call clock_gettime
_CODE = struct.pack(
    "<28I",
    0xE52D4004,  # push  {r4}
    0xE52DE004,  # push  {lr}
    0xE1A0400D,  # mov   r4, sp
    0xE24DD008,  # sub   sp, sp, #8
    0xE3CDD007,  # bic   sp, sp, #7
    0xE3A00001,  # mov   r0, #1         CLOCK_MONOTONIC
    0xE1A0100D,  # mov   r1, sp
    0xE59F204C,  # ldr   r2, =function
    0xE1A0E00F,  # mov   lr, pc
    0xE12FFF12,  # bx    r2
    0xE59D0000,  # ldr   r0, [sp]
    0xE59D1004,  # ldr   r1, [sp, #4]
    0xE1A0D004,  # mov   sp, r4
    0xE59F2030,  # ldr   r2, =1000000000
    0xE3A03000,  # mov   r3, #0
    0xE0A31290,  # umlal r1, r3, r0, r2
    0xE1A00001,  # mov   r0, r1
    0xE1A01003,  # mov   r1, r3
    0xE49DE004,  # pop   {lr}
    0xE49D4004,  # pop   {r4}
    0xE12FFF1E,  # bx    lr
    0xE52D7004,  # push  {r7}
    0xE59F7008,  # ldr   r7, =263
    0xEF000000,  # svc   #0
    0xE49D7004,  # pop   {r7}
    0xE12FFF1E,  # bx    lr
    263,
    1_000_000_000,
)
_SYSTEM_CALL = 21 * 4
#: bytes of the routine
CLOCK_SIZE = len(_CODE) + 4


def clock_code(place: int, function: int | None = None) -> bytes:
    """The routine for `place`. It calls `function`, clock_gettime of the vDSO, or makes the system call."""
    return _CODE + struct.pack("<I", place + _SYSTEM_CALL if function is None else function)


class ProcessClock:
    """CLOCK_MONOTONIC by the routine at `place`: a `Clock`. `ask` tells the host the time of the stopped process."""

    name = "CLOCK_MONOTONIC"
    unit = "ns"
    ns_per_tick = Fraction(1)
    start = 0
    privileged = False

    def __init__(self, place: int, ask: Callable[[], int]) -> None:
        self.at_site = self.at_return = Routine("armprobe_clock", place)
        self._ask = ask

    def now(self, *, returned: bool) -> int:  # noqa: ARG002
        return self._ask()
