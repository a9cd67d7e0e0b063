"""ITSTATE, the IT block of T32: eight bits, of which 0 means "in no block" (DDI 0406C A2.5.2).

Bits 7:5 are the base condition. Bits 4:0 hold, from the top, the lowest bit of the condition of this and of each of the
following instructions of the block, and then a 1 that ends the block.
"""

from __future__ import annotations

_ALWAYS = 14


def start(firstcond: int, mask: int) -> int:
    """Return the ITSTATE of the instruction after `IT firstcond, mask`."""
    return firstcond << 4 | mask


def in_block(it: int) -> bool:
    """Whether the instruction belongs to an IT block."""
    return it & 15 != 0


def last_in_block(it: int) -> bool:
    """Whether the instruction is the last of an IT block."""
    return it & 15 == 8


def condition(it: int) -> int:
    """Return the condition (0 to 14) that the block gives to the instruction; 14, always, outside of one."""
    return it >> 4 if in_block(it) else _ALWAYS


def advance(it: int) -> int:
    """Return the ITSTATE of the next instruction, unless this one branches."""
    return 0 if it & 7 == 0 else it & 0xE0 | it << 1 & 0x1F


def from_psr(psr: int) -> int:
    """Return the ITSTATE that CPSR or SPSR holds: bits 15:10 and 26:25."""
    return psr >> 8 & 0xFC | psr >> 25 & 3


def to_psr(it: int) -> int:
    """Return the bits of CPSR or SPSR that hold `it`."""
    return (it & 0xFC) << 8 | (it & 3) << 25
