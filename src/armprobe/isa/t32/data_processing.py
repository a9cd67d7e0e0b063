"""Data processing of 32 bits: immediates, bit fields, saturation, shifted registers (DDI 0406C A6.3.1 to A6.3.11).

TST, TEQ, CMN and CMP are AND, EOR, ADD and SUB with S = 1 and Rd = 15; MOV and MVN are ORR and ORN with Rn = 15. A
modified immediate is rotated, and then sets the carry of logical operations, where imm12 is above 0x3ff.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.rows import TableBuilder
from armprobe.isa.t32.common import bad

table = TableBuilder(InstructionSet.T32)
row = partial(table.row, flags_read="", flags_written="", memory="none")
# fmt: off

IMM12 = "imm12 = i << 11 | imm3 << 8 | imm8"
IMM5 = "imm5 = imm3 << 2 | imm2"
#: a pattern of a byte in several places, and the byte zero
ZEROS = "; imm12 >> 8 in (1, 2, 3) and imm8 == 0"
LOGICAL = "NZ if S == 1; C if S == 1 and imm12 > 0x3ff"
COMPARED = "NZ; C if imm12 > 0x3ff"
ARITHMETIC = "NZCV if S == 1"
#: d == 13 || (d == 15 && S == 0): with S = 1, Rd = 15 is a comparison
RD = "Rd == 13; Rd == 15 and S == 0"
#: ROR #0 is RRX, which shifts the carry in
RRX = "C if type == 3 and imm5 == 0"
SHIFTED = "NZ if S == 1; C if S == 1 and type + imm5 > 0"
COMPARED_SHIFTED = "NZ; C if type + imm5 > 0"

immediate = partial(row, let=IMM12, reads="Rn", writes="Rd", relocate="verbatim", ref="A6.3.1")
plain = partial(row, reads="Rn", writes="Rd", relocate="verbatim", ref="A6.3.3")
register = partial(row, let=IMM5, reads="Rn Rm", writes="Rd", relocate="verbatim", ref="A6.3.11")

# Data-processing (modified immediate)

with table.ordered():
    immediate("TST_immediate_T1", "11110 i:1 0 0000 1 Rn:4 0 imm3:3 1111 imm8:8", writes="", flags_written=COMPARED,
        unpredictable=bad("Rn") + ZEROS)
    immediate("AND_immediate_T1", "11110 i:1 0 0000 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_written=LOGICAL,
        unpredictable=RD + "; " + bad("Rn") + ZEROS)
immediate("BIC_immediate_T1", "11110 i:1 0 0001 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_written=LOGICAL,
    unpredictable=bad("Rd Rn") + ZEROS)
with table.ordered():
    immediate("MOV_immediate_T2", "11110 i:1 0 0010 S:1 1111 0 imm3:3 Rd:4 imm8:8", reads="", flags_written=LOGICAL,
        unpredictable=bad("Rd") + ZEROS)
    immediate("ORR_immediate_T1", "11110 i:1 0 0010 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_written=LOGICAL,
        unpredictable=bad("Rd") + "; Rn == 13" + ZEROS)
with table.ordered():
    immediate("MVN_immediate_T1", "11110 i:1 0 0011 S:1 1111 0 imm3:3 Rd:4 imm8:8", reads="", flags_written=LOGICAL,
        unpredictable=bad("Rd") + ZEROS)
    immediate("ORN_immediate_T1", "11110 i:1 0 0011 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_written=LOGICAL,
        unpredictable=bad("Rd") + "; Rn == 13" + ZEROS)
with table.ordered():
    immediate("TEQ_immediate_T1", "11110 i:1 0 0100 1 Rn:4 0 imm3:3 1111 imm8:8", writes="", flags_written=COMPARED,
        unpredictable=bad("Rn") + ZEROS)
    immediate("EOR_immediate_T1", "11110 i:1 0 0100 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_written=LOGICAL,
        unpredictable=RD + "; " + bad("Rn") + ZEROS)
with table.ordered():
    immediate("CMN_immediate_T1", "11110 i:1 0 1000 1 Rn:4 0 imm3:3 1111 imm8:8", writes="", flags_written="NZCV",
        unpredictable="Rn == 15" + ZEROS)
    immediate("ADD_SP_immediate_T3", "11110 i:1 0 1000 S:1 Rn=1101 0 imm3:3 Rd:4 imm8:8", flags_written=ARITHMETIC,
        unpredictable="Rd == 15 and S == 0" + ZEROS)
    immediate("ADD_immediate_T3", "11110 i:1 0 1000 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_written=ARITHMETIC,
        unpredictable=RD + "; Rn == 15" + ZEROS)
immediate("ADC_immediate_T1", "11110 i:1 0 1010 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_read="C",
    flags_written=ARITHMETIC, unpredictable=bad("Rd Rn") + ZEROS)
immediate("SBC_immediate_T1", "11110 i:1 0 1011 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_read="C",
    flags_written=ARITHMETIC, unpredictable=bad("Rd Rn") + ZEROS)
with table.ordered():
    immediate("CMP_immediate_T2", "11110 i:1 0 1101 1 Rn:4 0 imm3:3 1111 imm8:8", writes="", flags_written="NZCV",
        unpredictable="Rn == 15" + ZEROS)
    immediate("SUB_SP_immediate_T2", "11110 i:1 0 1101 S:1 Rn=1101 0 imm3:3 Rd:4 imm8:8", flags_written=ARITHMETIC,
        unpredictable="Rd == 15 and S == 0" + ZEROS)
    immediate("SUB_immediate_T3", "11110 i:1 0 1101 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_written=ARITHMETIC,
        unpredictable=RD + "; Rn == 15" + ZEROS)
immediate("RSB_immediate_T2", "11110 i:1 0 1110 S:1 Rn:4 0 imm3:3 Rd:4 imm8:8", flags_written=ARITHMETIC,
    unpredictable=bad("Rd Rn") + ZEROS)

# Data-processing (plain binary immediate)

with table.ordered():
    plain("ADR_T3", "11110 i:1 10000 0 1111 0 imm3:3 Rd:4 imm8:8", let=IMM12, reads="pc", unpredictable=bad("Rd"),
        relocate="address")
    plain("ADD_SP_immediate_T4", "11110 i:1 10000 0 Rn=1101 0 imm3:3 Rd:4 imm8:8", let=IMM12,
        unpredictable="Rd == 15")
    plain("ADD_immediate_T4", "11110 i:1 10000 0 Rn:4 0 imm3:3 Rd:4 imm8:8", let=IMM12, unpredictable=bad("Rd"))
plain("MOV_immediate_T3", "11110 i:1 10010 0 imm4:4 0 imm3:3 Rd:4 imm8:8", let=IMM12, reads="",
    unpredictable=bad("Rd"))
with table.ordered():
    plain("ADR_T2", "11110 i:1 10101 0 1111 0 imm3:3 Rd:4 imm8:8", let=IMM12, reads="pc", unpredictable=bad("Rd"),
        relocate="address")
    plain("SUB_SP_immediate_T3", "11110 i:1 10101 0 Rn=1101 0 imm3:3 Rd:4 imm8:8", let=IMM12,
        unpredictable="Rd == 15")
    plain("SUB_immediate_T4", "11110 i:1 10101 0 Rn:4 0 imm3:3 Rd:4 imm8:8", let=IMM12, unpredictable=bad("Rd"))
plain("MOVT_T1", "11110 i:1 10110 0 imm4:4 0 imm3:3 Rd:4 imm8:8", let=IMM12, reads="Rd", unpredictable=bad("Rd"))

# ... : saturation. Q is sticky: it may also stay. ASR #0 is the form for two halfwords

saturate = partial(plain, flags_read="Q", flags_written="Q", unpredictable=bad("Rd Rn"))
with table.ordered():
    saturate("SSAT16_T1", "11110 (0) 11001 0 Rn:4 0 000 Rd:4 00 (0)(0) sat_imm:4")
    saturate("SSAT_T1", "11110 (0) 1100 sh:1 0 Rn:4 0 imm3:3 Rd:4 imm2:2 (0) sat_imm:5", let=IMM5)
with table.ordered():
    saturate("USAT16_T1", "11110 (0) 11101 0 Rn:4 0 000 Rd:4 00 (0)(0) sat_imm:4")
    saturate("USAT_T1", "11110 (0) 1110 sh:1 0 Rn:4 0 imm3:3 Rd:4 imm2:2 (0) sat_imm:5", let=IMM5)

# ... : bit fields. BFC and BFI keep the rest of Rd, so they read it

LSB = "lsb = imm3 << 2 | imm2"
plain("SBFX_T1", "11110 (0) 11010 0 Rn:4 0 imm3:3 Rd:4 imm2:2 (0) widthm1:5", let=LSB,
    unpredictable=bad("Rd Rn") + "; lsb + widthm1 > 31")
plain("UBFX_T1", "11110 (0) 11110 0 Rn:4 0 imm3:3 Rd:4 imm2:2 (0) widthm1:5", let=LSB,
    unpredictable=bad("Rd Rn") + "; lsb + widthm1 > 31")
with table.ordered():
    plain("BFC_T1", "11110 (0) 11011 0 1111 0 imm3:3 Rd:4 imm2:2 (0) msb:5", let=LSB, reads="Rd",
        unpredictable=bad("Rd") + "; msb < lsb")
    plain("BFI_T1", "11110 (0) 11011 0 Rn:4 0 imm3:3 Rd:4 imm2:2 (0) msb:5", let=LSB, reads="Rd Rn",
        unpredictable=bad("Rd") + "; Rn == 13; msb < lsb")

# Data-processing (shifted register)

with table.ordered():
    register("TST_register_T2", "1110101 0000 1 Rn:4 (0) imm3:3 1111 imm2:2 type:2 Rm:4", writes="", flags_read=RRX,
        flags_written=COMPARED_SHIFTED, unpredictable=bad("Rn Rm"))
    register("AND_register_T2", "1110101 0000 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
        flags_written=SHIFTED, unpredictable=RD + "; " + bad("Rn Rm"))
register("BIC_register_T2", "1110101 0001 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
    flags_written=SHIFTED, unpredictable=bad("Rd Rn Rm"))
with table.ordered():
    move = partial(register, reads="Rm", unpredictable=bad("Rd Rm"))
    move("MOV_register_T3", "1110101 0010 S:1 1111 (0) 000 Rd:4 0000 Rm:4", let="", flags_written="NZ if S == 1",
        unpredictable="S == 1 and Rd in (13, 15); S == 1 and Rm in (13, 15); Rd == 15; Rm == 15; Rd == 13 and Rm == 13")
    move("RRX_T1", "1110101 0010 S:1 1111 (0) 000 Rd:4 0011 Rm:4", let="", flags_read="C",
        flags_written="NZC if S == 1")
    move("LSL_immediate_T2", "1110101 0010 S:1 1111 (0) imm3:3 Rd:4 imm2:2 00 Rm:4", flags_written="NZC if S == 1")
    move("LSR_immediate_T2", "1110101 0010 S:1 1111 (0) imm3:3 Rd:4 imm2:2 01 Rm:4", flags_written="NZC if S == 1")
    move("ASR_immediate_T2", "1110101 0010 S:1 1111 (0) imm3:3 Rd:4 imm2:2 10 Rm:4", flags_written="NZC if S == 1")
    move("ROR_immediate_T1", "1110101 0010 S:1 1111 (0) imm3:3 Rd:4 imm2:2 11 Rm:4", flags_written="NZC if S == 1")
    register("ORR_register_T2", "1110101 0010 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
        flags_written=SHIFTED, unpredictable=bad("Rd Rm") + "; Rn == 13")
with table.ordered():
    register("MVN_register_T2", "1110101 0011 S:1 1111 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", reads="Rm", flags_read=RRX,
        flags_written=SHIFTED, unpredictable=bad("Rd Rm"))
    register("ORN_register_T1", "1110101 0011 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
        flags_written=SHIFTED, unpredictable=bad("Rd Rm") + "; Rn == 13")
with table.ordered():
    register("TEQ_register_T1", "1110101 0100 1 Rn:4 (0) imm3:3 1111 imm2:2 type:2 Rm:4", writes="", flags_read=RRX,
        flags_written=COMPARED_SHIFTED, unpredictable=bad("Rn Rm"))
    register("EOR_register_T2", "1110101 0100 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
        flags_written=SHIFTED, unpredictable=RD + "; " + bad("Rn Rm"))
register("PKH_T1", "1110101 0110 0 Rn:4 (0) imm3:3 Rd:4 imm2:2 tb:1 0 Rm:4", unpredictable=bad("Rd Rn Rm"))
with table.ordered():
    register("CMN_register_T2", "1110101 1000 1 Rn:4 (0) imm3:3 1111 imm2:2 type:2 Rm:4", writes="", flags_read=RRX,
        flags_written="NZCV", unpredictable="Rn == 15; " + bad("Rm"))
    register("ADD_SP_register_T3", "1110101 1000 S:1 Rn=1101 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
        flags_written=ARITHMETIC,
        unpredictable="Rd == 13 and (type > 0 or imm5 > 3); Rd == 15; " + bad("Rm"))
    register("ADD_register_T3", "1110101 1000 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
        flags_written=ARITHMETIC, unpredictable=RD + "; Rn == 15; " + bad("Rm"))
register("ADC_register_T2", "1110101 1010 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read="C",
    flags_written=ARITHMETIC, unpredictable=bad("Rd Rn Rm"))
register("SBC_register_T2", "1110101 1011 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read="C",
    flags_written=ARITHMETIC, unpredictable=bad("Rd Rn Rm"))
with table.ordered():
    register("CMP_register_T3", "1110101 1101 1 Rn:4 (0) imm3:3 1111 imm2:2 type:2 Rm:4", writes="", flags_read=RRX,
        flags_written="NZCV", unpredictable="Rn == 15; " + bad("Rm"))
    register("SUB_SP_register_T1", "1110101 1101 S:1 Rn=1101 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
        flags_written=ARITHMETIC,
        unpredictable="Rd == 13 and (type > 0 or imm5 > 3); Rd == 15; " + bad("Rm"))
    register("SUB_register_T2", "1110101 1101 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
        flags_written=ARITHMETIC, unpredictable=RD + "; Rn == 15; " + bad("Rm"))
register("RSB_register_T1", "1110101 1110 S:1 Rn:4 (0) imm3:3 Rd:4 imm2:2 type:2 Rm:4", flags_read=RRX,
    flags_written=ARITHMETIC, unpredictable=bad("Rd Rn Rm"))
