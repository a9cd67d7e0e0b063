"""Protocols that are right, and the tempting ones that are not: each with the rule that it breaks.

All of them patch one site at 0x8000: from, to, or between the program's instruction, a trap and a branch to a stub.
A name is a family and a number: A install, B trap to branch, C park, D remove a branch, E remove a trap, F two words,
G T32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from armprobe.isa.branch import branch_word
from armprobe.isa.instruction_set import InstructionSet
from armprobe.verification.patchmodel.vocabulary import (
    AT_SECOND,
    CODE,
    CSE_ON_ALL,
    FIRST,
    JUNK,
    SECOND,
    Action,
    Arm,
    Claim,
    Dc,
    Disarm,
    Dsb,
    Free,
    Handler,
    Ic,
    Kind,
    Move,
    Operation,
    Promise,
    Protocol,
    Resume,
    Retry,
    Say,
    SetSlot,
    Stop,
    Store,
    WaitHandlers,
    WaitLeft,
    WaitStopped,
    copy,
    dispatch,
    hook,
    second_copy,
    stub_cell,
    stub_places,
    synchronize,
)

_SITE, _HOOK, _COPY, _DISPATCH, _OTHER_COPY = 0x8000, 0x9000, 0x9040, 0x9080, 0xA040

ORIGINAL = 0xE92D4010  # push {r4, lr}
ORIGINAL_SECOND = 0xE1A04000  # mov r4, r0
UDF = 0xE7F001F8  # udf #0x18
BKPT = 0xE1200070  # bkpt #0
TO_HOOK = branch_word(_SITE, _HOOK)
TO_COPY = branch_word(_SITE, _COPY)
TO_DISPATCH = branch_word(_SITE, _DISPATCH)
TO_OTHER_COPY = branch_word(_SITE, _OTHER_COPY)
NE_TO_HOOK = branch_word(_SITE, _HOOK, cond=1)
LOAD_PC = 0xE51FF004  # ldr pc, [pc, #-4]
HOOK_ADDRESS = _HOOK

#: what the A32 words of the catalogue do
A32_WORDS = {
    ORIGINAL: Action(Kind.ORIGINAL),
    ORIGINAL_SECOND: Action(Kind.ORIGINAL, index=1),
    UDF: Action(Kind.TRAP),
    BKPT: Action(Kind.TRAP),
    TO_HOOK: Action(Kind.GOTO, hook()),
    TO_COPY: Action(Kind.GOTO, copy()),
    TO_DISPATCH: Action(Kind.GOTO, dispatch()),
    TO_OTHER_COPY: Action(Kind.GOTO, copy(1)),
    LOAD_PC: Action(Kind.LOAD_PC),
    HOOK_ADDRESS: Action(Kind.ADDRESS, hook()),
}

# T32, from 0x8000: the hook is at 0x9000, a near copy shares the first halfword of the branch, a far one does not.
ORIGINAL_NARROW = 0xB510  # push {r4, lr}
ORIGINAL_WIDE = (0xF8D0, 0x0004)  # ldr.w r0, [r0, #4]
BKPT_NARROW = 0xBE00  # bkpt #0
B_HOOK, B_COPY = 0xE010, 0xE020  # b .+0x24, b .+0x44: to islands
BW_HOOK = (0xF000, 0xBFFE)  # b.w 0x9000
BW_NEAR_COPY = (0xF000, 0xBFF6)  # b.w 0x8ff0
BW_FAR_COPY = (0xF001, 0xB81E)  # b.w 0x9040
BL_HOOK = (0xF000, 0xFFFE)  # bl 0x9000
BL_FAR_COPY = (0xF001, 0xF81E)  # bl 0x9040


def _wide(halves: tuple[int, int]) -> int:
    return halves[0] << 16 | halves[1]


#: what the T32 instructions of the catalogue do
T32_INSTRUCTIONS = {
    ORIGINAL_NARROW: Action(Kind.ORIGINAL),
    _wide(ORIGINAL_WIDE): Action(Kind.ORIGINAL),
    BKPT_NARROW: Action(Kind.TRAP),
    B_HOOK: Action(Kind.GOTO, hook()),
    B_COPY: Action(Kind.GOTO, copy()),
    _wide(BW_HOOK): Action(Kind.GOTO, hook()),
    _wide(BW_NEAR_COPY): Action(Kind.GOTO, copy()),
    _wide(BW_FAR_COPY): Action(Kind.GOTO, copy()),
    _wide(BL_HOOK): Action(Kind.GOTO, hook()),
    _wide(BL_FAR_COPY): Action(Kind.GOTO, copy()),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A protocol and the verdict it must get: the invariant it breaks and in which way, or none."""

    protocol: Protocol
    breaks: str = ""
    how: str = ""


