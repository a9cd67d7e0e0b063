"""Status registers, hints, barriers, preloads, exceptions (DDI 0406C A5.2.11, A5.2.12, A5.7, B9.3)."""

from __future__ import annotations

from functools import partial

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

table = TableBuilder()
row = table.row
# fmt: off

plain = partial(row, reads="", writes="", flags_read="", flags_written="", memory="none", relocate="verbatim")
hint = partial(plain, effects="hint", ref="A5.2.11")
write_status = partial(plain, flags_written=MASKED)
exception = partial(row, effects="exception")

# MSR (immediate), and hints

with table.ordered():
    hint("NOP_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00000000")
    hint("YIELD_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00000001")
    hint("WFE_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00000010", effects="hint wait")
    hint("WFI_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00000011", effects="hint wait")
    hint("SEV_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00000100")
    hint("SEVL_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00000101", ref="DDI 0487 F5.1")
    hint("ESB_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00010000", effects="hint barrier coprocessor",
        unpredictable="cond != 14", ref="DDI 0487 F5.1")
    hint("TSB_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00010010", effects="hint barrier",
        unpredictable="cond != 14", ref="DDI 0487 F5.1")
    hint("CSDB_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00010100", effects="hint barrier",
        unpredictable="cond != 14", ref="DDI 0487 F5.1")
    hint("CLRBHB_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 00010110", ref="DDI 0487 F5.1")
    hint("DBG_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) 1111 option:4")
    hint("unallocated_hint_A1", "cond:4 001100100000 (1)(1)(1)(1) (0)(0)(0)(0) number:8")
    # mask is two bits of the field `fsxc` here: f and s
    write_status("MSR_immediate_A1", "cond:4 00110010 mask:2 00 (1)(1)(1)(1) imm12:12", ref="A5.2.11")
# c: the mode and the interrupt masks
write_status("MSR_immediate_control_A1", "cond:4 00110010 mask:2 01 (1)(1)(1)(1) imm12:12", reads=BANKED,
    writes=BANKED, effects="mode privileged", ref="B9.3.11")
write_status("MSR_immediate_extension_A1", "cond:4 00110010 mask:2 1 c:1 (1)(1)(1)(1) imm12:12", reads=BANKED,
    writes=BANKED, effects="endian mode privileged", relocate="refuse", reason=BYTE_ORDER, ref="B9.3.11")
plain("MSR_immediate_SPSR_A1", "cond:4 00110110 mask:4 (1)(1)(1)(1) imm12:12", effects="privileged spsr",
    unpredictable="mask == 0", ref="B9.3.11")

# Miscellaneous instructions: status registers

plain("MRS_A1", "cond:4 00010000 (1)(1)(1)(1) Rd:4 (0)(0)0(0) 0000 (0)(0)(0)(0)", writes="Rd", flags_read=NZCVQGE,
    unpredictable="Rd == 15", ref="A5.2.12")
plain("MRS_SPSR_A1", "cond:4 00010100 (1)(1)(1)(1) Rd:4 (0)(0)0(0) 0000 (0)(0)(0)(0)", writes="Rd",
    effects="privileged spsr", unpredictable="Rd == 15", ref="B9.3.8")
plain("MRS_banked_A1", "cond:4 00010000 M1:4 Rd:4 (0)(0)1 M:1 0000 (0)(0)(0)(0)", writes="Rd",
    effects="privileged spsr", let=SYSM, unpredictable="Rd == 15; " + NO_BANKED, ref="B9.3.9")
plain("MRS_banked_SPSR_A1", "cond:4 00010100 M1:4 Rd:4 (0)(0)1 M:1 0000 (0)(0)(0)(0)", writes="Rd",
    effects="privileged spsr", let=SYSM, unpredictable="Rd == 15; " + NO_BANKED_SPSR, ref="B9.3.9")
write_status("MSR_register_A1", "cond:4 00010010 mask:2 00 (1)(1)(1)(1) (0)(0)0(0) 0000 Rn:4", reads="Rn",
    unpredictable="Rn == 15; mask == 0", ref="A5.2.12")
