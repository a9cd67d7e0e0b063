"""Words to instructions: `decode` returns an Insn, or raises Refused with the reason."""

from __future__ import annotations

from functools import cache, lru_cache

from armprobe.errors import Undefined, Unpredictable
from armprobe.isa.insn import Insn
from armprobe.isa.rows import Row


@cache
def table() -> tuple[Row, ...]:
    """The A32 rows. Imported on first use: building them takes some 30 ms that `armprobe --help` need not pay."""
    from armprobe.isa.a32 import ROWS

    return ROWS


@cache
def _candidates(key: int) -> tuple[Row, ...]:
    """Rows that words with these bits 31:20 and 7:4 may match, in table order.

    The condition 0b1110 stands for all fifteen, so that the cache stays small.
    """
    mask = 0xFFF000F0
    probe = (key >> 4) << 20 | (key & 15) << 4
    return tuple(
        row
        for row in table()
        if not (row.value ^ probe) & row.mask & mask and not (row.conditional and key >> 12 == 15)
    )


def find_row(word: int) -> Row | None:
    """The row whose fixed bits `word` matches, valid or not; None if there is none."""
    key = (word >> 20) << 4 & 0xFFF0 | (word >> 4) & 15
    if key >> 12 != 15:
        key = key & 0x0FFF | 0xE000
    for row in _candidates(key):
        if word & row.mask == row.value:
            return row
    return None


@lru_cache(maxsize=1 << 16)
def decode(word: int) -> Insn:
    """Decode an A32 instruction word.

    Raises Undefined if no row matches or the row calls the word UNDEFINED, Unpredictable if it calls it UNPREDICTABLE.
    """
    row = find_row(word)
    if row is None:
        raise Undefined(f"0x{word:08x} matches no A32 instruction", hint="is it data, Thumb code, or big-endian?")
    problem = row.invalid(word)
    if problem is not None:
        kind, reason = problem
        error = Undefined if kind == "undefined" else Unpredictable
        raise error(f"0x{word:08x} is {kind.upper()} ({row.name}: {reason})")
    return Insn(word, row)