def under_stop(*stores: Store, between: Sequence[Operation] = ()) -> tuple[Operation, ...]:
    """Stores while all cores stand still. `between` is done after the stores, before the maintenance."""
    cells = tuple(store.cell for store in stores)
    return (Stop(), WaitStopped(), *stores, *between, *synchronize(*cells), Resume())


def live(*stores: Store) -> tuple[Operation, ...]:
    """Stores while cores run, and a CSE on all of them at the end."""
    return (*stores, *synchronize(*(store.cell for store in stores)), *CSE_ON_ALL)


def _entry(
    name: str,
    summary: str,
    first: int,
    *operations: Operation,
    breaks: str = "",
    how: str = "",
    second: int = 0,
    stub: int = CODE,
    handler: Handler = Handler.EMULATE,
    armed: bool = False,
    stop_in_handler: bool = True,
) -> Entry:
    """An A32 protocol."""
    protocol = Protocol(
        name, summary, operations, (first, second, stub, CODE), A32_WORDS, handler=handler,
        armed=0 if armed else None, window=2 if second else 1, slots=(hook(),), stop_in_handler=stop_in_handler,
    )  # fmt: skip
    return Entry(protocol, breaks, how)


def _t32(
    name: str,
    summary: str,
    halves: tuple[int, int],
    *operations: Operation,
    breaks: str = "",
    how: str = "",
    armed: bool = False,
) -> Entry:
    protocol = Protocol(
        name, summary, operations, (*halves, CODE), T32_INSTRUCTIONS, InstructionSet.T32, armed=0 if armed else None
    )
    return Entry(protocol, breaks, how)


_HIT, _NO_HIT, _TAKE_BACK = Say(Promise.HIT), Say(Promise.NO_HIT), Say(Promise.NOTHING)
_STUB = stub_cell(0)


def _site(value: int) -> Store:
    return Store(FIRST, value)


_INSTALL = (
    _entry("A1", "UDF over the instruction, live", ORIGINAL, Arm(), *live(_site(UDF)), _HIT,
           breaks="I1", how="is not B, BL, NOP, BKPT, SVC, HVC or SMC"),
    _entry("A2", "BKPT over the instruction, live", ORIGINAL, Arm(), *live(_site(BKPT)), _HIT,
           breaks="I1", how="is not B, BL, NOP, BKPT, SVC, HVC or SMC"),
    _entry("A3", "UDF over the instruction, under a stop", ORIGINAL, Arm(), *under_stop(_site(UDF)),
           Claim(FIRST, UDF), _HIT),
    _entry("A4", "the table armed after the cores go on", ORIGINAL, *under_stop(_site(UDF)), Arm(), _HIT,
           breaks="I5", how="stays unclaimed"),
    _entry("A5", "no DC", ORIGINAL, Arm(), Stop(), WaitStopped(), _site(UDF), Ic(FIRST), Dsb(), Resume(), _HIT,
           breaks="I1", how="fetches"),
    _entry("A6", "no IC", ORIGINAL, Arm(), Stop(), WaitStopped(), _site(UDF), Dc(FIRST), Dsb(), Resume(), _HIT,
           breaks="I1", how="fetches"),
    _entry("A7", "no DSB between DC and IC", ORIGINAL, Arm(), Stop(), WaitStopped(), _site(UDF), Dc(FIRST), Ic(FIRST),
           Dsb(), Resume(), _HIT, breaks="I1", how="fetches"),
    _entry("A8", "no DSB before the cores go on", ORIGINAL, Arm(), Stop(), WaitStopped(), _site(UDF), Dc(FIRST), Dsb(),
           Ic(FIRST), Resume(), _HIT, breaks="I1", how="fetches"),
    _entry("A9", "cores go on without a CSE", ORIGINAL, Arm(), Stop(), WaitStopped(), _site(UDF), *synchronize(FIRST),
           Resume(synchronize=False), _HIT, breaks="I1", how="fetches"),
    _entry("A10", "IC reaches one core only", ORIGINAL, Arm(), Stop(), WaitStopped(), _site(UDF), Dc(FIRST), Dsb(),
           Ic(FIRST, broadcast=False), Dsb(), Resume(), _HIT, breaks="I1", how="fetches"),
    _entry("A11", "the first core to arrive patches", ORIGINAL, Arm(), Stop(), WaitStopped(1), _site(UDF),
           *synchronize(FIRST), WaitStopped(), Resume(), _HIT, breaks="I1", how="is stored over it"),
    _entry("A12", "cores have their CSE before IC is complete", TO_HOOK, _HIT, _TAKE_BACK, _site(TO_COPY), Dc(FIRST),
           Dsb(), Ic(FIRST), *CSE_ON_ALL, Dsb(), _NO_HIT, breaks="I3", how="hits, though no pass"),
)  # fmt: skip

