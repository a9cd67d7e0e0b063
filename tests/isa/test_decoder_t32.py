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

WIDE = parse("""
ea021103 | and.w r1, r2, r3, lsl #4 | AND_register_T2 | r2 r3 -> r1
ea120133 | ands.w r1, r2, r3, rrx | AND_register_T2 | r2 r3 c -> r1 n z c
ea120103 | ands.w r1, r2, r3 | AND_register_T2 | r2 r3 -> r1 n z
f01201ff | ands.w r1, r2, #255 | AND_immediate_T1 | r2 -> r1 n z
f0124100 | ands.w r1, r2, #0x80000000 | AND_immediate_T1 | r2 -> r1 n z c
f0110f01 | tst.w r1, #1 | TST_immediate_T1 | r1 -> n z
ea910f02 | teq r1, r2 | TEQ_register_T1 | r1 r2 -> n z
f05f11ff | movs.w r1, #0xff00ff | MOV_immediate_T2 | -> r1 n z
ea6f0102 | mvn.w r1, r2 | MVN_register_T2 | r2 -> r1
ea4f090d | mov.w r9, sp | MOV_register_T3 | sp -> r9
ea5f01c2 | lsls.w r1, r2, #3 | LSL_immediate_T2 | r2 -> r1 n z c
ea5f0132 | rrxs r1, r2 | RRX_T1 | r2 c -> r1 n z c
ea620103 | orn r1, r2, r3 | ORN_register_T1 | r2 r3 -> r1
eac21123 | pkhtb r1, r2, r3, asr #4 | PKH_T1 | r2 r3 -> r1
eb120183 | adds.w r1, r2, r3, lsl #2 | ADD_register_T3 | r2 r3 -> r1 n z c v
eb0d0dc1 | add.w sp, sp, r1, lsl #3 | ADD_SP_register_T3 | r1 sp -> sp
f50d7d80 | add.w sp, sp, #256 | ADD_SP_immediate_T3 | sp -> sp
ebb10f4c | cmp.w r1, r12, lsl #1 | CMP_register_T3 | r1 r12 -> n z c v
eb420103 | adc.w r1, r2, r3 | ADC_register_T2 | r2 r3 c -> r1
f1720101 | sbcs.w r1, r2, #1 | SBC_immediate_T1 | r2 c -> r1 n z c v
ebc20103 | rsb.w r1, r2, r3 | RSB_register_T1 | r2 r3 -> r1
f60271ff | addw r1, r2, #4095 | ADD_immediate_T4 | r2 -> r1
f2ad0d04 | subw sp, sp, #4 | SUB_SP_immediate_T3 | sp -> sp
f20f01fc | adr.w r1, . + 256 | ADR_T3 | pc -> r1
f2412134 | movw r1, #0x1234 | MOV_immediate_T3 | -> r1
f2c12134 | movt r1, #0x1234 | MOVT_T1 | r1 -> r1
f32201c7 | ssat r1, #8, r2, asr #3 | SSAT_T1 | r2 q -> r1 q
f3a20108 | usat16 r1, #8, r2 | USAT16_T1 | r2 q -> r1 q
f34201c3 | sbfx r1, r2, #3, #4 | SBFX_T1 | r2 -> r1
f36201c6 | bfi r1, r2, #3, #4 | BFI_T1 | r1 r2 -> r1
f36f01c6 | bfc r1, #3, #4 | BFC_T1 | r1 -> r1
fa32f109 | lsrs.w r1, r2, r9 | LSR_register_T2 | r2 r9 c -> r1 n z c
fa02f193 | sxtah r1, r2, r3, ror #8 | SXTAH_T1 | r2 r3 -> r1
fa5ff982 | uxtb.w r9, r2 | UXTB_T2 | r2 -> r9
fa82f103 | sadd8 r1, r2, r3 | SADD8_T1 | r2 r3 -> r1 ge
fad2f153 | uqsub16 r1, r2, r3 | UQSUB16_T1 | r2 r3 -> r1
fa83f192 | qdadd r1, r2, r3 | QDADD_T1 | r2 r3 q -> r1 q
fa92f982 | rev.w r9, r2 | REV_T2 | r2 -> r9
fa92f1a2 | rbit r1, r2 | RBIT_T1 | r2 -> r1
fab2f182 | clz r1, r2 | CLZ_T1 | r2 -> r1
faa2f183 | sel r1, r2, r3 | SEL_T1 | r2 r3 ge -> r1
fac2f1a3 | crc32w r1, r2, r3 | CRC32_T1 | r2 r3 -> r1
fb02f109 | mul r1, r2, r9 | MUL_T2 | r2 r9 -> r1
fb024103 | mla r1, r2, r3, r4 | MLA_T1 | r2 r3 r4 -> r1
fb124123 | smlatb r1, r2, r3, r4 | SMLABB_T1 | r2 r3 r4 q -> r1 q
fb22f103 | smuad r1, r2, r3 | SMUAD_T1 | r2 r3 q -> r1 q
fba31204 | umull r1, r2, r3, r4 | UMULL_T1 | r3 r4 -> r1 r2
fbe31264 | umaal r1, r2, r3, r4 | UMAAL_T1 | r1 r2 r3 r4 -> r1 r2
fb92f1f3 | sdiv r1, r2, r3 | SDIV_T1 | r2 r3 -> r1
fb724103 | usada8 r1, r2, r3, r4 | USADA8_T1 | r2 r3 r4 -> r1
f85f1008 | ldr.w r1, [pc, #-8] | LDR_literal_T2 | pc mem -> r1
f851f022 | ldr.w pc, [r1, r2, lsl #2] | LDR_register_T2 | r1 r2 mem -> pc
f85d1b04 | ldr r1, [sp], #4 | LDR_immediate_T4 | sp mem -> r1 sp
f84d1d08 | str r1, [sp, #-8]! | STR_immediate_T4 | r1 sp -> sp mem ! 8
f8c21fff | str.w r1, [r2, #4095] | STR_immediate_T3 | r1 r2 -> mem
f8221c04 | strh r1, [r2, #-4] | STRH_immediate_T3 | r1 r2 -> mem
f9121e01 | ldrsbt r1, [r2, #1] | LDRSBT_T1 | r2 mem -> r1
f8321013 | ldrh.w r1, [r2, r3, lsl #1] | LDRH_register_T2 | r2 r3 mem -> r1
f811fc04 | pld [r1, #-4] | PLD_immediate_T2 | r1 ->
f8b1f004 | pldw [r1, #4] | PLDW_immediate_T1 | r1 ->
f91ff004 | pli [pc, #-4] | PLI_literal_T3 | pc ->
e92d4006 | push.w {r1, r2, lr} | STMDB_T1 | r1 r2 lr sp -> sp mem ! 12
e8bd8202 | pop.w {r1, r9, pc} | LDM_T2 | sp mem -> r1 r9 sp pc
e8a1000c | stm.w r1!, {r2, r3} | STM_T2 | r1 r2 r3 -> r1 mem
e9742302 | ldrd r2, r3, [r4, #-8]! | LDRD_immediate_T1 | r4 mem -> r2 r3 r4
e9df2302 | ldrd r2, r3, [pc, #8] | LDRD_literal_T1 | pc mem -> r2 r3
e94d2304 | strd r2, r3, [sp, #-16] | STRD_immediate_T1 | r2 r3 sp -> mem ! 16
e8521f01 | ldrex r1, [r2, #4] | LDREX_T1 | r2 mem -> r1
e8c42371 | strexd r1, r2, r3, [r4] | STREXD_T1 | r2 r3 r4 -> r1 mem
e8d21fdf | ldaexh r1, [r2] | LDAEXH_T1 | r2 mem -> r1
e8c21faf | stl r1, [r2] | STL_T1 | r1 r2 -> mem
e8d1f002 | tbb [r1, r2] | TBB_T1 | r1 r2 pc mem -> pc
e8dff012 | tbh [pc, r2, lsl #1] | TBB_T1 | r2 pc mem -> pc
f3bf8f2f | clrex | CLREX_T1 | ->
f3bf8f5b | dmb ish | DMB_T1 | ->
f3bf8f6f | isb | ISB_T1 | ->
f3ef8100 | mrs r1, cpsr | MRS_T1 | n z c v q ge -> r1
f3e08130 | mrs r1, lr_irq | MRS_banked_T1 | -> r1
f3818800 | msr cpsr_f, r1 | MSR_register_T1 | r1 -> n z c v q
f3818900 | msr cpsr_fc, r1 | MSR_register_control_T1 | r1 r8 r9 r10 r11 r12 sp lr -> r8 r9 r10 r11 r12 sp lr n z c v q
f3918f00 | msr spsr_fsxc, r1 | MSR_register_SPSR_T1 | r1 ->
f3af8773 | cpsid if, #19 | CPS_T2 | r8 r9 r10 r11 r12 sp lr -> r8 r9 r10 r11 r12 sp lr
f3af8000 | nop.w | NOP_T2 | ->
f3af8014 | csdb | CSDB_T1 | ->
f3c38f00 | bxj r3 | BXJ_T1 | r3 -> pc
f3de8f04 | subs pc, lr, #4 | SUBS_PC_LR_T1 | r8 r9 r10 r11 r12 sp lr -> r8 r9 r10 r11 r12 sp lr pc n z c v q ge
e9b1c000 | rfeia r1! | RFE_T2 | r1 r8 r9 r10 r11 r12 sp lr mem -> r1 r8 r9 r10 r11 r12 sp lr pc n z c v q ge
e82dc013 | srsdb sp!, #19 | SRS_T1 | sp lr -> sp mem ! 8
f00f87fe | beq.w . + 0x10000 | B_T3 | pc -> pc
f0ffbffe | b.w . + 0x100000 | B_T4 | pc -> pc
f000f800 | bl . + 4 | BL_immediate_T1 | pc -> lr pc
ee071fba | mcr p15, 0, r1, c7, c10, 5 | MCR_high_T1 | r1 ->
ee17ffba | mrc p15, 0, apsr_nzcv, c7, c10, 5 | MRC_high_T1 | -> n z c v
ec521f1e | mrrc p15, 1, r1, r2, c14 | MRRC_high_T1 | -> r1 r2
ee710a21 | vadd.f32 s1, s2, s3 | VADD_floating_T2 | s2 s3 -> s1
ee111a90 | vmov r1, s3 | VMOV_single_to_core_T1 | s3 -> r1
ed9f3b02 | vldr d3, [pc, #8] | VLDR_T1 | pc mem -> d3
ed2d8b04 | vpush {d8, d9} | VSTMDB_T1 | sp d8-d9 -> sp mem ! 16
eef1fa10 | vmrs apsr_nzcv, fpscr | VMRS_T1 | -> n z c v
ef020844 | vadd.i8 q0, q1, q2 | VADD_integer_T1 | q1-q2 -> q0
efa21963 | vmul.f32 d1, d2, d3[1] | VMUL_scalar_T1_floating | d2 s7 -> d1
f921020d | vld1.8 {d0-d3}, [r1]! | VLD1_multiple_T4 | r1 mem -> r1 d0-d3
f9831584 | vst2.16 {d1[2], d2[2]}, [r3], r4 | VST2_single_T2 | r3 r4 s3 s5 -> r3 mem
ff87205f | vmov.i32 q1, #0xff | VMOV_immediate_T1 | -> q1
""")