write_status("MSR_register_control_A1", "cond:4 00010010 mask:2 01 (1)(1)(1)(1) (0)(0)0(0) 0000 Rn:4",
    reads="Rn" + BANKED, writes=BANKED, effects="mode privileged", unpredictable="Rn == 15", ref="B9.3.12")
write_status("MSR_register_extension_A1", "cond:4 00010010 mask:2 1 c:1 (1)(1)(1)(1) (0)(0)0(0) 0000 Rn:4",
    reads="Rn" + BANKED, writes=BANKED, effects="endian mode privileged", unpredictable="Rn == 15",
    relocate="refuse", reason=BYTE_ORDER, ref="B9.3.12")
plain("MSR_register_SPSR_A1", "cond:4 00010110 mask:4 (1)(1)(1)(1) (0)(0)0(0) 0000 Rn:4", reads="Rn",
    effects="privileged spsr", unpredictable="Rn == 15; mask == 0", ref="B9.3.12")
plain("MSR_banked_A1", "cond:4 00010010 M1:4 (1)(1)(1)(1) (0)(0)1 M:1 0000 Rn:4", reads="Rn",
    effects="privileged spsr", let=SYSM, unpredictable="Rn == 15; " + NO_BANKED, ref="B9.3.10")
plain("MSR_banked_SPSR_A1", "cond:4 00010110 M1:4 (1)(1)(1)(1) (0)(0)1 M:1 0000 Rn:4", reads="Rn",
    effects="privileged spsr", let=SYSM, unpredictable="Rn == 15; " + NO_BANKED_SPSR, ref="B9.3.10")

# Exceptions: the handler may read and write everything

exception("SVC_A1", "cond:4 1111 imm24:24", relocate="verbatim", ref="A5.6")
exception("BKPT_A1", "cond:4 00010010 imm12:12 0111 imm4:4", unpredictable="cond != 14", relocate="refuse",
    reason="BKPT belongs to a debugger, which identifies it by its address", ref="A5.2.12")
exception("HLT_A1", "cond:4 00010000 imm12:12 0111 imm4:4", unpredictable="cond != 14", relocate="refuse",
    reason="HLT belongs to a debugger, which identifies it by its address", ref="DDI 0487 F5.1")
exception("HVC_A1", "cond:4 00010100 imm12:12 0111 imm4:4", unpredictable="cond != 14", effects="exception privileged",
    relocate="verbatim", ref="B9.3.4")
exception("SMC_A1", "cond:4 00010110 (0)(0)(0)(0) (0)(0)(0)(0) (0)(0)(0)(0) 0111 imm4:4",
    effects="exception privileged", relocate="verbatim", ref="B9.3.14")
exception("UDF_A1", "cond:4 01111111 imm12:12 1111 imm4:4", undefined="cond != 14", relocate="refuse",
    reason="the handler of an undefined instruction identifies it by its address", ref="A5.4")

# Exception returns and the stores that go with them

plain("ERET_A1", "cond:4 00010110 (0)(0)(0)(0) (0)(0)(0)(0) (0)(0)(0)(0) 0110 (1)(1)(1)(0)", reads=BANKED,
    writes="pc" + BANKED, flags_written=NZCVQGE, effects="exception_return mode privileged spsr", ref="B9.3.3")
plain("RFE_A1", "1111 100 P:1 U:1 0 W:1 1 Rn:4 (0)(0)(0)(0) (1)(0)(1)(0) (0)(0)(0)(0) (0)(0)(0)(0)",
    reads="Rn" + BANKED, writes="pc; Rn if W == 1;" + BANKED, flags_written=NZCVQGE, memory="load",
    unpredictable="Rn == 15", effects="exception_return mode privileged", ref="B9.3.13")
# The base is the SP of `mode`: it may be the current one.
plain("SRS_A1", "1111 100 P:1 U:1 1 W:1 0 (1)(1)(0)(1) (0)(0)(0)(0) (0)(1)(0)(1) (0)(0)(0) mode:5", reads="sp lr",
    writes="sp if W == 1", memory="store", stack="0 if U == 1 else 8", unpredictable=NO_STACK_MODE,
    effects="privileged spsr", ref="B9.3.16")

# Memory hints, Advanced SIMD instructions, and miscellaneous instructions: processor state

