"""What the code from an address on may still read: all that a detour has to preserve.

For each register, vector unit and flag the question is the same: does a path exist from the address to a read of it
without a write in between? One walk answers it for all of them at once, as bits of one number.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import NamedTuple

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.flow import ReadWord, flow
from armprobe.isa.insn import ALWAYS
from armprobe.isa.usage import ALL_CORE, ALL_FLAGS, ALL_VECTOR

_FLAGS_SHIFT = 16
_VECTOR_SHIFT = 22
_EVERYTHING = ALL_CORE | ALL_FLAGS << _FLAGS_SHIFT | ALL_VECTOR << _VECTOR_SHIFT
_SP_AND_PC = 1 << 13 | 1 << 15

#: Effects after which other code may look at any register: a handler, another mode's registers, a fault's fix-up
#: (an access with user rights is how kernels touch memory that may be absent).
_EXITS = frozenset({"exception", "exception_return", "jazelle", "mode", "spsr", "unprivileged"})


class Live(NamedTuple):
    """Masks of what may be read before it is overwritten: as in `Usage`, bit n for register n, flags by FLAG_BITS."""

    core: int
    vector: int
    flags: int


EVERYTHING_LIVE = Live(ALL_CORE, ALL_VECTOR, ALL_FLAGS)


class _Step(NamedTuple):
    """One word for the walk: masks over all three kinds, and where it goes, relative to its address."""

    reads: int
    kills: int
    exits: bool
    falls_through: bool
    target: int | None


def live_after(read_word: ReadWord, address: int, *, limit: int = 64) -> Live:
    """Tell what code starting at `address`, with the instruction there, may read before it writes it.

    Follows every path over at most `limit` steps together. Where a path cannot be followed (calls, indirect branches,
    exceptions, words that are no instructions, addresses for which `read_word` returns None, the limit) all that is not
    yet overwritten counts as live. SP and PC always do.

    `read_word` returns the program's own words, not our patches, and None at addresses where somebody else looks at the
    registers, as another probe does. An ordinary load or store that faults is assumed to end the program or to be tried
    again, and FPSCR.LEN to be 0, as AAPCS asks (no VFP short vectors).
    """
    live = _SP_AND_PC
    explored: dict[int, int] = {}
    waiting = deque([(address, _EVERYTHING)])
    while waiting:
        address, undecided = waiting.popleft()
        undecided &= ~(live | explored.get(address, 0))
        if not undecided:
            continue
        word = read_word(address) if limit > 0 else None
        step = _step(word) if word is not None else None
        if step is None:
            live |= undecided
            continue
        limit -= 1
        explored[address] = explored.get(address, 0) | undecided
        live |= undecided & step.reads
        undecided &= ~(step.reads | step.kills)
        if step.exits:
            live |= undecided
            continue
        if step.falls_through:
            waiting.append((address + 4 & 0xFFFFFFFF, undecided))
        if step.target is not None:
            waiting.append((address + step.target & 0xFFFFFFFF, undecided))
    return Live(live & ALL_CORE, live >> _VECTOR_SHIFT, live >> _FLAGS_SHIFT & ALL_FLAGS)


@lru_cache(maxsize=1 << 16)
def _step(word: int) -> _Step | None:
    try:
        insn = decode(word)
    except Refused:
        return None
    usage, row, way = insn.usage, insn.row, flow(insn, 0)
    reads = usage.reads | usage.flags_read << _FLAGS_SHIFT | usage.vector_reads << _VECTOR_SHIFT
    kills = 0
    # What leaves by an exception may not have written anything yet.
    if insn.cond == ALWAYS and not row.effects & _EXITS:
        # A column that is left out means "may write anything": that kills nothing. What is written in part, or only
        # sometimes, is read as well according to the tables, and a read comes before a kill.
        kills |= usage.writes if row.writes is not None else 0
        kills |= usage.flags_written << _FLAGS_SHIFT if row.flags_written is not None else 0
        kills |= usage.vector_writes << _VECTOR_SHIFT if row.vwrites is not None else 0
    exits = way.unknown or way.call or bool(row.effects & _EXITS)
    return _Step(reads, kills, exits, way.next is not None, way.target)
