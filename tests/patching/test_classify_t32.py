"""Which transitions the architecture allows under running processors, halfword by halfword."""

from __future__ import annotations

import itertools
import re

import pytest

from armprobe.errors import UsageError
from armprobe.isa.instruction_set import InstructionSet
from armprobe.patching import Change, classify, mixture


def classification(old: str, new: str):
    """Of halfwords as objdump shows them: "f000 f802"."""
    return classify(halfwords(old), halfwords(new), isa=InstructionSet.T32)


def halfwords(text: str) -> bytes:
    return b"".join(bytes.fromhex(halfword)[::-1] for halfword in text.split())


LISTED = {
    "B": "e010",  # b .+0x24
    "B<c>": "d010",  # beq .+0x24
    "NOP": "bf00",  # nop
    "BKPT": "be00",  # bkpt #0
    "SVC": "df01",  # svc #1
}
UNLISTED = {
    "UDF": "de18",  # udf #24, the trap of Linux kprobes
    "BX": "4770",  # bx lr: one sentence of DDI 0487 E2.2.5 has it, the next has not
    "BLX": "4798",  # blx r3
    "mov r8, r8": "46c0",  # the no-operation of old compilers
    "YIELD": "bf10",  # yield
    "IT": "bf08",  # it eq
    "a push": "b510",  # push {r4, lr}
    "BX with should-be bits": "4771",  # UNPREDICTABLE
    "SVC-like UDF": "deff",
}


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(LISTED, 2)))
def test_listed_16_bit_instructions_replace_one_another_live(old, new):
    expected = Change.LIVE
    assert classification(LISTED[old], LISTED[new]).change is expected


@pytest.mark.parametrize("listed", LISTED)
@pytest.mark.parametrize("unlisted", UNLISTED)
def test_an_unlisted_16_bit_instruction_on_either_side_needs_a_stop(listed, unlisted):
    assert classification(LISTED[listed], UNLISTED[unlisted]).change is Change.STOP
    assert classification(UNLISTED[unlisted], LISTED[listed]).change is Change.STOP


#: second halves that make different instructions of the first half f000
SECOND = {
    "BL": "f802",  # bl .+8
    "BLX": "e802",  # blx .+8
    "B.W": "b802",  # b.w .+8
    "B<c>.W": "8002",  # beq.w .+8
}
OTHER = {"BL": "f803", "BLX": "e804", "B.W": "b803", "B<c>.W": "8003"}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(SECOND, repeat=2)))
def test_the_second_halfword_changes_within_one_kind_of_branch_alone(old, new):
    found = classification(f"f000 {SECOND[old]}", f"f000 {OTHER[new]}")
    assert found.change is (Change.LIVE_HW2 if old == new else Change.STOP)


@pytest.mark.parametrize("kind", SECOND)
def test_the_first_halfword_changes_for_bl_and_blx_but_never_for_b_w(kind):
    found = classification(f"f000 {SECOND[kind]}", f"f001 {SECOND[kind]}")
    assert found.change is (Change.LIVE_HW1 if kind in ("BL", "BLX") else Change.STOP)


