"""Words to rows and usage: golden words across the space, from GNU as, each with its text."""

from __future__ import annotations

import pytest

from armprobe.errors import Undefined, Unpredictable
from armprobe.isa.decoder import decode
from armprobe.isa.insn import REGISTER_NAMES, Insn, condition_holds
from armprobe.isa.usage import FLAG_BITS

# fmt: off
#: word, text, row, core registers read, core registers written
GOLDEN = (
    (0xE0021203, "and r1, r2, r3, lsl #4", "AND_register_A1", "r2 r3", "r1"),
    (0xE0121003, "ands r1, r2, r3", "AND_register_A1", "r2 r3", "r1"),
    (0xE0221063, "eor r1, r2, r3, rrx", "EOR_register_A1", "r2 r3", "r1"),
    (0xE2500001, "subs r0, r0, #1", "SUB_immediate_A1", "r0", "r0"),
    (0xE0643655, "rsb r3, r4, r5, asr r6", "RSB_register_shifted_register_A1", "r4 r5 r6", "r3"),
    (0x108FF102, "addne pc, pc, r2, lsl #2", "ADD_register_A1", "r2 pc", "pc"),
    (0xE0B10002, "adcs r0, r1, r2", "ADC_register_A1", "r1 r2", "r0"),
    (0xE2C100FF, "sbc r0, r1, #255", "SBC_immediate_A1", "r1", "r0"),
    (0xE0E87009, "rsc r7, r8, r9", "RSC_register_A1", "r8 r9", "r7"),
    (0xE3110102, "tst r1, #0x80000000", "TST_immediate_A1", "r1", ""),
    (0xE131000F, "teq r1, pc", "TEQ_register_A1", "r1 pc", ""),
    (0xE15D01E4, "cmp sp, r4, ror #3", "CMP_register_A1", "r4 sp", ""),
    (0xE1710312, "cmn r1, r2, lsl r3", "CMN_register_shifted_register_A1", "r1 r2 r3", ""),
    (0xE38540FF, "orr r4, r5, #0xff", "ORR_immediate_A1", "r5", "r4"),
    (0xE1A0E00F, "mov lr, pc", "MOV_register_A1", "pc", "lr"),
    (0xE1A01312, "lsl r1, r2, r3", "MOV_register_shifted_register_A1", "r2 r3", "r1"),
    (0xE1B01022, "movs r1, r2, lsr #32", "MOV_register_A1", "r2", "r1"),
    (0xE1D21473, "bics r1, r2, r3, ror r4", "BIC_register_shifted_register_A1", "r2 r3 r4", "r1"),
    (0xE3E01000, "mvn r1, #0", "MVN_immediate_A1", "", "r1"),
    (0xE3011234, "movw r1, #0x1234", "MOV_immediate_A2", "", "r1"),
    (0xE3411234, "movt r1, #0x1234", "MOVT_A1", "r1", "r1"),
    (0xE25EF004, "subs pc, lr, #4", "SUBS_PC_immediate_A1", "r8 r9 r10 r11 r12 sp lr", "r8 r9 r10 r11 r12 sp lr pc"),
    (0xE1B0F00E, "movs pc, lr", "MOVS_PC_register_A2", "r8 r9 r10 r11 r12 sp lr", "r8 r9 r10 r11 r12 sp lr pc"),
    (0xE8FD8001, "ldm sp!, {r0, pc}^", "LDM_exception_return_A1",
        "r8 r9 r10 r11 r12 sp lr", "r0 r8 r9 r10 r11 r12 sp lr pc"),
    (0xE0010392, "mul r1, r2, r3", "MUL_A1", "r2 r3", "r1"),
    (0xE0314392, "mlas r1, r2, r3, r4", "MLA_A1", "r2 r3 r4", "r1"),
    (0xE0421493, "umaal r1, r2, r3, r4", "UMAAL_A1", "r1 r2 r3 r4", "r1 r2"),
    (0xE0B21493, "umlals r1, r2, r3, r4", "UMLAL_A1", "r1 r2 r3 r4", "r1 r2"),
    (0xE10143A2, "smlatb r1, r2, r3, r4", "SMLABB_A1", "r2 r3 r4", "r1"),
    (0xE12103A2, "smulwb r1, r2, r3", "SMULWB_A1", "r2 r3", "r1"),
    (0xE14214E3, "smlaltt r1, r2, r3, r4", "SMLALBB_A1", "r1 r2 r3 r4", "r1 r2"),
    (0xE701F312, "smuad r1, r2, r3", "SMUAD_A1", "r2 r3", "r1"),
    (0xE7014312, "smlad r1, r2, r3, r4", "SMLAD_A1", "r2 r3 r4", "r1"),
    (0xE751F332, "smmulr r1, r2, r3", "SMMUL_A1", "r2 r3", "r1"),
    (0xE711F312, "sdiv r1, r2, r3", "SDIV_A1", "r2 r3", "r1"),
    (0xE731F312, "udiv r1, r2, r3", "UDIV_A1", "r2 r3", "r1"),
    (0xE6121F13, "sadd16 r1, r2, r3", "SADD16_A1", "r2 r3", "r1"),
    (0xE6621FF3, "uqsub8 r1, r2, r3", "UQSUB8_A1", "r2 r3", "r1"),
    (0xE6821253, "pkhtb r1, r2, r3, asr #4", "PKH_A1", "r2 r3", "r1"),
    (0xE6821FB3, "sel r1, r2, r3", "SEL_A1", "r2 r3", "r1"),
    (0xE6A71012, "ssat r1, #8, r2", "SSAT_A1", "r2", "r1"),
    (0xE6E81F32, "usat16 r1, #8, r2", "USAT16_A1", "r2", "r1"),
    (0xE6A21473, "sxtab r1, r2, r3, ror #8", "SXTAB_A1", "r2 r3", "r1"),
    (0xE6FF1072, "uxth r1, r2", "UXTH_A1", "r2", "r1"),
    (0xE6BF1F32, "rev r1, r2", "REV_A1", "r2", "r1"),
    (0xE6FF1F32, "rbit r1, r2", "RBIT_A1", "r2", "r1"),
    (0xE781F312, "usad8 r1, r2, r3", "USAD8_A1", "r2 r3", "r1"),
    (0xE7814312, "usada8 r1, r2, r3, r4", "USADA8_A1", "r2 r3 r4", "r1"),
    (0xE7A311D2, "sbfx r1, r2, #3, #4", "SBFX_A1", "r2", "r1"),
    (0xE7C61192, "bfi r1, r2, #3, #4", "BFI_A1", "r1 r2", "r1"),
    (0xE7C6119F, "bfc r1, #3, #4", "BFC_A1", "r1", "r1"),
    (0xE1031052, "qadd r1, r2, r3", "QADD_A1", "r2 r3", "r1"),
    (0xE16F1F12, "clz r1, r2", "CLZ_A1", "r2", "r1"),
    (0xE1421043, "crc32w r1, r2, r3", "CRC32_A1", "r2 r3", "r1"),
    (0xE1021243, "crc32cb r1, r2, r3", "CRC32C_A1", "r2 r3", "r1"),
    (0xE1921F9F, "ldrex r1, [r2]", "LDREX_A1", "r2", "r1"),
    (0xE1A41F92, "strexd r1, r2, r3, [r4]", "STREXD_A1", "r2 r3 r4", "r1"),
    (0xE1921C9F, "lda r1, [r2]", "LDA_A1", "r2", "r1"),
    (0xE1831E92, "stlex r1, r2, [r3]", "STLEX_A1", "r2 r3", "r1"),
    (0xF57FF01F, "clrex", "CLREX_A1", "", ""),
    (0xE59F1008, "ldr r1, [pc, #8]", "LDR_literal_A1", "pc", "r1"),
    (0xE791F102, "ldr pc, [r1, r2, lsl #2]", "LDR_register_A1", "r1 r2", "pc"),
    (0xE49D1004, "ldr r1, [sp], #4", "LDR_immediate_A1", "sp", "r1 sp"),
    (0xE52D1004, "str r1, [sp, #-4]!", "STR_immediate_A1", "r1 sp", "sp"),
    (0xE581F000, "str pc, [r1]", "STR_immediate_A1", "r1 pc", ""),
    (0xE4A21004, "strt r1, [r2], #4", "STRT_A1", "r1 r2", "r2"),
    (0xE6F21003, "ldrbt r1, [r2], r3", "LDRBT_A2", "r2 r3", "r1 r2"),
    (0xE7521003, "ldrb r1, [r2, -r3]", "LDRB_register_A1", "r2 r3", "r1"),
    (0xE1C210B4, "strh r1, [r2, #4]", "STRH_immediate_A1", "r1 r2", ""),
    (0xE1DF10F4, "ldrsh r1, [pc, #4]", "LDRSH_literal_A1", "pc", "r1"),
    (0xE16420D8, "ldrd r2, r3, [r4, #-8]!", "LDRD_immediate_A1", "r4", "r2 r3 r4"),
    (0xE08420F5, "strd r2, r3, [r4], r5", "STRD_register_A1", "r2 r3 r4 r5", "r4"),
    (0xE0F210D1, "ldrsbt r1, [r2], #1", "LDRSBT_A1", "r2", "r1 r2"),
    (0xE92D4010, "push {r4, lr}", "STMDB_A1", "r4 sp lr", "sp"),
    (0xE981000C, "stmib r1, {r2, r3}", "STMIB_A1", "r1 r2 r3", ""),
    (0xE831000C, "ldmda r1!, {r2, r3}", "LDMDA_A1", "r1", "r1 r2 r3"),
    (0xE8CD6000, "stm sp, {r13, r14}^", "STM_user_A1", "sp lr", ""),
    (0xE9512004, "ldmdb r1, {r2, r13}^", "LDM_user_A1", "r1 r2", "r2"),
    (0xEA000000, "b .+8", "B_A1", "pc", "pc"),
    (0x1B000000, "blne .+8", "BL_immediate_A1", "pc", "lr pc"),
    (0xFB000000, "blx .+10", "BLX_immediate_A2", "pc", "lr pc"),
    (0xE12FFF1E, "bx lr", "BX_A1", "lr", "pc"),
    (0xE12FFF33, "blx r3", "BLX_register_A1", "r3 pc", "lr pc"),
    (0xE12FFF23, "bxj r3", "BXJ_A1", "r3", "pc"),
    (0xE320F000, "nop", "NOP_A1", "", ""),
    (0xE320F003, "wfi", "WFI_A1", "", ""),
    (0xE320F014, "csdb", "CSDB_A1", "", ""),
    (0xE320F0F3, "dbg #3", "DBG_A1", "", ""),
    (0xE10F1000, "mrs r1, cpsr", "MRS_A1", "", "r1"),
    (0xE14F1000, "mrs r1, spsr", "MRS_SPSR_A1", "", "r1"),
    (0xE1001300, "mrs r1, lr_irq", "MRS_banked_A1", "", "r1"),
    (0xE328F20F, "msr cpsr_f, #0xf0000000", "MSR_immediate_A1", "", ""),
    (0xE129F001, "msr cpsr_fc, r1", "MSR_register_control_A1",
        "r1 r8 r9 r10 r11 r12 sp lr", "r8 r9 r10 r11 r12 sp lr"),
    (0xE122F001, "msr cpsr_x, r1", "MSR_register_extension_A1",
        "r1 r8 r9 r10 r11 r12 sp lr", "r8 r9 r10 r11 r12 sp lr"),
    (0xE16FF001, "msr spsr_fsxc, r1", "MSR_register_SPSR_A1", "r1", ""),
    (0xE125F201, "msr sp_usr, r1", "MSR_banked_A1", "r1", ""),
    (0xEF000001, "svc #1", "SVC_A1", "all", "all"),
    (0xE1212374, "bkpt #0x1234", "BKPT_A1", "all", "all"),
    (0xE1400071, "hvc #1", "HVC_A1", "all", "all"),
    (0xE1600071, "smc #1", "SMC_A1", "all", "all"),
    (0xE7F001F0, "udf #16", "UDF_A1", "all", "all"),
    (0xE160006E, "eret", "ERET_A1", "r8 r9 r10 r11 r12 sp lr", "r8 r9 r10 r11 r12 sp lr pc"),
    (0xF8B10A00, "rfeia r1!", "RFE_A1",
        "r1 r8 r9 r10 r11 r12 sp lr", "r1 r8 r9 r10 r11 r12 sp lr pc"),
    (0xF96D0513, "srsdb sp!, #19", "SRS_A1", "sp lr", "sp"),
    (0xF10C0080, "cpsid i", "CPS_A1", "", ""),
    (0xF10E00D3, "cpsid if, #19", "CPS_A1", "r8 r9 r10 r11 r12 sp lr", "r8 r9 r10 r11 r12 sp lr"),
    (0xF1010200, "setend be", "SETEND_A1", "", ""),
    (0xF57FF04F, "dsb sy", "DSB_A1", "", ""),
    (0xF57FF05B, "dmb ish", "DMB_A1", "", ""),
    (0xF57FF06F, "isb", "ISB_A1", "", ""),
    (0xF5DFF008, "pld [pc, #8]", "PLD_literal_A1", "pc", ""),
    (0xF591F008, "pldw [r1, #8]", "PLDW_immediate_A1", "r1", ""),
    (0xF7D1F002, "pld [r1, r2]", "PLD_register_A1", "r1 r2", ""),
    (0xF6D1F002, "pli [r1, r2]", "PLI_register_A1", "r1 r2", ""),
    (0xEE071F9A, "mcr p15, 0, r1, c7, c10, 4", "MCR_high_A1", "r1", ""),
    (0xEE111F10, "mrc p15, 0, r1, c1, c0, 0", "MRC_high_A1", "", "r1"),
    (0xEE10FE11, "mrc p14, 0, apsr_nzcv, c0, c1, 0", "MRC_high_A1", "", ""),
    (0xEC421F12, "mcrr p15, 1, r1, r2, c2", "MCRR_high_A1", "r1 r2", ""),
    (0xEC521F12, "mrrc p15, 1, r1, r2, c2", "MRRC_high_A1", "", "r1 r2"),
    (0xEE2431C5, "cdp p1, 2, c3, c4, c5, 6", "CDP_low_A1", "", ""),
    (0xED9F3202, "ldc p2, c3, [pc, #8]", "LDC_low_A1", "pc", ""),
    (0xFCA76504, "stc2 p5, c6, [r7], #16", "STC2_low_A2", "r7", "r7"),
    (0xFE121693, "mrc2 p6, 0, r1, c2, c3, 4", "MRC2_low_A2", "", "r1"),
    (0xEE300A81, "vadd.f32 s0, s1, s2", "VADD_floating_A2", "", ""),
    (0xF2220844, "vadd.i32 q0, q1, q2", "VADD_integer_A1", "", ""),
)