plain("CPS_A1", "1111 00010000 imod:2 M:1 0 (0)(0)(0)(0) (0)(0)(0) A:1 I:1 F:1 0 mode:5",
    reads=BANKED + " if M == 1", writes=BANKED + " if M == 1", effects="mode privileged",
    unpredictable="mode != 0 and M == 0; imod >= 2 and A + I + F == 0; imod < 2 and A + I + F > 0; imod == 1; "
    "imod == 0 and M == 0; M == 1 and " + NO_MODE, ref="B9.3.2")
plain("SETEND_A1", "1111 00010000 (0)(0)(0)1 (0)(0)(0)(0) (0)(0) E:1 (0) 0000 (0)(0)(0)(0)", effects="endian",
    relocate="refuse", reason="SETEND may change the byte order of data accesses under the detour", ref="A5.7.1")
plain("SETPAN_A1", "1111 00010001 (0)(0)(0)(0) (0)(0)(0)(0) (0)(0) imm1:1 (0) 0000 (0)(0)(0)(0)",
    effects="privileged", ref="DDI 0487 F5.1")

# ... : barriers

plain("DSB_A1", "1111 01010111 (1)(1)(1)(1) (1)(1)(1)(1) (0)(0)(0)(0) 0100 option:4", effects="barrier", ref="A5.7.1")
plain("DMB_A1", "1111 01010111 (1)(1)(1)(1) (1)(1)(1)(1) (0)(0)(0)(0) 0101 option:4", effects="barrier", ref="A5.7.1")
plain("ISB_A1", "1111 01010111 (1)(1)(1)(1) (1)(1)(1)(1) (0)(0)(0)(0) 0110 option:4", effects="barrier", ref="A5.7.1")
plain("SB_A1", "1111 01010111 (1)(1)(1)(1) (1)(1)(1)(1) (0)(0)(0)(0) 0111 (0)(0)(0)(0)", effects="barrier",
    ref="DDI 0487 F5.1")

# ... : preloads. They access memory as far as time is concerned, not the architecture.

with table.ordered():
    hint("PLD_literal_A1", "1111 0101 U:1 (1)01 Rn=1111 (1)(1)(1)(1) imm12:12", reads="Rn", relocate="drop",
        ref="A5.7.1")
    hint("PLD_immediate_A1", "1111 0101 U:1 101 Rn:4 (1)(1)(1)(1) imm12:12", reads="Rn", ref="A5.7.1")
    hint("PLDW_immediate_A1", "1111 0101 U:1 001 Rn:4 (1)(1)(1)(1) imm12:12", reads="Rn", ref="A5.7.1")
with table.ordered():
    hint("PLI_literal_A1", "1111 0100 U:1 101 Rn=1111 (1)(1)(1)(1) imm12:12", reads="Rn", relocate="drop",
        ref="A5.7.1")
    hint("PLI_immediate_A1", "1111 0100 U:1 101 Rn:4 (1)(1)(1)(1) imm12:12", reads="Rn", ref="A5.7.1")
hint("unallocated_hint_immediate_A1", "1111 0100 U:1 001 number:20", ref="A5.7.1")
hint("PLD_register_A1", "1111 0111 U:1 101 Rn:4 (1)(1)(1)(1) imm5:5 type:2 0 Rm:4", reads="Rn Rm",
    flags_read="C if type == 3 and imm5 == 0", unpredictable="Rm == 15", relocate="operands", ref="A5.7.1")
hint("PLDW_register_A1", "1111 0111 U:1 001 Rn:4 (1)(1)(1)(1) imm5:5 type:2 0 Rm:4", reads="Rn Rm",
    flags_read="C if type == 3 and imm5 == 0", unpredictable="Rm == 15; Rn == 15", ref="A5.7.1")
hint("PLI_register_A1", "1111 0110 U:1 101 Rn:4 (1)(1)(1)(1) imm5:5 type:2 0 Rm:4", reads="Rn Rm",
    flags_read="C if type == 3 and imm5 == 0", unpredictable="Rm == 15", relocate="operands", ref="A5.7.1")
hint("unallocated_hint_register_A1", "1111 0110 U:1 001 number:15 0 low:4", ref="A5.7.1")
