"""What an instruction uses: registers, flags, memory and stack."""

from __future__ import annotations

from typing import NamedTuple

ALL_CORE = 0xFFFF
ALL_VECTOR = (1 << 64) - 1
FLAG_BITS = {"N": 1, "Z": 2, "C": 4, "V": 8, "Q": 16, "GE": 32}
ALL_FLAGS = 63


class Usage(NamedTuple):
    """What one instruction uses. Masks hold bit n for register n; vectors count 32-bit units (d0 is bits 0 and 1)."""

    reads: int
    writes: int
    vector_reads: int
    vector_writes: int
    flags_read: int
    flags_written: int
    loads: bool
    stores: bool
    #: bytes written below the SP the instruction starts with; None if unknown
    stack: int | None