#: word, text, flags read, flags written
FLAGS = (
    (0xE0121003, "ands r1, r2, r3", "", "NZ"),
    (0xE0121103, "ands r1, r2, r3, lsl #2", "", "NZC"),
    (0xE0121063, "ands r1, r2, r3, rrx", "C", "NZC"),
    (0xE0121313, "ands r1, r2, r3, lsl r3", "C", "NZC"),
    (0xE0021063, "and r1, r2, r3, rrx", "C", ""),
    (0xE21210FF, "ands r1, r2, #255", "", "NZ"),
    (0xE2121102, "ands r1, r2, #0x80000000", "", "NZC"),
    (0xE0921003, "adds r1, r2, r3", "", "NZCV"),
    (0xE0A21003, "adc r1, r2, r3", "C", ""),
    (0xE3110001, "tst r1, #1", "", "NZ"),
    (0xE1510002, "cmp r1, r2", "", "NZCV"),
    (0x01510002, "cmpeq r1, r2", "Z", "NZCV"),
    (0xC1A01002, "movgt r1, r2", "NZV", ""),
    (0xE0110392, "muls r1, r2, r3", "", "NZ"),
    (0xE1031052, "qadd r1, r2, r3", "Q", "Q"),
    (0xE7014312, "smlad r1, r2, r3, r4", "Q", "Q"),
    (0xE6121F13, "sadd16 r1, r2, r3", "", "GE"),
    (0xE6221F13, "qadd16 r1, r2, r3", "", ""),
    (0xE6821FB3, "sel r1, r2, r3", "GE", ""),
    (0xE10F1000, "mrs r1, cpsr", "NZCVQGE", ""),
    (0xE128F001, "msr cpsr_f, r1", "", "NZCVQ"),
    (0xE124F001, "msr cpsr_s, r1", "", "GE"),
    (0xEE10FE11, "mrc p14, 0, apsr_nzcv, c0, c1, 0", "", "NZCV"),
    (0xE1B0F00E, "movs pc, lr", "", "NZCVQGE"),
)