def case_id(case):
    return case[1]


@pytest.mark.parametrize("case", [*NARROW, *WIDE], ids=case_id)
def test_golden_words_have_the_row_and_the_usage_of_their_text(case):
    check(case, T32)


def test_instructions_know_their_size_and_their_set():
    narrow, wide = decode(0x18D1, T32), decode(0xEB120103, T32)  # adds r1, r2, r3; adds.w r1, r2, r3
    assert (narrow.length, narrow.instruction_set, narrow.code) == (2, T32, bytes.fromhex("d118"))
    assert (wide.length, wide.instruction_set, wide.code) == (4, T32, bytes.fromhex("12eb0301"))


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
        (0xE8BD0001, 0, "0xe8bd0001 is UNPREDICTABLE (LDM_T2: count(registers) < 2)"),
        (0xF1A10D04, 0, "0xf1a10d04 is UNPREDICTABLE (SUB_immediate_T3: Rd == 13)"),  # sub.w sp, r1, #4
        (0xF8DDF004, 0x04, "0xf8ddf004 is UNPREDICTABLE (LDR_immediate_T3: Rt == 15 and in_it and not last_in_it)"),
        (0xFEB81A40, 0x08, "0xfeb81a40 is UNPREDICTABLE (VRINT_directed_floating_T1: in_it)"),  # vrinta.f32 s2, s0
        (0xEE310981, 0x08, "0xee310981 is UNPREDICTABLE (VADD_floating_T2: size == 1 and in_it)"),
        (0xEE00DA10, 0, "0xee00da10 is UNPREDICTABLE (VMOV_core_to_single_T1: Rt == 13)"),  # vmov s0, sp
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
        (0xF000F800, 0x8004),  # bl .+4
        (0xF7FFFFFE, 0x8000),  # bl .
        (0xF3FFD7FF, 0x1008002),  # bl .+0x1000002, the furthest forward
        (0xF400D000, 0xFF008004),  # bl .-0xfffffc, the furthest back
        (0xF000E800, 0x8004),  # blx .+4
        (0xF000B800, 0x8004),  # b.w .+4
        (0xF0008000, 0x8004),  # beq.w .+4
        (0xF43FAFFE, 0x8000),  # beq.w .
        (0xF03FAFFF, 0x108002),  # beq.w .+0x100002, the furthest forward
        (0xF4008000, 0xFFF08004),  # beq.w .-0xffffc, the furthest back
        (0xE8DFF001, None),  # tbb [pc, r1]
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
        (0xF0008002, 0, 0x8004, 0x8008, False, False),  # beq.w .+8
        (0xF000F802, 0, 0x8004, 0x8008, True, False),  # bl .+8
        (0xE8DFF001, 0, None, None, False, True),  # tbb [pc, r1]
        (0xF04F0901, 0, 0x8004, None, False, False),  # mov.w r9, #1
    ],
)
def test_where_control_goes(word, it, following, target, call, unknown):
    found = flow(decode(word, T32, it=it), 0x8000)
    assert (found.next, found.target, found.call, found.unknown) == (following, target, call, unknown)


def test_blx_goes_to_a_word_of_a32_code_wherever_it_stands():
    assert decode(0xF000E802, T32).target(0x8002) == 0x8008  # blx .+6


def test_fields_have_the_values_that_the_encoding_spreads():
    assert decode(0x4689, T32).fields["Rd"] == 9  # mov r9, r1
    assert decode(0xB510, T32).fields["registers"] == 0x4010  # push {r4, lr}
    assert decode(0xF240121A, T32).fields["imm12"] == 0x11A  # movw r2, #0x11a
