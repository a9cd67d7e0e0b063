"""Coprocessor instructions of coprocessors 0 to 7, 14 and 15 (DDI 0406C A5.6, A5.7).

Numbers 8 to 13 are reserved for Arm (A5.6): VFP and Advanced SIMD use them, the rest is undefined. Each encoding stands
twice; `coproc` holds the low bits of the number. What a coprocessor does is its own affair: it has no access
to core registers but those named, and none to PC. With Rt = 15, MRC writes the flags.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = partial(table.row, flags_read="", effects="coprocessor")
# fmt: off

operation = partial(row, reads="", writes="", flags_written="", memory="none", relocate="verbatim")
load = partial(row, reads="Rn", writes="Rn if W == 1", flags_written="", memory="load", relocate="operands",
    undefined="P == 0 and U == 0 and W == 0", unpredictable="W == 1 and Rn == 15")
store = partial(load, memory="store", stack="4 * imm8 if Rn == 13 and P == 1 and U == 0 else 0")
to_one = partial(operation, reads="Rt", unpredictable="Rt == 15")
from_one = partial(operation, writes="Rt if Rt != 15", flags_written="NZCV if Rt == 15")
to_two = partial(operation, reads="Rt Rt2", unpredictable="Rt == 15; Rt2 == 15")
from_two = partial(operation, writes="Rt Rt2", unpredictable="Rt == 15; Rt2 == 15; Rt == Rt2")

# Coprocessor instructions, and Supervisor Call

with table.ordered():
    to_two("MCRR_low_A1", "cond:4 11000100 Rt2:4 Rt:4 0 coproc:3 opc1:4 CRm:4", ref="A5.6")
    from_two("MRRC_low_A1", "cond:4 11000101 Rt2:4 Rt:4 0 coproc:3 opc1:4 CRm:4", ref="A5.6")
    store("STC_low_A1", "cond:4 110 P:1 U:1 D:1 W:1 0 Rn:4 CRd:4 0 coproc:3 imm8:8", ref="A5.6")
    load("LDC_low_A1", "cond:4 110 P:1 U:1 D:1 W:1 1 Rn:4 CRd:4 0 coproc:3 imm8:8", ref="A5.6")
operation("CDP_low_A1", "cond:4 1110 opc1:4 CRn:4 CRd:4 0 coproc:3 opc2:3 0 CRm:4", ref="A5.6")
to_one("MCR_low_A1", "cond:4 1110 opc1:3 0 CRn:4 Rt:4 0 coproc:3 opc2:3 1 CRm:4", ref="A5.6")
from_one("MRC_low_A1", "cond:4 1110 opc1:3 1 CRn:4 Rt:4 0 coproc:3 opc2:3 1 CRm:4", ref="A5.6")
with table.ordered():
    to_two("MCRR_high_A1", "cond:4 11000100 Rt2:4 Rt:4 111 coproc:1 opc1:4 CRm:4", ref="A5.6")
    from_two("MRRC_high_A1", "cond:4 11000101 Rt2:4 Rt:4 111 coproc:1 opc1:4 CRm:4", ref="A5.6")
    store("STC_high_A1", "cond:4 110 P:1 U:1 D:1 W:1 0 Rn:4 CRd:4 111 coproc:1 imm8:8", ref="A5.6")
    load("LDC_high_A1", "cond:4 110 P:1 U:1 D:1 W:1 1 Rn:4 CRd:4 111 coproc:1 imm8:8", ref="A5.6")
operation("CDP_high_A1", "cond:4 1110 opc1:4 CRn:4 CRd:4 111 coproc:1 opc2:3 0 CRm:4", ref="A5.6")
to_one("MCR_high_A1", "cond:4 1110 opc1:3 0 CRn:4 Rt:4 111 coproc:1 opc2:3 1 CRm:4", ref="A5.6")
from_one("MRC_high_A1", "cond:4 1110 opc1:3 1 CRn:4 Rt:4 111 coproc:1 opc2:3 1 CRm:4", ref="A5.6")

# Unconditional instructions

with table.ordered():
    to_two("MCRR2_low_A2", "1111 11000100 Rt2:4 Rt:4 0 coproc:3 opc1:4 CRm:4", ref="A5.7")
    from_two("MRRC2_low_A2", "1111 11000101 Rt2:4 Rt:4 0 coproc:3 opc1:4 CRm:4", ref="A5.7")
    store("STC2_low_A2", "1111 110 P:1 U:1 D:1 W:1 0 Rn:4 CRd:4 0 coproc:3 imm8:8", ref="A5.7")
    load("LDC2_low_A2", "1111 110 P:1 U:1 D:1 W:1 1 Rn:4 CRd:4 0 coproc:3 imm8:8", ref="A5.7")
operation("CDP2_low_A2", "1111 1110 opc1:4 CRn:4 CRd:4 0 coproc:3 opc2:3 0 CRm:4", ref="A5.7")
to_one("MCR2_low_A2", "1111 1110 opc1:3 0 CRn:4 Rt:4 0 coproc:3 opc2:3 1 CRm:4", ref="A5.7")
from_one("MRC2_low_A2", "1111 1110 opc1:3 1 CRn:4 Rt:4 0 coproc:3 opc2:3 1 CRm:4", ref="A5.7")
with table.ordered():
    to_two("MCRR2_high_A2", "1111 11000100 Rt2:4 Rt:4 111 coproc:1 opc1:4 CRm:4", ref="A5.7")
    from_two("MRRC2_high_A2", "1111 11000101 Rt2:4 Rt:4 111 coproc:1 opc1:4 CRm:4", ref="A5.7")
    store("STC2_high_A2", "1111 110 P:1 U:1 D:1 W:1 0 Rn:4 CRd:4 111 coproc:1 imm8:8", ref="A5.7")
    load("LDC2_high_A2", "1111 110 P:1 U:1 D:1 W:1 1 Rn:4 CRd:4 111 coproc:1 imm8:8", ref="A5.7")
operation("CDP2_high_A2", "1111 1110 opc1:4 CRn:4 CRd:4 111 coproc:1 opc2:3 0 CRm:4", ref="A5.7")
to_one("MCR2_high_A2", "1111 1110 opc1:3 0 CRn:4 Rt:4 111 coproc:1 opc2:3 1 CRm:4", ref="A5.7")
from_one("MRC2_high_A2", "1111 1110 opc1:3 1 CRn:4 Rt:4 111 coproc:1 opc2:3 1 CRm:4", ref="A5.7")