_TRAP_TO_BRANCH = (
    _entry("B1", "UDF to branch, live", UDF, *live(_site(TO_HOOK)), armed=True,
           breaks="I1", how="is not B, BL, NOP, BKPT, SVC, HVC or SMC"),
    _entry("B2", "BKPT to branch, live", BKPT, _HIT, *live(_site(TO_HOOK)), Claim(FIRST, TO_HOOK), armed=True),
    _entry("B2n", "BKPT to branch, live, no maintenance at all", BKPT, _HIT, _site(TO_HOOK), armed=True),
    _entry("B3", "UDF to branch, under a stop", UDF, _HIT, *under_stop(_site(TO_HOOK)), Claim(FIRST, TO_HOOK),
           armed=True),
    _entry("B4", "UDF to branch under a stop, the handler reads the trap back", UDF, *under_stop(_site(TO_HOOK)),
           armed=True, handler=Handler.REREAD, breaks="I5", how="instead of a trap"),
    _entry("B5", "UDF to branch under a stop, the handler reads the trap back, no stop comes before it", UDF, _HIT,
           *under_stop(_site(TO_HOOK)),
           Claim(FIRST, TO_HOOK), armed=True, handler=Handler.REREAD, stop_in_handler=False),
    _entry("B6", "BKPT to branch live, the handler reads the trap back", BKPT, *live(_site(TO_HOOK)), armed=True,
           handler=Handler.REREAD, breaks="I5", how="instead of a trap"),
    _entry("B7", "stub not synchronised before the branch", BKPT, Store(_STUB, CODE), *live(_site(TO_HOOK)),
           armed=True, stub=JUNK, breaks="I1", how="what was in the stub before its code"),
    _entry("B8", "stub synchronised, a CSE on all cores, then the branch", BKPT, _HIT, *live(Store(_STUB, CODE)),
           *live(_site(TO_HOOK)), Claim(FIRST, TO_HOOK), armed=True, stub=JUNK),
    _entry("B9", "stub synchronised, but no CSE before the branch", BKPT, Store(_STUB, CODE), *synchronize(_STUB),
           *live(_site(TO_HOOK)), armed=True, stub=JUNK, breaks="I1", how="what was in the stub before its code"),
)  # fmt: skip

_PARK = (
    _entry("C1", "park, live", TO_HOOK, _HIT, _TAKE_BACK, *live(_site(TO_COPY)), Claim(FIRST, TO_COPY), _NO_HIT),
    _entry("C2", "park live, and promise without a CSE", TO_HOOK, _HIT, _TAKE_BACK, _site(TO_COPY),
           *synchronize(FIRST), _NO_HIT, breaks="I3", how="hits, though no pass"),
    _entry("C3", "unpark, live", TO_COPY, _NO_HIT, _TAKE_BACK, *live(_site(TO_HOOK)), Claim(FIRST, TO_HOOK), _HIT),
    Entry(
        Protocol("C4", "park and drop the condition at once", live(_site(TO_COPY)), (NE_TO_HOOK, 0, CODE),
                 {NE_TO_HOOK: Action(Kind.GOTO, hook()), TO_COPY: Action(Kind.GOTO, copy())}),
        "I7", "which nobody wrote",
    ),
    _entry("C5", "park, unpark, park, with one synchronisation at the end", TO_HOOK, _site(TO_COPY), _site(TO_HOOK),
           *live(_site(TO_COPY)), Claim(FIRST, TO_COPY), _NO_HIT),
    _entry("C6", "park and unpark by a data slot", TO_DISPATCH, _HIT, _TAKE_BACK, SetSlot(copy()), _NO_HIT, _TAKE_BACK,
           SetSlot(hook()), _HIT),
)  # fmt: skip

