"""The two-word window, `ldr pc, [pc, #-4]` and an address: where it may replace two instructions of a program.

It is the last resort, for a site that no branch takes to an island. Nothing may reach its second word any more: no
branch, no return, no load that takes it for data. The proof looks at one function; it rests on these assumptions:

- control enters a function at its start or by a return (AAPCS), and what `pop` loads into PC is a return address;
- an address that the program computes at run time is not that of an instruction inside the function, unless the
  function has an indirect branch, which is refused;
- no exception table names the second word as a landing pad.

The window is always executed (`ldr pc` has no use for a condition here), so the code it goes to tests the condition of
the first instruction, and executes both. Threads stopped at the second word are moved there: `plan_patch(moves=...)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.flow import ReadWord, exclusive_sequence, flow
from armprobe.isa.insn import Insn

WINDOW_SIZE = 8
_LR = 1 << 14


@dataclass(frozen=True, slots=True)
class Verdict:
    """Yes or no, and why; true in a condition when the answer is yes."""

    ok: bool
    reason: str

    def __bool__(self) -> bool:
        return self.ok


def prove_window(
    read_word: ReadWord, address: int, *, function: tuple[int, int], is_code: Callable[[int], bool]
) -> Verdict:
    """Tell whether two words at `address`, in the [start, end) of `function`, may become a window.

    `read_word` returns the program's own words; `is_code` is false for literal pools and other data in the function.
    """
    start, end = function
    if address & 3 or not start <= address <= end - WINDOW_SIZE:
        return _no(f"a window at 0x{address:08x} does not lie inside the function 0x{start:08x}..0x{end:08x}")
    instructions: dict[int, Insn] = {}
    for place in range(start & ~3, end, 4):
        if not is_code(place):
            if address <= place < address + WINDOW_SIZE:
                return _no(f"0x{place:08x} is data: a literal pool or a table")
            continue
        word = read_word(place)
        if word is None:
            return _no(f"0x{place:08x}, in the same function, cannot be read")
        try:
            instructions[place] = decode(word)
        except Refused as error:
            return _no(f"the function cannot be followed: at 0x{place:08x}, {error.message}")
    refusal = _judge_window(read_word, address, function, instructions)
    return _judge_function(address, instructions) if refusal is None else refusal


def _no(reason: str) -> Verdict:
    return Verdict(ok=False, reason=reason)


def _judge_window(
    read_word: ReadWord, address: int, function: tuple[int, int], instructions: dict[int, Insn]
) -> Verdict | None:
    """What the two instructions themselves forbid."""
    if flow(instructions[address], address).call:
        return _no(f"the call at 0x{address:08x} returns to the window's second word")
    for place in (address, address + 4):
        sequence = exclusive_sequence(read_word, place, function=function)
        if sequence is not None:
            return _no(
                f"0x{place:08x} lies between the load-exclusive at 0x{sequence[0]:08x} and "
                f"the store-exclusive at 0x{sequence[1]:08x}"
            )
    return None


def _judge_function(address: int, instructions: dict[int, Insn]) -> Verdict:
    """What the other instructions of the function forbid."""
    second = address + 4
    way = way_inside(
        instructions, range(second, second + 4), what="the window's second word", is_return=_is_return, sets_lr=_sets_lr
    )
    if way:
        return _no(way)
    for place, insn in instructions.items():
        if insn.reads_pc and flow(insn, place).target is None:
            verdict = _judge_pc_relative(address, place, insn)
            if verdict is not None:
                return verdict
    return Verdict(ok=True, reason=f"nothing reaches 0x{second:08x} but 0x{address:08x}")


def way_inside(
    instructions: Mapping[int, Insn],
    inside: range,
    *,
    what: str,
    is_return: Callable[[Insn], bool],
    sets_lr: Callable[[Insn], bool],
) -> str:
    """Tell how control may come to `inside`, which is called `what`, from the instructions of a function; "" if not.

    `is_return` knows the instructions that return, `sets_lr` those after which LR may be no return address.
    """
    other_lr = next((place for place, insn in instructions.items() if sets_lr(insn)), None)
    for place, insn in instructions.items():
        way = flow(insn, place)
        if way.target is not None and way.target in inside:
            return f"the branch at 0x{place:08x} goes to {what}, 0x{inside.start:08x}"
        if way.unknown and not way.call and "exception" not in insn.row.effects:
            if not is_return(insn):
                return f"the indirect branch at 0x{place:08x} may go to {what}"
            if other_lr is not None and not insn.usage.loads:
                return f"the return at 0x{place:08x} goes where LR says, which 0x{other_lr:08x} sets"
    return ""


def _judge_pc_relative(address: int, place: int, insn: Insn) -> Verdict | None:
    span = pc_relative(insn, place)
    if span is not None and span[0] < address + WINDOW_SIZE and address < span[1]:
        return _no(f"0x{place:08x} uses the address 0x{span[0]:08x}, which lies in the window, as data")
    based_on_pc = insn.word >> 16 & 15 == 15
    if span is None and (insn.usage.loads or (insn.usage.stores and based_on_pc)):
        return _no(f"0x{place:08x} accesses an address relative to PC that cannot be told")
    return None


def pc_relative(insn: Insn, address: int) -> tuple[int, int] | None:
    """The [start, end) that `insn`, which reads PC, addresses relative to it; None when the word does not tell.

    Literal loads (DDI 0406C A5.2.8, A5.3, A7.6) and the addresses that ADD, SUB and MOV compute from PC.
    """
    word = insn.word
    pc = address + 8 & ~3
    up = word >> 23 & 1
    if word >> 28 != 15 and word >> 16 & 15 == 15:
        if word & 0x0F200000 == 0x05000000:  # LDR, LDRB (literal), no write-back
            return _span(pc, up, word & 0xFFF, 1 if word >> 22 & 1 else 4)
        if word & 0x0F600090 == 0x01400090 and word & 0x60:  # LDRH, LDRSB, LDRSH, LDRD (literal)
            return _span(pc, up, word >> 4 & 0xF0 | word & 15, 2 if word >> 20 & 1 else 8)
        size = {9: 2, 10: 4, 11: 8}.get(word >> 8 & 15)
        if word & 0x0F200000 == 0x0D000000 and size is not None:  # VLDR (literal); its offset counts at most words
            return _span(pc, up, (word & 0xFF) * min(size, 4), size)
        if word & 0x0FE00000 in (0x02800000, 0x02400000):  # ADD, SUB (immediate): ADR
            rotation = word >> 7 & 30
            number = word & 0xFF
            offset = (number >> rotation | number << 32 - rotation) & 0xFFFFFFFF
            return _span(pc, word >> 23 & 1, offset, 4)
    if word & 0x0FFF0FFF == 0x01A0000F:  # MOV Rd, PC
        return pc, pc + 4
    return None


def _span(pc: int, up: int, offset: int, size: int) -> tuple[int, int]:
    start = (pc + offset if up else pc - offset) & 0xFFFFFFFF
    return start, start + size


def _is_return(insn: Insn) -> bool:
    """BX LR, MOV PC, LR, a pop of PC, and the return from an APCS frame."""
    word = insn.word & 0x0FFFFFFF
    if word in (0x012FFF1E, 0x01A0F00E, 0x049DF004):
        return True
    return word & 0x0E508000 == 0x08108000 and word >> 16 & 15 in (11, 13)


def _sets_lr(insn: Insn) -> bool:
    """Whether LR is written by something that is neither a call nor a load from the stack."""
    if not insn.usage.writes & _LR or insn.row.relocate in ("call", "call_register"):
        return False
    from_stack = insn.usage.loads and insn.word >> 16 & 15 in (11, 13)
    return not from_stack
