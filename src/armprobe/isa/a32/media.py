"""Media instructions other than multiplies (DDI 0406C A5.4), saturating arithmetic (A5.2.6), CLZ (A5.2.12), CRC32.

Q is sticky: what may set it lists it as read as well, because it may also stay.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row
# fmt: off

RD_RM = "Rd == 15; Rm == 15"
RD_RN = "Rd == 15; Rn == 15"
RD_RN_RM = "Rd == 15; Rn == 15; Rm == 15"

plain = partial(row, writes="Rd", flags_read="", flags_written="", memory="none", relocate="verbatim")
sticky = partial(row, writes="Rd", flags_read="Q", flags_written="Q", memory="none", relocate="verbatim")
lanes = partial(plain, reads="Rn Rm", unpredictable=RD_RN_RM)
lanes_ge = partial(row, reads="Rn Rm", writes="Rd", flags_read="", flags_written="GE", memory="none",
    unpredictable=RD_RN_RM, relocate="verbatim")

# Parallel addition and subtraction, signed

lanes_ge("SADD16_A1", "cond:4 01100001 Rn:4 Rd:4 (1)(1)(1)(1) 0001 Rm:4", ref="A5.4.1")
lanes_ge("SASX_A1", "cond:4 01100001 Rn:4 Rd:4 (1)(1)(1)(1) 0011 Rm:4", ref="A5.4.1")
lanes_ge("SSAX_A1", "cond:4 01100001 Rn:4 Rd:4 (1)(1)(1)(1) 0101 Rm:4", ref="A5.4.1")
lanes_ge("SSUB16_A1", "cond:4 01100001 Rn:4 Rd:4 (1)(1)(1)(1) 0111 Rm:4", ref="A5.4.1")
lanes_ge("SADD8_A1", "cond:4 01100001 Rn:4 Rd:4 (1)(1)(1)(1) 1001 Rm:4", ref="A5.4.1")
lanes_ge("SSUB8_A1", "cond:4 01100001 Rn:4 Rd:4 (1)(1)(1)(1) 1111 Rm:4", ref="A5.4.1")
lanes("QADD16_A1", "cond:4 01100010 Rn:4 Rd:4 (1)(1)(1)(1) 0001 Rm:4", ref="A5.4.1")
lanes("QASX_A1", "cond:4 01100010 Rn:4 Rd:4 (1)(1)(1)(1) 0011 Rm:4", ref="A5.4.1")
lanes("QSAX_A1", "cond:4 01100010 Rn:4 Rd:4 (1)(1)(1)(1) 0101 Rm:4", ref="A5.4.1")
lanes("QSUB16_A1", "cond:4 01100010 Rn:4 Rd:4 (1)(1)(1)(1) 0111 Rm:4", ref="A5.4.1")
lanes("QADD8_A1", "cond:4 01100010 Rn:4 Rd:4 (1)(1)(1)(1) 1001 Rm:4", ref="A5.4.1")
lanes("QSUB8_A1", "cond:4 01100010 Rn:4 Rd:4 (1)(1)(1)(1) 1111 Rm:4", ref="A5.4.1")
lanes("SHADD16_A1", "cond:4 01100011 Rn:4 Rd:4 (1)(1)(1)(1) 0001 Rm:4", ref="A5.4.1")
lanes("SHASX_A1", "cond:4 01100011 Rn:4 Rd:4 (1)(1)(1)(1) 0011 Rm:4", ref="A5.4.1")
lanes("SHSAX_A1", "cond:4 01100011 Rn:4 Rd:4 (1)(1)(1)(1) 0101 Rm:4", ref="A5.4.1")
lanes("SHSUB16_A1", "cond:4 01100011 Rn:4 Rd:4 (1)(1)(1)(1) 0111 Rm:4", ref="A5.4.1")
lanes("SHADD8_A1", "cond:4 01100011 Rn:4 Rd:4 (1)(1)(1)(1) 1001 Rm:4", ref="A5.4.1")
lanes("SHSUB8_A1", "cond:4 01100011 Rn:4 Rd:4 (1)(1)(1)(1) 1111 Rm:4", ref="A5.4.1")

# Parallel addition and subtraction, unsigned

lanes_ge("UADD16_A1", "cond:4 01100101 Rn:4 Rd:4 (1)(1)(1)(1) 0001 Rm:4", ref="A5.4.2")
lanes_ge("UASX_A1", "cond:4 01100101 Rn:4 Rd:4 (1)(1)(1)(1) 0011 Rm:4", ref="A5.4.2")
lanes_ge("USAX_A1", "cond:4 01100101 Rn:4 Rd:4 (1)(1)(1)(1) 0101 Rm:4", ref="A5.4.2")
lanes_ge("USUB16_A1", "cond:4 01100101 Rn:4 Rd:4 (1)(1)(1)(1) 0111 Rm:4", ref="A5.4.2")
lanes_ge("UADD8_A1", "cond:4 01100101 Rn:4 Rd:4 (1)(1)(1)(1) 1001 Rm:4", ref="A5.4.2")
lanes_ge("USUB8_A1", "cond:4 01100101 Rn:4 Rd:4 (1)(1)(1)(1) 1111 Rm:4", ref="A5.4.2")
lanes("UQADD16_A1", "cond:4 01100110 Rn:4 Rd:4 (1)(1)(1)(1) 0001 Rm:4", ref="A5.4.2")
lanes("UQASX_A1", "cond:4 01100110 Rn:4 Rd:4 (1)(1)(1)(1) 0011 Rm:4", ref="A5.4.2")
lanes("UQSAX_A1", "cond:4 01100110 Rn:4 Rd:4 (1)(1)(1)(1) 0101 Rm:4", ref="A5.4.2")
lanes("UQSUB16_A1", "cond:4 01100110 Rn:4 Rd:4 (1)(1)(1)(1) 0111 Rm:4", ref="A5.4.2")
lanes("UQADD8_A1", "cond:4 01100110 Rn:4 Rd:4 (1)(1)(1)(1) 1001 Rm:4", ref="A5.4.2")
lanes("UQSUB8_A1", "cond:4 01100110 Rn:4 Rd:4 (1)(1)(1)(1) 1111 Rm:4", ref="A5.4.2")
lanes("UHADD16_A1", "cond:4 01100111 Rn:4 Rd:4 (1)(1)(1)(1) 0001 Rm:4", ref="A5.4.2")
lanes("UHASX_A1", "cond:4 01100111 Rn:4 Rd:4 (1)(1)(1)(1) 0011 Rm:4", ref="A5.4.2")
lanes("UHSAX_A1", "cond:4 01100111 Rn:4 Rd:4 (1)(1)(1)(1) 0101 Rm:4", ref="A5.4.2")
lanes("UHSUB16_A1", "cond:4 01100111 Rn:4 Rd:4 (1)(1)(1)(1) 0111 Rm:4", ref="A5.4.2")
lanes("UHADD8_A1", "cond:4 01100111 Rn:4 Rd:4 (1)(1)(1)(1) 1001 Rm:4", ref="A5.4.2")
lanes("UHSUB8_A1", "cond:4 01100111 Rn:4 Rd:4 (1)(1)(1)(1) 1111 Rm:4", ref="A5.4.2")

# Packing, unpacking, saturation, and reversal

plain("PKH_A1", "cond:4 01101000 Rn:4 Rd:4 imm5:5 tb:1 01 Rm:4", reads="Rn Rm", unpredictable=RD_RN_RM, ref="A5.4.3")
plain("SEL_A1", "cond:4 01101000 Rn:4 Rd:4 (1)(1)(1)(1) 1011 Rm:4", reads="Rn Rm", flags_read="GE",
    unpredictable=RD_RN_RM, ref="A5.4.3")
sticky("SSAT_A1", "cond:4 0110101 sat_imm:5 Rd:4 imm5:5 sh:1 01 Rn:4", reads="Rn", unpredictable=RD_RN, ref="A5.4.3")
sticky("SSAT16_A1", "cond:4 01101010 sat_imm:4 Rd:4 (1)(1)(1)(1) 0011 Rn:4", reads="Rn", unpredictable=RD_RN,
    ref="A5.4.3")
sticky("USAT_A1", "cond:4 0110111 sat_imm:5 Rd:4 imm5:5 sh:1 01 Rn:4", reads="Rn", unpredictable=RD_RN, ref="A5.4.3")
sticky("USAT16_A1", "cond:4 01101110 sat_imm:4 Rd:4 (1)(1)(1)(1) 0011 Rn:4", reads="Rn", unpredictable=RD_RN,
    ref="A5.4.3")
with table.ordered():
    plain("SXTB16_A1", "cond:4 01101000 1111 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rm", unpredictable=RD_RM,
        ref="A5.4.3")
    plain("SXTAB16_A1", "cond:4 01101000 Rn:4 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rn Rm", unpredictable=RD_RM,
        ref="A5.4.3")
with table.ordered():
    plain("SXTB_A1", "cond:4 01101010 1111 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rm", unpredictable=RD_RM,
        ref="A5.4.3")
    plain("SXTAB_A1", "cond:4 01101010 Rn:4 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rn Rm", unpredictable=RD_RM,
        ref="A5.4.3")
with table.ordered():
    plain("SXTH_A1", "cond:4 01101011 1111 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rm", unpredictable=RD_RM,
        ref="A5.4.3")
    plain("SXTAH_A1", "cond:4 01101011 Rn:4 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rn Rm", unpredictable=RD_RM,
        ref="A5.4.3")
with table.ordered():
    plain("UXTB16_A1", "cond:4 01101100 1111 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rm", unpredictable=RD_RM,
        ref="A5.4.3")
    plain("UXTAB16_A1", "cond:4 01101100 Rn:4 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rn Rm", unpredictable=RD_RM,
        ref="A5.4.3")
with table.ordered():
    plain("UXTB_A1", "cond:4 01101110 1111 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rm", unpredictable=RD_RM,
        ref="A5.4.3")
    plain("UXTAB_A1", "cond:4 01101110 Rn:4 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rn Rm", unpredictable=RD_RM,
        ref="A5.4.3")
with table.ordered():
    plain("UXTH_A1", "cond:4 01101111 1111 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rm", unpredictable=RD_RM,
        ref="A5.4.3")
    plain("UXTAH_A1", "cond:4 01101111 Rn:4 Rd:4 rotate:2 (0)(0) 0111 Rm:4", reads="Rn Rm", unpredictable=RD_RM,
        ref="A5.4.3")
plain("REV_A1", "cond:4 01101011 (1)(1)(1)(1) Rd:4 (1)(1)(1)(1) 0011 Rm:4", reads="Rm", unpredictable=RD_RM,
    ref="A5.4.3")
plain("REV16_A1", "cond:4 01101011 (1)(1)(1)(1) Rd:4 (1)(1)(1)(1) 1011 Rm:4", reads="Rm", unpredictable=RD_RM,
    ref="A5.4.3")
plain("RBIT_A1", "cond:4 01101111 (1)(1)(1)(1) Rd:4 (1)(1)(1)(1) 0011 Rm:4", reads="Rm", unpredictable=RD_RM,
    ref="A5.4.3")
plain("REVSH_A1", "cond:4 01101111 (1)(1)(1)(1) Rd:4 (1)(1)(1)(1) 1011 Rm:4", reads="Rm", unpredictable=RD_RM,
    ref="A5.4.3")

# A5.4: sums of absolute differences

with table.ordered():
    plain("USAD8_A1", "cond:4 01111000 Rd:4 1111 Rm:4 0001 Rn:4", reads="Rn Rm", unpredictable=RD_RN_RM, ref="A5.4")
    plain("USADA8_A1", "cond:4 01111000 Rd:4 Ra:4 Rm:4 0001 Rn:4", reads="Rn Rm Ra", unpredictable=RD_RN_RM, ref="A5.4")

# A5.4: bit fields. BFC and BFI keep the rest of Rd, so they read it

plain("SBFX_A1", "cond:4 0111101 widthm1:5 Rd:4 lsb:5 101 Rn:4", reads="Rn",
    unpredictable="Rd == 15; Rn == 15; lsb + widthm1 > 31", ref="A5.4")
plain("UBFX_A1", "cond:4 0111111 widthm1:5 Rd:4 lsb:5 101 Rn:4", reads="Rn",
    unpredictable="Rd == 15; Rn == 15; lsb + widthm1 > 31", ref="A5.4")
with table.ordered():
    plain("BFC_A1", "cond:4 0111110 msb:5 Rd:4 lsb:5 0011111", reads="Rd", unpredictable="Rd == 15; msb < lsb",
        ref="A5.4")
    plain("BFI_A1", "cond:4 0111110 msb:5 Rd:4 lsb:5 001 Rn:4", reads="Rd Rn", unpredictable="Rd == 15; msb < lsb",
        ref="A5.4")

# Saturating addition and subtraction

sticky("QADD_A1", "cond:4 00010000 Rn:4 Rd:4 (0)(0)(0)(0) 0101 Rm:4", reads="Rn Rm", unpredictable=RD_RN_RM,
    ref="A5.2.6")
sticky("QSUB_A1", "cond:4 00010010 Rn:4 Rd:4 (0)(0)(0)(0) 0101 Rm:4", reads="Rn Rm", unpredictable=RD_RN_RM,
    ref="A5.2.6")
sticky("QDADD_A1", "cond:4 00010100 Rn:4 Rd:4 (0)(0)(0)(0) 0101 Rm:4", reads="Rn Rm", unpredictable=RD_RN_RM,
    ref="A5.2.6")
sticky("QDSUB_A1", "cond:4 00010110 Rn:4 Rd:4 (0)(0)(0)(0) 0101 Rm:4", reads="Rn Rm", unpredictable=RD_RN_RM,
    ref="A5.2.6")

# A5.2.12: count leading zeros; DDI 0487 F5.1: CRC32

plain("CLZ_A1", "cond:4 00010110 (1)(1)(1)(1) Rd:4 (1)(1)(1)(1) 0001 Rm:4", reads="Rm", unpredictable=RD_RM,
    ref="A5.2.12")
plain("CRC32_A1", "cond:4 00010 size:2 0 Rn:4 Rd:4 (0)(0)0(0) 0100 Rm:4", reads="Rn Rm",
    unpredictable=RD_RN_RM + "; size == 3; cond != 14", ref="DDI 0487 F5.1")
plain("CRC32C_A1", "cond:4 00010 size:2 0 Rn:4 Rd:4 (0)(0)1(0) 0100 Rm:4", reads="Rn Rm",
    unpredictable=RD_RN_RM + "; size == 3; cond != 14", ref="DDI 0487 F5.1")
