"""The T32 instructions of a function, one after the other from its start, with the IT blocks that they stand in."""

from __future__ import annotations

from collections.abc import Callable

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.insn import Insn
from armprobe.isa.instruction_set import InstructionSet, is_wide, join
from armprobe.isa.itstate import advance, in_block, start

#: Returns the halfword at an even address; None where there is no code that may be looked at.
ReadHalf = Callable[[int], int | None]


def decode_function(
    read_half: ReadHalf, function: tuple[int, int], *, is_code: Callable[[int], bool]
) -> dict[int, Insn]:
    """Decode the T32 code in the [start, end) of `function`, by addresses in ascending order.

    `is_code` is false for literal pools and tables in the function. Raises Refused where code can't be read, is no
    valid instruction, or breaks off within an instruction or an IT block.
    """
    place, end = function
    instructions: dict[int, Insn] = {}
    state = 0
    while place < end:
        if not is_code(place):
            if in_block(state):
                raise Refused(f"an IT block goes on at 0x{place:08x}, which is data")
            place += 2
            continue
        first = read_half(place)
        second = read_half(place + 2) if first is not None and is_wide(first) and place + 2 < end else 0
        if first is None or second is None:
            raise Refused(f"0x{place:08x}, in the same function, cannot be read")
        try:
            insn = decode(join(first, second), InstructionSet.T32, it=state)
        except Refused as error:
            raise type(error)(f"the function cannot be followed: at 0x{place:08x}, {error.message}") from error
        if insn.row.relocate == "it":
            state = start(insn.fields["firstcond"], insn.fields["mask"])
        else:
            state = advance(state)
        instructions[place] = insn
        place += insn.length
    if place > end or in_block(state):
        raise Refused(f"the function breaks off at 0x{end:08x}, within an instruction or an IT block")
    return instructions