#: word, text, bytes written below SP
STACK = (
    (0xE92D4010, "push {r4, lr}", 8),
    (0xE80D000F, "stmda sp, {r0-r3}", 12),
    (0xE88D000F, "stm sp, {r0-r3}", 0),
    (0xE922000F, "stmdb r2!, {r0-r3}", 0),
    (0xE8BD000F, "pop {r0-r3}", 0),
    (0xE52D1004, "str r1, [sp, #-4]!", 4),
    (0xE50D1008, "str r1, [sp, #-8]", 8),
    (0xE40D1008, "str r1, [sp], #-8", 0),
    (0xE58D1008, "str r1, [sp, #8]", 0),
    (0xE5021008, "str r1, [r2, #-8]", 0),
    (0xE78D1002, "str r1, [sp, r2]", None),
    (0xE782100D, "str r1, [r2, sp]", None),
    (0xE68D1002, "str r1, [sp], r2", 0),
    (0xE14D11B2, "strh r1, [sp, #-18]", 18),
    (0xE14D20F8, "strd r2, r3, [sp, #-8]", 8),
    (0xF96D0513, "srsdb sp!, #19", 8),
)
# fmt: on


def registers(mask):
    return "all" if mask == 0xFFFF else " ".join(name for n, name in enumerate(REGISTER_NAMES) if mask >> n & 1)


