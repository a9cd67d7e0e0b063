"""The window of a T32 site: what its `b.w`, 4 bytes at any halfword, displaces, or why it can't stand there.

One 32-bit instruction is replaced by another: nothing else can reach its second half. A 16-bit one takes the next with
it, whose place nothing may reach any more; `window` says on which assumptions that proof rests. An IT instruction takes
its whole block with it, as nothing leads back into one; what the branch leaves of the block is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from armprobe.errors import Refused
from armprobe.isa.flow import exclusive_sequence_among, flow
from armprobe.isa.function_t32 import ReadHalf, decode_function
from armprobe.isa.insn import Insn
from armprobe.isa.itstate import in_block, last_in_block
from armprobe.isa.relocate_t32 import literal_span
from armprobe.patching.window import way_inside

#: bytes of `b.w`
BRANCH_SIZE = 4
_SP, _LR, _PC = 13, 14, 15


@dataclass(frozen=True, slots=True)
class Window:
    """The instructions that the branch at `address` displaces, and where its out-of-line copy goes on."""

    address: int
    insns: tuple[Insn, ...]

    @property
    def places(self) -> tuple[int, ...]:
        """The addresses of the instructions."""
        lengths = [insn.length for insn in self.insns]
        return tuple(self.address + sum(lengths[:number]) for number in range(len(lengths)))

    @property
    def end(self) -> int:
        """The address after the instructions."""
        return self.address + sum(insn.length for insn in self.insns)


def find_window(
    read_half: ReadHalf, address: int, *, function: tuple[int, int], is_code: Callable[[int], bool]
) -> Window:
    """Tell what a branch at `address`, in the [start, end) of `function`, displaces.

    `read_half` returns the program's own halfwords; `is_code` is false for literal pools and tables in the function.
    Raises Refused with the reason why no branch can stand there.
    """
    instructions = decode_function(read_half, function, is_code=is_code)
    window = Window(address, _displaced(instructions, address))
    for place in window.places:
        sequence = exclusive_sequence_among(instructions, place)
        if sequence is not None:
            raise Refused(
                f"0x{place:08x} lies between the load-exclusive at 0x{sequence[0]:08x} and "
                f"the store-exclusive at 0x{sequence[1]:08x}"
            )
    if window.insns[0].length < BRANCH_SIZE:
        _check_function(window, instructions)
    return window


def _displaced(instructions: Mapping[int, Insn], address: int) -> tuple[Insn, ...]:
    """The instructions that lose bytes to the branch, with what belongs to them."""
    insn = instructions.get(address)
    if insn is None:
        raise Refused(f"no instruction of the function begins at 0x{address:08x}")
    if in_block(insn.it) and not last_in_block(insn.it):
        raise Refused(f"0x{address:08x} lies in an IT block, and only the last instruction of one may be a branch")
    if insn.length == BRANCH_SIZE:
        return (insn,)
    if in_block(insn.it):
        raise Refused(f"0x{address:08x} has 16 bits and ends an IT block: the branch would depend on its condition")
    if flow(insn, address).call:
        raise Refused(f"the call at 0x{address:08x} returns into the window")
    found, place = [insn], address + insn.length
    while place < address + BRANCH_SIZE or in_block(instructions[place].it if place in instructions else 0):
        if place not in instructions:
            raise Refused(f"0x{place:08x}, the second half of a branch, is not code of the function")
        found.append(instructions[place])
        place += instructions[place].length
    return tuple(found)


def _check_function(window: Window, instructions: Mapping[int, Insn]) -> None:
    """Raise Refused unless nothing in the function reaches the second half of the branch, or reads it as data."""
    inside = range(window.address + 2, window.address + BRANCH_SIZE)
    way = way_inside(instructions, inside, what="the branch's second half", is_return=_is_return, sets_lr=_sets_lr)
    if way:
        raise Refused(way)
    for place, insn in instructions.items():
        span = literal_span(insn, place)
        if span is not None and span[0] < inside.stop and window.address < span[1]:
            raise Refused(f"0x{place:08x} uses the address 0x{span[0]:08x}, which lies in the window, as data")


def _is_return(insn: Insn) -> bool:
    """BX LR, MOV PC, LR, and a pop of PC."""
    name, fields = insn.row.name, insn.fields
    if name == "BX_T1" or (name == "MOV_register_T1" and fields["Rd"] == _PC):
        return fields["Rm"] == _LR
    return name == "POP_T1" or (name in ("LDM_T2", "LDR_immediate_T4") and fields["Rn"] == _SP)


def _sets_lr(insn: Insn) -> bool:
    """Whether LR is written by something that is neither a call nor a load from the stack."""
    if not insn.usage.writes >> _LR & 1 or insn.row.relocate in ("call", "call_register"):
        return False
    return not (insn.usage.loads and insn.fields.get("Rn") == _SP)
