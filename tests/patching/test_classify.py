"""Which transitions the architecture allows under running processors."""

from __future__ import annotations

import itertools

import pytest

from armprobe.errors import UsageError
from armprobe.isa.instruction_set import InstructionSet
from armprobe.patching import Change, classify

A32 = InstructionSet.A32


def change(old, new):
    return classify(old.to_bytes(4, "little"), new.to_bytes(4, "little"), isa=A32)


#: one word of each listed kind; the branches share their condition
LISTED = {
    "B": 0xEA000010,  # b .+0x48
    "BL": 0xEB000020,  # bl .+0x88
    "NOP": 0xE320F000,  # nop
    "NOP conditional": 0x0320F000,  # nopeq
    "BKPT": 0xE1200070,  # bkpt #0
    "BKPT with a number": 0xE12FFF7F,  # bkpt #65535
    "SVC": 0xEF000000,  # svc #0
    "SVC conditional": 0x1F123456,  # svcne #0x123456
    "HVC": 0xE1400071,  # hvc #1
    "SMC": 0xE1600070,  # smc #0
    "SMC conditional": 0x0160007F,  # smceq #15
}

UNLISTED = {
    "UDF": 0xE7F001F8,  # udf #0x18, the trap of Linux kprobes
    "UDF conditional": 0x07F001F8,  # Linux' trap with condition EQ
    "mov r0, r0": 0xE1A00000,  # the no-operation of old compilers is not NOP
    "YIELD": 0xE320F001,  # yield
    "WFI": 0xE320F003,  # wfi
    "ISB": 0xF57FF06F,  # isb sy
    "BLX immediate": 0xFA000000,  # blx .+8
    "BLX register": 0xE12FFF33,  # blx r3
    "BX": 0xE12FFF1E,  # bx lr
    "MOV to PC": 0xE1A0F00E,  # mov pc, lr
    "LDR to PC": 0xE51FF004,  # ldr pc, [pc, #-4]
    "BKPT conditional": 0x01200070,  # UNPREDICTABLE: BKPT has condition AL
    "HVC conditional": 0x01400070,  # UNPREDICTABLE
    "SMC with should-be bits": 0xE1610070,  # UNPREDICTABLE
    "zero": 0x00000000,  # andeq r0, r0, r0
    "NOP in the unconditional space": 0xF320F000,
    "SVC in the unconditional space": 0xFF000000,
    "a store": 0xE5801000,  # str r1, [r0]
}


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(LISTED, 2)))
def test_listed_words_replace_one_another_live(old, new):
    assert change(LISTED[old], LISTED[new]).change is Change.LIVE


@pytest.mark.parametrize("listed", LISTED)
@pytest.mark.parametrize("unlisted", UNLISTED)
def test_unlisted_word_on_either_side_needs_a_stop(listed, unlisted):
    assert change(LISTED[listed], UNLISTED[unlisted]).change is Change.STOP
    assert change(UNLISTED[unlisted], LISTED[listed]).change is Change.STOP


def test_rule_names_both_words_and_the_section():
    found = change(0xE1200070, 0x0A000010)
    assert str(found) == "LIVE: BKPT and B are both listed (DDI 0406C A3.5.4)"


def test_rule_names_the_word_that_is_not_listed():
    found = change(0xE7F001F8, 0xEA000010)
    assert str(found) == ("STOP: the old word 0xe7f001f8 is not B, BL, NOP, BKPT, SVC, HVC or SMC (DDI 0406C A3.5.4)")
    found = change(0xEA000010, 0xE7F001F8)
    assert found.rule == "the new word 0xe7f001f8 is not B, BL, NOP, BKPT, SVC, HVC or SMC (DDI 0406C A3.5.4)"


@pytest.mark.parametrize("kinds", list(itertools.product((0x0A000000, 0x0B000000), repeat=2)))
@pytest.mark.parametrize(("old_cond", "new_cond"), list(itertools.product((0, 5, 14), repeat=2)))
@pytest.mark.parametrize("new_target", [0x10, 0x11])
def test_branch_changes_its_condition_or_its_target_but_not_both(kinds, old_cond, new_cond, new_target):
    """AL counts as a condition: `b t` may otherwise become `beq t` or `b u` on the way to `beq u`."""
    old, new = old_cond << 28 | kinds[0] | 0x10, new_cond << 28 | kinds[1] | new_target
    mixed = old_cond != new_cond and new_target != 0x10
    assert change(old, new).change is (Change.STOP if mixed else Change.LIVE)


def test_rule_for_a_branch_that_changes_both():
    assert change(0xEA000010, 0x0A000011).rule == (
        "condition and target of a branch change together, and a processor may mix old and new (DDI 0406C A3.5.4)"
    )


def test_same_bytes_are_no_change():
    found = change(0xE5801000, 0xE5801000)
    assert (found.change, found.rule) == (Change.LIVE, "no byte changes")


def test_two_words_that_both_change_need_a_stop_even_when_listed():
    old = bytes.fromhex("00f020e3 00f020e3")  # nop; nop
    found = classify(old, bytes.fromhex("100000ea 110000ea"), isa=A32)
    assert str(found) == (
        "STOP: 2 instructions change, and a processor may execute one old and one new (DDI 0406C A3.5.4)"
    )


def test_one_changed_word_of_two_is_judged_alone():
    old = bytes.fromhex("001080e5 00f020e3")  # str r1, [r0]; nop
    assert classify(old, bytes.fromhex("001080e5 100000ea"), isa=A32).change is Change.LIVE


@pytest.mark.parametrize(("old", "new"), [(4, 8), (0, 0), (2, 2), (6, 6)])
def test_bytes_that_are_no_whole_words_are_an_error(old, new):
    message = f"one or more A32 words of 4 bytes replace as many others, but {new} bytes came for {old}"
    with pytest.raises(UsageError, match=f"^{message}$"):
        classify(bytes(old), bytes(new), isa=A32)
