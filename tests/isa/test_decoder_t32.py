"""T32 words to rows and usage: golden words from GNU as, IT blocks, and what is refused."""

from __future__ import annotations

import re

import pytest
from tests.isa.golden import check, parse, usage_of

from armprobe.errors import Undefined, Unpredictable
from armprobe.isa import itstate
from armprobe.isa.decoder import decode
from armprobe.isa.flow import flow
from armprobe.isa.instruction_set import InstructionSet, is_wide, join, to_bytes

T32 = InstructionSet.T32

NARROW = parse("""
0011 | movs r1, r2 | MOV_register_T2 | r2 -> r1 n z
0111 | lsls r1, r2, #4 | LSL_immediate_T1 | r2 -> r1 n z c
1011 | asrs r1, r2, #32 | ASR_immediate_T1 | r2 -> r1 n z c
18d1 | adds r1, r2, r3 | ADD_register_T1 | r2 r3 -> r1 n z c v
1fd1 | subs r1, r2, #7 | SUB_immediate_T1 | r2 -> r1 n z c v
23ff | movs r3, #255 | MOV_immediate_T1 | -> r3 n z
2bff | cmp r3, #255 | CMP_immediate_T1 | r3 -> n z c v
33c8 | adds r3, #200 | ADD_immediate_T2 | r3 -> r3 n z c v
4011 | ands r1, r2 | AND_register_T1 | r1 r2 -> r1 n z
41d1 | rors r1, r2 | ROR_register_T1 | r1 r2 c -> r1 n z c
4151 | adcs r1, r2 | ADC_register_T1 | r1 r2 c -> r1 n z c v
4211 | tst r1, r2 | TST_register_T1 | r1 r2 -> n z
4251 | rsbs r1, r2, #0 | RSB_immediate_T1 | r2 -> r1 n z c v
4351 | muls r1, r2, r1 | MUL_T1 | r1 r2 -> r1 n z
43d1 | mvns r1, r2 | MVN_register_T1 | r2 -> r1 n z
4449 | add r1, r9 | ADD_register_T2 | r1 r9 -> r1
448d | add sp, r1 | ADD_register_T2 | r1 sp -> sp
447c | add r4, pc | ADD_register_T2 | r4 pc -> r4
4549 | cmp r1, r9 | CMP_register_T2 | r1 r9 -> n z c v
4589 | cmp r9, r1 | CMP_register_T2 | r1 r9 -> n z c v
4689 | mov r9, r1 | MOV_register_T1 | r1 -> r9
4608 | mov r0, r1 | MOV_register_T1 | r1 -> r0
46f7 | mov pc, lr | MOV_register_T1 | lr -> pc
4770 | bx lr | BX_T1 | lr -> pc
4798 | blx r3 | BLX_register_T1 | r3 pc -> lr pc
4902 | ldr r1, [pc, #8] | LDR_literal_T1 | pc mem -> r1
50d1 | str r1, [r2, r3] | STR_register_T1 | r1 r2 r3 -> mem
5ed1 | ldrsh r1, [r2, r3] | LDRSH_register_T1 | r2 r3 mem -> r1
7fd1 | ldrb r1, [r2, #31] | LDRB_immediate_T1 | r2 mem -> r1
8051 | strh r1, [r2, #2] | STRH_immediate_T1 | r1 r2 -> mem
9101 | str r1, [sp, #4] | STR_immediate_T2 | r1 sp -> mem
9901 | ldr r1, [sp, #4] | LDR_immediate_T2 | sp mem -> r1
a101 | adr r1, . + 8 | ADR_T1 | pc -> r1
a902 | add r1, sp, #8 | ADD_SP_immediate_T1 | sp -> r1
b002 | add sp, #8 | ADD_SP_immediate_T2 | sp -> sp
b082 | sub sp, #8 | SUB_SP_immediate_T1 | sp -> sp
c10c | stm r1!, {r2, r3} | STM_T1 | r1 r2 r3 -> r1 mem
c90c | ldm r1!, {r2, r3} | LDM_T1 | r1 mem -> r1 r2 r3
c906 | ldm r1, {r1, r2} | LDM_T1 | r1 mem -> r1 r2
b111 | cbz r1, . + 8 | CBZ_T1 | r1 pc -> pc
b291 | uxth r1, r2 | UXTH_T1 | r2 -> r1
ba51 | rev16 r1, r2 | REV16_T1 | r2 -> r1
b510 | push {r4, lr} | PUSH_T1 | r4 lr sp -> sp mem ! 8
bd10 | pop {r4, pc} | POP_T1 | sp mem -> r4 sp pc
b672 | cpsid i | CPS_T1 | ->
b658 | setend be | SETEND_T1 | ->
bf00 | nop | NOP_T1 | ->
bf30 | wfi | WFI_T1 | ->
bf19 | ittee ne | IT_T1 | ->
d002 | beq . + 8 | B_T1 | pc -> pc
e002 | b . + 8 | B_T2 | pc -> pc
""")