_LEFT = WaitLeft(stub_places())
_REMOVE = (
    _entry("D1", "branch to the instruction, live", TO_HOOK, *live(_site(ORIGINAL)),
           breaks="I1", how="is not B, BL, NOP, BKPT, SVC, HVC or SMC"),
    _entry("D2", "branch to the instruction under a stop, stub freed at once", TO_HOOK, *under_stop(_site(ORIGINAL)),
           _NO_HIT, Free(), breaks="I4", how="was freed"),
    _entry("D3", "branch to the instruction under a stop, stub freed when no PC is in it", TO_HOOK, _HIT, _TAKE_BACK,
           *under_stop(_site(ORIGINAL)),
           Claim(FIRST, ORIGINAL), _NO_HIT, _LEFT, Free()),
    _entry("D4", "branch to another stub live, freed when no PC is in it, but no CSE", TO_HOOK, _site(TO_OTHER_COPY),
           *synchronize(FIRST), _LEFT, Free(), breaks="I4", how="was freed"),
    _entry("D5", "branch to another stub live, a CSE on all cores, freed when no PC is in it", TO_HOOK, _HIT,
           _TAKE_BACK, *live(_site(TO_OTHER_COPY)),
           Claim(FIRST, TO_OTHER_COPY), _NO_HIT, _LEFT, Free()),
    _entry("D6", "branch to another stub live, freed when no PC was in it before the CSE", TO_HOOK,
           _site(TO_OTHER_COPY), *synchronize(FIRST), _LEFT,
           *CSE_ON_ALL, Free(), breaks="I4", how="was freed"),
    _entry("E1", "table disarmed before the trap is gone", UDF, Disarm(), *under_stop(_site(ORIGINAL)), armed=True,
           breaks="I5", how="stays unclaimed"),
    _entry("E2", "trap removed under a stop, disarmed when all handlers are done", UDF, _HIT, _TAKE_BACK,
           *under_stop(_site(ORIGINAL)), Claim(FIRST, ORIGINAL), _NO_HIT, WaitHandlers(), Disarm(), armed=True),
    _entry("E3", "trap removed under a stop, disarmed after", UDF, _HIT, _TAKE_BACK, *under_stop(_site(ORIGINAL)),
           Claim(FIRST, ORIGINAL), _NO_HIT, Disarm(), armed=True),
    _entry("E4", "trap removed under a stop, the handler reads the trap back", UDF, *under_stop(_site(ORIGINAL)),
           armed=True, handler=Handler.REREAD, breaks="I5", how="instead of a trap"),
    _entry("E5", "trap removed live", UDF, *live(_site(ORIGINAL)), Disarm(), armed=True,
           breaks="I1", how="is not B, BL, NOP, BKPT, SVC, HVC or SMC"),
)  # fmt: skip

_WINDOW = (_site(LOAD_PC), Store(SECOND, HOOK_ADDRESS))
_GUARD = under_stop(_site(BKPT))
_TWO_WORDS = (
    _entry("F1", "window of two words, PCs left alone", ORIGINAL, *under_stop(*_WINDOW), second=ORIGINAL_SECOND,
           breaks="I6", how="goes on inside a window"),
    _entry("F2", "window of two words, PCs moved to the copy", ORIGINAL,
           *under_stop(*_WINDOW, between=[Move(AT_SECOND, second_copy())]), Claim(FIRST, LOAD_PC),
           Claim(SECOND, HOOK_ADDRESS), _HIT, second=ORIGINAL_SECOND),
    _entry("F3", "window of two words, tried again while a PC is inside", ORIGINAL, Stop(), WaitStopped(),
           Retry((AT_SECOND,)),
           *_WINDOW, *synchronize(FIRST, SECOND), Resume(), Claim(FIRST, LOAD_PC), Claim(SECOND, HOOK_ADDRESS), _HIT,
           second=ORIGINAL_SECOND),
    Entry(
        Protocol("F4", "window undone under a stop, stub freed when no PC is in it",
                 (_HIT, _TAKE_BACK, *under_stop(_site(ORIGINAL), Store(SECOND, ORIGINAL_SECOND)),
                  Claim(FIRST, ORIGINAL), Claim(SECOND, ORIGINAL_SECOND), _NO_HIT, _LEFT, Free()),
                 (LOAD_PC, HOOK_ADDRESS, CODE), A32_WORDS, window=2),
    ),
    _entry("F5", "BKPT on the first word, the second rewritten live", ORIGINAL, Arm(), *_GUARD,
           *live(Store(SECOND, HOOK_ADDRESS)), second=ORIGINAL_SECOND, breaks="I1", how="is not B, BL, NOP"),
    _entry("F6", "staged: BKPT whose handler stays out of the window, drained, second word, then a branch", ORIGINAL,
           Arm(), *_GUARD, WaitLeft((AT_SECOND,)), *live(Store(SECOND, HOOK_ADDRESS)), *live(_site(TO_HOOK)),
           Claim(FIRST, TO_HOOK), Claim(SECOND, HOOK_ADDRESS), _HIT, second=ORIGINAL_SECOND, handler=Handler.DETOUR),
    _entry("F7", "staged, but not drained", ORIGINAL, Arm(), *_GUARD, *live(Store(SECOND, HOOK_ADDRESS)),
           second=ORIGINAL_SECOND, handler=Handler.DETOUR, breaks="I1", how="is not B, BL, NOP"),
    _entry("F8", "drained, but the handler goes back into the window", ORIGINAL, Arm(), *_GUARD,
           WaitLeft((AT_SECOND,)), *live(Store(SECOND, HOOK_ADDRESS)), second=ORIGINAL_SECOND,
           breaks="I1", how="is not B, BL, NOP"),
)  # fmt: skip


