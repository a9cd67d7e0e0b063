"""VFP: data processing, loads, stores and transfers of coprocessors 10 and 11 (DDI 0406C A7.5, A7.6, A7.8, A7.9).

The half-precision forms of ARMv8.2 are spelled with coprocessor 9: `10 size:2` is 8 (undefined), 9 half, 10 single,
11 double. FPSCR.LEN and FPSCR.STRIDE are taken to be zero: the short vectors they give are deprecated since VFPv3 and
belong to the support code of the system (DDI 0406C appendix K).

A register that is written in part only (one lane, one half) is read as well: its other part lives on.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row

# What most rows of a section have in common.
move = partial(row, relocate="verbatim", reads="", writes="", flags_read="", flags_written="", memory="none")
plain = partial(move, undefined="size == 0", unpredictable="size == 1 and cond != 14")
arithmetic = partial(plain, effects="fpscr_read fpscr_write")
rounding = partial(move, effects="fpscr_read fpscr_write")
transfer = partial(row, relocate="verbatim", flags_read="", flags_written="", memory="none")
load = partial(row, flags_read="", flags_written="", memory="load")
store = partial(row, flags_read="", flags_written="", memory="store")

D_ = "Sd if size < 3; Dd if size == 3"
M_ = "Sm if size < 3; Dm if size == 3"
NM = "Sn Sm if size < 3; Dn Dm if size == 3"
DNM = "Sd Sn Sm if size < 3; Dd Dn Dm if size == 3"

# fmt: off
# A7.5 Floating-point data-processing instructions: three registers

arithmetic("VMLA_floating_A2", "cond:4 11100 D:1 00 Vn:4 Vd:4 10 size:2 N:1 0 M:1 0 Vm:4",
    vreads=DNM, vwrites=D_, ref="A8.8.337")
arithmetic("VMLS_floating_A2", "cond:4 11100 D:1 00 Vn:4 Vd:4 10 size:2 N:1 1 M:1 0 Vm:4",
    vreads=DNM, vwrites=D_, ref="A8.8.337")
arithmetic("VNMLS_A1", "cond:4 11100 D:1 01 Vn:4 Vd:4 10 size:2 N:1 0 M:1 0 Vm:4",
    vreads=DNM, vwrites=D_, ref="A8.8.356")
arithmetic("VNMLA_A1", "cond:4 11100 D:1 01 Vn:4 Vd:4 10 size:2 N:1 1 M:1 0 Vm:4",
    vreads=DNM, vwrites=D_, ref="A8.8.356")
arithmetic("VMUL_floating_A2", "cond:4 11100 D:1 10 Vn:4 Vd:4 10 size:2 N:1 0 M:1 0 Vm:4",
    vreads=NM, vwrites=D_, ref="A8.8.351")
arithmetic("VNMUL_A2", "cond:4 11100 D:1 10 Vn:4 Vd:4 10 size:2 N:1 1 M:1 0 Vm:4",
    vreads=NM, vwrites=D_, ref="A8.8.356")
arithmetic("VADD_floating_A2", "cond:4 11100 D:1 11 Vn:4 Vd:4 10 size:2 N:1 0 M:1 0 Vm:4",
    vreads=NM, vwrites=D_, ref="A8.8.283")
arithmetic("VSUB_floating_A2", "cond:4 11100 D:1 11 Vn:4 Vd:4 10 size:2 N:1 1 M:1 0 Vm:4",
    vreads=NM, vwrites=D_, ref="A8.8.415")
arithmetic("VDIV_A1", "cond:4 11101 D:1 00 Vn:4 Vd:4 10 size:2 N:1 0 M:1 0 Vm:4", vreads=NM, vwrites=D_, ref="A8.8.312")
arithmetic("VFNMS_A1", "cond:4 11101 D:1 01 Vn:4 Vd:4 10 size:2 N:1 0 M:1 0 Vm:4",
    vreads=DNM, vwrites=D_, ref="A8.8.318")
arithmetic("VFNMA_A1", "cond:4 11101 D:1 01 Vn:4 Vd:4 10 size:2 N:1 1 M:1 0 Vm:4",
    vreads=DNM, vwrites=D_, ref="A8.8.318")
arithmetic("VFMA_A2", "cond:4 11101 D:1 10 Vn:4 Vd:4 10 size:2 N:1 0 M:1 0 Vm:4",
    vreads=DNM, vwrites=D_, ref="A8.8.317")
arithmetic("VFMS_A2", "cond:4 11101 D:1 10 Vn:4 Vd:4 10 size:2 N:1 1 M:1 0 Vm:4",
    vreads=DNM, vwrites=D_, ref="A8.8.317")

# A7.5 Floating-point data-processing instructions: other

plain("VMOV_immediate_A2", "cond:4 11101 D:1 11 imm4H:4 Vd:4 10 size:2 (0)0(0)0 imm4L:4", vwrites=D_, ref="A8.8.339")
move("VMOV_register_A2", "cond:4 11101 D:1 110000 Vd:4 101 sz:1 01 M:1 0 Vm:4",
    vreads="Dm if sz; Sm if not sz", vwrites="Dd if sz; Sd if not sz", ref="A8.8.340")
plain("VABS_A2", "cond:4 11101 D:1 110000 Vd:4 10 size:2 11 M:1 0 Vm:4", vreads=M_, vwrites=D_, ref="A8.8.280")
plain("VNEG_A2", "cond:4 11101 D:1 110001 Vd:4 10 size:2 01 M:1 0 Vm:4", vreads=M_, vwrites=D_, ref="A8.8.355")
arithmetic("VSQRT_A1", "cond:4 11101 D:1 110001 Vd:4 10 size:2 11 M:1 0 Vm:4", vreads=M_, vwrites=D_, ref="A8.8.401")
# VCVTB (T=0), VCVTT (T=1). With double precision from ARMv8 on.
rounding("VCVTB_VCVTT_from_half_A1", "cond:4 11101 D:1 110010 Vd:4 101 sz:1 T:1 1 M:1 0 Vm:4",
    vreads="Sm", vwrites="Dd if sz; Sd if not sz", ref="A8.8.311")
rounding("VCVTB_VCVTT_to_half_A1", "cond:4 11101 D:1 110011 Vd:4 101 sz:1 T:1 1 M:1 0 Vm:4",
    vreads="Sd; Dm if sz; Sm if not sz", vwrites="Sd", ref="A8.8.311")
rounding("VCVTB_VCVTT_BFloat16_A1", "cond:4 11101 D:1 110011 Vd:4 1001 T:1 1 M:1 0 Vm:4",
    vreads="Sd Sm", vwrites="Sd", ref="DDI 0487 F6.1")
# VCMPE where E is 1
arithmetic("VCMP_A1", "cond:4 11101 D:1 110100 Vd:4 10 size:2 E:1 1 M:1 0 Vm:4",
    vreads="Sd Sm if size < 3; Dd Dm if size == 3", ref="A8.8.303")
arithmetic("VCMP_A2", "cond:4 11101 D:1 110101 Vd:4 10 size:2 E:1 1(0)0(0)(0)(0)(0)", vreads=D_, ref="A8.8.303")
arithmetic("VRINTR_A1", "cond:4 11101 D:1 110110 Vd:4 10 size:2 01 M:1 0 Vm:4",
    vreads=M_, vwrites=D_, ref="DDI 0487 F6.1")
arithmetic("VRINTZ_floating_A1", "cond:4 11101 D:1 110110 Vd:4 10 size:2 11 M:1 0 Vm:4",
    vreads=M_, vwrites=D_, ref="DDI 0487 F6.1")
arithmetic("VRINTX_floating_A1", "cond:4 11101 D:1 110111 Vd:4 10 size:2 01 M:1 0 Vm:4",
    vreads=M_, vwrites=D_, ref="DDI 0487 F6.1")
rounding("VCVT_double_single_A1", "cond:4 11101 D:1 110111 Vd:4 101 sz:1 11 M:1 0 Vm:4",
    vreads="Dm if sz; Sm if not sz", vwrites="Sd if sz; Dd if not sz", ref="A8.8.309")
arithmetic("VCVT_integer_to_floating_A1", "cond:4 11101 D:1 111000 Vd:4 10 size:2 op:1 1 M:1 0 Vm:4",
    vreads="Sm", vwrites=D_, ref="A8.8.306")
rounding("VJCVT_A1", "cond:4 11101 D:1 111001 Vd:4 101111 M:1 0 Vm:4", vreads="Dm", vwrites="Sd", ref="DDI 0487 F6.1")
# op=0 is VCVTR: rounds as FPSCR says
arithmetic("VCVT_floating_to_integer_A1", "cond:4 11101 D:1 11110 signed:1 Vd:4 10 size:2 op:1 1 M:1 0 Vm:4",
    vreads=M_, vwrites="Sd", ref="A8.8.306")
# The number of fraction bits, 16 or 32 less imm4:i, must not be negative. The register is source and destination.
arithmetic("VCVT_fixed_floating_A1", "cond:4 11101 D:1 111 op:1 1 U:1 Vd:4 10 size:2 sx:1 1 i:1 0 imm4:4",
    vreads=D_, vwrites=D_, unpredictable="sx == 0 and (imm4 << 1 | i) > 16; size == 1 and cond != 14", ref="A8.8.308")

# DDI 0487 F4.1: floating-point data-processing without a condition. Coprocessor 8 is Advanced SIMD here (VCMLA), so
# that half-precision has rows of its own.

move("VSEL_A1", "111111100 D:1 cc:2 Vn:4 Vd:4 101 sz:1 N:1 0 M:1 0 Vm:4",
    flags_read="Z if cc in (0, 3); V if cc; N if cc >= 2", vreads="Dn Dm if sz; Sn Sm if not sz",
    vwrites="Dd if sz; Sd if not sz", ref="DDI 0487 F6.1")
move("VSEL_A1_half", "111111100 D:1 cc:2 Vn:4 Vd:4 1001 N:1 0 M:1 0 Vm:4",
    flags_read="Z if cc in (0, 3); V if cc; N if cc >= 2", vreads="Sn Sm", vwrites="Sd", ref="DDI 0487 F6.1")
rounding("VMAXNM_A2", "111111101 D:1 00 Vn:4 Vd:4 101 sz:1 N:1 0 M:1 0 Vm:4",
    vreads="Dn Dm if sz; Sn Sm if not sz", vwrites="Dd if sz; Sd if not sz", ref="DDI 0487 F6.1")
rounding("VMAXNM_A2_half", "111111101 D:1 00 Vn:4 Vd:4 1001 N:1 0 M:1 0 Vm:4",
    vreads="Sn Sm", vwrites="Sd", ref="DDI 0487 F6.1")
rounding("VMINNM_A2", "111111101 D:1 00 Vn:4 Vd:4 101 sz:1 N:1 1 M:1 0 Vm:4",
    vreads="Dn Dm if sz; Sn Sm if not sz", vwrites="Dd if sz; Sd if not sz", ref="DDI 0487 F6.1")
rounding("VMINNM_A2_half", "111111101 D:1 00 Vn:4 Vd:4 1001 N:1 1 M:1 0 Vm:4",
    vreads="Sn Sm", vwrites="Sd", ref="DDI 0487 F6.1")
# RM: 0 A (ties away), 1 N (ties to even), 2 P (up), 3 M (down)
rounding("VRINT_directed_floating_A1", "111111101 D:1 1110 RM:2 Vd:4 101 sz:1 01 M:1 0 Vm:4",
    vreads="Dm if sz; Sm if not sz", vwrites="Dd if sz; Sd if not sz", ref="DDI 0487 F6.1")
rounding("VRINT_directed_floating_A1_half", "111111101 D:1 1110 RM:2 Vd:4 1001 01 M:1 0 Vm:4",
    vreads="Sm", vwrites="Sd", ref="DDI 0487 F6.1")
rounding("VCVT_directed_floating_A1", "111111101 D:1 1111 RM:2 Vd:4 101 sz:1 op:1 1 M:1 0 Vm:4",
    vreads="Dm if sz; Sm if not sz", vwrites="Sd", ref="DDI 0487 F6.1")
rounding("VCVT_directed_floating_A1_half", "111111101 D:1 1111 RM:2 Vd:4 1001 op:1 1 M:1 0 Vm:4",
    vreads="Sm", vwrites="Sd", ref="DDI 0487 F6.1")
move("VMOVX_A1", "111111101 D:1 110000 Vd:4 101001 M:1 0 Vm:4", vreads="Sm", vwrites="Sd", ref="DDI 0487 F6.1")
move("VINS_A1", "111111101 D:1 110000 Vd:4 101011 M:1 0 Vm:4", vreads="Sd Sm", vwrites="Sd", ref="DDI 0487 F6.1")

# A7.6 Extension register load/store instructions. VPUSH and VPOP are the forms with SP and write-back.

D_LIST = "regs == 0; regs > 16; Dd + regs > 32"
S_LIST = "imm8 == 0; Sd + imm8 > 32"
# FSTMX and FLDMX: the odd word of imm8 moves the base but is not accessed
X_LIST = "regs == 0; regs > 16; Dd + regs > 16"

store("VSTMIA_A1", "cond:4 11001 D:1 W:1 0 Rn:4 Vd:4 1011 regs:7 0",
    relocate="operands", reads="Rn", writes="Rn if W", vreads="Dd*regs", stack="0",
    unpredictable=f"Rn == 15 and W; {D_LIST}", ref="A8.8.412")
store("VSTMIA_A2", "cond:4 11001 D:1 W:1 0 Rn:4 Vd:4 1010 imm8:8",
    relocate="operands", reads="Rn", writes="Rn if W", vreads="Sd*imm8", stack="0",
    unpredictable=f"Rn == 15 and W; {S_LIST}", ref="A8.8.412")
store("FSTMIAX_A1", "cond:4 11001 D:1 W:1 0 Rn:4 Vd:4 1011 regs:7 1",
    relocate="operands", reads="Rn", writes="Rn if W", vreads="Dd*regs", stack="0",
    unpredictable=f"Rn == 15 and W; {X_LIST}", ref="A8.8.50")
store("VSTMDB_A1", "cond:4 11010 D:1 10 Rn:4 Vd:4 1011 regs:7 0",
    relocate="verbatim", reads="Rn", writes="Rn", vreads="Dd*regs", stack="8 * regs if Rn == 13 else 0",
    unpredictable=f"Rn == 15; {D_LIST}", ref="A8.8.412")
store("VSTMDB_A2", "cond:4 11010 D:1 10 Rn:4 Vd:4 1010 imm8:8",
    relocate="verbatim", reads="Rn", writes="Rn", vreads="Sd*imm8", stack="4 * imm8 if Rn == 13 else 0",
    unpredictable=f"Rn == 15; {S_LIST}", ref="A8.8.412")
store("FSTMDBX_A1", "cond:4 11010 D:1 10 Rn:4 Vd:4 1011 regs:7 1",
    relocate="verbatim", reads="Rn", writes="Rn", vreads="Dd*regs", stack="8 * regs + 4 if Rn == 13 else 0",
    unpredictable=f"Rn == 15; {X_LIST}", ref="A8.8.50")
load("VLDMIA_A1", "cond:4 11001 D:1 W:1 1 Rn:4 Vd:4 1011 regs:7 0",
    relocate="operands", reads="Rn", writes="Rn if W", vwrites="Dd*regs", unpredictable=f"Rn == 15 and W; {D_LIST}",
    ref="A8.8.332")
load("VLDMIA_A2", "cond:4 11001 D:1 W:1 1 Rn:4 Vd:4 1010 imm8:8",
    relocate="operands", reads="Rn", writes="Rn if W", vwrites="Sd*imm8", unpredictable=f"Rn == 15 and W; {S_LIST}",
    ref="A8.8.332")
load("FLDMIAX_A1", "cond:4 11001 D:1 W:1 1 Rn:4 Vd:4 1011 regs:7 1",
    relocate="operands", reads="Rn", writes="Rn if W", vwrites="Dd*regs", unpredictable=f"Rn == 15 and W; {X_LIST}",
    ref="A8.8.50")
load("VLDMDB_A1", "cond:4 11010 D:1 11 Rn:4 Vd:4 1011 regs:7 0",
    relocate="verbatim", reads="Rn", writes="Rn", vwrites="Dd*regs", unpredictable=f"Rn == 15; {D_LIST}",
    ref="A8.8.332")
load("VLDMDB_A2", "cond:4 11010 D:1 11 Rn:4 Vd:4 1010 imm8:8",
    relocate="verbatim", reads="Rn", writes="Rn", vwrites="Sd*imm8", unpredictable=f"Rn == 15; {S_LIST}",
    ref="A8.8.332")
load("FLDMDBX_A1", "cond:4 11010 D:1 11 Rn:4 Vd:4 1011 regs:7 1",
    relocate="verbatim", reads="Rn", writes="Rn", vwrites="Dd*regs", unpredictable=f"Rn == 15; {X_LIST}",
    ref="A8.8.50")
store("VSTR_A1", "cond:4 1101 U:1 D:1 00 Rn:4 Vd:4 10 size:2 imm8:8",
    relocate="operands", reads="Rn", writes="", vreads=D_,
    stack="imm8 * (2 if size == 1 else 4) if Rn == 13 and U == 0 else 0", undefined="size == 0",
    unpredictable="size == 1 and cond != 14", ref="A8.8.413")
load("VLDR_A1", "cond:4 1101 U:1 D:1 01 Rn:4 Vd:4 10 size:2 imm8:8",
    relocate="operands", reads="Rn", writes="", vwrites=D_, undefined="size == 0",
    unpredictable="size == 1 and cond != 14", ref="A8.8.333")

# A7.8 8, 16, and 32-bit transfer between ARM core and extension registers

transfer("VMOV_core_to_single_A1", "cond:4 11100000 Vn:4 Rt:4 1010 N:1 (0)(0)1(0)(0)(0)(0)",
    reads="Rt", writes="", vwrites="Sn", unpredictable="Rt == 15", ref="A8.8.343")
transfer("VMOV_single_to_core_A1", "cond:4 11100001 Vn:4 Rt:4 1010 N:1 (0)(0)1(0)(0)(0)(0)",
    reads="", writes="Rt", vreads="Sn", unpredictable="Rt == 15", ref="A8.8.343")
transfer("VMOV_core_to_half_A1", "cond:4 11100000 Vn:4 Rt:4 1001 N:1 (0)(0)1(0)(0)(0)(0)",
    reads="Rt", writes="", vwrites="Sn", unpredictable="Rt == 15; cond != 14", ref="DDI 0487 F6.1")
transfer("VMOV_half_to_core_A1", "cond:4 11100001 Vn:4 Rt:4 1001 N:1 (0)(0)1(0)(0)(0)(0)",
    reads="", writes="Rt", vreads="Sn", unpredictable="Rt == 15; cond != 14", ref="DDI 0487 F6.1")
with table.ordered():  # FPSCR, and the system registers beside it
    transfer("VMSR_A1", "cond:4 11101110 0001 Rt:4 1010 (0)(0)(0)1(0)(0)(0)(0)",
        reads="Rt", writes="", effects="fpscr_write", unpredictable="Rt == 15", ref="A8.8.349")
    # FPSID 0, FPEXC 8, FPINST 9, FPINST2 10
    transfer("VMSR_system_A1", "cond:4 11101110 reg:4 Rt:4 1010 (0)(0)(0)1(0)(0)(0)(0)",
        reads="Rt", writes="", effects="coprocessor privileged", unpredictable="Rt == 15; reg not in (0, 8, 9, 10)",
        ref="B9.3.23")
with table.ordered():  # Rt=15 is APSR_nzcv, not PC
    transfer("VMRS_A1", "cond:4 11101111 0001 Rt:4 1010 (0)(0)(0)1(0)(0)(0)(0)",
        reads="", writes="Rt if Rt != 15", flags_written="NZCV if Rt == 15", effects="fpscr_read", ref="A8.8.348")
    # FPSID 0, MVFR2 5, MVFR1 6, MVFR0 7, FPEXC 8, FPINST 9, FPINST2 10
    transfer("VMRS_system_A1", "cond:4 11101111 reg:4 Rt:4 1010 (0)(0)(0)1(0)(0)(0)(0)",
        reads="", writes="Rt", effects="coprocessor privileged",
        unpredictable="Rt == 15; reg not in (0, 5, 6, 7, 8, 9, 10)", ref="B9.3.22")
# opc1 and opc2 hold the lane and its size; bit 0 of opc1 says which word of the register it is in
transfer("VMOV_core_to_scalar_A1", "cond:4 11100 opc1:2 0 Vd:4 Rt:4 1011 D:1 opc2:2 1(0)(0)(0)(0)",
    reads="Rt", writes="", let="word_lane = opc1 < 2 and opc2 == 0", vreads="S[2*Dd+(opc1&1)] if not word_lane",
    vwrites="S[2*Dd+(opc1&1)]", undefined="opc1 < 2 and opc2 == 2", unpredictable="Rt == 15", ref="A8.8.341")
transfer("VMOV_scalar_to_core_A1", "cond:4 1110 U:1 opc1:2 1 Vn:4 Rt:4 1011 N:1 opc2:2 1(0)(0)(0)(0)",
    reads="", writes="Rt", vreads="S[2*Dn+(opc1&1)]",
    undefined="opc1 < 2 and opc2 == 2; U == 1 and opc1 < 2 and opc2 == 0", unpredictable="Rt == 15", ref="A8.8.342")
transfer("VDUP_core_A1", "cond:4 11101 B:1 Q:1 0 Vd:4 Rt:4 1011 D:1 0 E:1 1(0)(0)(0)(0)",
    reads="Rt", writes="", vwrites="Vd", undefined="Q == 1 and Vd & 1; B == 1 and E == 1", unpredictable="Rt == 15",
    ref="A8.8.314")

# A7.9 64-bit transfers between ARM core and extension registers

transfer("VMOV_two_core_to_two_single_A1", "cond:4 11000100 Rt2:4 Rt:4 101000 M:1 1 Vm:4",
    reads="Rt Rt2", writes="", vwrites="Sm S[Sm+1]", unpredictable="Rt == 15; Rt2 == 15; Sm == 31", ref="A8.8.344")
transfer("VMOV_two_single_to_two_core_A1", "cond:4 11000101 Rt2:4 Rt:4 101000 M:1 1 Vm:4",
    reads="", writes="Rt Rt2", vreads="Sm S[Sm+1]", unpredictable="Rt == 15; Rt2 == 15; Sm == 31; Rt == Rt2",
    ref="A8.8.344")
transfer("VMOV_two_core_to_double_A1", "cond:4 11000100 Rt2:4 Rt:4 101100 M:1 1 Vm:4",
    reads="Rt Rt2", writes="", vwrites="Dm", unpredictable="Rt == 15; Rt2 == 15", ref="A8.8.345")
transfer("VMOV_double_to_two_core_A1", "cond:4 11000101 Rt2:4 Rt:4 101100 M:1 1 Vm:4",
    reads="", writes="Rt Rt2", vreads="Dm", unpredictable="Rt == 15; Rt2 == 15; Rt == Rt2", ref="A8.8.345")
# fmt: on
