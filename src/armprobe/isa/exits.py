"""Where a function is left for its caller, by its own instructions: returns, and calls in place of a return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.flow import flow
from armprobe.isa.insn import Insn

_SP, _LR, _PC = 13, 14, 15


@dataclass(frozen=True, slots=True)
class Exit:
    """An instruction that leaves the function where it is executed; SP is by `popped` bytes greater after that."""

    address: int
    popped: int = 0


def find_exits(code: bytes, start: int, *, refusal: Callable[[int], str], inside: Callable[[int], bool]) -> list[Exit]:
    """Find all instructions in `code`, a function or a part of one at `start`, with which it is left.

    `refusal` says why a place takes no probe ("" where it does): it may be data. `inside` tells whether an address is
    one of the function. Raises Refused where that is not certain.
    """
    found, last = [], None
    for place in range(start, start + len(code) - 3, 4):
        word, why = int.from_bytes(code[place - start : place - start + 4], "little"), refusal(place)
        try:
            insn = decode(word)
        except Refused:
            continue  # nothing that is executed
        last = last if why else flow(insn, place)
        leaving = _leaving(insn, place, inside)
        if leaving is None or (why and leaving.unclear):
            continue
        if why or leaving.unclear:
            raise Refused(f"it is left at 0x{place:08x}, and that place is {why or leaving.unclear}")
        found.append(Exit(place, leaving.popped))
    if last is not None and last.next is not None and not (last.call or last.unknown):
        raise Refused(f"control runs on from 0x{last.next - 4:08x} into what follows the function")
    return found


def reached_exits(code: bytes, start: int) -> list[int] | None:
    """Follow a function at `start` from its first instruction, and return where control leaves it for good.

    Calls come back. Data is not looked at. None where it is not known what an instruction is that may be executed.
    """
    seen, ahead, found = set[int](), [start], []
    while ahead:
        place = ahead.pop()
        if place in seen:
            continue
        seen.add(place)
        try:
            after = flow(decode(int.from_bytes(code[place - start : place - start + 4], "little")), place)
        except Refused:
            return None
        ways = [way for way in (after.next, None if after.call else after.target) if way is not None]
        inside = [way for way in ways if start <= way < start + len(code)]
        ahead += inside
        if len(inside) < len(ways) or (after.unknown and not after.call):
            found.append(place)
    return sorted(found)


@dataclass(frozen=True, slots=True)
class _Leaving:
    """`unclear`: why it is not known what the instruction does."""

    popped: int = 0
    unclear: str = ""


def _leaving(insn: Insn, address: int, inside: Callable[[int], bool]) -> _Leaving | None:
    """What an instruction that leaves the function does to SP; None for one that stays in it."""
    after = flow(insn, address)
    if after.call or "exception" in insn.row.effects:
        return None
    if after.target is not None:
        return None if inside(after.target) else _Leaving()
    if not after.unknown:
        return None
    fields, name = insn.fields, insn.row.name
    if name in ("BX_A1", "MOV_register_A1") and fields["Rm"] == _LR:
        return _Leaving()
    if fields.get("Rn") == _PC and name in ("LDR_register_A1", "ADD_register_A1"):
        return None  # the table of a switch
    if name == "LDM_A1" and fields["Rn"] == _SP and fields["W"] and not fields["registers"] >> _SP & 1:
        return _Leaving(4 * fields["registers"].bit_count())
    if name == "LDR_immediate_A1" and fields["Rn"] == _SP and not fields["P"] and fields["U"]:
        return _Leaving(fields["imm12"])
    return _Leaving(unclear="an instruction of which it is not known where it leads")
