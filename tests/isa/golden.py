"""Golden words: each line is a word, its disassembly, its row, and what it uses as `reads -> writes ! stack`.

Registers are r0 to r12, sp, lr, pc, s0 to s63 (units of 32 bits), d0 to d31, q0 to q15, ranges `d0-d3`, flags n z c v,
and `mem` for a load (read) or a store (written). Without `!` the stack column must be 0.
"""

from __future__ import annotations

import re

from armprobe.isa.decoder import decode
from armprobe.isa.insn import REGISTER_NUMBERS
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.usage import FLAG_BITS, Usage


def parse(text: str) -> list[tuple[int, str, str, str]]:
    """The lines as (word, disassembly, row, usage)."""
    cases = []
    for line in text.strip().splitlines():
        word, disassembly, row, usage = (part.strip() for part in line.split("|"))
        cases.append((int(word, 16), disassembly, row, usage))
    return cases


def check(
    case: tuple[int, str, str, str], instruction_set: InstructionSet = InstructionSet.A32, *, it: int = 0
) -> None:
    """Fail unless the word decodes to the row and uses what the line says."""
    word, disassembly, row, text = case
    insn = decode(word, instruction_set, it=it)
    assert insn.row.name == row, f"0x{word:08x} ({disassembly}) decodes to {insn.row.name}, not {row}"
    expected = usage_of(text)
    found = insn.row.usage(word, it)
    assert found == expected, f"0x{word:08x} ({disassembly}) uses\n{found}, not\n{expected}"


def usage_of(text: str) -> Usage:
    """The Usage a line describes."""
    sides, _, stack = text.partition("!")
    reads, _, writes = sides.partition("->")
    read, written = (_masks(side.split()) for side in (reads, writes))
    return Usage(
        read[0], written[0], read[1], written[1], read[2], written[2], read[3], written[3], int(stack) if stack else 0
    )


def _masks(terms: list[str]) -> tuple[int, int, int, bool]:
    core = vector = flags = 0
    for term in terms:
        if term in REGISTER_NUMBERS:
            core |= 1 << REGISTER_NUMBERS[term]
        elif term.upper() in FLAG_BITS:
            flags |= FLAG_BITS[term.upper()]
        elif term != "mem":
            match = re.fullmatch(r"([sdq])(\d+)(?:-\1(\d+))?", term)
            assert match, f"{term!r} is no register"
            units = {"s": 1, "d": 2, "q": 4}[match[1]]
            first, last = int(match[2]), int(match[3] or match[2])
            vector |= ((1 << units * (last - first + 1)) - 1) << units * first
    return core, vector, flags, "mem" in terms