def case_id(case):
    return case[1]


@pytest.mark.parametrize("case", NARROW, ids=case_id)
def test_golden_words_have_the_row_and_the_usage_of_their_text(case):
    check(case, T32)


def test_16_bit_instructions_have_two_bytes_and_know_their_set():
    insn = decode(0x18D1, T32)  # adds r1, r2, r3
    assert (insn.length, insn.instruction_set, insn.code) == (2, T32, bytes.fromhex("d118"))


def test_halfwords_are_joined_where_the_first_says_so():
    assert [is_wide(first) for first in (0xE7FE, 0xE800, 0xF000)] == [False, True, True]
    assert join(0x4770, 0xBF00) == 0x4770  # bx lr
    assert join(0xF000, 0xF800) == 0xF000F800  # bl .+4
    assert to_bytes(0xF000F801, T32) == bytes.fromhex("00f001f8")
    assert to_bytes(0xE12FFF1E, InstructionSet.A32) == bytes.fromhex("1eff2fe1")


# IT blocks


def test_itstate_moves_through_a_block_of_four():
    it = itstate.start(1, 0b1011)  # ittet ne
    seen = []
    while itstate.in_block(it):
        seen.append((itstate.condition(it), itstate.last_in_block(it)))
        it = itstate.advance(it)
    assert seen == [(1, False), (1, False), (0, False), (1, True)]
    assert (it, itstate.condition(it)) == (0, 14)


@pytest.mark.parametrize("it", [0, 0x08, 0x18, 0x1B, 0xE8, 0xDF])
def test_itstate_survives_the_status_register(it):
    assert itstate.from_psr(itstate.to_psr(it) | 0x1D3 | 0xF0000020) == it


def test_data_processing_in_an_it_block_is_conditional_and_leaves_the_flags_alone():
    outside, inside = decode(0x18D1, T32), decode(0x18D1, T32, it=0x08)  # adds r1, r2, r3; addeq r1, r2, r3
    assert (outside.cond, outside.usage) == (14, usage_of("r2 r3 -> r1 n z c v"))
    assert (inside.cond, inside.usage) == (0, usage_of("r2 r3 z -> r1"))


def test_comparisons_write_flags_in_an_it_block_too():
    assert decode(0x4211, T32, it=0xC8).usage == usage_of("r1 r2 n v z -> n z")  # tstgt r1, r2


def test_a_breakpoint_is_executed_whatever_the_block_says():
    assert decode(0xBE00, T32, it=0x08).cond == 14  # bkpt


