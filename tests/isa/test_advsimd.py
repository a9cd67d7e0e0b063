"""The Advanced SIMD table: golden words, their disassembly, row and usage."""

from __future__ import annotations

import pytest
from tests.isa.golden import check, parse

from armprobe.isa.a32 import advsimd
from armprobe.isa.rows import check_table

GOLDEN = parse("""
0xF2010002 | vhadd.s8 d0, d1, d2 | VHADD_A1 | d1 d2 -> d0
0xF3320054 | vqadd.u64 q0, q1, q2 | VQADD_A1 | q1 q2 -> q0
0xF36CE1EA | vrhadd.u32 q15, q14, q13 | VRHADD_A1 | q14 q13 -> q15
0xF2010112 | vand d0, d1, d2 | VAND_register_A1 | d1 d2 -> d0
0xF2120154 | vbic q0, q1, q2 | VBIC_register_A1 | q1 q2 -> q0
0xF2220152 | vmov q0, q1 | VORR_register_A1 | q1 -> q0
0xF2310112 | vorn d0, d1, d2 | VORN_register_A1 | d1 d2 -> d0
0xF34001F0 | veor q8, q8, q8 | VEOR_A1 | q8 -> q8
0xF3110112 | vbsl d0, d1, d2 | VBSL_A1 | d0 d1 d2 -> d0
0xF3220154 | vbit q0, q1, q2 | VBIT_A1 | q0 q1 q2 -> q0
0xF3320154 | vbif q0, q1, q2 | VBIF_A1 | q0 q1 q2 -> q0
0xF2010212 | vqsub.s8 d0, d1, d2 | VQSUB_A1 | d1 d2 -> d0
0xF2220344 | vcgt.s32 q0, q1, q2 | VCGT_register_A1 | q1 q2 -> q0
0xF3020E44 | vcge.f32 q0, q1, q2 | VCGE_register_A2 | q1 q2 -> q0
0xF2320401 | vshl.s64 d0, d1, d2 | VSHL_register_A1 | d1 d2 -> d0
0xF3040552 | vqrshl.u8 q0, q1, q2 | VQRSHL_A1 | q1 q2 -> q0
0xF2110602 | vmax.s16 d0, d1, d2 | VMAX_integer_A1 | d1 d2 -> d0
0xF2220F44 | vmin.f32 q0, q1, q2 | VMIN_floating_A1 | q1 q2 -> q0
0xF3010702 | vabd.u8 d0, d1, d2 | VABD_integer_A1 | d1 d2 -> d0
0xF3010712 | vaba.u8 d0, d1, d2 | VABA_A1 | d0 d1 d2 -> d0
0xF3820503 | vabal.u8 q0, d2, d3 | VABAL_A2 | q0 d2 d3 -> q0
0xF2A20703 | vabdl.s32 q0, d2, d3 | VABDL_A2 | d2 d3 -> q0
0xF2320844 | vadd.i64 q0, q1, q2 | VADD_integer_A1 | q1 q2 -> q0
0xF2010812 | vtst.8 d0, d1, d2 | VTST_A1 | d1 d2 -> d0
0xF3110812 | vceq.i16 d0, d1, d2 | VCEQ_register_A1 | d1 d2 -> d0
0xF2220944 | vmla.i32 q0, q1, q2 | VMLA_integer_A1 | q0 q1 q2 -> q0
0xF2210D12 | vmls.f32 d0, d1, d2 | VMLS_floating_A1 | d0 d1 d2 -> d0
0xF3020954 | vmul.p8 q0, q1, q2 | VMUL_polynomial_A1 | q1 q2 -> q0
0xF2010A02 | vpmax.s8 d0, d1, d2 | VPMAX_integer_A1 | d1 d2 -> d0
0xF3010D02 | vpadd.f32 d0, d1, d2 | VPADD_floating_A1 | d1 d2 -> d0
0xF2110B02 | vqdmulh.s16 d0, d1, d2 | VQDMULH_A1 | d1 d2 -> d0
0xF3110B12 | vqrdmlah.s16 d0, d1, d2 | VQRDMLAH_A1 | d0 d1 d2 -> d0
0xF2020C54 | vfma.f32 q0, q1, q2 | VFMA_A1 | q0 q1 q2 -> q0
0xF2010F12 | vrecps.f32 d0, d1, d2 | VRECPS_A1 | d1 d2 -> d0
0xF3020F54 | vmaxnm.f32 q0, q1, q2 | VMAXNM_A1 | q1 q2 -> q0
0xF2020C44 | sha1c.32 q0, q1, q2 | SHA1C_A1 | q0 s4 q2 -> q0
0xF2320C44 | sha1su0.32 q0, q1, q2 | SHA1SU0_A1 | q0 q1 q2 -> q0
0xF3020C44 | sha256h.32 q0, q1, q2 | SHA256H_A1 | q0 q1 q2 -> q0
0xF3620CE4 | sha256su1.32 q8, q9, q10 | SHA256SU1_A1 | q8 q9 q10 -> q8
0xF3B902C2 | sha1h.32 q0, q1 | SHA1H_A1 | s4 -> q0
0xF3BA0382 | sha1su1.32 q0, q1 | SHA1SU1_A1 | q0 q1 -> q0
0xF3B00302 | aese.8 q0, q1 | AESE_A1 | q0 q1 -> q0
0xF3B00382 | aesmc.8 q0, q1 | AESMC_A1 | q1 -> q0
0xF2A20E03 | vmull.p64 q0, d2, d3 | VMULL_polynomial_A2 | d2 d3 -> q0
0xF2B20944 | vext.8 q0, q1, q2, #9 | VEXT_A1 | q1 q2 -> q0
0xF3B10B05 | vtbl.8 d0, {d1-d4}, d5 | VTBL_A1 | d1-d4 d5 -> d0
0xF3B10845 | vtbx.8 d0, {d1}, d5 | VTBX_A1 | d0 d1 d5 -> d0
0xF3BB0C43 | vdup.8 q0, d3[5] | VDUP_scalar_A1 | s7 -> q0
0xF3B40C03 | vdup.32 d0, d3[0] | VDUP_scalar_A1 | s6 -> d0
0xF3B40042 | vrev64.16 q0, q1 | VREV64_A1 | q1 -> q0
0xF3B00281 | vpaddl.u8 d0, d1 | VPADDL_A1 | d1 -> d0
0xF3B00681 | vpadal.u8 d0, d1 | VPADAL_A1 | d0 d1 -> d0
0xF3B00542 | vcnt.8 q0, q1 | VCNT_A1 | q1 -> q0
0xF3B00581 | vmvn d0, d1 | VMVN_register_A1 | d1 -> d0
0xF3B80742 | vqabs.s32 q0, q1 | VQABS_A1 | q1 -> q0
0xF3B90401 | vcgt.f32 d0, d1, #0 | VCGT_zero_A1 | d1 -> d0
0xF3B10242 | vclt.s8 q0, q1, #0 | VCLT_zero_A1 | q1 -> q0
0xF3B903C2 | vneg.s32 q0, q1 | VNEG_A1 | q1 -> q0
0xF3B20001 | vswp d0, d1 | VSWP_A1 | d0 d1 -> d0 d1
0xF3B200C2 | vtrn.8 q0, q1 | VTRN_A1 | q0 q1 -> q0 q1
0xF3B60121 | vuzp.16 d0, d17 | VUZP_A1 | d0 d17 -> d0 d17
0xF3B20181 | vzip.8 d0, d1 | VZIP_A1 | d0 d1 -> d0 d1
0xF3B60202 | vmovn.i32 d0, q1 | VMOVN_A1 | q1 -> d0
0xF3F2F26E | vqmovun.s16 d31, q15 | VQMOVUN_A1 | q15 -> d31
0xF3B20302 | vshll.i8 q0, d2, #8 | VSHLL_A2 | d2 -> q0
0xF3B60602 | vcvt.f16.f32 d0, q1 | VCVT_single_to_half_A1 | q1 -> d0
0xF3B62700 | vcvt.f32.f16 q1, d0 | VCVT_half_to_single_A1 | d0 -> q1
0xF3B60642 | vcvt.bf16.f32 d0, q1 | VCVT_single_to_BFloat16_A1 | q1 -> d0
0xF3BB0401 | vrecpe.u32 d0, d1 | VRECPE_A1 | d1 -> d0
0xF3BB0742 | vcvt.s32.f32 q0, q1 | VCVT_floating_integer_A1 | q1 -> q0
0xF3BB0281 | vcvtp.u32.f32 d0, d1 | VCVT_directed_A1 | d1 -> d0
0xF3BA06C2 | vrintm.f32 q0, q1 | VRINTM_A1 | q1 -> q0
0xF2820003 | vaddl.s8 q0, d2, d3 | VADDL_A1 | d2 d3 -> q0
0xF3920104 | vaddw.u16 q0, q1, d4 | VADDW_A1 | q1 d4 -> q0
0xF2920604 | vsubhn.i32 d0, q1, q2 | VSUBHN_A1 | q1 q2 -> d0
0xF2920803 | vmlal.s16 q0, d2, d3 | VMLAL_A2 | q0 d2 d3 -> q0
0xF2A20D03 | vqdmull.s32 q0, d2, d3 | VQDMULL_A1 | d2 d3 -> q0
0xF392006F | vmla.i16 q0, q1, d7[3] | VMLA_scalar_A1 | q0 q1 s15 -> q0
0xF2A1096F | vmul.f32 d0, d1, d15[1] | VMUL_scalar_A1_floating | d1 s31 -> d0
0xF3A20A43 | vmull.u32 q0, d2, d3[0] | VMULL_scalar_A2 | d2 s6 -> q0
0xF3A20F63 | vqrdmlsh.s32 q0, q1, d3[1] | VQRDMLSH_A2 | q0 q1 s7 -> q0
0xF2800050 | vmov.i32 q0, #0 | VMOV_immediate_A1 | -> q0
0xF3C20E3A | vmov.i64 d16, #0xff00ff00ff00ff00 | VMOV_immediate_A1_doubleword | -> d16
0xF2811A32 | vmvn.i16 d1, #0x1200 | VMVN_immediate_A1 | -> d1
0xF387035F | vorr.i32 q0, #0xff00 | VORR_immediate_A1_word | q0 -> q0
0xF387093F | vbic.i16 d0, #0xff | VBIC_immediate_A1_halfword | d0 -> d0
0xF2870F50 | vmov.f32 q0, #1.0 | VMOV_immediate_A1 | -> q0
0xF28D0052 | vshr.s8 q0, q1, #3 | VSHR_A1 | q1 -> q0
0xF3800191 | vsra.u64 d0, d1, #64 | VSRA_A1 | d0 d1 -> d0
0xF3950511 | vsli.16 d0, d1, #5 | VSLI_A1 | d0 d1 -> d0
0xF3BB0452 | vsri.32 q0, q1, #5 | VSRI_A1 | q0 q1 -> q0
0xF38A0611 | vqshlu.s8 d0, d1, #2 | VQSHLU_immediate_A1 | d1 -> d0
0xF39C0852 | vqrshrun.s32 d0, q1, #4 | VQRSHRUN_A1 | q1 -> d0
0xF3880A12 | vmovl.u8 q0, d2 | VSHLL_A1 | d2 -> q0
0xF3B70E52 | vcvt.f32.u32 q0, q1, #9 | VCVT_fixed_single_A1 | q1 -> q0
0xF2B70D11 | vcvt.s16.f16 d0, d1, #9 | VCVT_fixed_half_A1 | d1 -> d0
0xFC920844 | vcadd.f32 q0, q1, q2, #90 | VCADD_A1 | q1 q2 -> q0
0xFD210802 | vcmla.f16 d0, d1, d2, #180 | VCMLA_A1 | d0 d1 d2 -> d0
0xFE920844 | vcmla.f32 q0, q1, d4[0], #90 | VCMLA_element_A1 | q0 q1 d4 -> q0
0xFE120864 | vcmla.f16 q0, q1, d4[1], #90 | VCMLA_element_A1 | q0 q1 s9 -> q0
0xFC220853 | vfmal.f16 q0, d2, d3 | VFMAL_VFMSL_A1 | q0 d2 d3 -> q0
0xFCA10831 | vfmsl.f16 d0, s2, s3 | VFMAL_VFMSL_A1 | d0 s2 s3 -> d0
0xFE010839 | vfmal.f16 d0, s2, s3[1] | VFMAL_VFMSL_scalar_A1 | d0 s2 s3 -> d0
0xFE12087B | vfmsl.f16 q0, d2, d3[3] | VFMAL_VFMSL_scalar_A1 | q0 d2 s7 -> q0
0xFC220D44 | vsdot.s8 q0, q1, q2 | VSDOT_VUDOT_A1 | q0 q1 q2 -> q0
0xFE210D32 | vudot.u8 d0, d1, d2[1] | VSDOT_VUDOT_element_A1 | d0 d1 s5 -> d0
0xFCA20D44 | vusdot.s8 q0, q1, q2 | VUSDOT_A1 | q0 q1 q2 -> q0
0xFE820D55 | vsudot.u8 q0, q1, d5[0] | VUSDOT_VSUDOT_element_A1 | q0 q1 s10 -> q0
0xFC220C44 | vsmmla.s8 q0, q1, q2 | VSMMLA_VUMMLA_A1 | q0 q1 q2 -> q0
0xFCA20C44 | vusmmla.s8 q0, q1, q2 | VUSMMLA_A1 | q0 q1 q2 -> q0
0xFC010D02 | vdot.bf16 d0, d1, d2 | VDOT_BFloat16_A1 | d0 d1 d2 -> d0
0xFC020C44 | vmmla.bf16 q0, q1, q2 | VMMLA_BFloat16_A1 | q0 q1 q2 -> q0
0xFC320854 | vfmat.bf16 q0, q1, q2 | VFMAB_VFMAT_BFloat16_A1 | q0 q1 q2 -> q0
0xFE320833 | vfmab.bf16 q0, q1, d3[2] | VFMAB_VFMAT_scalar_A1 | q0 q1 s7 -> q0
0xF421070F | vld1.8 {d0}, [r1] | VLD1_multiple_A1 | r1 mem -> d0
0xF42102FD | vld1.64 {d0-d3}, [r1:256]! | VLD1_multiple_A4 | r1 mem -> r1 d0-d3
0xF4215682 | vld1.32 {d5-d7}, [r1], r2 | VLD1_multiple_A3 | r1 r2 mem -> r1 d5-d7
0xF421094F | vld2.16 {d0, d2}, [r1] | VLD2_multiple_A1 | r1 mem -> d0 d2
0xF421050F | vld3.8 {d0, d2, d4}, [r1] | VLD3_multiple_A1 | r1 mem -> d0 d2 d4
0xF461018D | vld4.32 {d16, d18, d20, d22}, [r1]! | VLD4_multiple_A1 | r1 mem -> r1 d16 d18 d20 d22
0xF44DEA1D | vst1.8 {d30-d31}, [sp:64]! | VST1_multiple_A2 | sp d30-d31 -> sp mem ! 0
0xF401030F | vst2.8 {d0-d3}, [r1] | VST2_multiple_A2 | r1 d0-d3 -> mem ! 0
0xF4010003 | vst4.8 {d0-d3}, [r1], r3 | VST4_multiple_A1 | r1 r3 d0-d3 -> r1 mem ! 0
0xF4A1088F | vld1.32 {d0[1]}, [r1] | VLD1_single_A3 | r1 mem -> s1
0xF4A100AF | vld1.8 {d0[5]}, [r1] | VLD1_single_A1 | r1 s1 mem -> s1
0xF4A115AF | vld2.16 {d1[2], d3[2]}, [r1] | VLD2_single_A2 | r1 s3 s7 mem -> s3 s7
0xF4A10B6F | vld4.32 {d0[0], d2[0], d4[0], d6[0]}, [r1:128] | VLD4_single_A3 | r1 mem -> s0 s4 s8 s12
0xF48102EF | vst3.8 {d0[7], d1[7], d2[7]}, [r1] | VST3_single_A1 | r1 s1 s3 s5 -> mem ! 0
0xF4C1F80D | vst1.32 {d31[0]}, [r1]! | VST1_single_A3 | r1 s62 -> r1 mem ! 0
0xF4A10C6F | vld1.16 {d0[], d1[]}, [r1] | VLD1_all_lanes_A1 | r1 mem -> d0 d1
0xF4A10E22 | vld3.8 {d0[], d2[], d4[]}, [r1], r2 | VLD3_all_lanes_A1 | r1 r2 mem -> r1 d0 d2 d4
0xF4A10FDD | vld4.32 {d0[], d1[], d2[], d3[]}, [r1:128]! | VLD4_all_lanes_A1 | r1 mem -> r1 d0-d3
""")


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case[1])
def test_word_decodes_to_its_row_with_the_usage_of_the_manual(case: tuple[int, str, str, str]) -> None:
    check(case)


def test_table_keeps_the_rules_of_the_notation() -> None:
    check_table(advsimd.table.rows)