def flags(mask):
    return "".join(name for name, bit in FLAG_BITS.items() if mask & bit)


@pytest.mark.parametrize(("word", "text", "row", "reads", "writes"), GOLDEN, ids=[text for _, text, *_ in GOLDEN])
def test_golden_words_have_the_row_and_the_registers_of_their_text(word, text, row, reads, writes):
    insn = decode(word)
    assert (insn.row.name, registers(insn.usage.reads), registers(insn.usage.writes)) == (row, reads, writes)


@pytest.mark.parametrize(("word", "text", "read", "written"), FLAGS, ids=[text for _, text, *_ in FLAGS])
def test_flags_that_may_stay_are_not_written_or_are_read_as_well(word, text, read, written):
    usage = decode(word).usage
    assert (flags(usage.flags_read), flags(usage.flags_written)) == (read, written)


@pytest.mark.parametrize(("word", "text", "below"), STACK, ids=[text for _, text, _ in STACK])
def test_bytes_written_below_sp(word, text, below):
    assert decode(word).usage.stack == below


def test_a_word_without_a_row_is_undefined_and_the_hint_says_what_it_may_be():
    with pytest.raises(Undefined, match=r"^0xe6000010 matches no A32 instruction$") as caught:
        decode(0xE6000010)
    assert caught.value.hint == "is it data, Thumb code, or big-endian?"


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        # mul pc, r1, r2
        (0xE00F0291, Unpredictable, r"0xe00f0291 is UNPREDICTABLE \(MUL_A1: Rd == 15\)"),
        # ldr r1, [r1], #4
        (0xE4911004, Unpredictable, r"0xe4911004 is UNPREDICTABLE \(LDR_immediate_A1: wback and Rn == Rt\)"),
        # ldm r1!, {r1, r2}
        (
            0xE8B10006,
            Unpredictable,
            r"0xe8b10006 is UNPREDICTABLE \(LDM_A1: W == 1 and registers >> Rn & 1\)",
        ),
        # bx r1 with its should-be-one bits clear
        (
            0xE1200011,
            Unpredictable,
            r"0xe1200011 is UNPREDICTABLE \(BX_A1: should-be bits 0x000fff00 are not 0x000fff00\)",
        ),
        # bkpteq
        (0x01200070, Unpredictable, r"0x01200070 is UNPREDICTABLE \(BKPT_A1: cond != 14\)"),
        # the trap of kprobes on a conditional instruction
        (0x07F001F8, Undefined, r"0x07f001f8 is UNDEFINED \(UDF_A1: cond != 14\)"),
    ],
)
def test_a_word_its_row_excludes_is_refused_with_the_reason(word, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        decode(word)


@pytest.mark.parametrize(
    ("word", "target"),
    [
        (0xEA000000, 0x8008),  # b .+8
        (0xEAFFFFFE, 0x8000),  # b .
        (0xEA7FFFFF, 0x2008004),  # b .+0x2000004, the furthest forward
        (0xEA800000, 0xFE008008),  # b .-0x1fffff8, the furthest back
        (0xEBFFFFFF, 0x8004),  # bl .+4
        (0xFA000000, 0x8008),  # blx .+8
        (0xFB000000, 0x800A),  # blx .+10
        (0xE12FFF1E, None),  # bx lr
        (0xEF000000, None),  # svc #0
    ],
)
def test_the_target_of_an_immediate_branch(word, target):
    assert decode(word).target(0x8000) == target


def test_an_unconditional_word_has_the_condition_always():
    assert decode(0xF57FF06F).cond == 14  # isb
    assert decode(0x0A000000).cond == 0  # beq


def test_conditions_hold_as_table_a8_1_says():
    # one line a condition pair: does the even one hold, over NZCV = 0 to 15
    expected = {
        0: [bool(nzcv & 4) for nzcv in range(16)],
        2: [bool(nzcv & 2) for nzcv in range(16)],
        4: [bool(nzcv & 8) for nzcv in range(16)],
        6: [bool(nzcv & 1) for nzcv in range(16)],
        8: [nzcv & 6 == 2 for nzcv in range(16)],
        10: [nzcv & 9 in (0, 9) for nzcv in range(16)],
        12: [nzcv & 9 in (0, 9) and not nzcv & 4 for nzcv in range(16)],
    }
    for cond, holds in expected.items():
        assert [condition_holds(cond, nzcv << 28) for nzcv in range(16)] == holds, cond
        assert [condition_holds(cond + 1, nzcv << 28) for nzcv in range(16)] == [not one for one in holds], cond + 1
    assert all(condition_holds(cond, nzcv << 28) for cond in (14, 15) for nzcv in range(16))


def test_an_instruction_is_a_value():
    assert decode(0xE0821003) == Insn(0xE0821003, decode(0xE0821003).row)  # add r1, r2, r3
    assert decode(0xE0821003).length == 4