def _halves(halves: tuple[int, int]) -> tuple[Store, Store]:
    return Store(FIRST, halves[0]), Store(SECOND, halves[1])


_T32 = (
    _t32("G1", "B.W over a 32-bit instruction, live", ORIGINAL_WIDE, *live(*_halves(BW_HOOK)), breaks="I1",
         how="stored over it"),
    _t32("G2", "16-bit BKPT to B.W, second half first", (BKPT_NARROW, ORIGINAL_WIDE[1]),
         *live(Store(SECOND, BW_HOOK[1])), *live(_site(BW_HOOK[0])), armed=True, breaks="I1",
         how="BKPT and the first halfword of B.W are not listed"),
    _t32("G3", "16-bit BKPT to BL, second half first and synchronised", (BKPT_NARROW, ORIGINAL_WIDE[1]), _HIT,
         *live(Store(SECOND, BL_HOOK[1])), *live(_site(BL_HOOK[0])), Claim(FIRST, BL_HOOK[0]), armed=True),
    _t32("G3b", "16-bit BKPT to BL, second half first, not synchronised", (BKPT_NARROW, ORIGINAL_WIDE[1]),
         Store(SECOND, BL_HOOK[1]), *live(_site(BL_HOOK[0])), armed=True, breaks="I1", how="fetches"),
    _t32("G4", "B.W parked by its second half", BW_HOOK, _HIT, _TAKE_BACK, *live(Store(SECOND, BW_NEAR_COPY[1])),
         Claim(SECOND, BW_NEAR_COPY[1]), _NO_HIT),
    _t32("G5", "B.W to B.W, both halves", BW_HOOK, *live(*_halves(BW_FAR_COPY)), breaks="I1", how="B.W"),
    _t32("G5l", "BL to BL, both halves: each is listed", BL_HOOK, *live(*_halves(BL_FAR_COPY)), breaks="I7",
         how="which nobody wrote"),
    _t32("G6", "16-bit BKPT to a 16-bit branch, live", (BKPT_NARROW, 0), _HIT, *live(_site(B_HOOK)),
         Claim(FIRST, B_HOOK), armed=True),
    _t32("G7", "16-bit branch parked, live", (B_HOOK, 0), _HIT, _TAKE_BACK, *live(_site(B_COPY)),
         Claim(FIRST, B_COPY), _NO_HIT),
    _t32("G8", "B.W over a 32-bit instruction, under a stop", ORIGINAL_WIDE, *under_stop(*_halves(BW_HOOK)),
         Claim(FIRST, BW_HOOK[0]), Claim(SECOND, BW_HOOK[1]), _HIT),
)  # fmt: skip

#: every protocol by its name
CATALOGUE: dict[str, Entry] = {
    entry.protocol.name: entry
    for family in (_INSTALL, _TRAP_TO_BRANCH, _PARK, _REMOVE, _TWO_WORDS, _T32)
    for entry in family
}
