"""Branches of 32 bits, status registers, hints, barriers, exceptions.

DDI 0406C A6.3.4, A6.3.5, B9.3; DDI 0487 F5.1.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.rows import TableBuilder
from armprobe.isa.status import (
    BANKED,
    BYTE_ORDER,
    MASKED,
    NO_BANKED,
    NO_BANKED_SPSR,
    NO_MODE,
    NO_STACK_MODE,
    NZCVQGE,
    SYSM,
)
from armprobe.isa.t32.common import LAST, OUTSIDE, bad

table = TableBuilder(InstructionSet.T32)
row = table.row
# fmt: off

#: I1 and I2 of BL and of B without a condition: J1 and J2, turned where S is 0
FAR = "I1 = J1 ^ S ^ 1; I2 = J2 ^ S ^ 1"

plain = partial(row, reads="", writes="", flags_read="", flags_written="", memory="none", relocate="verbatim")
hint = partial(plain, effects="hint", ref="A6.3.4")
write_status = partial(plain, flags_written=MASKED)
branch = partial(plain, reads="pc", writes="pc", ref="A6.3.4")
exception = partial(row, effects="exception")

with table.ordered():
    # MSR, and MRS. `mask` is two bits of the field `fsxc` where it has two: f and s

    write_status("MSR_register_T1", "111100111000 Rn:4 10(0)0 mask:2 00 (0)(0)0(0) (0)(0)(0)(0)", reads="Rn",
        unpredictable=bad("Rn") + "; mask == 0", ref="A8.8.112")
    write_status("MSR_register_control_T1", "111100111000 Rn:4 10(0)0 mask:2 01 (0)(0)0(0) (0)(0)(0)(0)",
        reads="Rn" + BANKED, writes=BANKED, effects="mode privileged", unpredictable=bad("Rn"), ref="B9.3.12")
    write_status("MSR_register_extension_T1", "111100111000 Rn:4 10(0)0 mask:2 1 c:1 (0)(0)0(0) (0)(0)(0)(0)",
        reads="Rn" + BANKED, writes=BANKED, effects="endian mode privileged", unpredictable=bad("Rn"),
        relocate="refuse", reason=BYTE_ORDER, ref="B9.3.12")
    plain("MSR_register_SPSR_T1", "111100111001 Rn:4 10(0)0 mask:4 (0)(0)0(0) (0)(0)(0)(0)", reads="Rn",
        effects="privileged spsr", unpredictable=bad("Rn") + "; mask == 0", ref="B9.3.12")
    plain("MSR_banked_T1", "111100111000 Rn:4 10(0)0 M1:4 (0)(0)1 M:1 (0)(0)(0)(0)", reads="Rn",
        effects="privileged spsr", let=SYSM, unpredictable=bad("Rn") + "; " + NO_BANKED, ref="B9.3.10")
    plain("MSR_banked_SPSR_T1", "111100111001 Rn:4 10(0)0 M1:4 (0)(0)1 M:1 (0)(0)(0)(0)", reads="Rn",
        effects="privileged spsr", let=SYSM, unpredictable=bad("Rn") + "; " + NO_BANKED_SPSR, ref="B9.3.10")
    plain("MRS_T1", "111100111110 (1)(1)(1)(1) 10(0)0 Rd:4 (0)(0)0(0) (0)(0)(0)(0)", writes="Rd",
        flags_read=NZCVQGE, unpredictable=bad("Rd"), ref="A8.8.109")
    plain("MRS_SPSR_T1", "111100111111 (1)(1)(1)(1) 10(0)0 Rd:4 (0)(0)0(0) (0)(0)(0)(0)", writes="Rd",
        effects="privileged spsr", unpredictable=bad("Rd"), ref="B9.3.8")
    plain("MRS_banked_T1", "111100111110 M1:4 10(0)0 Rd:4 (0)(0)1 M:1 (0)(0)(0)(0)", writes="Rd",
        effects="privileged spsr", let=SYSM, unpredictable=bad("Rd") + "; " + NO_BANKED, ref="B9.3.9")
    plain("MRS_banked_SPSR_T1", "111100111111 M1:4 10(0)0 Rd:4 (0)(0)1 M:1 (0)(0)(0)(0)", writes="Rd",
        effects="privileged spsr", let=SYSM, unpredictable=bad("Rd") + "; " + NO_BANKED_SPSR, ref="B9.3.9")

    # Change processor state, and hints

    hint("NOP_T2", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00000000")
    hint("YIELD_T2", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00000001")
    hint("WFE_T2", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00000010", effects="hint wait")
    hint("WFI_T2", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00000011", effects="hint wait")
    hint("SEV_T2", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00000100")
    hint("SEVL_T2", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00000101", ref="DDI 0487 F5.1")
    hint("ESB_T1", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00010000", effects="hint barrier coprocessor",
        unpredictable=OUTSIDE, ref="DDI 0487 F5.1")
    hint("TSB_T1", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00010010", effects="hint barrier",
        unpredictable=OUTSIDE, ref="DDI 0487 F5.1")
    hint("CSDB_T1", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00010100", effects="hint barrier",
        unpredictable=OUTSIDE, ref="DDI 0487 F5.1")
    hint("CLRBHB_T1", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 00010110", ref="DDI 0487 F5.1")
    hint("DBG_T1", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 1111 option:4")
    hint("unallocated_hint_T2", "111100111010 (1)(1)(1)(1) 10(0)0(0) 000 number:8")
    plain("CPS_T2", "111100111010 (1)(1)(1)(1) 10(0)0(0) imod:2 M:1 A:1 I:1 F:1 mode:5",
        reads=BANKED + " if M == 1", writes=BANKED + " if M == 1", effects="mode privileged",
        unpredictable="mode != 0 and M == 0; imod >= 2 and A + I + F == 0; imod < 2 and A + I + F > 0; imod == 1; "
        "M == 1 and " + NO_MODE + "; " + OUTSIDE, ref="B9.3.2")

    # Miscellaneous control instructions

    for name, op in (("LEAVEX_T1", "0000"), ("ENTERX_T1", "0001")):
        plain(name, f"111100111011 (1)(1)(1)(1) 10(0)0 (1)(1)(1)(1) {op} (1)(1)(1)(1)", effects="jazelle",
            unpredictable=OUTSIDE, relocate="refuse", ref="A9.3",
            reason="ThumbEE has other instructions than T32, of which armprobe knows nothing")
    plain("CLREX_T1", "111100111011 (1)(1)(1)(1) 10(0)0 (1)(1)(1)(1) 0010 (1)(1)(1)(1)", effects="monitor_clear",
        ref="A6.3.4")
    plain("DSB_T1", "111100111011 (1)(1)(1)(1) 10(0)0 (1)(1)(1)(1) 0100 option:4", effects="barrier", ref="A6.3.4")
    plain("DMB_T1", "111100111011 (1)(1)(1)(1) 10(0)0 (1)(1)(1)(1) 0101 option:4", effects="barrier", ref="A6.3.4")
    plain("ISB_T1", "111100111011 (1)(1)(1)(1) 10(0)0 (1)(1)(1)(1) 0110 option:4", effects="barrier", ref="A6.3.4")
    plain("SB_T1", "111100111011 (1)(1)(1)(1) 10(0)0 (1)(1)(1)(1) 0111 (0)(0)(0)(0)", effects="barrier",
        unpredictable=OUTSIDE, ref="DDI 0487 F5.1")

    # Branches and exceptions beside them

    plain("BXJ_T1", "111100111100 Rm:4 10(0)0 (1)(1)(1)(1) (0)(0)(0)(0) (0)(0)(0)(0)", reads="Rm", writes="pc",
        effects="jazelle", unpredictable=bad("Rm") + "; " + LAST, relocate="refuse",
        reason="BXJ may enter Jazelle state, whose registers and way back are not the architecture's", ref="A6.3.4")
    # With imm8 = 0 it is ERET, where there is Hyp mode
    plain("SUBS_PC_LR_T1", "111100111101 (1)(1)(1)(0) 10(0)0 (1)(1)(1)(1) imm8:8", reads=BANKED, writes="pc" + BANKED,
        flags_written=NZCVQGE, effects="exception_return mode privileged spsr", unpredictable=LAST, ref="B9.3.19")
    exception("HVC_T1", "111101111110 imm4:4 1000 imm12:12", effects="exception privileged", unpredictable=OUTSIDE,
        relocate="verbatim", ref="B9.3.4")
    exception("SMC_T1", "111101111111 imm4:4 1000 (0)(0)(0)(0) (0)(0)(0)(0) (0)(0)(0)(0)",
        effects="exception privileged", unpredictable=LAST, relocate="verbatim", ref="B9.3.14")
    exception("UDF_T2", "111101111111 imm4:4 1010 imm12:12", relocate="refuse",
        reason="the handler of an undefined instruction identifies it by its address", ref="A6.3.4")
    # What has none of the encodings above and a condition of 0b111x is UNDEFINED
    branch("B_T3", "11110 S:1 cond:4 imm6:6 10 J1:1 0 J2:1 imm11:11", relocate="branch", undefined="cond >= 14",
        target="pc + (signed(S << 19 | J2 << 18 | J1 << 17 | imm6 << 11 | imm11, 20) << 1)", unpredictable=OUTSIDE)

branch("B_T4", "11110 S:1 imm10:10 10 J1:1 1 J2:1 imm11:11", let=FAR, relocate="branch", unpredictable=LAST,
    target="pc + (signed(S << 23 | I1 << 22 | I2 << 21 | imm10 << 11 | imm11, 24) << 1)")
branch("BL_immediate_T1", "11110 S:1 imm10:10 11 J1:1 1 J2:1 imm11:11", writes="lr pc", let=FAR, relocate="call",
    target="pc + (signed(S << 23 | I1 << 22 | I2 << 21 | imm10 << 11 | imm11, 24) << 1)", unpredictable=LAST)
branch("BLX_immediate_T2", "11110 S:1 imm10H:10 11 J1:1 0 J2:1 imm10L:10 H:1", writes="lr pc", let=FAR,
    target="(pc & ~3) + (signed(S << 22 | I1 << 21 | I2 << 20 | imm10H << 10 | imm10L, 23) << 2)", undefined="H == 1",
    unpredictable=LAST, relocate="call")

# Exception returns and the stores that go with them. T1 is the form DB, T2 IA

exception_return = partial(plain, reads="Rn" + BANKED, writes="pc; Rn if W == 1;" + BANKED, flags_written=NZCVQGE,
    memory="load", unpredictable="Rn == 15; " + LAST, effects="exception_return mode privileged", ref="B9.3.13")
exception_return("RFE_T1", "1110100000 W:1 1 Rn:4 (1)(1)(0)(0) (0)(0)(0)(0) (0)(0)(0)(0) (0)(0)(0)(0)")
exception_return("RFE_T2", "1110100110 W:1 1 Rn:4 (1)(1)(0)(0) (0)(0)(0)(0) (0)(0)(0)(0) (0)(0)(0)(0)")
# The base is the SP of `mode`: it may be the current one.
state_store = partial(plain, reads="sp lr", writes="sp if W == 1", memory="store", unpredictable=NO_STACK_MODE,
    effects="privileged spsr", ref="B9.3.16")
state_store("SRS_T1", "1110100000 W:1 0 (1)(1)(0)(1) (1)(1)(0)(0) (0)(0)(0)(0) (0)(0)(0) mode:5", stack="8")
state_store("SRS_T2", "1110100110 W:1 0 (1)(1)(0)(1) (1)(1)(0)(0) (0)(0)(0)(0) (0)(0)(0) mode:5", stack="0")
