"""Advanced SIMD: data processing, element and structure loads and stores (DDI 0406C A7.4, A7.7; DDI 0487 F4.1).

All of it is unconditional. `Vd` is a quad register when Q is 1, and then its number must be even. Floating-point
arithmetic uses the standard FPSCR value, but rounds half-precision as FPSCR says and sets its cumulative flags.

A register that is written in part only (one lane) is read as well: its other part lives on.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row

# What all data-processing rows have in common; those of floating-point arithmetic; those that set FPSCR.QC, which is
# sticky: what it was before counts.
data = partial(row, relocate="verbatim", reads="", writes="", flags_read="", flags_written="", memory="none")
floating = partial(data, effects="fpscr_read fpscr_write")
saturating = floating

Q3 = "Q == 1 and (Vd | Vn | Vm) & 1"
Q2 = "Q == 1 and (Vd | Vm) & 1"
EVEN3 = "(Vd | Vn | Vm) & 1"
EVEN2 = "(Vd | Vm) & 1"
NOT_64 = "size == 3"
ONLY_16_32 = "size in (0, 3)"

# fmt: off
# A7.4.1 Three registers of the same length

data("VHADD_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0000 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.319")
saturating("VQADD_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0000 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.370")
data("VRHADD_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0001 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.387")
data("VAND_register_A1", "111100100 D:1 00 Vn:4 Vd:4 0001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.287")
data("VBIC_register_A1", "111100100 D:1 01 Vn:4 Vd:4 0001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.289")
# VMOV (register) when Vn is Vm
data("VORR_register_A1", "111100100 D:1 10 Vn:4 Vd:4 0001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.360")
data("VORN_register_A1", "111100100 D:1 11 Vn:4 Vd:4 0001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.358")
data("VEOR_A1", "111100110 D:1 00 Vn:4 Vd:4 0001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.315")
data("VBSL_A1", "111100110 D:1 01 Vn:4 Vd:4 0001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.290")
data("VBIT_A1", "111100110 D:1 10 Vn:4 Vd:4 0001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.290")
data("VBIF_A1", "111100110 D:1 11 Vn:4 Vd:4 0001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.290")
data("VHSUB_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0010 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.319")
saturating("VQSUB_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0010 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.382")
data("VCGT_register_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0011 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.295")
data("VCGE_register_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0011 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.293")
data("VSHL_register_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0100 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.396")
saturating("VQSHL_register_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0100 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.379")
data("VRSHL_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0101 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.388")
saturating("VQRSHL_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0101 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.377")
data("VMAX_integer_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0110 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.334")
data("VMIN_integer_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0110 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.334")
data("VABD_integer_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0111 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.278")
data("VABA_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 0111 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.277")
data("VADD_integer_A1", "111100100 D:1 size:2 Vn:4 Vd:4 1000 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.282")
data("VSUB_integer_A1", "111100110 D:1 size:2 Vn:4 Vd:4 1000 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.414")
data("VTST_A1", "111100100 D:1 size:2 Vn:4 Vd:4 1000 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.421")
data("VCEQ_register_A1", "111100110 D:1 size:2 Vn:4 Vd:4 1000 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.291")
data("VMLA_integer_A1", "111100100 D:1 size:2 Vn:4 Vd:4 1001 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.336")
data("VMLS_integer_A1", "111100110 D:1 size:2 Vn:4 Vd:4 1001 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.336")
data("VMUL_integer_A1", "111100100 D:1 size:2 Vn:4 Vd:4 1001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q3}", ref="A8.8.350")
data("VMUL_polynomial_A1", "111100110 D:1 size:2 Vn:4 Vd:4 1001 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"size != 0; {Q3}", ref="A8.8.350")
data("VPMAX_integer_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 1010 N:1 0 M:1 0 Vm:4",
    vreads="Dn Dm", vwrites="Dd", undefined=NOT_64, ref="A8.8.365")
data("VPMIN_integer_A1", "1111001 U:1 0 D:1 size:2 Vn:4 Vd:4 1010 N:1 0 M:1 1 Vm:4",
    vreads="Dn Dm", vwrites="Dd", undefined=NOT_64, ref="A8.8.365")
saturating("VQDMULH_A1", "111100100 D:1 size:2 Vn:4 Vd:4 1011 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q3}", ref="A8.8.372")
saturating("VQRDMULH_A1", "111100110 D:1 size:2 Vn:4 Vd:4 1011 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q3}", ref="A8.8.376")
data("VPADD_integer_A1", "111100100 D:1 size:2 Vn:4 Vd:4 1011 N:1 0 M:1 1 Vm:4",
    vreads="Dn Dm", vwrites="Dd", undefined=NOT_64, ref="A8.8.362")
saturating("VQRDMLAH_A1", "111100110 D:1 size:2 Vn:4 Vd:4 1011 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q3}", ref="DDI 0487 F6.1")
saturating("VQRDMLSH_A1", "111100110 D:1 size:2 Vn:4 Vd:4 1100 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q3}", ref="DDI 0487 F6.1")
data("SHA1C_A1", "111100100 D:1 00 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
    vreads="Qd S[2*Dn] Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
data("SHA1P_A1", "111100100 D:1 01 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
    vreads="Qd S[2*Dn] Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
data("SHA1M_A1", "111100100 D:1 10 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
    vreads="Qd S[2*Dn] Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
data("SHA1SU0_A1", "111100100 D:1 11 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
    vreads="Qd Qn Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
data("SHA256H_A1", "111100110 D:1 00 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
    vreads="Qd Qn Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
data("SHA256H2_A1", "111100110 D:1 01 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
    vreads="Qd Qn Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
data("SHA256SU1_A1", "111100110 D:1 10 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
    vreads="Qd Qn Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
# sz=1 is half-precision, from ARMv8.2 on
floating("VFMA_A1", "111100100 D:1 0 sz:1 Vn:4 Vd:4 1100 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.317")
floating("VFMS_A1", "111100100 D:1 1 sz:1 Vn:4 Vd:4 1100 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.317")
floating("VADD_floating_A1", "111100100 D:1 0 sz:1 Vn:4 Vd:4 1101 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.283")
floating("VSUB_floating_A1", "111100100 D:1 1 sz:1 Vn:4 Vd:4 1101 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.415")
floating("VPADD_floating_A1", "111100110 D:1 0 sz:1 Vn:4 Vd:4 1101 N:1 0 M:1 0 Vm:4",
    vreads="Dn Dm", vwrites="Dd", ref="A8.8.363")
floating("VABD_floating_A1", "111100110 D:1 1 sz:1 Vn:4 Vd:4 1101 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.279")
floating("VMLA_floating_A1", "111100100 D:1 0 sz:1 Vn:4 Vd:4 1101 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.337")
floating("VMLS_floating_A1", "111100100 D:1 1 sz:1 Vn:4 Vd:4 1101 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.337")
floating("VMUL_floating_A1", "111100110 D:1 0 sz:1 Vn:4 Vd:4 1101 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.351")
floating("VCEQ_register_A2", "111100100 D:1 0 sz:1 Vn:4 Vd:4 1110 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.291")
floating("VCGE_register_A2", "111100110 D:1 0 sz:1 Vn:4 Vd:4 1110 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.293")
floating("VCGT_register_A2", "111100110 D:1 1 sz:1 Vn:4 Vd:4 1110 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.295")
floating("VACGE_A1", "111100110 D:1 0 sz:1 Vn:4 Vd:4 1110 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.281")
floating("VACGT_A1", "111100110 D:1 1 sz:1 Vn:4 Vd:4 1110 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.281")
floating("VMAX_floating_A1", "111100100 D:1 0 sz:1 Vn:4 Vd:4 1111 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.335")
floating("VMIN_floating_A1", "111100100 D:1 1 sz:1 Vn:4 Vd:4 1111 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.335")
floating("VPMAX_floating_A1", "111100110 D:1 0 sz:1 Vn:4 Vd:4 1111 N:1 0 M:1 0 Vm:4",
    vreads="Dn Dm", vwrites="Dd", ref="A8.8.366")
floating("VPMIN_floating_A1", "111100110 D:1 1 sz:1 Vn:4 Vd:4 1111 N:1 0 M:1 0 Vm:4",
    vreads="Dn Dm", vwrites="Dd", ref="A8.8.366")
floating("VRECPS_A1", "111100100 D:1 0 sz:1 Vn:4 Vd:4 1111 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.385")
floating("VRSQRTS_A1", "111100100 D:1 1 sz:1 Vn:4 Vd:4 1111 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="A8.8.392")
floating("VMAXNM_A1", "111100110 D:1 0 sz:1 Vn:4 Vd:4 1111 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="DDI 0487 F6.1")
floating("VMINNM_A1", "111100110 D:1 1 sz:1 Vn:4 Vd:4 1111 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="DDI 0487 F6.1")

# Where size is 0b11, the rows of A7.4.2 and A7.4.3 give way to VEXT and to A7.4.5: those come first.
with table.ordered():
    # A7.4 VEXT, VTBL, VTBX and VDUP (scalar)

    data("VEXT_A1", "111100101 D:1 11 Vn:4 Vd:4 imm4:4 N:1 Q:1 M:1 0 Vm:4",
        vreads="Vn Vm", vwrites="Vd", undefined=f"{Q3}; Q == 0 and imm4 > 7", ref="A8.8.316")
    data("VTBL_A1", "111100111 D:1 11 Vn:4 Vd:4 10 len:2 N:1 0 M:1 0 Vm:4",
        let="regs = len + 1", vreads="Dn*regs Dm", vwrites="Dd", unpredictable="Dn + regs > 32", ref="A8.8.419")
    data("VTBX_A1", "111100111 D:1 11 Vn:4 Vd:4 10 len:2 N:1 1 M:1 0 Vm:4",
        let="regs = len + 1", vreads="Dd Dn*regs Dm", vwrites="Dd", unpredictable="Dn + regs > 32", ref="A8.8.419")
    data("VDUP_scalar_A1", "111100111 D:1 11 imm4:4 Vd:4 11000 Q:1 M:1 0 Vm:4",
        vreads="S[2*Dm+(imm4>>3)]", vwrites="Vd", undefined="imm4 & 7 == 0; Q == 1 and Vd & 1", ref="A8.8.313")

    # A7.4.5 Two registers, miscellaneous

    data("VREV64_A1", "111100111 D:1 11 size:2 00 Vd:4 00000 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q2}", ref="A8.8.386")
    data("VREV32_A1", "111100111 D:1 11 size:2 00 Vd:4 00001 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"size > 1; {Q2}", ref="A8.8.386")
    data("VREV16_A1", "111100111 D:1 11 size:2 00 Vd:4 00010 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"size != 0; {Q2}", ref="A8.8.386")
    data("VPADDL_A1", "111100111 D:1 11 size:2 00 Vd:4 0010 op:1 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q2}", ref="A8.8.364")
    data("AESE_A1", "111100111 D:1 11 size:2 00 Vd:4 001100 M:1 0 Vm:4",
        vreads="Qd Qm", vwrites="Qd", undefined=f"size != 0; {EVEN2}", ref="DDI 0487 F6.1")
    data("AESD_A1", "111100111 D:1 11 size:2 00 Vd:4 001101 M:1 0 Vm:4",
        vreads="Qd Qm", vwrites="Qd", undefined=f"size != 0; {EVEN2}", ref="DDI 0487 F6.1")
    data("AESMC_A1", "111100111 D:1 11 size:2 00 Vd:4 001110 M:1 0 Vm:4",
        vreads="Qm", vwrites="Qd", undefined=f"size != 0; {EVEN2}", ref="DDI 0487 F6.1")
    data("AESIMC_A1", "111100111 D:1 11 size:2 00 Vd:4 001111 M:1 0 Vm:4",
        vreads="Qm", vwrites="Qd", undefined=f"size != 0; {EVEN2}", ref="DDI 0487 F6.1")
    data("VCLS_A1", "111100111 D:1 11 size:2 00 Vd:4 01000 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q2}", ref="A8.8.299")
    data("VCLZ_A1", "111100111 D:1 11 size:2 00 Vd:4 01001 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q2}", ref="A8.8.302")
    data("VCNT_A1", "111100111 D:1 11 size:2 00 Vd:4 01010 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"size != 0; {Q2}", ref="A8.8.304")
    data("VMVN_register_A1", "111100111 D:1 11 size:2 00 Vd:4 01011 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"size != 0; {Q2}", ref="A8.8.354")
    data("VPADAL_A1", "111100111 D:1 11 size:2 00 Vd:4 0110 op:1 Q:1 M:1 0 Vm:4",
        vreads="Vd Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q2}", ref="A8.8.361")
    saturating("VQABS_A1", "111100111 D:1 11 size:2 00 Vd:4 01110 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q2}", ref="A8.8.369")
    saturating("VQNEG_A1", "111100111 D:1 11 size:2 00 Vd:4 01111 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; {Q2}", ref="A8.8.375")
    # F=1 is floating-point, of half-precision (size 1) from ARMv8.2 on
    floating("VCGT_zero_A1", "111100111 D:1 11 size:2 01 Vd:4 0 F:1 000 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; F == 1 and size == 0; {Q2}", ref="A8.8.296")
    floating("VCGE_zero_A1", "111100111 D:1 11 size:2 01 Vd:4 0 F:1 001 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; F == 1 and size == 0; {Q2}", ref="A8.8.294")
    floating("VCEQ_zero_A1", "111100111 D:1 11 size:2 01 Vd:4 0 F:1 010 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; F == 1 and size == 0; {Q2}", ref="A8.8.292")
    floating("VCLE_zero_A1", "111100111 D:1 11 size:2 01 Vd:4 0 F:1 011 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; F == 1 and size == 0; {Q2}", ref="A8.8.298")
    floating("VCLT_zero_A1", "111100111 D:1 11 size:2 01 Vd:4 0 F:1 100 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; F == 1 and size == 0; {Q2}", ref="A8.8.301")
    data("SHA1H_A1", "111100111 D:1 11 size:2 01 Vd:4 001011 M:1 0 Vm:4",
        vreads="S[2*Dm]", vwrites="Qd", undefined=f"size != 2; {EVEN2}", ref="DDI 0487 F6.1")
    data("VABS_A1", "111100111 D:1 11 size:2 01 Vd:4 0 F:1 110 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; F == 1 and size == 0; {Q2}", ref="A8.8.280")
    data("VNEG_A1", "111100111 D:1 11 size:2 01 Vd:4 0 F:1 111 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{NOT_64}; F == 1 and size == 0; {Q2}", ref="A8.8.355")
    data("VSWP_A1", "111100111 D:1 11 size:2 10 Vd:4 00000 Q:1 M:1 0 Vm:4",
        vreads="Vd Vm", vwrites="Vd Vm", undefined=f"size != 0; {Q2}", ref="A8.8.418")
    # The result of an operation of two destinations is UNKNOWN where both are one register (VTRN, VUZP, VZIP)
    data("VTRN_A1", "111100111 D:1 11 size:2 10 Vd:4 00001 Q:1 M:1 0 Vm:4",
        vreads="Vd Vm", vwrites="Vd Vm", undefined=f"{NOT_64}; {Q2}", ref="A8.8.420")
    data("VUZP_A1", "111100111 D:1 11 size:2 10 Vd:4 00010 Q:1 M:1 0 Vm:4",
        vreads="Vd Vm", vwrites="Vd Vm", undefined=f"{NOT_64}; Q == 0 and size == 2; {Q2}", ref="A8.8.422")
    data("VZIP_A1", "111100111 D:1 11 size:2 10 Vd:4 00011 Q:1 M:1 0 Vm:4",
        vreads="Vd Vm", vwrites="Vd Vm", undefined=f"{NOT_64}; Q == 0 and size == 2; {Q2}", ref="A8.8.423")
    data("VMOVN_A1", "111100111 D:1 11 size:2 10 Vd:4 001000 M:1 0 Vm:4",
        vreads="Qm", vwrites="Dd", undefined=f"{NOT_64}; Vm & 1", ref="A8.8.347")
    saturating("VQMOVUN_A1", "111100111 D:1 11 size:2 10 Vd:4 001001 M:1 0 Vm:4",
        vreads="Qm", vwrites="Dd", undefined=f"{NOT_64}; Vm & 1", ref="A8.8.374")
    saturating("VQMOVN_A1", "111100111 D:1 11 size:2 10 Vd:4 00101 op:1 M:1 0 Vm:4",
        vreads="Qm", vwrites="Dd", undefined=f"{NOT_64}; Vm & 1", ref="A8.8.374")
    data("VSHLL_A2", "111100111 D:1 11 size:2 10 Vd:4 001100 M:1 0 Vm:4",
        vreads="Dm", vwrites="Qd", undefined=f"{NOT_64}; Vd & 1", ref="A8.8.397")
    data("SHA1SU1_A1", "111100111 D:1 11 size:2 10 Vd:4 001110 M:1 0 Vm:4",
        vreads="Qd Qm", vwrites="Qd", undefined=f"size != 2; {EVEN2}", ref="DDI 0487 F6.1")
    data("SHA256SU0_A1", "111100111 D:1 11 size:2 10 Vd:4 001111 M:1 0 Vm:4",
        vreads="Qd Qm", vwrites="Qd", undefined=f"size != 2; {EVEN2}", ref="DDI 0487 F6.1")
    floating("VRINTN_A1", "111100111 D:1 11 size:2 10 Vd:4 01000 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q2}", ref="DDI 0487 F6.1")
    floating("VRINTX_A1", "111100111 D:1 11 size:2 10 Vd:4 01001 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q2}", ref="DDI 0487 F6.1")
    floating("VRINTA_A1", "111100111 D:1 11 size:2 10 Vd:4 01010 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q2}", ref="DDI 0487 F6.1")
    floating("VRINTZ_A1", "111100111 D:1 11 size:2 10 Vd:4 01011 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q2}", ref="DDI 0487 F6.1")
    floating("VRINTM_A1", "111100111 D:1 11 size:2 10 Vd:4 01101 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q2}", ref="DDI 0487 F6.1")
    floating("VRINTP_A1", "111100111 D:1 11 size:2 10 Vd:4 01111 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q2}", ref="DDI 0487 F6.1")
    floating("VCVT_single_to_half_A1", "111100111 D:1 11 size:2 10 Vd:4 011000 M:1 0 Vm:4",
        vreads="Qm", vwrites="Dd", undefined="size != 1; Vm & 1", ref="A8.8.310")
    floating("VCVT_single_to_BFloat16_A1", "111100111 D:1 11 size:2 10 Vd:4 011001 M:1 0 Vm:4",
        vreads="Qm", vwrites="Dd", undefined="size != 1; Vm & 1", ref="DDI 0487 F6.1")
    floating("VCVT_half_to_single_A1", "111100111 D:1 11 size:2 10 Vd:4 011100 M:1 0 Vm:4",
        vreads="Dm", vwrites="Qd", undefined="size != 1; Vd & 1", ref="A8.8.310")
    floating("VRECPE_A1", "111100111 D:1 11 size:2 11 Vd:4 010 F:1 0 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; F == 0 and size == 1; {Q2}", ref="A8.8.384")
    floating("VRSQRTE_A1", "111100111 D:1 11 size:2 11 Vd:4 010 F:1 1 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; F == 0 and size == 1; {Q2}", ref="A8.8.391")
    floating("VCVT_floating_integer_A1", "111100111 D:1 11 size:2 11 Vd:4 011 op:2 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q2}", ref="A8.8.305")
    # RM: 0 A (ties away), 1 N (ties to even), 2 P (up), 3 M (down)
    floating("VCVT_directed_A1", "111100111 D:1 11 size:2 11 Vd:4 00 RM:2 op:1 Q:1 M:1 0 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{ONLY_16_32}; {Q2}", ref="DDI 0487 F6.1")

    # A7.4.2 Three registers of different lengths

    data("VADDL_A1", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 0000 N:1 0 M:1 0 Vm:4",
        vreads="Dn Dm", vwrites="Qd", undefined=f"{NOT_64}; Vd & 1", ref="A8.8.285")
    data("VADDW_A1", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 0001 N:1 0 M:1 0 Vm:4",
        vreads="Qn Dm", vwrites="Qd", undefined=f"{NOT_64}; (Vd | Vn) & 1", ref="A8.8.285")
    data("VSUBL_A1", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 0010 N:1 0 M:1 0 Vm:4",
        vreads="Dn Dm", vwrites="Qd", undefined=f"{NOT_64}; Vd & 1", ref="A8.8.417")
    data("VSUBW_A1", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 0011 N:1 0 M:1 0 Vm:4",
        vreads="Qn Dm", vwrites="Qd", undefined=f"{NOT_64}; (Vd | Vn) & 1", ref="A8.8.417")
    data("VADDHN_A1", "111100101 D:1 size:2 Vn:4 Vd:4 0100 N:1 0 M:1 0 Vm:4",
        vreads="Qn Qm", vwrites="Dd", undefined=f"{NOT_64}; (Vn | Vm) & 1", ref="A8.8.284")
    data("VRADDHN_A1", "111100111 D:1 size:2 Vn:4 Vd:4 0100 N:1 0 M:1 0 Vm:4",
        vreads="Qn Qm", vwrites="Dd", undefined=f"{NOT_64}; (Vn | Vm) & 1", ref="A8.8.383")
    data("VABAL_A2", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 0101 N:1 0 M:1 0 Vm:4",
        vreads="Qd Dn Dm", vwrites="Qd", undefined=f"{NOT_64}; Vd & 1", ref="A8.8.277")
    data("VSUBHN_A1", "111100101 D:1 size:2 Vn:4 Vd:4 0110 N:1 0 M:1 0 Vm:4",
        vreads="Qn Qm", vwrites="Dd", undefined=f"{NOT_64}; (Vn | Vm) & 1", ref="A8.8.416")
    data("VRSUBHN_A1", "111100111 D:1 size:2 Vn:4 Vd:4 0110 N:1 0 M:1 0 Vm:4",
        vreads="Qn Qm", vwrites="Dd", undefined=f"{NOT_64}; (Vn | Vm) & 1", ref="A8.8.394")
    data("VABDL_A2", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 0111 N:1 0 M:1 0 Vm:4",
        vreads="Dn Dm", vwrites="Qd", undefined=f"{NOT_64}; Vd & 1", ref="A8.8.278")
    data("VMLAL_A2", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 1000 N:1 0 M:1 0 Vm:4",
        vreads="Qd Dn Dm", vwrites="Qd", undefined=f"{NOT_64}; Vd & 1", ref="A8.8.336")
    saturating("VQDMLAL_A1", "111100101 D:1 size:2 Vn:4 Vd:4 1001 N:1 0 M:1 0 Vm:4",
        vreads="Qd Dn Dm", vwrites="Qd", undefined=f"{ONLY_16_32}; Vd & 1", ref="A8.8.371")
    data("VMLSL_A2", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 1010 N:1 0 M:1 0 Vm:4",
        vreads="Qd Dn Dm", vwrites="Qd", undefined=f"{NOT_64}; Vd & 1", ref="A8.8.336")
    saturating("VQDMLSL_A1", "111100101 D:1 size:2 Vn:4 Vd:4 1011 N:1 0 M:1 0 Vm:4",
        vreads="Qd Dn Dm", vwrites="Qd", undefined=f"{ONLY_16_32}; Vd & 1", ref="A8.8.371")
    data("VMULL_integer_A2", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 1100 N:1 0 M:1 0 Vm:4",
        vreads="Dn Dm", vwrites="Qd", undefined=f"{NOT_64}; Vd & 1", ref="A8.8.350")
    saturating("VQDMULL_A1", "111100101 D:1 size:2 Vn:4 Vd:4 1101 N:1 0 M:1 0 Vm:4",
        vreads="Dn Dm", vwrites="Qd", undefined=f"{ONLY_16_32}; Vd & 1", ref="A8.8.373")
    # size 2, of 64 bits, comes with the cryptographic extension of ARMv8
    data("VMULL_polynomial_A2", "111100101 D:1 size:2 Vn:4 Vd:4 1110 N:1 0 M:1 0 Vm:4",
        vreads="Dn Dm", vwrites="Qd", undefined="size in (1, 3); Vd & 1", ref="A8.8.350")

    # A7.4.3 Two registers and a scalar. A scalar of 16 bits is one of d0 to d7, of 32 bits one of d0 to d15.

    SCALAR = "scalar = 2 * (Vm & 7 if size == 1 else Vm) + M"
    QS = "Q == 1 and (Vd | Vn) & 1"
    data("VMLA_scalar_A1", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 0000 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vd Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="A8.8.338")
    floating("VMLA_scalar_A1_floating", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 0001 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vd Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="A8.8.338")
    data("VMLAL_scalar_A2", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 0010 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Qd Dn S[scalar]", vwrites="Qd", undefined=f"{ONLY_16_32}; Vd & 1", ref="A8.8.338")
    saturating("VQDMLAL_A2", "111100101 D:1 size:2 Vn:4 Vd:4 0011 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Qd Dn S[scalar]", vwrites="Qd", undefined=f"{ONLY_16_32}; Vd & 1", ref="A8.8.371")
    data("VMLS_scalar_A1", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 0100 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vd Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="A8.8.338")
    floating("VMLS_scalar_A1_floating", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 0101 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vd Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="A8.8.338")
    data("VMLSL_scalar_A2", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 0110 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Qd Dn S[scalar]", vwrites="Qd", undefined=f"{ONLY_16_32}; Vd & 1", ref="A8.8.338")
    saturating("VQDMLSL_A2", "111100101 D:1 size:2 Vn:4 Vd:4 0111 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Qd Dn S[scalar]", vwrites="Qd", undefined=f"{ONLY_16_32}; Vd & 1", ref="A8.8.371")
    data("VMUL_scalar_A1", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 1000 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="A8.8.352")
    floating("VMUL_scalar_A1_floating", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 1001 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="A8.8.352")
    data("VMULL_scalar_A2", "1111001 U:1 1 D:1 size:2 Vn:4 Vd:4 1010 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Dn S[scalar]", vwrites="Qd", undefined=f"{ONLY_16_32}; Vd & 1", ref="A8.8.352")
    saturating("VQDMULL_A2", "111100101 D:1 size:2 Vn:4 Vd:4 1011 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Dn S[scalar]", vwrites="Qd", undefined=f"{ONLY_16_32}; Vd & 1", ref="A8.8.373")
    saturating("VQDMULH_A2", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="A8.8.372")
    saturating("VQRDMULH_A2", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 1101 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="A8.8.376")
    saturating("VQRDMLAH_A2", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 1110 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vd Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="DDI 0487 F6.1")
    saturating("VQRDMLSH_A2", "1111001 Q:1 1 D:1 size:2 Vn:4 Vd:4 1111 N:1 1 M:1 0 Vm:4",
        let=SCALAR, vreads="Vd Vn S[scalar]", vwrites="Vd", undefined=f"{ONLY_16_32}; {QS}", ref="DDI 0487 F6.1")

# A7.4.6 comes before A7.4.4, which it is a part of: shifts whose L:imm6 is 0b0000xxx.
with table.ordered():
    # A7.4.6 One register and a modified immediate value

    IMM8 = "imm8 = i << 7 | imm3 << 4 | imm4"
    QD = "Q == 1 and Vd & 1"
    # An immediate of zero must be written with cmode 0 or 8 (A7.4.6 AdvSIMDExpandImm)
    data("VORR_immediate_A1_word", "1111001 i:1 1 D:1 000 imm3:3 Vd:4 0 shift:2 1 0 Q:1 01 imm4:4",
        let=IMM8, vreads="Vd", vwrites="Vd", undefined=QD, unpredictable="shift and imm8 == 0", ref="A8.8.359")
    data("VORR_immediate_A1_halfword", "1111001 i:1 1 D:1 000 imm3:3 Vd:4 10 shift:1 1 0 Q:1 01 imm4:4",
        let=IMM8, vreads="Vd", vwrites="Vd", undefined=QD, unpredictable="shift and imm8 == 0", ref="A8.8.359")
    data("VMOV_immediate_A1", "1111001 i:1 1 D:1 000 imm3:3 Vd:4 cmode:4 0 Q:1 01 imm4:4",
        let=IMM8, vwrites="Vd", undefined=QD, unpredictable="imm8 == 0 and cmode >> 1 in (1, 2, 3, 5, 6)",
        ref="A8.8.339")
    data("VBIC_immediate_A1_word", "1111001 i:1 1 D:1 000 imm3:3 Vd:4 0 shift:2 1 0 Q:1 11 imm4:4",
        let=IMM8, vreads="Vd", vwrites="Vd", undefined=QD, unpredictable="shift and imm8 == 0", ref="A8.8.288")
    data("VBIC_immediate_A1_halfword", "1111001 i:1 1 D:1 000 imm3:3 Vd:4 10 shift:1 1 0 Q:1 11 imm4:4",
        let=IMM8, vreads="Vd", vwrites="Vd", undefined=QD, unpredictable="shift and imm8 == 0", ref="A8.8.288")
    data("VMOV_immediate_A1_doubleword", "1111001 i:1 1 D:1 000 imm3:3 Vd:4 1110 0 Q:1 11 imm4:4",
        vwrites="Vd", undefined=QD, ref="A8.8.339")
    data("VMVN_immediate_A1", "1111001 i:1 1 D:1 000 imm3:3 Vd:4 cmode:4 0 Q:1 11 imm4:4",
        let=IMM8, vwrites="Vd", undefined=f"cmode == 15; {QD}",
        unpredictable="imm8 == 0 and cmode >> 1 in (1, 2, 3, 5, 6)", ref="A8.8.353")

    # A7.4.4 Two registers and a shift amount

    SMALL = "L == 0 and imm6 < 8"
    data("VSHR_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 0000 L:1 Q:1 M:1 1 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{SMALL}; {Q2}", ref="A8.8.398")
    data("VSRA_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 0001 L:1 Q:1 M:1 1 Vm:4",
        vreads="Vd Vm", vwrites="Vd", undefined=f"{SMALL}; {Q2}", ref="A8.8.402")
    data("VRSHR_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 0010 L:1 Q:1 M:1 1 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{SMALL}; {Q2}", ref="A8.8.389")
    data("VRSRA_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 0011 L:1 Q:1 M:1 1 Vm:4",
        vreads="Vd Vm", vwrites="Vd", undefined=f"{SMALL}; {Q2}", ref="A8.8.393")
    data("VSRI_A1", "111100111 D:1 imm6:6 Vd:4 0100 L:1 Q:1 M:1 1 Vm:4",
        vreads="Vd Vm", vwrites="Vd", undefined=f"{SMALL}; {Q2}", ref="A8.8.403")
    data("VSHL_immediate_A1", "111100101 D:1 imm6:6 Vd:4 0101 L:1 Q:1 M:1 1 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{SMALL}; {Q2}", ref="A8.8.395")
    data("VSLI_A1", "111100111 D:1 imm6:6 Vd:4 0101 L:1 Q:1 M:1 1 Vm:4",
        vreads="Vd Vm", vwrites="Vd", undefined=f"{SMALL}; {Q2}", ref="A8.8.400")
    saturating("VQSHLU_immediate_A1", "111100111 D:1 imm6:6 Vd:4 0110 L:1 Q:1 M:1 1 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{SMALL}; {Q2}", ref="A8.8.380")
    saturating("VQSHL_immediate_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 0111 L:1 Q:1 M:1 1 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"{SMALL}; {Q2}", ref="A8.8.380")
    data("VSHRN_A1", "111100101 D:1 imm6:6 Vd:4 100000 M:1 1 Vm:4",
        vreads="Qm", vwrites="Dd", undefined="imm6 < 8; Vm & 1", ref="A8.8.399")
    data("VRSHRN_A1", "111100101 D:1 imm6:6 Vd:4 100001 M:1 1 Vm:4",
        vreads="Qm", vwrites="Dd", undefined="imm6 < 8; Vm & 1", ref="A8.8.390")
    saturating("VQSHRUN_A1", "111100111 D:1 imm6:6 Vd:4 100000 M:1 1 Vm:4",
        vreads="Qm", vwrites="Dd", undefined="imm6 < 8; Vm & 1", ref="A8.8.381")
    saturating("VQRSHRUN_A1", "111100111 D:1 imm6:6 Vd:4 100001 M:1 1 Vm:4",
        vreads="Qm", vwrites="Dd", undefined="imm6 < 8; Vm & 1", ref="A8.8.378")
    saturating("VQSHRN_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 100100 M:1 1 Vm:4",
        vreads="Qm", vwrites="Dd", undefined="imm6 < 8; Vm & 1", ref="A8.8.381")
    saturating("VQRSHRN_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 100101 M:1 1 Vm:4",
        vreads="Qm", vwrites="Dd", undefined="imm6 < 8; Vm & 1", ref="A8.8.378")
    # VMOVL where the shift is zero
    data("VSHLL_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 101000 M:1 1 Vm:4",
        vreads="Dm", vwrites="Qd", undefined="imm6 < 8; Vd & 1", ref="A8.8.397")
    floating("VCVT_fixed_half_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 110 op:1 0 Q:1 M:1 1 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"imm6 < 48; {Q2}", ref="DDI 0487 F6.1")
    floating("VCVT_fixed_single_A1", "1111001 U:1 1 D:1 imm6:6 Vd:4 111 op:1 0 Q:1 M:1 1 Vm:4",
        vreads="Vm", vwrites="Vd", undefined=f"imm6 < 32; {Q2}", ref="A8.8.307")

# DDI 0487 F4.1: additional Advanced SIMD encodings, spelled with coprocessors 8, 12 and 13

floating("VCADD_A1", "1111110 rot:1 1 D:1 0 S:1 Vn:4 Vd:4 1000 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vn Vm", vwrites="Vd", undefined=Q3, ref="DDI 0487 F6.1")
floating("VCMLA_A1", "1111110 rot:2 D:1 1 S:1 Vn:4 Vd:4 1000 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="DDI 0487 F6.1")
# The sources of VFMAL and VFMSL are half as long as the destination
floating("VFMAL_VFMSL_A1", "11111100 S:1 D:1 10 Vn:4 Vd:4 1000 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd; Dn Dm if Q; Sn Sm if not Q", vwrites="Vd", undefined="Q == 1 and Vd & 1", ref="DDI 0487 F6.1")
floating("VFMAB_VFMAT_BFloat16_A1", "111111000 D:1 11 Vn:4 Vd:4 1000 N:1 Q:1 M:1 1 Vm:4",
    vreads="Qd Qn Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
floating("VMMLA_BFloat16_A1", "111111000 D:1 00 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
    vreads="Qd Qn Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
floating("VDOT_BFloat16_A1", "111111000 D:1 00 Vn:4 Vd:4 1101 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="DDI 0487 F6.1")
data("VSMMLA_VUMMLA_A1", "111111000 D:1 10 Vn:4 Vd:4 1100 N:1 1 M:1 U:1 Vm:4",
    vreads="Qd Qn Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
data("VUSMMLA_A1", "111111001 D:1 10 Vn:4 Vd:4 1100 N:1 1 M:1 0 Vm:4",
    vreads="Qd Qn Qm", vwrites="Qd", undefined=EVEN3, ref="DDI 0487 F6.1")
data("VSDOT_VUDOT_A1", "111111000 D:1 10 Vn:4 Vd:4 1101 N:1 Q:1 M:1 U:1 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="DDI 0487 F6.1")
data("VUSDOT_A1", "111111001 D:1 10 Vn:4 Vd:4 1101 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vd Vn Vm", vwrites="Vd", undefined=Q3, ref="DDI 0487 F6.1")
floating("VCMLA_element_A1", "11111110 S:1 D:1 rot:2 Vn:4 Vd:4 1000 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vd Vn; S[2*Vm+M] if not S; Dm if S", vwrites="Vd", undefined="Q == 1 and (Vd | Vn) & 1",
    ref="DDI 0487 F6.1")
# The scalar is one of 16 bits: h[Vm<3>] of s[Vm<2:0>:M], or, with Q, h[M:Vm<3>] of d[Vm<2:0>]
floating("VFMAL_VFMSL_scalar_A1", "111111100 D:1 0 S:1 Vn:4 Vd:4 1000 N:1 Q:1 M:1 1 Vm:4",
    vreads="Vd S[2*(Vm&7)+M]; Dn if Q; Sn if not Q", vwrites="Vd", undefined="Q == 1 and Vd & 1", ref="DDI 0487 F6.1")
floating("VFMAB_VFMAT_scalar_A1", "111111100 D:1 11 Vn:4 Vd:4 1000 N:1 Q:1 M:1 1 Vm:4",
    vreads="Qd Qn S[2*(Vm&7)+M]", vwrites="Qd", undefined="(Vd | Vn) & 1", ref="DDI 0487 F6.1")
data("VSDOT_VUDOT_element_A1", "111111100 D:1 10 Vn:4 Vd:4 1101 N:1 Q:1 M:1 U:1 Vm:4",
    vreads="Vd Vn S[2*Vm+M]", vwrites="Vd", undefined="Q == 1 and (Vd | Vn) & 1", ref="DDI 0487 F6.1")
floating("VDOT_BFloat16_element_A1", "111111100 D:1 00 Vn:4 Vd:4 1101 N:1 Q:1 M:1 0 Vm:4",
    vreads="Vd Vn S[2*Vm+M]", vwrites="Vd", undefined="Q == 1 and (Vd | Vn) & 1", ref="DDI 0487 F6.1")
# U=0 is VUSDOT, U=1 VSUDOT
data("VUSDOT_VSUDOT_element_A1", "111111101 D:1 00 Vn:4 Vd:4 1101 N:1 Q:1 M:1 U:1 Vm:4",
    vreads="Vd Vn S[2*Vm+M]", vwrites="Vd", undefined="Q == 1 and (Vd | Vn) & 1", ref="DDI 0487 F6.1")

# A7.7 Advanced SIMD element or structure load/store instructions
#
# Rm is 15: the base stays; 13: it moves on by the bytes transferred; else: by Rm. Nothing is stored below the base.

element_load = partial(row,
    relocate="verbatim", flags_read="", flags_written="", memory="load", writes="Rn if Rm != 15",
    reads="Rn; Rm if Rm not in (13, 15)")
element_store = partial(row,
    relocate="verbatim", flags_read="", flags_written="", memory="store", stack="0", writes="Rn if Rm != 15",
    reads="Rn; Rm if Rm not in (13, 15)")

# Multiple structures

element_store("VST1_multiple_A1", "11110100 0 D:1 00 Rn:4 Vd:4 0111 size:2 align:2 Rm:4",
    vreads="Dd", undefined="align > 1", unpredictable="Rn == 15", ref="A8.8.404")
element_store("VST1_multiple_A2", "11110100 0 D:1 00 Rn:4 Vd:4 1010 size:2 align:2 Rm:4",
    vreads="Dd*2", undefined="align == 3", unpredictable="Rn == 15; Dd + 2 > 32", ref="A8.8.404")
element_store("VST1_multiple_A3", "11110100 0 D:1 00 Rn:4 Vd:4 0110 size:2 align:2 Rm:4",
    vreads="Dd*3", undefined="align > 1", unpredictable="Rn == 15; Dd + 3 > 32", ref="A8.8.404")
element_store("VST1_multiple_A4", "11110100 0 D:1 00 Rn:4 Vd:4 0010 size:2 align:2 Rm:4",
    vreads="Dd*4", unpredictable="Rn == 15; Dd + 4 > 32", ref="A8.8.404")
element_store("VST2_multiple_A1", "11110100 0 D:1 00 Rn:4 Vd:4 100 inc:1 size:2 align:2 Rm:4",
    vreads="Dd D[Dd+1+inc]", undefined="size == 3; align == 3", unpredictable="Rn == 15; Dd + 1 + inc > 31",
    ref="A8.8.406")
element_store("VST2_multiple_A2", "11110100 0 D:1 00 Rn:4 Vd:4 0011 size:2 align:2 Rm:4",
    vreads="Dd*4", undefined="size == 3", unpredictable="Rn == 15; Dd + 4 > 32", ref="A8.8.406")
element_store("VST3_multiple_A1", "11110100 0 D:1 00 Rn:4 Vd:4 010 inc:1 size:2 align:2 Rm:4",
    vreads="Dd D[Dd+1+inc] D[Dd+2+2*inc]", undefined="size == 3; align > 1",
    unpredictable="Rn == 15; Dd + 2 + 2 * inc > 31", ref="A8.8.408")
element_store("VST4_multiple_A1", "11110100 0 D:1 00 Rn:4 Vd:4 000 inc:1 size:2 align:2 Rm:4",
    vreads="Dd D[Dd+1+inc] D[Dd+2+2*inc] D[Dd+3+3*inc]", undefined="size == 3",
    unpredictable="Rn == 15; Dd + 3 + 3 * inc > 31", ref="A8.8.410")
element_load("VLD1_multiple_A1", "11110100 0 D:1 10 Rn:4 Vd:4 0111 size:2 align:2 Rm:4",
    vwrites="Dd", undefined="align > 1", unpredictable="Rn == 15", ref="A8.8.320")
element_load("VLD1_multiple_A2", "11110100 0 D:1 10 Rn:4 Vd:4 1010 size:2 align:2 Rm:4",
    vwrites="Dd*2", undefined="align == 3", unpredictable="Rn == 15; Dd + 2 > 32", ref="A8.8.320")
element_load("VLD1_multiple_A3", "11110100 0 D:1 10 Rn:4 Vd:4 0110 size:2 align:2 Rm:4",
    vwrites="Dd*3", undefined="align > 1", unpredictable="Rn == 15; Dd + 3 > 32", ref="A8.8.320")
element_load("VLD1_multiple_A4", "11110100 0 D:1 10 Rn:4 Vd:4 0010 size:2 align:2 Rm:4",
    vwrites="Dd*4", unpredictable="Rn == 15; Dd + 4 > 32", ref="A8.8.320")
element_load("VLD2_multiple_A1", "11110100 0 D:1 10 Rn:4 Vd:4 100 inc:1 size:2 align:2 Rm:4",
    vwrites="Dd D[Dd+1+inc]", undefined="size == 3; align == 3", unpredictable="Rn == 15; Dd + 1 + inc > 31",
    ref="A8.8.323")
element_load("VLD2_multiple_A2", "11110100 0 D:1 10 Rn:4 Vd:4 0011 size:2 align:2 Rm:4",
    vwrites="Dd*4", undefined="size == 3", unpredictable="Rn == 15; Dd + 4 > 32", ref="A8.8.323")
element_load("VLD3_multiple_A1", "11110100 0 D:1 10 Rn:4 Vd:4 010 inc:1 size:2 align:2 Rm:4",
    vwrites="Dd D[Dd+1+inc] D[Dd+2+2*inc]", undefined="size == 3; align > 1",
    unpredictable="Rn == 15; Dd + 2 + 2 * inc > 31", ref="A8.8.326")
element_load("VLD4_multiple_A1", "11110100 0 D:1 10 Rn:4 Vd:4 000 inc:1 size:2 align:2 Rm:4",
    vwrites="Dd D[Dd+1+inc] D[Dd+2+2*inc] D[Dd+3+3*inc]", undefined="size == 3",
    unpredictable="Rn == 15; Dd + 3 + 3 * inc > 31", ref="A8.8.329")

# Single structure to or from one lane: A1 bytes, A2 halfwords, A3 words

element_store("VST1_single_A1", "11110100 1 D:1 00 Rn:4 Vd:4 0000 index:3 0 Rm:4",
    vreads="S[2*Dd+(index>>2)]", unpredictable="Rn == 15", ref="A8.8.405")
element_store("VST1_single_A2", "11110100 1 D:1 00 Rn:4 Vd:4 0100 index:2 0 align:1 Rm:4",
    vreads="S[2*Dd+(index>>1)]", unpredictable="Rn == 15", ref="A8.8.405")
element_store("VST1_single_A3", "11110100 1 D:1 00 Rn:4 Vd:4 1000 index:1 0 align:2 Rm:4",
    vreads="S[2*Dd+index]", undefined="align in (1, 2)", unpredictable="Rn == 15", ref="A8.8.405")
element_store("VST2_single_A1", "11110100 1 D:1 00 Rn:4 Vd:4 0001 index:3 align:1 Rm:4",
    vreads="S[2*Dd+(index>>2)] S[2*(Dd+1)+(index>>2)]", unpredictable="Rn == 15; Dd + 1 > 31", ref="A8.8.407")
element_store("VST2_single_A2", "11110100 1 D:1 00 Rn:4 Vd:4 0101 index:2 inc:1 align:1 Rm:4",
    vreads="S[2*Dd+(index>>1)] S[2*(Dd+1+inc)+(index>>1)]", unpredictable="Rn == 15; Dd + 1 + inc > 31",
    ref="A8.8.407")
element_store("VST2_single_A3", "11110100 1 D:1 00 Rn:4 Vd:4 1001 index:1 inc:1 0 align:1 Rm:4",
    vreads="S[2*Dd+index] S[2*(Dd+1+inc)+index]", unpredictable="Rn == 15; Dd + 1 + inc > 31", ref="A8.8.407")
element_store("VST3_single_A1", "11110100 1 D:1 00 Rn:4 Vd:4 0010 index:3 0 Rm:4",
    vreads="S[2*Dd+(index>>2)] S[2*(Dd+1)+(index>>2)] S[2*(Dd+2)+(index>>2)]", unpredictable="Rn == 15; Dd + 2 > 31",
    ref="A8.8.409")
element_store("VST3_single_A2", "11110100 1 D:1 00 Rn:4 Vd:4 0110 index:2 inc:1 0 Rm:4",
    vreads="S[2*Dd+(index>>1)] S[2*(Dd+1+inc)+(index>>1)] S[2*(Dd+2+2*inc)+(index>>1)]",
    unpredictable="Rn == 15; Dd + 2 + 2 * inc > 31", ref="A8.8.409")
element_store("VST3_single_A3", "11110100 1 D:1 00 Rn:4 Vd:4 1010 index:1 inc:1 00 Rm:4",
    vreads="S[2*Dd+index] S[2*(Dd+1+inc)+index] S[2*(Dd+2+2*inc)+index]",
    unpredictable="Rn == 15; Dd + 2 + 2 * inc > 31", ref="A8.8.409")
element_store("VST4_single_A1", "11110100 1 D:1 00 Rn:4 Vd:4 0011 index:3 align:1 Rm:4",
    vreads="S[2*Dd+(index>>2)] S[2*(Dd+1)+(index>>2)] S[2*(Dd+2)+(index>>2)] S[2*(Dd+3)+(index>>2)]",
    unpredictable="Rn == 15; Dd + 3 > 31", ref="A8.8.411")
element_store("VST4_single_A2", "11110100 1 D:1 00 Rn:4 Vd:4 0111 index:2 inc:1 align:1 Rm:4",
    vreads="S[2*Dd+(index>>1)] S[2*(Dd+1+inc)+(index>>1)] S[2*(Dd+2+2*inc)+(index>>1)] S[2*(Dd+3+3*inc)+(index>>1)]",
    unpredictable="Rn == 15; Dd + 3 + 3 * inc > 31", ref="A8.8.411")
element_store("VST4_single_A3", "11110100 1 D:1 00 Rn:4 Vd:4 1011 index:1 inc:1 align:2 Rm:4",
    vreads="S[2*Dd+index] S[2*(Dd+1+inc)+index] S[2*(Dd+2+2*inc)+index] S[2*(Dd+3+3*inc)+index]",
    undefined="align == 3", unpredictable="Rn == 15; Dd + 3 + 3 * inc > 31", ref="A8.8.411")
element_load("VLD1_single_A1", "11110100 1 D:1 10 Rn:4 Vd:4 0000 index:3 0 Rm:4",
    vreads="S[2*Dd+(index>>2)]", vwrites="S[2*Dd+(index>>2)]", unpredictable="Rn == 15", ref="A8.8.321")
element_load("VLD1_single_A2", "11110100 1 D:1 10 Rn:4 Vd:4 0100 index:2 0 align:1 Rm:4",
    vreads="S[2*Dd+(index>>1)]", vwrites="S[2*Dd+(index>>1)]", unpredictable="Rn == 15", ref="A8.8.321")
element_load("VLD1_single_A3", "11110100 1 D:1 10 Rn:4 Vd:4 1000 index:1 0 align:2 Rm:4",
    vwrites="S[2*Dd+index]", undefined="align in (1, 2)", unpredictable="Rn == 15", ref="A8.8.321")
element_load("VLD2_single_A1", "11110100 1 D:1 10 Rn:4 Vd:4 0001 index:3 align:1 Rm:4",
    vreads="S[2*Dd+(index>>2)] S[2*(Dd+1)+(index>>2)]", vwrites="S[2*Dd+(index>>2)] S[2*(Dd+1)+(index>>2)]",
    unpredictable="Rn == 15; Dd + 1 > 31", ref="A8.8.324")
element_load("VLD2_single_A2", "11110100 1 D:1 10 Rn:4 Vd:4 0101 index:2 inc:1 align:1 Rm:4",
    vreads="S[2*Dd+(index>>1)] S[2*(Dd+1+inc)+(index>>1)]", vwrites="S[2*Dd+(index>>1)] S[2*(Dd+1+inc)+(index>>1)]",
    unpredictable="Rn == 15; Dd + 1 + inc > 31", ref="A8.8.324")
element_load("VLD2_single_A3", "11110100 1 D:1 10 Rn:4 Vd:4 1001 index:1 inc:1 0 align:1 Rm:4",
    vwrites="S[2*Dd+index] S[2*(Dd+1+inc)+index]", unpredictable="Rn == 15; Dd + 1 + inc > 31", ref="A8.8.324")
element_load("VLD3_single_A1", "11110100 1 D:1 10 Rn:4 Vd:4 0010 index:3 0 Rm:4",
    vreads="S[2*Dd+(index>>2)] S[2*(Dd+1)+(index>>2)] S[2*(Dd+2)+(index>>2)]",
    vwrites="S[2*Dd+(index>>2)] S[2*(Dd+1)+(index>>2)] S[2*(Dd+2)+(index>>2)]", unpredictable="Rn == 15; Dd + 2 > 31",
    ref="A8.8.327")
element_load("VLD3_single_A2", "11110100 1 D:1 10 Rn:4 Vd:4 0110 index:2 inc:1 0 Rm:4",
    vreads="S[2*Dd+(index>>1)] S[2*(Dd+1+inc)+(index>>1)] S[2*(Dd+2+2*inc)+(index>>1)]",
    vwrites="S[2*Dd+(index>>1)] S[2*(Dd+1+inc)+(index>>1)] S[2*(Dd+2+2*inc)+(index>>1)]",
    unpredictable="Rn == 15; Dd + 2 + 2 * inc > 31", ref="A8.8.327")
element_load("VLD3_single_A3", "11110100 1 D:1 10 Rn:4 Vd:4 1010 index:1 inc:1 00 Rm:4",
    vwrites="S[2*Dd+index] S[2*(Dd+1+inc)+index] S[2*(Dd+2+2*inc)+index]",
    unpredictable="Rn == 15; Dd + 2 + 2 * inc > 31", ref="A8.8.327")
element_load("VLD4_single_A1", "11110100 1 D:1 10 Rn:4 Vd:4 0011 index:3 align:1 Rm:4",
    vreads="S[2*Dd+(index>>2)] S[2*(Dd+1)+(index>>2)] S[2*(Dd+2)+(index>>2)] S[2*(Dd+3)+(index>>2)]",
    vwrites="S[2*Dd+(index>>2)] S[2*(Dd+1)+(index>>2)] S[2*(Dd+2)+(index>>2)] S[2*(Dd+3)+(index>>2)]",
    unpredictable="Rn == 15; Dd + 3 > 31", ref="A8.8.330")
element_load("VLD4_single_A2", "11110100 1 D:1 10 Rn:4 Vd:4 0111 index:2 inc:1 align:1 Rm:4",
    vreads="S[2*Dd+(index>>1)] S[2*(Dd+1+inc)+(index>>1)] S[2*(Dd+2+2*inc)+(index>>1)] S[2*(Dd+3+3*inc)+(index>>1)]",
    vwrites="S[2*Dd+(index>>1)] S[2*(Dd+1+inc)+(index>>1)] S[2*(Dd+2+2*inc)+(index>>1)] S[2*(Dd+3+3*inc)+(index>>1)]",
    unpredictable="Rn == 15; Dd + 3 + 3 * inc > 31", ref="A8.8.330")
element_load("VLD4_single_A3", "11110100 1 D:1 10 Rn:4 Vd:4 1011 index:1 inc:1 align:2 Rm:4",
    vwrites="S[2*Dd+index] S[2*(Dd+1+inc)+index] S[2*(Dd+2+2*inc)+index] S[2*(Dd+3+3*inc)+index]",
    undefined="align == 3", unpredictable="Rn == 15; Dd + 3 + 3 * inc > 31", ref="A8.8.330")

# Single structure to all lanes

element_load("VLD1_all_lanes_A1", "11110100 1 D:1 10 Rn:4 Vd:4 1100 size:2 T:1 a:1 Rm:4",
    let="regs = 1 + T", vwrites="Dd*regs", undefined="size == 3; size == 0 and a == 1",
    unpredictable="Rn == 15; Dd + regs > 32", ref="A8.8.322")
element_load("VLD2_all_lanes_A1", "11110100 1 D:1 10 Rn:4 Vd:4 1101 size:2 inc:1 a:1 Rm:4",
    vwrites="Dd D[Dd+1+inc]", undefined="size == 3", unpredictable="Rn == 15; Dd + 1 + inc > 31", ref="A8.8.325")
element_load("VLD3_all_lanes_A1", "11110100 1 D:1 10 Rn:4 Vd:4 1110 size:2 inc:1 a:1 Rm:4",
    vwrites="Dd D[Dd+1+inc] D[Dd+2+2*inc]", undefined="size == 3; a == 1",
    unpredictable="Rn == 15; Dd + 2 + 2 * inc > 31", ref="A8.8.328")
element_load("VLD4_all_lanes_A1", "11110100 1 D:1 10 Rn:4 Vd:4 1111 size:2 inc:1 a:1 Rm:4",
    vwrites="Dd D[Dd+1+inc] D[Dd+2+2*inc] D[Dd+3+3*inc]", undefined="size == 3 and a == 0",
    unpredictable="Rn == 15; Dd + 3 + 3 * inc > 31", ref="A8.8.331")
# fmt: on
