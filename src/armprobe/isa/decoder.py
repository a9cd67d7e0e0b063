"""Words to instructions: `decode` returns an Insn, or raises Refused with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from armprobe.errors import Undefined, Unpredictable
from armprobe.isa.insn import Insn
from armprobe.isa.instruction_set import InstructionSet, show
from armprobe.isa.rows import Row

_A32, _T32 = InstructionSet.A32, InstructionSet.T32
#: bits that tell the rows of 32-bit encodings apart well, and those of 16-bit ones
_WIDE_KEY, _NARROW_KEY = 0xFFF000F0, 0xFFC0


@cache
def table(instruction_set: InstructionSet = _A32) -> tuple[Row, ...]:
    """The rows of an instruction set. Imported on first use: building them takes some 30 ms a set."""
    if instruction_set is _A32:
        from armprobe.isa import a32 as tables
    else:
        from armprobe.isa import t32 as tables  # type: ignore[no-redef]
    return tables.ROWS


def _candidates(rows: Iterable[Row], mask: int, key: int) -> tuple[Row, ...]:
    """Rows that words whose bits under `mask` are `key` may match, in table order."""
    return tuple(
        row for row in rows if not (row.value ^ key) & row.mask & mask and not (row.conditional and key >> 28 == 15)
    )


# One cache a kind, by numbers alone: most of the time that decoding takes is spent here.


@cache
def _a32(key: int) -> tuple[Row, ...]:
    return _candidates(table(_A32), _WIDE_KEY, key)


@cache
def _wide(key: int) -> tuple[Row, ...]:
    return _candidates((row for row in table(_T32) if row.length == 4), _WIDE_KEY, key)


@cache
def _narrow(key: int) -> tuple[Row, ...]:
    return _candidates((row for row in table(_T32) if row.length == 2), _NARROW_KEY, key)


def find_row(word: int, instruction_set: InstructionSet = _A32) -> Row | None:
    """The row whose fixed bits `word` matches, valid or not; None if there is none."""
    if instruction_set is _A32:
        key = word & _WIDE_KEY
        # One key for all fifteen conditions: the cache stays small.
        candidates = _a32(key if key >= 0xF0000000 else key & 0x0FFFFFFF | 0xE0000000)
    elif word < 0x10000:
        candidates = _narrow(word & _NARROW_KEY)
    else:
        candidates = _wide(word & _WIDE_KEY)
    for row in candidates:
        if word & row.mask == row.value:
            return row
    return None


@lru_cache(maxsize=1 << 16)
def decode(word: int, instruction_set: InstructionSet = _A32, *, it: int = 0) -> Insn:
    """Decode an instruction word.

    A T32 word is what `instruction_set.join` makes of two halfwords; `it` is the ITSTATE that it is executed with (see
    `itstate`). Raises Undefined if no row matches or the row calls the word UNDEFINED, Unpredictable if it calls it
    UNPREDICTABLE.
    """
    row = find_row(word, instruction_set)
    if row is None:
        hint = "is it data, Thumb code, or big-endian?"
        if instruction_set is _T32:
            hint = "is it data, A32 code, or half of an instruction?"
        raise Undefined(f"{show(word, instruction_set)} matches no {instruction_set.value} instruction", hint=hint)
    problem = row.invalid(word, it)
    if problem is not None:
        kind, reason = problem
        error = Undefined if kind == "undefined" else Unpredictable
        raise error(f"{show(word, instruction_set)} is {kind.upper()} ({row.name}: {reason})")
    return Insn(word, row, it)
