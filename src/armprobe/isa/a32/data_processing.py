"""Data processing: register, register-shifted register and immediate forms (DDI 0406C A5.2.1 to A5.2.3).

With S = 1 and Rd = PC an instruction is an exception return (B9.3.20, SUBS PC, LR and related instructions): CPSR is
written from SPSR, so that banked registers change as well. Those stand in BANKED, as read and as written, because
nothing tells which of them keep their values.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row
# fmt: off

BANKED = " r8 r9 r10 r11 r12 sp lr"
#: ROR #0 is RRX, which shifts the carry in
RRX = "C if type == 3 and imm5 == 0"
ARITHMETIC = "NZCV if S == 1"
# The carry of a logical operation is the shifter's; LSL #0 and an unrotated immediate leave it alone. A register may
# hold the shift amount zero: then the carry stays, so that it is read as well.
LOGICAL = "NZ if S == 1; C if S == 1 and type + imm5 > 0"
LOGICAL_IMMEDIATE = "NZ if S == 1; C if S == 1 and imm12 > 255"
LOGICAL_BY_REGISTER = "NZC if S == 1"
NO_PC = "Rn == 15; Rm == 15; Rs == 15"

# What the rows of a section have in common.
returns = partial(row, writes="Rd" + BANKED, flags_written="NZCVQGE", memory="none", relocate="operands",
    effects="exception_return mode privileged spsr", ref="B9.3.20")
shifted = partial(row, memory="none", relocate="operands", ref="A5.2.1")
by_register = partial(row, memory="none", relocate="verbatim", ref="A5.2.2")
immediate = partial(row, memory="none", relocate="operands", ref="A5.2.3")

# Data-processing: register
with table.ordered():
    returns("ANDS_PC_register_A2", "cond:4 00000001 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read=RRX)
    shifted("AND_register_A1", "cond:4 0000000 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read=RRX, flags_written=LOGICAL)
with table.ordered():
    returns("EORS_PC_register_A2", "cond:4 00000011 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read=RRX)
    shifted("EOR_register_A1", "cond:4 0000001 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read=RRX, flags_written=LOGICAL)
with table.ordered():
    returns("SUBS_PC_register_A2", "cond:4 00000101 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read=RRX)
    shifted("SUB_register_A1", "cond:4 0000010 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read=RRX, flags_written=ARITHMETIC)
with table.ordered():
    returns("RSBS_PC_register_A2", "cond:4 00000111 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read=RRX)
    shifted("RSB_register_A1", "cond:4 0000011 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read=RRX, flags_written=ARITHMETIC)
with table.ordered():
    returns("ADDS_PC_register_A2", "cond:4 00001001 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read=RRX)
    shifted("ADD_register_A1", "cond:4 0000100 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read=RRX, flags_written=ARITHMETIC)
with table.ordered():
    returns("ADCS_PC_register_A2", "cond:4 00001011 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read="C")
    shifted("ADC_register_A1", "cond:4 0000101 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read="C", flags_written=ARITHMETIC)
with table.ordered():
    returns("SBCS_PC_register_A2", "cond:4 00001101 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read="C")
    shifted("SBC_register_A1", "cond:4 0000110 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read="C", flags_written=ARITHMETIC)
with table.ordered():
    returns("RSCS_PC_register_A2", "cond:4 00001111 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read="C")
    shifted("RSC_register_A1", "cond:4 0000111 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read="C", flags_written=ARITHMETIC)
shifted("TST_register_A1", "cond:4 00010001 Rn:4 (0)(0)(0)(0) imm5:5 type:2 0 Rm:4",
    reads="Rn Rm", writes="", flags_read=RRX, flags_written="NZ; C if type + imm5 > 0")
shifted("TEQ_register_A1", "cond:4 00010011 Rn:4 (0)(0)(0)(0) imm5:5 type:2 0 Rm:4",
    reads="Rn Rm", writes="", flags_read=RRX, flags_written="NZ; C if type + imm5 > 0")
shifted("CMP_register_A1", "cond:4 00010101 Rn:4 (0)(0)(0)(0) imm5:5 type:2 0 Rm:4",
    reads="Rn Rm", writes="", flags_read=RRX, flags_written="NZCV")
shifted("CMN_register_A1", "cond:4 00010111 Rn:4 (0)(0)(0)(0) imm5:5 type:2 0 Rm:4",
    reads="Rn Rm", writes="", flags_read=RRX, flags_written="NZCV")
with table.ordered():
    returns("ORRS_PC_register_A2", "cond:4 00011001 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read=RRX)
    shifted("ORR_register_A1", "cond:4 0001100 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read=RRX, flags_written=LOGICAL)
with table.ordered():
    returns("MOVS_PC_register_A2", "cond:4 00011011 (0)(0)(0)(0) Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rm" + BANKED, flags_read=RRX)
    shifted("MOV_register_A1", "cond:4 0001101 S:1 (0)(0)(0)(0) Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rm", writes="Rd", flags_read=RRX, flags_written=LOGICAL)
with table.ordered():
    returns("BICS_PC_register_A2", "cond:4 00011101 Rn:4 Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm" + BANKED, flags_read=RRX)
    shifted("BIC_register_A1", "cond:4 0001110 S:1 Rn:4 Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rn Rm", writes="Rd", flags_read=RRX, flags_written=LOGICAL)
with table.ordered():
    returns("MVNS_PC_register_A2", "cond:4 00011111 (0)(0)(0)(0) Rd=1111 imm5:5 type:2 0 Rm:4",
        reads="Rm" + BANKED, flags_read=RRX)
    shifted("MVN_register_A1", "cond:4 0001111 S:1 (0)(0)(0)(0) Rd:4 imm5:5 type:2 0 Rm:4",
        reads="Rm", writes="Rd", flags_read=RRX, flags_written=LOGICAL)

# Data-processing: register-shifted register
by_register("AND_register_shifted_register_A1", "cond:4 0000000 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="C if S == 1", flags_written=LOGICAL_BY_REGISTER,
    unpredictable="Rd == 15; " + NO_PC)
by_register("EOR_register_shifted_register_A1", "cond:4 0000001 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="C if S == 1", flags_written=LOGICAL_BY_REGISTER,
    unpredictable="Rd == 15; " + NO_PC)
by_register("SUB_register_shifted_register_A1", "cond:4 0000010 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="", flags_written=ARITHMETIC,
    unpredictable="Rd == 15; " + NO_PC)
by_register("RSB_register_shifted_register_A1", "cond:4 0000011 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="", flags_written=ARITHMETIC,
    unpredictable="Rd == 15; " + NO_PC)
by_register("ADD_register_shifted_register_A1", "cond:4 0000100 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="", flags_written=ARITHMETIC,
    unpredictable="Rd == 15; " + NO_PC)
by_register("ADC_register_shifted_register_A1", "cond:4 0000101 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="C", flags_written=ARITHMETIC,
    unpredictable="Rd == 15; " + NO_PC)
by_register("SBC_register_shifted_register_A1", "cond:4 0000110 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="C", flags_written=ARITHMETIC,
    unpredictable="Rd == 15; " + NO_PC)
by_register("RSC_register_shifted_register_A1", "cond:4 0000111 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="C", flags_written=ARITHMETIC,
    unpredictable="Rd == 15; " + NO_PC)
by_register("TST_register_shifted_register_A1", "cond:4 00010001 Rn:4 (0)(0)(0)(0) Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="", flags_read="C", flags_written="NZC",
    unpredictable=NO_PC)
by_register("TEQ_register_shifted_register_A1", "cond:4 00010011 Rn:4 (0)(0)(0)(0) Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="", flags_read="C", flags_written="NZC",
    unpredictable=NO_PC)
by_register("CMP_register_shifted_register_A1", "cond:4 00010101 Rn:4 (0)(0)(0)(0) Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="", flags_read="", flags_written="NZCV",
    unpredictable=NO_PC)
by_register("CMN_register_shifted_register_A1", "cond:4 00010111 Rn:4 (0)(0)(0)(0) Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="", flags_read="", flags_written="NZCV",
    unpredictable=NO_PC)
by_register("ORR_register_shifted_register_A1", "cond:4 0001100 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="C if S == 1", flags_written=LOGICAL_BY_REGISTER,
    unpredictable="Rd == 15; " + NO_PC)
by_register("MOV_register_shifted_register_A1", "cond:4 0001101 S:1 (0)(0)(0)(0) Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rm Rs", writes="Rd", flags_read="C if S == 1", flags_written=LOGICAL_BY_REGISTER,
    unpredictable="Rd == 15; Rm == 15; Rs == 15")
by_register("BIC_register_shifted_register_A1", "cond:4 0001110 S:1 Rn:4 Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rn Rm Rs", writes="Rd", flags_read="C if S == 1", flags_written=LOGICAL_BY_REGISTER,
    unpredictable="Rd == 15; " + NO_PC)
by_register("MVN_register_shifted_register_A1", "cond:4 0001111 S:1 (0)(0)(0)(0) Rd:4 Rs:4 0 type:2 1 Rm:4",
    reads="Rm Rs", writes="Rd", flags_read="C if S == 1", flags_written=LOGICAL_BY_REGISTER,
    unpredictable="Rd == 15; Rm == 15; Rs == 15")

# Data-processing: immediate. With Rn = PC, ADD and SUB are ADR
with table.ordered():
    returns("ANDS_PC_immediate_A1", "cond:4 00100001 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="")
    immediate("AND_immediate_A1", "cond:4 0010000 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="", flags_written=LOGICAL_IMMEDIATE)
with table.ordered():
    returns("EORS_PC_immediate_A1", "cond:4 00100011 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="")
    immediate("EOR_immediate_A1", "cond:4 0010001 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="", flags_written=LOGICAL_IMMEDIATE)
with table.ordered():
    returns("SUBS_PC_immediate_A1", "cond:4 00100101 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="")
    immediate("SUB_immediate_A1", "cond:4 0010010 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="", flags_written=ARITHMETIC)
with table.ordered():
    returns("RSBS_PC_immediate_A1", "cond:4 00100111 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="")
    immediate("RSB_immediate_A1", "cond:4 0010011 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="", flags_written=ARITHMETIC)
with table.ordered():
    returns("ADDS_PC_immediate_A1", "cond:4 00101001 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="")
    immediate("ADD_immediate_A1", "cond:4 0010100 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="", flags_written=ARITHMETIC)
with table.ordered():
    returns("ADCS_PC_immediate_A1", "cond:4 00101011 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="C")
    immediate("ADC_immediate_A1", "cond:4 0010101 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="C", flags_written=ARITHMETIC)
with table.ordered():
    returns("SBCS_PC_immediate_A1", "cond:4 00101101 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="C")
    immediate("SBC_immediate_A1", "cond:4 0010110 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="C", flags_written=ARITHMETIC)
with table.ordered():
    returns("RSCS_PC_immediate_A1", "cond:4 00101111 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="C")
    immediate("RSC_immediate_A1", "cond:4 0010111 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="C", flags_written=ARITHMETIC)
immediate("TST_immediate_A1", "cond:4 00110001 Rn:4 (0)(0)(0)(0) imm12:12",
    reads="Rn", writes="", flags_read="", flags_written="NZ; C if imm12 > 255")
immediate("TEQ_immediate_A1", "cond:4 00110011 Rn:4 (0)(0)(0)(0) imm12:12",
    reads="Rn", writes="", flags_read="", flags_written="NZ; C if imm12 > 255")
immediate("CMP_immediate_A1", "cond:4 00110101 Rn:4 (0)(0)(0)(0) imm12:12",
    reads="Rn", writes="", flags_read="", flags_written="NZCV")
immediate("CMN_immediate_A1", "cond:4 00110111 Rn:4 (0)(0)(0)(0) imm12:12",
    reads="Rn", writes="", flags_read="", flags_written="NZCV")
with table.ordered():
    returns("ORRS_PC_immediate_A1", "cond:4 00111001 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="")
    immediate("ORR_immediate_A1", "cond:4 0011100 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="", flags_written=LOGICAL_IMMEDIATE)
with table.ordered():
    returns("MOVS_PC_immediate_A1", "cond:4 00111011 (0)(0)(0)(0) Rd=1111 imm12:12",
        reads=BANKED, flags_read="")
    immediate("MOV_immediate_A1", "cond:4 0011101 S:1 (0)(0)(0)(0) Rd:4 imm12:12",
        reads="", writes="Rd", flags_read="", flags_written=LOGICAL_IMMEDIATE)
with table.ordered():
    returns("BICS_PC_immediate_A1", "cond:4 00111101 Rn:4 Rd=1111 imm12:12",
        reads="Rn" + BANKED, flags_read="")
    immediate("BIC_immediate_A1", "cond:4 0011110 S:1 Rn:4 Rd:4 imm12:12",
        reads="Rn", writes="Rd", flags_read="", flags_written=LOGICAL_IMMEDIATE)
with table.ordered():
    returns("MVNS_PC_immediate_A1", "cond:4 00111111 (0)(0)(0)(0) Rd=1111 imm12:12",
        reads=BANKED, flags_read="")
    immediate("MVN_immediate_A1", "cond:4 0011111 S:1 (0)(0)(0)(0) Rd:4 imm12:12",
        reads="", writes="Rd", flags_read="", flags_written=LOGICAL_IMMEDIATE)

# A5.2: 16-bit immediate load, high halfword 16-bit immediate load
row("MOV_immediate_A2", "cond:4 00110000 imm4:4 Rd:4 imm12:12",
    reads="", writes="Rd", flags_read="", flags_written="", memory="none",
    unpredictable="Rd == 15", relocate="verbatim", ref="A5.2")
row("MOVT_A1", "cond:4 00110100 imm4:4 Rd:4 imm12:12",
    reads="Rd", writes="Rd", flags_read="", flags_written="", memory="none",
    unpredictable="Rd == 15", relocate="verbatim", ref="A5.2")