@pytest.mark.parametrize(
    ("word", "it", "message"),
    [
        (0x0011, 0x08, "0x0011 is UNPREDICTABLE (MOV_register_T2: in_it)"),  # movs r1, r2
        (0xD002, 0x08, "0xd002 is UNPREDICTABLE (B_T1: in_it)"),  # beq .+8
        (0xBF08, 0x08, "0xbf08 is UNPREDICTABLE (IT_T1: in_it)"),  # it eq
        (0xE002, 0x04, "0xe002 is UNPREDICTABLE (B_T2: in_it and not last_in_it)"),  # b .+8
        (0xBD10, 0x04, "0xbd10 is UNPREDICTABLE (POP_T1: P == 1 and in_it and not last_in_it)"),  # pop {r4, pc}
        (0xBFF8, 0, "0xbff8 is UNPREDICTABLE (IT_T1: firstcond == 15)"),
        (0xBFEC, 0, "0xbfec is UNPREDICTABLE (IT_T1: firstcond == 14 and count(mask) != 1)"),
        (0x4501, 0, "0x4501 is UNPREDICTABLE (CMP_register_T2: Rn < 8 and Rm < 8)"),
        (0x4771, 0, "0x4771 is UNPREDICTABLE (BX_T1: should-be bits 0x00000007 are not 0x00000000)"),
        (0xB400, 0, "0xb400 is UNPREDICTABLE (PUSH_T1: registers == 0)"),
    ],
)
def test_a_word_its_row_excludes_is_refused_with_the_reason(word, it, message):
    with pytest.raises(Unpredictable, match=f"^{re.escape(message)}$"):
        decode(word, T32, it=it)


@pytest.mark.parametrize(("word", "it"), [(0x4770, 0x08), (0xE002, 0x18), (0xBD10, 0x08)])
def test_what_writes_pc_may_end_an_it_block(word, it):
    decode(word, T32, it=it)  # bxeq lr; bne .+8; popeq {r4, pc}


def test_a_word_without_a_row_is_undefined_and_the_hint_says_what_it_may_be():
    with pytest.raises(Undefined, match=r"^0xb800 matches no T32 instruction$") as caught:
        decode(0xB800, T32)
    assert caught.value.hint == "is it data, A32 code, or half of an instruction?"


# Branches and flow


@pytest.mark.parametrize(
    ("word", "target"),
    [
        (0xD002, 0x8008),  # beq .+8
        (0xD080, 0x7F04),  # beq .-252, the furthest back
        (0xD07F, 0x8102),  # beq .+258
        (0xE7FE, 0x8000),  # b .
        (0xE400, 0x7804),  # b .-2044
        (0xB111, 0x8008),  # cbz r1, .+8
        (0xBBF9, 0x8082),  # cbnz r1, .+130
        (0x4770, None),  # bx lr
    ],
)
def test_the_target_of_an_immediate_branch(word, target):
    assert decode(word, T32).target(0x8000) == target


@pytest.mark.parametrize(
    ("word", "it", "following", "target", "call", "unknown"),
    [
        (0x18D1, 0, 0x8002, None, False, False),  # adds r1, r2, r3
        (0xD002, 0, 0x8002, 0x8008, False, False),  # beq .+8
        (0xE002, 0, None, 0x8008, False, False),  # b .+8
        (0xE002, 0x08, 0x8002, 0x8008, False, False),  # beq .+8 that ends an IT block
        (0xB111, 0, 0x8002, 0x8008, False, False),  # cbz r1, .+8
        (0x4798, 0, 0x8002, None, True, True),  # blx r3
        (0x4770, 0, None, None, False, True),  # bx lr
        (0xBD10, 0x08, 0x8002, None, False, True),  # popeq {r4, pc}
    ],
)
def test_where_control_goes(word, it, following, target, call, unknown):
    found = flow(decode(word, T32, it=it), 0x8000)
    assert (found.next, found.target, found.call, found.unknown) == (following, target, call, unknown)


def test_fields_have_the_values_that_the_encoding_spreads():
    assert decode(0x4689, T32).fields["Rd"] == 9  # mov r9, r1
    assert decode(0xB510, T32).fields["registers"] == 0x4010  # push {r4, lr}
