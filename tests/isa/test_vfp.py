"""The VFP table: golden words, their disassembly, row and usage."""

from __future__ import annotations

import pytest
from tests.isa.golden import check, parse

from armprobe.isa.a32 import vfp
from armprobe.isa.rows import check_table

GOLDEN = parse("""
0xEE300A81 | vadd.f32 s0, s1, s2 | VADD_floating_A2 | s1 s2 -> s0
0xEE710BAF | vadd.f64 d16, d17, d31 | VADD_floating_A2 | d17 d31 -> d16
0xEE300981 | vadd.f16 s0, s1, s2 | VADD_floating_A2 | s1 s2 -> s0
0x0E7FFA6E | vsubeq.f32 s31, s30, s29 | VSUB_floating_A2 | s30 s29 -> s31
0xEE221B03 | vmul.f64 d1, d2, d3 | VMUL_floating_A2 | d2 d3 -> d1
0xEE632A63 | vnmul.f32 s5, s6, s7 | VNMUL_A2 | s6 s7 -> s5
0xEE010B02 | vmla.f64 d0, d1, d2 | VMLA_floating_A2 | d0 d1 d2 -> d0
0xEE421A62 | vmls.f32 s3, s4, s5 | VMLS_floating_A2 | s3 s4 s5 -> s3
0xEE521A62 | vnmla.f32 s3, s4, s5 | VNMLA_A1 | s3 s4 s5 -> s3
0xEE143B05 | vnmls.f64 d3, d4, d5 | VNMLS_A1 | d3 d4 d5 -> d3
0xEEA10A02 | vfma.f32 s0, s2, s4 | VFMA_A2 | s0 s2 s4 -> s0
0xEEE54BE6 | vfms.f64 d20, d21, d22 | VFMS_A2 | d20 d21 d22 -> d20
0xEED54A65 | vfnma.f32 s9, s10, s11 | VFNMA_A1 | s9 s10 s11 -> s9
0xEE9A9B0B | vfnms.f64 d9, d10, d11 | VFNMS_A1 | d9 d10 d11 -> d9
0xEE887B09 | vdiv.f64 d7, d8, d9 | VDIV_A1 | d8 d9 -> d7
0xEEF10AE1 | vsqrt.f32 s1, s3 | VSQRT_A1 | s3 -> s1
0xEEB01BEF | vabs.f64 d1, d31 | VABS_A2 | d31 -> d1
0xEEB14A64 | vneg.f32 s8, s9 | VNEG_A2 | s9 -> s8
0xEEF70A00 | vmov.f32 s1, #1.0 | VMOV_immediate_A2 | -> s1
0xEEF8EB00 | vmov.f64 d30, #-2.0 | VMOV_immediate_A2 | -> d30
0xEEF00A6F | vmov.f32 s1, s31 | VMOV_register_A2 | s31 -> s1
0x1EB01B42 | vmovne.f64 d1, d2 | VMOV_register_A2 | d2 -> d1
0xEEB40A60 | vcmp.f32 s0, s1 | VCMP_A1 | s0 s1 ->
0xEEB40BE1 | vcmpe.f64 d0, d17 | VCMP_A1 | d0 d17 ->
0xEEB53B40 | vcmp.f64 d3, #0 | VCMP_A2 | d3 ->
0xEEB71AE2 | vcvt.f64.f32 d1, s5 | VCVT_double_single_A1 | s5 -> d1
0xEEF72BC1 | vcvt.f32.f64 s5, d1 | VCVT_double_single_A1 | d1 -> s5
0xEEFD0BE2 | vcvt.s32.f64 s1, d18 | VCVT_floating_to_integer_A1 | d18 -> s1
0xEEFC0A41 | vcvtr.u32.f32 s1, s2 | VCVT_floating_to_integer_A1 | s2 -> s1
0xEEF82B60 | vcvt.f64.u32 d18, s1 | VCVT_integer_to_floating_A1 | s1 -> d18
0xEEF81AC2 | vcvt.f32.s32 s3, s4 | VCVT_integer_to_floating_A1 | s4 -> s3
0xEEBA3A64 | vcvt.f32.s16 s6, s6, #7 | VCVT_fixed_floating_A1 | s6 -> s6
0xEEBF6BC0 | vcvt.u32.f64 d6, d6, #32 | VCVT_fixed_floating_A1 | d6 -> d6
0xEEF20A41 | vcvtb.f32.f16 s1, s2 | VCVTB_VCVTT_from_half_A1 | s2 -> s1
0xEEF30AC1 | vcvtt.f16.f32 s1, s2 | VCVTB_VCVTT_to_half_A1 | s1 s2 -> s1
0xEEB29B41 | vcvtb.f64.f16 d9, s2 | VCVTB_VCVTT_from_half_A1 | s2 -> d9
0xEEB31BC9 | vcvtt.f16.f64 s2, d9 | VCVTB_VCVTT_to_half_A1 | s2 d9 -> s2
0xEEF60A41 | vrintr.f32 s1, s2 | VRINTR_A1 | s2 -> s1
0xEEB61BC2 | vrintz.f64 d1, d2 | VRINTZ_floating_A1 | d2 -> d1
0xEEF70A41 | vrintx.f32 s1, s2 | VRINTX_floating_A1 | s2 -> s1
0xFEB81B42 | vrinta.f64 d1, d2 | VRINT_directed_floating_A1 | d2 -> d1
0xFEFF0B42 | vcvtm.u32.f64 s1, d2 | VCVT_directed_floating_A1 | d2 -> s1
0xFE000A81 | vseleq.f32 s0, s1, s2 | VSEL_A1 | s1 s2 z -> s0
0xFE110B02 | vselvs.f64 d0, d1, d2 | VSEL_A1 | d1 d2 v -> d0
0xFE210B02 | vselge.f64 d0, d1, d2 | VSEL_A1 | d1 d2 n v -> d0
0xFE300981 | vselgt.f16 s0, s1, s2 | VSEL_A1_half | s1 s2 n z v -> s0
0xFE800A81 | vmaxnm.f32 s0, s1, s2 | VMAXNM_A2 | s1 s2 -> s0
0xFE810B42 | vminnm.f64 d0, d1, d2 | VMINNM_A2 | d1 d2 -> d0
0xEEF90BC2 | vjcvt.s32.f64 s1, d2 | VJCVT_A1 | d2 -> s1
0xFEF00A41 | vmovx.f16 s1, s2 | VMOVX_A1 | s2 -> s1
0xFEF00AC1 | vins.f16 s1, s2 | VINS_A1 | s1 s2 -> s1
0xED1F1B02 | vldr d1, [pc, #-8] | VLDR_A1 | pc mem -> d1
0xEDD11A01 | vldr s3, [r1, #4] | VLDR_A1 | r1 mem -> s3
0xED4D0B04 | vstr d16, [sp, #-16] | VSTR_A1 | sp d16 -> mem ! 16
0xEDC22A02 | vstr s5, [r2, #8] | VSTR_A1 | r2 s5 -> mem ! 0
0xED4D2903 | vstr.16 s5, [sp, #-6] | VSTR_A1 | sp s5 -> mem ! 6
0xED2D8B10 | vpush {d8-d15} | VSTMDB_A1 | sp d8-d15 -> sp mem ! 64
0xECBD8B10 | vpop {d8-d15} | VLDMIA_A1 | sp mem -> sp d8-d15
0xED2D8A03 | vpush {s16-s18} | VSTMDB_A2 | sp s16-s18 -> sp mem ! 12
0xECF00A04 | vldmia r0!, {s1-s4} | VLDMIA_A2 | r0 mem -> r0 s1-s4
0xED700A04 | vldmdb r0!, {s1-s4} | VLDMDB_A2 | r0 mem -> r0 s1-s4
0xEC940B08 | vldmia r4, {d0-d3} | VLDMIA_A1 | r4 mem -> d0-d3
0xED741B02 | vldmdb r4!, {d17} | VLDMDB_A1 | r4 mem -> r4 d17
0xECC5EB04 | vstmia r5, {d30-d31} | VSTMIA_A1 | r5 d30-d31 -> mem ! 0
0xECAD1A01 | vstmia sp!, {s2} | VSTMIA_A2 | sp s2 -> sp mem ! 0
0xEC901B05 | fldmiax r0, {d1-d2} | FLDMIAX_A1 | r0 mem -> d1-d2
0xED301B05 | fldmdbx r0!, {d1-d2} | FLDMDBX_A1 | r0 mem -> r0 d1-d2
0xECA01B05 | fstmiax r0!, {d1-d2} | FSTMIAX_A1 | r0 d1-d2 -> r0 mem ! 0
0xED2D8B05 | fstmdbx sp!, {d8-d9} | FSTMDBX_A1 | sp d8-d9 -> sp mem ! 20
0xEE002A90 | vmov s1, r2 | VMOV_core_to_single_A1 | r2 -> s1
0x4E102A90 | vmovmi r2, s1 | VMOV_single_to_core_A1 | s1 -> r2
0xEE002990 | vmov.f16 s1, r2 | VMOV_core_to_half_A1 | r2 -> s1
0xEE102990 | vmov.f16 r2, s1 | VMOV_half_to_core_A1 | s1 -> r2
0xEE213B90 | vmov.32 d17[1], r3 | VMOV_core_to_scalar_A1 | r3 -> s35
0xEE023B70 | vmov.16 d2[1], r3 | VMOV_core_to_scalar_A1 | r3 s4 -> s4
0xEE623B50 | vmov.8 d2[6], r3 | VMOV_core_to_scalar_A1 | r3 s5 -> s5
0xEE113B90 | vmov.32 r3, d17[0] | VMOV_scalar_to_core_A1 | s34 -> r3
0xEEB23B70 | vmov.u16 r3, d2[3] | VMOV_scalar_to_core_A1 | s5 -> r3
0xEE52EB70 | vmov.s8 lr, d2[3] | VMOV_scalar_to_core_A1 | s4 -> lr
0xEEA20B30 | vdup.16 q1, r0 | VDUP_core_A1 | r0 -> q1
0xEE850B10 | vdup.32 d5, r0 | VDUP_core_A1 | r0 -> d5
0xEC410A31 | vmov s3, s4, r0, r1 | VMOV_two_core_to_two_single_A1 | r0 r1 -> s3 s4
0xEC510A31 | vmov r0, r1, s3, s4 | VMOV_two_single_to_two_core_A1 | s3 s4 -> r0 r1
0xEC410B33 | vmov d19, r0, r1 | VMOV_two_core_to_double_A1 | r0 r1 -> d19
0xEC510B33 | vmov r0, r1, d19 | VMOV_double_to_two_core_A1 | d19 -> r0 r1
0xEEF1FA10 | vmrs APSR_nzcv, fpscr | VMRS_A1 | -> n z c v
0xEEF13A10 | vmrs r3, fpscr | VMRS_A1 | -> r3
0xEEF83A10 | vmrs r3, fpexc | VMRS_system_A1 | -> r3
0xEEE13A10 | vmsr fpscr, r3 | VMSR_A1 | r3 ->
0xEEE83A10 | vmsr fpexc, r3 | VMSR_system_A1 | r3 ->
""")


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case[1])
def test_word_decodes_to_its_row_with_the_usage_of_the_manual(case: tuple[int, str, str, str]) -> None:
    check(case)


def test_table_keeps_the_rules_of_the_notation() -> None:
    check_table(vfp.table.rows)
