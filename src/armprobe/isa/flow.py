"""Where control goes after an instruction, and which sites lie inside a load-exclusive/store-exclusive sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.insn import ALWAYS, Insn

#: Returns the instruction word at a word-aligned address; None where there is no code that may be looked at.
ReadWord = Callable[[int], int | None]

#: Instructions that may stand between a load-exclusive and its store-exclusive, in any order of addresses. The
#: architecture asks for at most 128 bytes between the two (DDI 0406C A3.4.5); this is twice as much.
EXCLUSIVE_REACH = 64

_ADDRESS_MASK = 0xFFFFFFFF
_MONITOR = frozenset({"monitor_load", "monitor_store", "monitor_clear"})


@dataclass(frozen=True, slots=True)
class Flow:
    """Where control may go after one instruction.

    next     the following instruction, if control can reach it: the instruction does not branch, or its condition may
             be false; after a call or an exception it is where control comes back to. None: control never gets there
    target   where an immediate branch or call goes
    call     control comes back to `next` after code that nobody looked at
    unknown  control may also go where the word alone does not tell: a register or a loaded word as target, an exception
    """

    next: int | None
    target: int | None
    call: bool
    unknown: bool


def flow(insn: Insn, address: int) -> Flow:
    """Tell where control may go after `insn` at `address`."""
    target = insn.target(address)
    call = insn.row.relocate in ("call", "call_register")
    # A row that does not list what it writes may or may not write PC: so do those that take an exception.
    leaves = insn.writes_pc and insn.row.writes is not None
    falls_through = not leaves or call or insn.cond != ALWAYS or insn.row.relocate == "compare_branch"
    return Flow(
        next=address + insn.length & _ADDRESS_MASK if falls_through else None,
        target=target,
        call=call,
        unknown=insn.writes_pc and target is None,
    )


@lru_cache(maxsize=1 << 16)
def flow_of_word(word: int) -> tuple[Flow, frozenset[str]] | None:
    """The flow of `word` at address 0 and the effects of its row, None for a word that is no valid instruction.

    Cached, for walks over many paths; add the address to `next` and `target`, modulo 2**32.
    """
    try:
        insn = decode(word)
    except Refused:
        return None
    return flow(insn, 0), insn.row.effects


def exclusive_sequence(
    read_word: ReadWord, address: int, *, function: tuple[int, int] | None = None
) -> tuple[int, int] | None:
    """Find the exclusive sequence that the instruction at `address` belongs to.

    Returns the addresses of a load-exclusive and of a store-exclusive when a path leads from the first through
    `address` to the second; the site lies strictly after the load, and may be the store itself. Code at such a site
    would clear the exclusive monitor, so that the store fails for ever. A path that ends in CLREX, or in no store, does
    not count. None: there is no such path within EXCLUSIVE_REACH instructions, and within the [start, end) of
    `function` if that is given (DDI 0406C A3.4).
    """
    low, high = (0, 1 << 32) if function is None else function
    stores = (place for place, effects in _walk(read_word, address, low, high) if "monitor_store" in effects)
    store = next(stores, None)
    if store is None:
        return None
    # Backwards first: nearly always the load stands before the site. A conditional load can be its own, in a loop.
    reach = 4 * EXCLUSIVE_REACH
    for load in (*range(address - 4, address - reach - 4, -4), *range(address, address + reach, 4)):
        word = read_word(load) if low <= load < high else None
        known = flow_of_word(word) if word is not None else None
        if known is None or "monitor_load" not in known[1]:
            continue
        if any(place == address for place, _ in _walk(read_word, load + 4, low, high)):
            return load, store
    return None


def exclusive_sequence_among(instructions: Mapping[int, Insn], address: int) -> tuple[int, int] | None:
    """Find the exclusive sequence that the instruction at `address` belongs to, as `exclusive_sequence` does.

    `instructions` are those of a function by their addresses, of either instruction set; paths stay among them.
    """
    reached = _reached(instructions, address)
    store = next((place for place in sorted(reached) if "monitor_store" in instructions[place].row.effects), None)
    if store is None:
        return None
    for load, insn in instructions.items():
        if "monitor_load" in insn.row.effects and address in _reached(instructions, load + insn.length):
            return load, store
    return None


def _reached(instructions: Mapping[int, Insn], start: int) -> set[int]:
    """What the paths from `start` reach, until an instruction that always sets or clears the exclusive monitor."""
    seen: set[int] = set()
    waiting = [start]
    while waiting:
        place = waiting.pop()
        insn = instructions.get(place)
        if insn is None or place in seen:
            continue
        seen.add(place)
        if insn.row.effects & _MONITOR and insn.cond == ALWAYS:
            continue
        way = flow(insn, place)
        if way.next is not None:
            waiting.append(way.next)
        if way.target is not None and not way.call:
            waiting.append(way.target)
    return seen


def _walk(read_word: ReadWord, start: int, low: int, high: int) -> Iterator[tuple[int, frozenset[str]]]:
    """Yield address and effects of what the paths from `start` reach, nearest first.

    A path ends after an instruction that always sets or clears the exclusive monitor, and at EXCLUSIVE_REACH.
    """
    seen: set[int] = set()
    level = {start}
    for _ in range(EXCLUSIVE_REACH):
        following: set[int] = set()
        for address in sorted(level - seen):
            word = read_word(address) if low <= address < high else None
            known = flow_of_word(word) if word is not None else None
            if known is None:
                continue
            step, effects = known
            seen.add(address)
            yield address, effects
            if effects & _MONITOR and word is not None and (word >> 28) >= ALWAYS:
                continue
            if step.next is not None:
                following.add(address + 4)
            if step.target is not None and not step.call:
                following.add(address + step.target & _ADDRESS_MASK)
        level = following
        if not level:
            return
