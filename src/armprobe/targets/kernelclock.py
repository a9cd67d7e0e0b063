"""What a Linux kernel counts its time from, as dmesg and its traces show it, in ticks of the generic timer.

`sched_clock` multiplies the ticks since a moment and adds the time of that moment; both stand in `struct
clock_read_data` (include/linux/sched_clock.h), which is there twice, and which of them holds is said by a word before
(kernel/time/sched_clock.c). Where they are is a constant in the function's code. What is read is believed only when it
fits the timer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from armprobe.isa.moves import moved_numbers

#: the function that has the constant: from 6.5 on the first, which the other calls
FUNCTIONS = ("sched_clock_noinstr", "sched_clock")
#: how many bytes of a function are looked at
_LOOKED_AT = 0x100
#: seqcount, padding, then twice: the moment in ns and in ticks, a mask, the function that reads, factor, shift
_SEQUENCE_BYTES, _DATA = 8, struct.Struct("<3Q3I4x")
#: the factor is rounded: it is off by less than this share
_ROUNDING = 1e-6
_WORD = 1 << 64


def find_start(read: Callable[[int, int], bytes], functions: Mapping[str, int], frequency: int) -> int | None:
    """Return the ticks of the timer at which the kernel's time was 0, modulo 2**64; None when that is not certain.

    `frequency` is the timer's, in Hz; `read` gives what is not there as zeros.
    """
    for name in FUNCTIONS:
        if name in functions:
            code = struct.unpack(f"<{_LOOKED_AT // 4}I", read(functions[name], _LOOKED_AT))
            for place in moved_numbers(code):
                start = _start(read(place, _SEQUENCE_BYTES + 2 * _DATA.size), frequency, functions)
                if start is not None:
                    return start
    return None


def _start(data: bytes, frequency: int, functions: Mapping[str, int]) -> int | None:
    chosen = int.from_bytes(data[:4], "little") & 1
    ns, ticks, mask, reader, factor, shift = _DATA.unpack_from(data, _SEQUENCE_BYTES + chosen * _DATA.size)
    fits = shift < 32 and abs(factor / (1 << shift) * frequency / 1e9 - 1) < _ROUNDING
    # All ones: how many bits of the count are used.
    if not fits or not mask or mask & (mask + 1) or reader not in functions.values():
        return None
    return int(ticks - ns * frequency // 1_000_000_000) % _WORD
