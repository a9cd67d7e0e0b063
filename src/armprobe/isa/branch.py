"""The words that take a site to its detour: B and BL (immediate) with their exact range, and the jump of two words.

DDI 0406C A8.8.18, A8.8.25 and, for the load of PC, A8.8.64.
"""

from __future__ import annotations

from armprobe.errors import Refused, UsageError
from armprobe.isa.insn import ALWAYS

#: Bytes a branch reaches, counted from PC, which is its own address plus 8: a signed 24-bit number of words.
REACH_LOWEST = -0x2000000
REACH_HIGHEST = 0x1FFFFFC
_PC_OFFSET = 8
_LDR_PC_NEXT_WORD = 0xE51FF004  # ldr pc, [pc, #-4]
_ADDRESS_SPACE = 1 << 32


def reaches(source: int, target: int) -> bool:
    """Tell whether a branch at `source` can go to `target`; both are word-aligned addresses below 2**32.

    A branch that would wrap around the end of the address space does not count: few cores agree on what it does.
    """
    aligned = not (source | target) & 3
    exists = 0 <= source < _ADDRESS_SPACE and 0 <= target < _ADDRESS_SPACE
    return aligned and exists and REACH_LOWEST <= target - (source + _PC_OFFSET) <= REACH_HIGHEST


def branch_word(source: int, target: int, *, cond: int = ALWAYS, link: bool = False) -> int:
    """Encode the branch from `source` to `target` that carries condition `cond` (0 to 14); BL with `link`.

    Raises Refused when `reaches` is false, UsageError for a condition that no branch has.
    """
    if not 0 <= cond <= ALWAYS:
        raise UsageError(f"a branch carries condition 0 to 14, not {cond}: with 15 the word is BLX, which leaves A32")
    for name, address in (("source", source), ("target", target)):
        if address & 3:
            raise Refused(f"the {name} of an A32 branch is a multiple of 4, but it is 0x{address:08x}")
    if not reaches(source, target):
        raise Refused(
            f"a branch at 0x{source:08x} reaches 0x{max(0, source + _PC_OFFSET + REACH_LOWEST):08x} to "
            f"0x{min(_ADDRESS_SPACE - 4, source + _PC_OFFSET + REACH_HIGHEST):08x}, not 0x{target:08x}",
            hint="put the code nearer, or go through an island",
        )
    words = (target - (source + _PC_OFFSET)) >> 2
    return cond << 28 | 0x0A000000 | link << 24 | words & 0xFFFFFF


def far_jump(target: int) -> bytes:
    """Encode the two words that go to `target`, wherever it is: `ldr pc, [pc, #-4]` and the address it loads."""
    return _LDR_PC_NEXT_WORD.to_bytes(4, "little") + target.to_bytes(4, "little")
