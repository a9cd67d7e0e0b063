"""Register data processing, parallel arithmetic, multiplies and divides (DDI 0406C A6.3.12 to A6.3.17), CRC32.

Q is sticky: what may set it lists it as read as well, because it may also stay.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.rows import TableBuilder
from armprobe.isa.t32.common import OUTSIDE, bad

table = TableBuilder(InstructionSet.T32)
row = partial(table.row, flags_read="", flags_written="", memory="none", relocate="verbatim")
# fmt: off

RD_RN_RM = bad("Rd Rn Rm")
RD_RM = bad("Rd Rm")
EXTEND_ADD = bad("Rd Rm") + "; Rn == 13"
ACCUMULATE = RD_RN_RM + "; Ra == 13"
LONG = bad("RdLo RdHi Rn Rm") + "; RdHi == RdLo"

three = partial(row, reads="Rn Rm", writes="Rd", unpredictable=RD_RN_RM)
shift = partial(three, flags_read="C if S == 1", flags_written="NZC if S == 1", ref="A6.3.12")
extend = partial(row, reads="Rm", writes="Rd", unpredictable=RD_RM, ref="A6.3.12")
extend_add = partial(row, reads="Rn Rm", writes="Rd", unpredictable=EXTEND_ADD, ref="A6.3.12")
lanes = partial(three, ref="A6.3.14")
lanes_ge = partial(three, flags_written="GE", ref="A6.3.14")
saturating = partial(three, flags_read="Q", flags_written="Q", ref="A6.3.15")
# The register stands in both fields.
one = partial(row, reads="Rm", writes="Rd", unpredictable=RD_RM + "; Rn != Rm", ref="A6.3.15")
accumulate = partial(row, reads="Rn Rm Ra", writes="Rd", unpredictable=ACCUMULATE, ref="A6.3.16")
multiply = partial(three, ref="A6.3.16")
long = partial(row, reads="RdHi RdLo Rn Rm", writes="RdHi RdLo", unpredictable=LONG, ref="A6.3.17")
Q = {"flags_read": "Q", "flags_written": "Q"}

# Data-processing (register): a register may hold the shift amount zero, which leaves the carry alone

shift("LSL_register_T2", "11111010 000 S:1 Rn:4 1111 Rd:4 0000 Rm:4")
shift("LSR_register_T2", "11111010 001 S:1 Rn:4 1111 Rd:4 0000 Rm:4")
shift("ASR_register_T2", "11111010 010 S:1 Rn:4 1111 Rd:4 0000 Rm:4")
shift("ROR_register_T2", "11111010 011 S:1 Rn:4 1111 Rd:4 0000 Rm:4")
with table.ordered():
    extend("SXTH_T2", "11111010 0000 1111 1111 Rd:4 1 (0) rotate:2 Rm:4")
    extend_add("SXTAH_T1", "11111010 0000 Rn:4 1111 Rd:4 1 (0) rotate:2 Rm:4")
with table.ordered():
    extend("UXTH_T2", "11111010 0001 1111 1111 Rd:4 1 (0) rotate:2 Rm:4")
    extend_add("UXTAH_T1", "11111010 0001 Rn:4 1111 Rd:4 1 (0) rotate:2 Rm:4")
with table.ordered():
    extend("SXTB16_T1", "11111010 0010 1111 1111 Rd:4 1 (0) rotate:2 Rm:4")
    extend_add("SXTAB16_T1", "11111010 0010 Rn:4 1111 Rd:4 1 (0) rotate:2 Rm:4")
with table.ordered():
    extend("UXTB16_T1", "11111010 0011 1111 1111 Rd:4 1 (0) rotate:2 Rm:4")
    extend_add("UXTAB16_T1", "11111010 0011 Rn:4 1111 Rd:4 1 (0) rotate:2 Rm:4")
with table.ordered():
    extend("SXTB_T2", "11111010 0100 1111 1111 Rd:4 1 (0) rotate:2 Rm:4")
    extend_add("SXTAB_T1", "11111010 0100 Rn:4 1111 Rd:4 1 (0) rotate:2 Rm:4")
with table.ordered():
    extend("UXTB_T2", "11111010 0101 1111 1111 Rd:4 1 (0) rotate:2 Rm:4")
    extend_add("UXTAB_T1", "11111010 0101 Rn:4 1111 Rd:4 1 (0) rotate:2 Rm:4")

# Parallel addition and subtraction, signed

lanes_ge("SADD8_T1", "11111010 1000 Rn:4 1111 Rd:4 0000 Rm:4", ref="A6.3.13")
lanes_ge("SADD16_T1", "11111010 1001 Rn:4 1111 Rd:4 0000 Rm:4", ref="A6.3.13")
lanes_ge("SASX_T1", "11111010 1010 Rn:4 1111 Rd:4 0000 Rm:4", ref="A6.3.13")
lanes_ge("SSUB8_T1", "11111010 1100 Rn:4 1111 Rd:4 0000 Rm:4", ref="A6.3.13")
lanes_ge("SSUB16_T1", "11111010 1101 Rn:4 1111 Rd:4 0000 Rm:4", ref="A6.3.13")
lanes_ge("SSAX_T1", "11111010 1110 Rn:4 1111 Rd:4 0000 Rm:4", ref="A6.3.13")
lanes("QADD8_T1", "11111010 1000 Rn:4 1111 Rd:4 0001 Rm:4", ref="A6.3.13")
lanes("QADD16_T1", "11111010 1001 Rn:4 1111 Rd:4 0001 Rm:4", ref="A6.3.13")
lanes("QASX_T1", "11111010 1010 Rn:4 1111 Rd:4 0001 Rm:4", ref="A6.3.13")
lanes("QSUB8_T1", "11111010 1100 Rn:4 1111 Rd:4 0001 Rm:4", ref="A6.3.13")
lanes("QSUB16_T1", "11111010 1101 Rn:4 1111 Rd:4 0001 Rm:4", ref="A6.3.13")
lanes("QSAX_T1", "11111010 1110 Rn:4 1111 Rd:4 0001 Rm:4", ref="A6.3.13")
lanes("SHADD8_T1", "11111010 1000 Rn:4 1111 Rd:4 0010 Rm:4", ref="A6.3.13")
lanes("SHADD16_T1", "11111010 1001 Rn:4 1111 Rd:4 0010 Rm:4", ref="A6.3.13")
lanes("SHASX_T1", "11111010 1010 Rn:4 1111 Rd:4 0010 Rm:4", ref="A6.3.13")
lanes("SHSUB8_T1", "11111010 1100 Rn:4 1111 Rd:4 0010 Rm:4", ref="A6.3.13")
lanes("SHSUB16_T1", "11111010 1101 Rn:4 1111 Rd:4 0010 Rm:4", ref="A6.3.13")
lanes("SHSAX_T1", "11111010 1110 Rn:4 1111 Rd:4 0010 Rm:4", ref="A6.3.13")

# Parallel addition and subtraction, unsigned

lanes_ge("UADD8_T1", "11111010 1000 Rn:4 1111 Rd:4 0100 Rm:4")
lanes_ge("UADD16_T1", "11111010 1001 Rn:4 1111 Rd:4 0100 Rm:4")
lanes_ge("UASX_T1", "11111010 1010 Rn:4 1111 Rd:4 0100 Rm:4")
lanes_ge("USUB8_T1", "11111010 1100 Rn:4 1111 Rd:4 0100 Rm:4")
lanes_ge("USUB16_T1", "11111010 1101 Rn:4 1111 Rd:4 0100 Rm:4")
lanes_ge("USAX_T1", "11111010 1110 Rn:4 1111 Rd:4 0100 Rm:4")
lanes("UQADD8_T1", "11111010 1000 Rn:4 1111 Rd:4 0101 Rm:4")
lanes("UQADD16_T1", "11111010 1001 Rn:4 1111 Rd:4 0101 Rm:4")
lanes("UQASX_T1", "11111010 1010 Rn:4 1111 Rd:4 0101 Rm:4")
lanes("UQSUB8_T1", "11111010 1100 Rn:4 1111 Rd:4 0101 Rm:4")
lanes("UQSUB16_T1", "11111010 1101 Rn:4 1111 Rd:4 0101 Rm:4")
lanes("UQSAX_T1", "11111010 1110 Rn:4 1111 Rd:4 0101 Rm:4")
lanes("UHADD8_T1", "11111010 1000 Rn:4 1111 Rd:4 0110 Rm:4")
lanes("UHADD16_T1", "11111010 1001 Rn:4 1111 Rd:4 0110 Rm:4")
lanes("UHASX_T1", "11111010 1010 Rn:4 1111 Rd:4 0110 Rm:4")
lanes("UHSUB8_T1", "11111010 1100 Rn:4 1111 Rd:4 0110 Rm:4")
lanes("UHSUB16_T1", "11111010 1101 Rn:4 1111 Rd:4 0110 Rm:4")
lanes("UHSAX_T1", "11111010 1110 Rn:4 1111 Rd:4 0110 Rm:4")

# Miscellaneous operations

saturating("QADD_T1", "11111010 1000 Rn:4 1111 Rd:4 1000 Rm:4")
saturating("QDADD_T1", "11111010 1000 Rn:4 1111 Rd:4 1001 Rm:4")
saturating("QSUB_T1", "11111010 1000 Rn:4 1111 Rd:4 1010 Rm:4")
saturating("QDSUB_T1", "11111010 1000 Rn:4 1111 Rd:4 1011 Rm:4")
one("REV_T2", "11111010 1001 Rn:4 1111 Rd:4 1000 Rm:4")
one("REV16_T2", "11111010 1001 Rn:4 1111 Rd:4 1001 Rm:4")
one("RBIT_T1", "11111010 1001 Rn:4 1111 Rd:4 1010 Rm:4")
one("REVSH_T2", "11111010 1001 Rn:4 1111 Rd:4 1011 Rm:4")
three("SEL_T1", "11111010 1010 Rn:4 1111 Rd:4 1000 Rm:4", flags_read="GE", ref="A6.3.15")
one("CLZ_T1", "11111010 1011 Rn:4 1111 Rd:4 1000 Rm:4")
CRC = "Rd == 15; Rn == 15; Rm == 15; size == 3; " + OUTSIDE
three("CRC32_T1", "11111010 1100 Rn:4 1111 Rd:4 10 size:2 Rm:4", unpredictable=CRC, ref="DDI 0487 F5.1")
three("CRC32C_T1", "11111010 1101 Rn:4 1111 Rd:4 10 size:2 Rm:4", unpredictable=CRC, ref="DDI 0487 F5.1")

# Multiply, multiply accumulate, and absolute difference: without Ra where it is 15

with table.ordered():
    multiply("MUL_T2", "11111011 0000 Rn:4 1111 Rd:4 0000 Rm:4")
    accumulate("MLA_T1", "11111011 0000 Rn:4 Ra:4 Rd:4 0000 Rm:4")
accumulate("MLS_T1", "11111011 0000 Rn:4 Ra:4 Rd:4 0001 Rm:4", unpredictable=bad("Rd Rn Rm Ra"))
with table.ordered():
    multiply("SMULBB_T1", "11111011 0001 Rn:4 1111 Rd:4 00 N:1 M:1 Rm:4")
    accumulate("SMLABB_T1", "11111011 0001 Rn:4 Ra:4 Rd:4 00 N:1 M:1 Rm:4", **Q)
with table.ordered():
    multiply("SMUAD_T1", "11111011 0010 Rn:4 1111 Rd:4 000 M:1 Rm:4", **Q)
    accumulate("SMLAD_T1", "11111011 0010 Rn:4 Ra:4 Rd:4 000 M:1 Rm:4", **Q)
with table.ordered():
    multiply("SMULWB_T1", "11111011 0011 Rn:4 1111 Rd:4 000 M:1 Rm:4")
    accumulate("SMLAWB_T1", "11111011 0011 Rn:4 Ra:4 Rd:4 000 M:1 Rm:4", **Q)
with table.ordered():
    multiply("SMUSD_T1", "11111011 0100 Rn:4 1111 Rd:4 000 M:1 Rm:4")
    accumulate("SMLSD_T1", "11111011 0100 Rn:4 Ra:4 Rd:4 000 M:1 Rm:4", **Q)
with table.ordered():
    multiply("SMMUL_T1", "11111011 0101 Rn:4 1111 Rd:4 000 R:1 Rm:4")
    accumulate("SMMLA_T1", "11111011 0101 Rn:4 Ra:4 Rd:4 000 R:1 Rm:4")
accumulate("SMMLS_T1", "11111011 0110 Rn:4 Ra:4 Rd:4 000 R:1 Rm:4", unpredictable=bad("Rd Rn Rm Ra"))
with table.ordered():
    multiply("USAD8_T1", "11111011 0111 Rn:4 1111 Rd:4 0000 Rm:4")
    accumulate("USADA8_T1", "11111011 0111 Rn:4 Ra:4 Rd:4 0000 Rm:4")

# Long multiply, long multiply accumulate, and divide

long("SMULL_T1", "11111011 1000 Rn:4 RdLo:4 RdHi:4 0000 Rm:4", reads="Rn Rm")
three("SDIV_T1", "11111011 1001 Rn:4 (1)(1)(1)(1) Rd:4 1111 Rm:4", ref="A6.3.17")
long("UMULL_T1", "11111011 1010 Rn:4 RdLo:4 RdHi:4 0000 Rm:4", reads="Rn Rm")
three("UDIV_T1", "11111011 1011 Rn:4 (1)(1)(1)(1) Rd:4 1111 Rm:4", ref="A6.3.17")
long("SMLAL_T1", "11111011 1100 Rn:4 RdLo:4 RdHi:4 0000 Rm:4")
long("SMLALBB_T1", "11111011 1100 Rn:4 RdLo:4 RdHi:4 10 N:1 M:1 Rm:4")
long("SMLALD_T1", "11111011 1100 Rn:4 RdLo:4 RdHi:4 110 M:1 Rm:4")
long("SMLSLD_T1", "11111011 1101 Rn:4 RdLo:4 RdHi:4 110 M:1 Rm:4")
long("UMLAL_T1", "11111011 1110 Rn:4 RdLo:4 RdHi:4 0000 Rm:4")
long("UMAAL_T1", "11111011 1110 Rn:4 RdLo:4 RdHi:4 0110 Rm:4")
