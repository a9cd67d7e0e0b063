"""Words to instructions: `decode` returns an Insn, or raises Refused with the reason."""

from __future__ import annotations

from functools import cache, lru_cache

from armprobe.errors import Undefined, Unpredictable
from armprobe.isa.insn import Insn
from armprobe.isa.instruction_set import InstructionSet, show
from armprobe.isa.rows import Row

#: by the bytes of an encoding: bits that tell its rows apart well
_KEY_BITS = {2: 0xFFC0, 4: 0xFFF000F0}


@cache
def table(instruction_set: InstructionSet = InstructionSet.A32) -> tuple[Row, ...]:
    """The rows of an instruction set. Imported on first use: building them takes some 30 ms a set."""
    if instruction_set is InstructionSet.A32:
        from armprobe.isa import a32 as tables
    else:
        from armprobe.isa import t32 as tables  # type: ignore[no-redef]
    return tables.ROWS


@cache
def _candidates(instruction_set: InstructionSet, length: int, key: int) -> tuple[Row, ...]:
    """Rows that words whose _KEY_BITS are `key` may match, in table order."""
    mask = _KEY_BITS[length]
    return tuple(
        row
        for row in table(instruction_set)
        if row.length == length
        and not (row.value ^ key) & row.mask & mask
        and not (row.conditional and key >> 28 == 15)
    )


def find_row(word: int, instruction_set: InstructionSet = InstructionSet.A32) -> Row | None:
    """The row whose fixed bits `word` matches, valid or not; None if there is none."""
    length = 2 if instruction_set is InstructionSet.T32 and word < 0x10000 else 4
    key = word & _KEY_BITS[length]
    if instruction_set is InstructionSet.A32 and key < 0xF0000000:
        key = key & 0x0FFFFFFF | 0xE0000000  # for all fifteen conditions: the cache stays small
    for row in _candidates(instruction_set, length, key):
        if word & row.mask == row.value:
            return row
    return None


@lru_cache(maxsize=1 << 16)
def decode(word: int, instruction_set: InstructionSet = InstructionSet.A32, *, it: int = 0) -> Insn:
    """Decode an instruction word.

    A T32 word is what `instruction_set.join` makes of two halfwords; `it` is the ITSTATE that it is executed with (see
    `itstate`). Raises Undefined if no row matches or the row calls the word UNDEFINED, Unpredictable if it calls it
    UNPREDICTABLE.
    """
    row = find_row(word, instruction_set)
    if row is None:
        hint = "is it data, Thumb code, or big-endian?"
        if instruction_set is InstructionSet.T32:
            hint = "is it data, A32 code, or half of an instruction?"
        raise Undefined(f"{show(word, instruction_set)} matches no {instruction_set.value} instruction", hint=hint)
    problem = row.invalid(word, it)
    if problem is not None:
        kind, reason = problem
        error = Undefined if kind == "undefined" else Unpredictable
        raise error(f"{show(word, instruction_set)} is {kind.upper()} ({row.name}: {reason})")
    return Insn(word, row, it)
