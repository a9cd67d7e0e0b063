"""The immediate branches of T32, with their exact range (DDI 0406C A8.8.18 and A8.8.25).

Addresses are those of instructions: even, without the Thumb bit. Code is in memory order, halfword by halfword.
"""

from __future__ import annotations

from armprobe.errors import Refused, UsageError
from armprobe.isa.insn import ALWAYS

#: mnemonic -> whether it has a condition -> bits of the signed offset, in bytes
_OFFSET_BITS = {
    "b": {False: 12, True: 9},
    "b.w": {False: 25, True: 21},
    "bl": {False: 25},
    "blx": {False: 25},
}


def reaches_t32(source: int, target: int) -> bool:
    """Tell whether `b.w` without a condition at `source` can go to `target`; both are even, and below 2**32.

    A branch that would wrap around the end of the address space does not count.
    """
    exists = 0 <= source < 1 << 32 and 0 <= target < 1 << 32 and not (source | target) & 1
    return exists and -(1 << 24) <= target - (source + 4) < 1 << 24


def branch_t32(mnemonic: str, source: int, target: int, *, cond: int = ALWAYS) -> bytes:
    """Encode `b` (16 bits), `b.w`, `bl` or `blx` (to A32 code) at `source` that goes to `target`.

    Raises UsageError for another mnemonic, or for a condition that it has not; Refused if it does not reach.
    """
    bits = _OFFSET_BITS.get(mnemonic, {}).get(cond != ALWAYS)
    if bits is None or not 0 <= cond <= ALWAYS:
        raise UsageError(f"T32 has no branch {mnemonic!r} with condition {cond}")
    unit = 4 if mnemonic == "blx" else 2
    pc = (source + 4) & (~3 if mnemonic == "blx" else ~0)
    offset = target - pc
    lowest, highest = -(1 << bits - 1), (1 << bits - 1) - unit
    if source % 2 or offset % unit or not lowest <= offset <= highest:
        raise Refused(
            f"{mnemonic} at 0x{source:08x} reaches multiples of {unit} from 0x{(pc + lowest) & 0xFFFFFFFF:08x} to "
            f"0x{(pc + highest) & 0xFFFFFFFF:08x}, not 0x{target:08x}"
        )
    return b"".join(half.to_bytes(2, "little") for half in _halves(mnemonic, offset, cond))


def _halves(mnemonic: str, offset: int, cond: int) -> tuple[int, ...]:
    imm11 = offset >> 1 & 0x7FF
    if mnemonic == "b":
        return (0xE000 | imm11,) if cond == ALWAYS else (0xD000 | cond << 8 | offset >> 1 & 0xFF,)
    sign = offset >> 31 & 1
    if cond != ALWAYS:  # T3
        first = 0xF000 | sign << 10 | cond << 6 | offset >> 12 & 0x3F
        return first, 0x8000 | (offset >> 18 & 1) << 13 | (offset >> 19 & 1) << 11 | imm11
    j1, j2 = ((offset >> bit & 1) ^ 1 ^ sign for bit in (23, 22))
    first = 0xF000 | sign << 10 | offset >> 12 & 0x3FF
    second = {"b.w": 0x9000, "bl": 0xD000, "blx": 0xC000}[mnemonic]
    return first, second | j1 << 13 | j2 << 11 | imm11