@pytest.mark.parametrize("kind", SECOND)
@pytest.mark.parametrize(
    ("narrow", "listed"),
    [("e010", True), ("d010", True), ("be00", True), ("df01", True), ("4770", True), ("4798", True),
     ("bf00", False), ("de18", False), ("b510", False)],
)  # fmt: skip
def test_bl_and_blx_exchange_their_first_halfword_with_some_16_bit_instructions(kind, narrow, listed):
    wide = f"f000 {SECOND[kind]}"
    beside = f"{narrow} {SECOND[kind]}"
    expected = Change.LIVE_HW1 if listed and kind in ("BL", "BLX") else Change.STOP
    assert classification(wide, beside).change is expected
    assert classification(beside, wide).change is expected


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("be00", "e010", "LIVE: 16-bit BKPT and B are both listed (DDI 0406C A3.5.4)"),
        ("be00", "de18", "STOP: the new halfword 0xde18 is not a 16-bit B, NOP, BKPT or SVC (DDI 0406C A3.5.4)"),
        ("de18", "e010", "STOP: the old halfword 0xde18 is not a 16-bit B, NOP, BKPT or SVC (DDI 0406C A3.5.4)"),
        ("f000 b802", "f000 b803",
         "LIVE_HW2: the second halfword of B.W becomes that of another (DDI 0406C A3.5.4)"),
        ("f000 f802", "f001 f802",
         "LIVE_HW1: the first halfword of BL becomes that of another (DDI 0406C A3.5.4)"),
        ("f000 b802", "f001 b802",
         "STOP: the first halfword changes from B.W to B.W, which is not listed (DDI 0406C A3.5.4)"),
        ("f000 f802", "f000 e802",
         "STOP: the second halfword changes from BL to BLX, which is not listed (DDI 0406C A3.5.4)"),
        ("f3af 8000", "f3af 8001",  # nop.w, yield.w
         ("STOP: the second halfword changes from 0xf3af 0x8000 to 0xf3af 0x8001, which is not listed "
         "(DDI 0406C A3.5.4)")),
        ("f000 b802", "f001 b803",
         ("STOP: both halfwords of a 32-bit instruction change, and a processor may execute one old and one new "
         "(DDI 0406C A3.5.4, A3.5.3)")),
        ("f000 f802", "f001 f803",
         ("STOP: both halfwords of a 32-bit instruction change, and a processor may execute one old and one new "
         "(DDI 0406C A3.5.4, A3.5.3)")),
        ("be00 f802", "f000 f803",  # the second halfword must be there first
         ("STOP: both halfwords of a 32-bit instruction change, and a processor may execute one old and one new "
         "(DDI 0406C A3.5.4, A3.5.3)")),
        ("be00 f802", "f000 f802", "LIVE_HW1: 16-bit BKPT and the first halfword of BL are listed (DDI 0406C A3.5.4)"),
        ("bf00 f802", "f000 f802", "STOP: NOP and the first halfword of BL are not listed (DDI 0406C A3.5.4)"),
        ("be00 b802", "f000 b802", "STOP: BKPT and the first halfword of B.W are not listed (DDI 0406C A3.5.4)"),
        ("f8d0 0004", "be00 0004",  # ldr.w r0, [r0, #4]
         "STOP: BKPT and the first halfword of 0xf8d0 0x0004 are not listed (DDI 0406C A3.5.4)"),
        ("d010", "d110", "LIVE: 16-bit B and B are both listed (DDI 0406C A3.5.4)"),
        ("d010", "d011", "LIVE: 16-bit B and B are both listed (DDI 0406C A3.5.4)"),
        ("d010", "d111",
         ("STOP: condition and target of a branch change together, and a processor may mix old and new "
         "(DDI 0406C A3.5.4)")),
        ("d010", "e010", "LIVE: 16-bit B and B are both listed (DDI 0406C A3.5.4)"),
        ("d0f0", "e7f0", "LIVE: 16-bit B and B are both listed (DDI 0406C A3.5.4)"),  # beq, b .-28
        ("d010", "e011",
         ("STOP: condition and target of a branch change together, and a processor may mix old and new "
         "(DDI 0406C A3.5.4)")),
        ("f000 e802", "f000 e803",  # BLX to an odd halfword is UNDEFINED
         ("STOP: the second halfword changes from BLX to 0xf000 0xe803, which is not listed (DDI 0406C A3.5.4)")),
        ("be00", "be00", "LIVE: no byte changes"),
        ("f000 f802", "f000 f802", "LIVE: no byte changes"),
        ("b510 be00", "b510 e010", "LIVE: 16-bit BKPT and B are both listed (DDI 0406C A3.5.4)"),
        ("f000 f802 be00", "f000 f802 e010", "LIVE: 16-bit BKPT and B are both listed (DDI 0406C A3.5.4)"),
        ("be00 be00", "e010 e010",
         "STOP: 2 instructions change, and a processor may execute one old and one new (DDI 0406C A3.5.4)"),
    ],
)  # fmt: skip
def test_the_rule_says_why(old, new, rule):
    assert str(classification(old, new)) == rule


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("be00", "f000 f802", "one or more T32 halfwords of 2 bytes replace as many others, but 4 bytes came for 2"),
        ("", "", "one or more T32 halfwords of 2 bytes replace as many others, but 0 bytes came for 0"),
        ("be00", "f000", "a 32-bit T32 instruction begins in the last halfword, 0xf000"),
        ("f000", "be00", "a 32-bit T32 instruction begins in the last halfword, 0xf000"),
    ],
)
def test_what_is_no_whole_instruction_is_an_error(old, new, message):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        classification(old, new)


def test_an_odd_number_of_bytes_is_an_error():
    with pytest.raises(UsageError, match=r"^one or more T32 halfwords of 2 bytes .* but 3 bytes came for 3$"):
        classify(bytes(3), bytes(3), isa=InstructionSet.T32)


def test_the_mixture_of_two_branches_has_the_condition_of_one_and_the_target_of_the_other():
    assert mixture(0x0A000010, 0xEA000020) == (0x0A000020, 0xEA000010)


@pytest.mark.parametrize("new", [0x0A000020, 0xEA000010, 0x0B000020, 0xE1200070])
def test_what_changes_condition_or_target_alone_does_not_mix(new):
    assert mixture(0x0A000010, new) is None
