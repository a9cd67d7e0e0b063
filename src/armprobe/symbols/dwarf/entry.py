"""What the first instructions of a function do with its arguments.

A compiler that does not optimize says of an argument that it is in its place on the stack, for the whole function: at
its first instructions that is not yet so. Here the straight code at the entry is followed: which registers still hold
what they held at the entry, how far SP has moved, and what has been stored where on the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.insn import ALWAYS, REGISTER_NAMES, Insn, expand_immediate

_SP = 13
#: entries of functions are short; a limit for code that never branches
_LONGEST = 128
_STORES = {"STR_immediate_A1": 4, "STRB_immediate_A1": 1, "STRH_immediate_A1": 2, "STRD_immediate_A1": 8}
#: for STM: (offset of the lowest word for a number of words, whether the base moves up)
_BLOCKS: dict[str, tuple[Callable[[int], int], int]] = {
    "STM_A1": (lambda _: 0, 1),
    "STMIB_A1": (lambda _: 4, 1),
    "STMDB_A1": (lambda count: -4 * count, -1),
    "STMDA_A1": (lambda count: 4 - 4 * count, -1),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """The state before an instruction: `holds` is the register whose value at the entry a register has now.

    `stack` are the registers that are the SP of the entry plus a number, `stored` the bytes on the stack, counted from
    that SP, that have been written.
    """

    holds: dict[str, str] = field(default_factory=dict)
    stack: dict[str, int] = field(default_factory=dict)
    stored: frozenset[int] = frozenset()

    def register_with(self, name: str) -> str | None:
        """A register that holds what register `name` held at the entry, if one is sure to."""
        if self.holds.get(name) == name:
            return name
        return next((register for register, held in self.holds.items() if held == name), None)


@dataclass(frozen=True, slots=True)
class Straight:
    """The straight code at the entry: the state before each of its instructions, and behind the last that is sure."""

    states: dict[int, Entry]
    last: Entry

    def at(self, address: int) -> Entry | None:
        """The state before an instruction that is reached by this code alone; None behind it."""
        return self.states.get(address)


def follow_entry(start: int, code: bytes) -> Straight:
    """Follow the code of a function, all of which is `code`, from its first instruction to the first that may branch.

    What has been stored stays stored; but where other code of the function branches to, registers may hold anything.
    """
    return _follow(start, bytes(code))


@lru_cache(maxsize=256)
def _follow(start: int, code: bytes) -> Straight:
    names = REGISTER_NAMES[:15]
    state = Entry({name: name for name in names}, {"sp": 0})
    states = {}
    targets = {target for target, _ in _branches(start, code)}
    for offset in range(0, min(len(code) - 3, 4 * _LONGEST), 4):
        if offset and start + offset in targets:
            state = replace(state, holds={})
        states[start + offset] = state
        try:
            insn = decode(int.from_bytes(code[offset : offset + 4], "little"))
        except Refused:
            break
        if insn.writes_pc or insn.row.relocate in ("branch", "call"):
            break
        state = _after(state, insn)
    return Straight(states, state)


def _branches(start: int, code: bytes) -> Iterator[tuple[int, int]]:
    """(target, place) of the branches in code."""
    for offset in range(0, len(code) - 3, 4):
        try:
            insn = decode(int.from_bytes(code[offset : offset + 4], "little"))
        except Refused:
            continue
        target = insn.target(start + offset)
        if target is not None:
            yield target, start + offset


def _after(before: Entry, insn: Insn) -> Entry:
    """The state after an instruction. One that may not be executed stores nothing that is sure."""
    written = [name for number, name in enumerate(REGISTER_NAMES) if insn.usage.writes >> number & 1]
    holds = {name: held for name, held in before.holds.items() if name not in written}
    stack = {name: place for name, place in before.stack.items() if name not in written}
    stored = before.stored
    if insn.cond == ALWAYS:
        stored |= _stores(before, insn)
        stack |= _moved(before, insn)
        if insn.row.name == "MOV_register_A1" and insn.fields["imm5"] == insn.fields["type"] == 0:
            source, target = (REGISTER_NAMES[insn.fields[name]] for name in ("Rm", "Rd"))
            if source in before.holds:
                holds[target] = before.holds[source]
            if source in before.stack:
                stack[target] = before.stack[source]
    return Entry(holds, stack, stored)


def _stores(before: Entry, insn: Insn) -> frozenset[int]:
    """The bytes of the stack that an instruction writes."""
    name, fields = insn.row.name, insn.fields
    base = before.stack.get(REGISTER_NAMES[fields["Rn"]]) if "Rn" in fields else None
    if base is None:
        return frozenset()
    if name in _STORES:
        place = base + (_distance(fields) if fields["P"] else 0)
        return frozenset(range(place, place + _STORES[name]))
    if name in _BLOCKS:
        count = fields["registers"].bit_count()
        place = base + _BLOCKS[name][0](count)
        return frozenset(range(place, place + 4 * count))
    return frozenset()


def _moved(before: Entry, insn: Insn) -> dict[str, int]:
    """Registers that get a place on the stack, or another one."""
    name, fields = insn.row.name, insn.fields
    base = before.stack.get(REGISTER_NAMES[fields["Rn"]]) if "Rn" in fields else None
    if base is None:
        return {}
    if name in ("ADD_immediate_A1", "SUB_immediate_A1"):
        number = expand_immediate(fields["imm12"])
        return {REGISTER_NAMES[fields["Rd"]]: base + (number if name[0] == "A" else -number)}
    if name in _STORES and (fields["W"] or not fields["P"]):
        return {REGISTER_NAMES[fields["Rn"]]: base + _distance(fields)}
    if name in _BLOCKS and fields["W"]:
        return {REGISTER_NAMES[fields["Rn"]]: base + 4 * _BLOCKS[name][1] * fields["registers"].bit_count()}
    return {}


def _distance(fields: dict[str, int]) -> int:
    number = fields["imm12"] if "imm12" in fields else fields["imm4H"] << 4 | fields["imm4L"]
    return number if fields["U"] else -number
