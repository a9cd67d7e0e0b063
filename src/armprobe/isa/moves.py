"""Numbers that code makes of two halves: MOVW and MOVT (DDI 0406C A8.8.102, A8.8.106)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_MOVW, _MOVT, _MASK = 0xE3000000, 0xE3400000, 0xFFF00000


def moved_numbers(words: Iterable[int]) -> Iterator[int]:
    """The numbers that MOVW and MOVT, always executed, put into a register together, in straight code."""
    lower: dict[int, int] = {}
    for word in words:
        register, half = word >> 12 & 15, word >> 4 & 0xF000 | word & 0xFFF
        if word & _MASK == _MOVW:
            lower[register] = half
        elif word & _MASK == _MOVT and register in lower:
            yield half << 16 | lower.pop(register)
