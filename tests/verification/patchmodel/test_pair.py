"""Any two instructions: what is shown as safe is proven, what is shown as wrong is wrong."""

from __future__ import annotations

from itertools import permutations

import pytest

from armprobe.isa.instruction_set import InstructionSet, is_wide
from armprobe.patching import Change, classify
from armprobe.verification.patchmodel.explore import check
from armprobe.verification.patchmodel.pair import Setting, is_trap, safe, unsafe

A32, T32 = InstructionSet.A32, InstructionSet.T32
WORDS = [
    0xE92D4010,  # push {r4, lr}
    0xE7F001F8,  # udf #0x18
    0x07F001F8,  # the same, eq
    0xE1200070,  # bkpt #0
    0xE320F000,  # nop
    0xEA000010,  # b .+0x48
    0x0A000020,  # beq .+0x88
    0xEF000000,  # svc #0
]
NARROW = [0xB510, 0xBE00, 0xDE18, 0xE010, 0xD020, 0xBF00, 0xDF01]  # push, bkpt, udf, b, beq, nop, svc
WIDE = [
    (0xF000, 0xB802), (0xF000, 0xB803), (0xF001, 0xB803), (0xF000, 0xF802), (0xF001, 0xF802), (0xF001, 0xF803),
    (0xF8D0, 0x0004), (0xBE00, 0x0004), (0xBE00, 0xF802), (0xDF01, 0xF802), (0xBF00, 0xF802), (0xF7F0, 0xA018),
]  # fmt: skip


def code(*units: int, size: int) -> bytes:
    return b"".join(unit.to_bytes(size, "little") for unit in units)


def one_instruction(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Whether the second halfword belongs to the instruction, or stays as it is."""
    return is_wide(old[0]) or is_wide(new[0]) or old[1] == new[1]


PAIRS = [
    *((A32, code(old, size=4), code(new, size=4)) for old, new in permutations(WORDS, 2)),
    *((T32, code(old, size=2), code(new, size=2)) for old, new in permutations(NARROW, 2)),
    *((T32, code(*old, size=2), code(*new, size=2)) for old, new in permutations(WIDE, 2) if one_instruction(old, new)),
]


@pytest.mark.slow
@pytest.mark.parametrize("setting", Setting)
def test_the_protocol_for_any_pair_is_safe(setting):
    for isa, old, new in PAIRS:
        result = check(safe(old, new, isa=isa, setting=setting), cores=1 if setting is Setting.SINGLE else 2)
        assert result.safe, (isa, old.hex(), new.hex(), result.violation)


@pytest.mark.slow
def test_what_needs_a_stop_goes_wrong_without_one():
    stops = [pair for pair in PAIRS if classify(*pair[1:], isa=pair[0]).change is Change.STOP]
    for isa, old, new in stops:
        result = check(unsafe(old, new, isa=isa))
        assert result.violation is not None, (isa, old.hex(), new.hex())
        assert result.violation.invariant in ("I1", "I7")
    assert 100 < len(stops) < len(PAIRS)


@pytest.mark.slow
def test_what_may_be_done_live_may_not_be_relied_on_before_a_synchronisation_everywhere():
    """But for one trap in the place of another: nothing can be told apart then."""
    for isa, old, new in PAIRS:
        traps = [is_trap(int.from_bytes(each[:2] if isa is T32 else each, "little"), isa) for each in (old, new)]
        if classify(old, new, isa=isa).change is not Change.STOP and not all(traps):
            result = check(unsafe(old, new, isa=isa))
            assert result.violation is not None, (isa, old.hex(), new.hex())
            assert result.violation.invariant == "I3"


@pytest.mark.parametrize(
    ("isa", "instruction", "trap"),
    [(A32, 0xE1200070, True), (A32, 0xE7F001F8, True), (A32, 0x07F001F8, True), (A32, 0xEF000000, False),
     (T32, 0xBE12, True), (T32, 0xDE18, True), (T32, 0xF7F0A018, True), (T32, 0xDF00, False), (T32, 0xF000B802, False)],
)  # fmt: skip
def test_traps_are_bkpt_and_udf(isa, instruction, trap):
    assert is_trap(instruction, isa) is trap
