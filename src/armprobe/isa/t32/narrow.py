"""The 16-bit encodings (DDI 0406C A6.2).

Inside an IT block most data processing leaves the flags alone. Registers are r0 to r7 where a field has three bits.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.rows import TableBuilder
from armprobe.isa.t32.common import LAST, OUTSIDE

table = TableBuilder(InstructionSet.T32, length=2)
row = partial(table.row, flags_read="", flags_written="", memory="none")
# fmt: off

NZ = "NZ if not in_it"
NZC = "NZC if not in_it"
NZCV = "NZCV if not in_it"
PC_LAST = "Rd == 15 and in_it and not last_in_it"

plain = partial(row, relocate="verbatim")
two = partial(plain, reads="Rn Rm", writes="Rd", ref="A6.2.1")
accumulate = partial(plain, reads="Rdn Rm", writes="Rdn", ref="A6.2.2")
load = partial(row, writes="Rt", memory="load", relocate="verbatim", ref="A6.2.4")
store = partial(row, writes="", memory="store", stack="0", relocate="verbatim", ref="A6.2.4")

# Shift (immediate), add, subtract, move, and compare. LSL #0 is MOV; LSR #0 and ASR #0 are shifts by 32

with table.ordered():
    plain("MOV_register_T2", "0000000000 Rm:3 Rd:3", reads="Rm", writes="Rd", flags_written="NZ",
        unpredictable=OUTSIDE, ref="A6.2.1")
    plain("LSL_immediate_T1", "00000 imm5:5 Rm:3 Rd:3", reads="Rm", writes="Rd", flags_written=NZC, ref="A6.2.1")
plain("LSR_immediate_T1", "00001 imm5:5 Rm:3 Rd:3", reads="Rm", writes="Rd", flags_written=NZC, ref="A6.2.1")
plain("ASR_immediate_T1", "00010 imm5:5 Rm:3 Rd:3", reads="Rm", writes="Rd", flags_written=NZC, ref="A6.2.1")
two("ADD_register_T1", "0001100 Rm:3 Rn:3 Rd:3", flags_written=NZCV)
two("SUB_register_T1", "0001101 Rm:3 Rn:3 Rd:3", flags_written=NZCV)
two("ADD_immediate_T1", "0001110 imm3:3 Rn:3 Rd:3", reads="Rn", flags_written=NZCV)
two("SUB_immediate_T1", "0001111 imm3:3 Rn:3 Rd:3", reads="Rn", flags_written=NZCV)
plain("MOV_immediate_T1", "00100 Rd:3 imm8:8", reads="", writes="Rd", flags_written=NZ, ref="A6.2.1")
plain("CMP_immediate_T1", "00101 Rn:3 imm8:8", reads="Rn", writes="", flags_written="NZCV", ref="A6.2.1")
plain("ADD_immediate_T2", "00110 Rdn:3 imm8:8", reads="Rdn", writes="Rdn", flags_written=NZCV, ref="A6.2.1")
plain("SUB_immediate_T2", "00111 Rdn:3 imm8:8", reads="Rdn", writes="Rdn", flags_written=NZCV, ref="A6.2.1")

# Data-processing. A shift by zero leaves the carry alone, so that shifts by a register read it

accumulate("AND_register_T1", "0100000000 Rm:3 Rdn:3", flags_written=NZ)
accumulate("EOR_register_T1", "0100000001 Rm:3 Rdn:3", flags_written=NZ)
accumulate("LSL_register_T1", "0100000010 Rm:3 Rdn:3", flags_read="C if not in_it", flags_written=NZC)
accumulate("LSR_register_T1", "0100000011 Rm:3 Rdn:3", flags_read="C if not in_it", flags_written=NZC)
accumulate("ASR_register_T1", "0100000100 Rm:3 Rdn:3", flags_read="C if not in_it", flags_written=NZC)
accumulate("ADC_register_T1", "0100000101 Rm:3 Rdn:3", flags_read="C", flags_written=NZCV)
accumulate("SBC_register_T1", "0100000110 Rm:3 Rdn:3", flags_read="C", flags_written=NZCV)
accumulate("ROR_register_T1", "0100000111 Rm:3 Rdn:3", flags_read="C if not in_it", flags_written=NZC)
plain("TST_register_T1", "0100001000 Rm:3 Rn:3", reads="Rn Rm", writes="", flags_written="NZ", ref="A6.2.2")
plain("RSB_immediate_T1", "0100001001 Rn:3 Rd:3", reads="Rn", writes="Rd", flags_written=NZCV, ref="A6.2.2")
plain("CMP_register_T1", "0100001010 Rm:3 Rn:3", reads="Rn Rm", writes="", flags_written="NZCV", ref="A6.2.2")
plain("CMN_register_T1", "0100001011 Rm:3 Rn:3", reads="Rn Rm", writes="", flags_written="NZCV", ref="A6.2.2")
accumulate("ORR_register_T1", "0100001100 Rm:3 Rdn:3", flags_written=NZ)
plain("MUL_T1", "0100001101 Rn:3 Rdm:3", reads="Rn Rdm", writes="Rdm", flags_written=NZ, ref="A6.2.2")
accumulate("BIC_register_T1", "0100001110 Rm:3 Rdn:3", flags_written=NZ)
plain("MVN_register_T1", "0100001111 Rm:3 Rd:3", reads="Rm", writes="Rd", flags_written=NZ, ref="A6.2.2")

# Special data instructions and branch and exchange: all sixteen registers, no flags but those of CMP

row("ADD_register_T2", "01000100 DN:1 Rm:4 Rdn:3", let="Rd = DN << 3 | Rdn", reads="Rd Rm", writes="Rd",
    unpredictable="Rd == 15 and Rm == 15; " + PC_LAST, relocate="operands", ref="A6.2.3")
plain("CMP_register_T2", "01000101 N:1 Rm:4 Rn:3", let="Rn = N << 3 | Rn", reads="Rn Rm", writes="",
    flags_written="NZCV", unpredictable="Rn < 8 and Rm < 8; Rn == 15; Rm == 15", ref="A6.2.3")
row("MOV_register_T1", "01000110 D:1 Rm:4 Rd:3", let="Rd = D << 3 | Rd", reads="Rm", writes="Rd",
    unpredictable=PC_LAST, relocate="operands", ref="A6.2.3")
row("BX_T1", "010001110 Rm:4 (0)(0)(0)", reads="Rm", writes="pc", unpredictable=LAST, relocate="exchange",
    ref="A6.2.3")
row("BLX_register_T1", "010001111 Rm:4 (0)(0)(0)", reads="Rm pc", writes="lr pc", unpredictable="Rm == 15; " + LAST,
    relocate="call_register", ref="A6.2.3")

# A6.2: load from literal pool

load("LDR_literal_T1", "01001 Rt:3 imm8:8", reads="pc", relocate="literal", ref="A6.2")

# Load/store single data item

store("STR_register_T1", "0101000 Rm:3 Rn:3 Rt:3", reads="Rn Rm Rt")
store("STRH_register_T1", "0101001 Rm:3 Rn:3 Rt:3", reads="Rn Rm Rt")
store("STRB_register_T1", "0101010 Rm:3 Rn:3 Rt:3", reads="Rn Rm Rt")
load("LDRSB_register_T1", "0101011 Rm:3 Rn:3 Rt:3", reads="Rn Rm")
load("LDR_register_T1", "0101100 Rm:3 Rn:3 Rt:3", reads="Rn Rm")
load("LDRH_register_T1", "0101101 Rm:3 Rn:3 Rt:3", reads="Rn Rm")
load("LDRB_register_T1", "0101110 Rm:3 Rn:3 Rt:3", reads="Rn Rm")
load("LDRSH_register_T1", "0101111 Rm:3 Rn:3 Rt:3", reads="Rn Rm")
store("STR_immediate_T1", "01100 imm5:5 Rn:3 Rt:3", reads="Rn Rt")
load("LDR_immediate_T1", "01101 imm5:5 Rn:3 Rt:3", reads="Rn")
store("STRB_immediate_T1", "01110 imm5:5 Rn:3 Rt:3", reads="Rn Rt")
load("LDRB_immediate_T1", "01111 imm5:5 Rn:3 Rt:3", reads="Rn")
store("STRH_immediate_T1", "10000 imm5:5 Rn:3 Rt:3", reads="Rn Rt")
load("LDRH_immediate_T1", "10001 imm5:5 Rn:3 Rt:3", reads="Rn")
store("STR_immediate_T2", "10010 Rt:3 imm8:8", reads="sp Rt")
load("LDR_immediate_T2", "10011 Rt:3 imm8:8", reads="sp")

# A6.2: addresses relative to PC and SP; multiple registers

row("ADR_T1", "10100 Rd:3 imm8:8", reads="pc", writes="Rd", relocate="address", ref="A6.2")
plain("ADD_SP_immediate_T1", "10101 Rd:3 imm8:8", reads="sp", writes="Rd", ref="A6.2")
plain("STM_T1", "11000 Rn:3 registers:8", reads="Rn registers", writes="Rn", memory="store", stack="0",
    unpredictable="registers == 0", ref="A6.2")
plain("LDM_T1", "11001 Rn:3 registers:8", reads="Rn", writes="registers Rn", memory="load",
    unpredictable="registers == 0", ref="A6.2")

# Miscellaneous 16-bit instructions

plain("ADD_SP_immediate_T2", "101100000 imm7:7", reads="sp", writes="sp", ref="A6.2.5")
plain("SUB_SP_immediate_T1", "101100001 imm7:7", reads="sp", writes="sp", ref="A6.2.5")
row("CBZ_T1", "1011 op:1 0 i:1 1 imm5:5 Rn:3", reads="Rn pc", writes="pc", target="pc + (i << 6 | imm5 << 1)",
    unpredictable=OUTSIDE, relocate="compare_branch", ref="A6.2.5")
plain("SXTH_T1", "1011001000 Rm:3 Rd:3", reads="Rm", writes="Rd", ref="A6.2.5")
plain("SXTB_T1", "1011001001 Rm:3 Rd:3", reads="Rm", writes="Rd", ref="A6.2.5")
plain("UXTH_T1", "1011001010 Rm:3 Rd:3", reads="Rm", writes="Rd", ref="A6.2.5")
plain("UXTB_T1", "1011001011 Rm:3 Rd:3", reads="Rm", writes="Rd", ref="A6.2.5")
plain("PUSH_T1", "1011010 M:1 list:8", let="registers = M << 14 | list", reads="sp registers", writes="sp",
    memory="store", stack="4 * count(registers)", unpredictable="registers == 0", ref="A6.2.5")
plain("POP_T1", "1011110 P:1 list:8", let="registers = P << 15 | list", reads="sp", writes="sp registers",
    memory="load", unpredictable="registers == 0; P == 1 and in_it and not last_in_it", ref="A6.2.5")
plain("SETPAN_T1", "10110110000 (1) imm1:1 (0)(0)(0)", reads="", writes="", effects="privileged",
    unpredictable=OUTSIDE, ref="DDI 0487 F5.1")
row("SETEND_T1", "10110110010 (1) E:1 (0)(0)(0)", reads="", writes="", effects="endian", unpredictable=OUTSIDE,
    relocate="refuse", reason="SETEND may change the byte order of data accesses under the detour", ref="A6.2.5")
plain("CPS_T1", "10110110011 im:1 (0) A:1 I:1 F:1", reads="", writes="", effects="mode privileged",
    unpredictable="A + I + F == 0; in_it", ref="B9.3.2")
plain("REV_T1", "1011101000 Rm:3 Rd:3", reads="Rm", writes="Rd", ref="A6.2.5")
plain("REV16_T1", "1011101001 Rm:3 Rd:3", reads="Rm", writes="Rd", ref="A6.2.5")
plain("REVSH_T1", "1011101011 Rm:3 Rd:3", reads="Rm", writes="Rd", ref="A6.2.5")

# If-Then, and hints

with table.ordered():
    hint = partial(plain, reads="", writes="", effects="hint", ref="A6.2.5")
    hint("NOP_T1", "1011111100000000")
    hint("YIELD_T1", "1011111100010000")
    hint("WFE_T1", "1011111100100000", effects="hint wait")
    hint("WFI_T1", "1011111100110000", effects="hint wait")
    hint("SEV_T1", "1011111101000000")
    hint("SEVL_T1", "1011111101010000", ref="DDI 0487 F5.1")
    hint("unallocated_hint_T1", "10111111 number:4 0000")
    row("IT_T1", "10111111 firstcond:4 mask:4", reads="", writes="", effects="it_state",
        unpredictable="firstcond == 15; firstcond == 14 and count(mask) != 1; in_it", relocate="it", ref="A6.2.5")

# Conditional branch, and exceptions

exception = partial(table.row, effects="exception")
with table.ordered():
    exception("UDF_T1", "11011110 imm8:8", relocate="refuse",
        reason="the handler of an undefined instruction identifies it by its address", ref="A6.2.6")
    exception("SVC_T1", "11011111 imm8:8", relocate="verbatim", ref="A6.2.6")
    row("B_T1", "1101 cond:4 imm8:8", reads="pc", writes="pc", target="pc + 2 * signed(imm8, 8)",
        unpredictable=OUTSIDE, relocate="branch", ref="A6.2.6")
row("B_T2", "11100 imm11:11", reads="pc", writes="pc", target="pc + 2 * signed(imm11, 11)", unpredictable=LAST,
    relocate="branch", ref="A6.2")
exception("BKPT_T1", "10111110 imm8:8", effects="exception unconditional", relocate="refuse",
    reason="BKPT belongs to a debugger, which identifies it by its address", ref="A6.2.5")
exception("HLT_T1", "1011101010 imm6:6", effects="exception unconditional", relocate="refuse",
    reason="HLT belongs to a debugger, which identifies it by its address", ref="DDI 0487 F5.1")
