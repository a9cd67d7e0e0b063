"""Load and store, one or two registers (DDI 0406C A5.3, A5.2.8 extra load/store, A5.2.9 unprivileged).

P = 0 is post-indexed: the access is at the base itself. A load or store that is both post-indexed and has W = 1 is the
unprivileged form. A store writes below SP only when SP is its base and the offset is subtracted before the access.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row
# fmt: off

WBACK = "wback = P == 0 or W == 1"
WBACK_IMM8 = WBACK + "; imm8 = imm4H << 4 | imm4L"
BELOW_SP = "imm12 if Rn == 13 and P == 1 and U == 0 else 0"
BELOW_SP_IMM8 = "imm8 if Rn == 13 and P == 1 and U == 0 else 0"
#: the offset is in a register: unknown
ABOUT_SP = "None if P == 1 and (Rn == 13 or Rm == 13) else 0"
RRX = "C if type == 3 and imm5 == 0"
BASE = "wback and Rn == 15; wback and Rn == Rt"
PAIR = "Rt & 1; Rt == 14; P == 0 and W == 1"
PAIR_BASE = "wback and Rn == 15; wback and (Rn == Rt or Rn == Rt + 1)"
USER = "Rn == 15; Rn == Rt"

load = partial(row, writes="Rt; Rn if wback", let=WBACK, flags_read="", flags_written="", memory="load")
store = partial(row, writes="Rn if wback", let=WBACK, flags_read="", flags_written="", memory="store")
literal = partial(row, reads="Rn", writes="Rt", flags_read="", flags_written="", memory="load", relocate="operands")
user_load = partial(row, writes="Rt Rn", flags_read="", flags_written="", memory="load", effects="unprivileged",
    relocate="verbatim")
user_store = partial(row, writes="Rn", flags_read="", flags_written="", memory="store", stack="0",
    effects="unprivileged")

# Load/store word and unsigned byte: store

with table.ordered():
    user_store("STRT_A1", "cond:4 0100 U:1 010 Rn:4 Rt:4 imm12:12", reads="Rn Rt",
        unpredictable=USER, relocate="store_pc", ref="A5.3")
    store("STR_immediate_A1", "cond:4 010 P:1 U:1 0 W:1 0 Rn:4 Rt:4 imm12:12", reads="Rn Rt",
        stack=BELOW_SP, unpredictable=BASE, relocate="store_pc", ref="A5.3")
with table.ordered():
    user_store("STRT_A2", "cond:4 0110 U:1 010 Rn:4 Rt:4 imm5:5 type:2 0 Rm:4", reads="Rn Rt Rm", flags_read=RRX,
        unpredictable="Rm == 15; " + USER, relocate="store_pc", ref="A5.3")
    store("STR_register_A1", "cond:4 011 P:1 U:1 0 W:1 0 Rn:4 Rt:4 imm5:5 type:2 0 Rm:4", reads="Rn Rt Rm",
        flags_read=RRX, stack=ABOUT_SP, unpredictable="Rm == 15; " + BASE, relocate="store_pc", ref="A5.3")
with table.ordered():
    user_store("STRBT_A1", "cond:4 0100 U:1 110 Rn:4 Rt:4 imm12:12", reads="Rn Rt",
        unpredictable="Rt == 15; " + USER, relocate="verbatim", ref="A5.3")
    store("STRB_immediate_A1", "cond:4 010 P:1 U:1 1 W:1 0 Rn:4 Rt:4 imm12:12", reads="Rn Rt",
        stack=BELOW_SP, unpredictable="Rt == 15; " + BASE, relocate="operands", ref="A5.3")
with table.ordered():
    user_store("STRBT_A2", "cond:4 0110 U:1 110 Rn:4 Rt:4 imm5:5 type:2 0 Rm:4", reads="Rn Rt Rm", flags_read=RRX,
        unpredictable="Rt == 15; Rm == 15; " + USER, relocate="verbatim", ref="A5.3")
    store("STRB_register_A1", "cond:4 011 P:1 U:1 1 W:1 0 Rn:4 Rt:4 imm5:5 type:2 0 Rm:4", reads="Rn Rt Rm",
        flags_read=RRX, stack=ABOUT_SP, unpredictable="Rt == 15; Rm == 15; " + BASE, relocate="operands", ref="A5.3")

# Load/store word and unsigned byte: load

with table.ordered():
    literal("LDR_literal_A1", "cond:4 010(1) U:1 0(0)1 Rn=1111 Rt:4 imm12:12", ref="A5.3")
    user_load("LDRT_A1", "cond:4 0100 U:1 011 Rn:4 Rt:4 imm12:12", reads="Rn", unpredictable="Rt == 15; " + USER,
        ref="A5.3")
    load("LDR_immediate_A1", "cond:4 010 P:1 U:1 0 W:1 1 Rn:4 Rt:4 imm12:12", reads="Rn",
        unpredictable="wback and Rn == Rt", relocate="operands", ref="A5.3")
with table.ordered():
    user_load("LDRT_A2", "cond:4 0110 U:1 011 Rn:4 Rt:4 imm5:5 type:2 0 Rm:4", reads="Rn Rm", flags_read=RRX,
        unpredictable="Rt == 15; Rm == 15; " + USER, ref="A5.3")
    load("LDR_register_A1", "cond:4 011 P:1 U:1 0 W:1 1 Rn:4 Rt:4 imm5:5 type:2 0 Rm:4", reads="Rn Rm",
        flags_read=RRX, unpredictable="Rm == 15; " + BASE, relocate="operands", ref="A5.3")
with table.ordered():
    literal("LDRB_literal_A1", "cond:4 010(1) U:1 1(0)1 Rn=1111 Rt:4 imm12:12", unpredictable="Rt == 15", ref="A5.3")
    user_load("LDRBT_A1", "cond:4 0100 U:1 111 Rn:4 Rt:4 imm12:12", reads="Rn", unpredictable="Rt == 15; " + USER,
        ref="A5.3")
    load("LDRB_immediate_A1", "cond:4 010 P:1 U:1 1 W:1 1 Rn:4 Rt:4 imm12:12", reads="Rn",
        unpredictable="Rt == 15; wback and Rn == Rt", relocate="verbatim", ref="A5.3")
with table.ordered():
    user_load("LDRBT_A2", "cond:4 0110 U:1 111 Rn:4 Rt:4 imm5:5 type:2 0 Rm:4", reads="Rn Rm", flags_read=RRX,
        unpredictable="Rt == 15; Rm == 15; " + USER, ref="A5.3")
    load("LDRB_register_A1", "cond:4 011 P:1 U:1 1 W:1 1 Rn:4 Rt:4 imm5:5 type:2 0 Rm:4", reads="Rn Rm",
        flags_read=RRX, unpredictable="Rt == 15; Rm == 15; " + BASE, relocate="operands", ref="A5.3")

# Extra load/store instructions and their unprivileged forms: halfwords and signed loads

with table.ordered():
    user_store("STRHT_A1", "cond:4 0000 U:1 110 Rn:4 Rt:4 imm4H:4 1011 imm4L:4", reads="Rn Rt",
        unpredictable="Rt == 15; " + USER, relocate="verbatim", ref="A5.2.9")
    store("STRH_immediate_A1", "cond:4 000 P:1 U:1 1 W:1 0 Rn:4 Rt:4 imm4H:4 1011 imm4L:4", reads="Rn Rt",
        let=WBACK_IMM8, stack=BELOW_SP_IMM8, unpredictable="Rt == 15; " + BASE, relocate="operands", ref="A5.2.8")
with table.ordered():
    user_store("STRHT_A2", "cond:4 0000 U:1 010 Rn:4 Rt:4 (0)(0)(0)(0) 1011 Rm:4", reads="Rn Rt Rm",
        unpredictable="Rt == 15; Rm == 15; " + USER, relocate="verbatim", ref="A5.2.9")
    store("STRH_register_A1", "cond:4 000 P:1 U:1 0 W:1 0 Rn:4 Rt:4 (0)(0)(0)(0) 1011 Rm:4", reads="Rn Rt Rm",
        stack=ABOUT_SP, unpredictable="Rt == 15; Rm == 15; " + BASE, relocate="operands", ref="A5.2.8")
with table.ordered():
    literal("LDRH_literal_A1", "cond:4 000(1) U:1 1(0)1 Rn=1111 Rt:4 imm4H:4 1011 imm4L:4", unpredictable="Rt == 15",
        ref="A5.2.8")
    user_load("LDRHT_A1", "cond:4 0000 U:1 111 Rn:4 Rt:4 imm4H:4 1011 imm4L:4", reads="Rn",
        unpredictable="Rt == 15; " + USER, ref="A5.2.9")
    load("LDRH_immediate_A1", "cond:4 000 P:1 U:1 1 W:1 1 Rn:4 Rt:4 imm4H:4 1011 imm4L:4", reads="Rn",
        unpredictable="Rt == 15; wback and Rn == Rt", relocate="verbatim", ref="A5.2.8")
with table.ordered():
    user_load("LDRHT_A2", "cond:4 0000 U:1 011 Rn:4 Rt:4 (0)(0)(0)(0) 1011 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 15; Rm == 15; " + USER, ref="A5.2.9")
    load("LDRH_register_A1", "cond:4 000 P:1 U:1 0 W:1 1 Rn:4 Rt:4 (0)(0)(0)(0) 1011 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 15; Rm == 15; " + BASE, relocate="operands", ref="A5.2.8")
with table.ordered():
    literal("LDRSB_literal_A1", "cond:4 000(1) U:1 1(0)1 Rn=1111 Rt:4 imm4H:4 1101 imm4L:4", unpredictable="Rt == 15",
        ref="A5.2.8")
    user_load("LDRSBT_A1", "cond:4 0000 U:1 111 Rn:4 Rt:4 imm4H:4 1101 imm4L:4", reads="Rn",
        unpredictable="Rt == 15; " + USER, ref="A5.2.9")
    load("LDRSB_immediate_A1", "cond:4 000 P:1 U:1 1 W:1 1 Rn:4 Rt:4 imm4H:4 1101 imm4L:4", reads="Rn",
        unpredictable="Rt == 15; wback and Rn == Rt", relocate="verbatim", ref="A5.2.8")
with table.ordered():
    user_load("LDRSBT_A2", "cond:4 0000 U:1 011 Rn:4 Rt:4 (0)(0)(0)(0) 1101 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 15; Rm == 15; " + USER, ref="A5.2.9")
    load("LDRSB_register_A1", "cond:4 000 P:1 U:1 0 W:1 1 Rn:4 Rt:4 (0)(0)(0)(0) 1101 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 15; Rm == 15; " + BASE, relocate="operands", ref="A5.2.8")
with table.ordered():
    literal("LDRSH_literal_A1", "cond:4 000(1) U:1 1(0)1 Rn=1111 Rt:4 imm4H:4 1111 imm4L:4", unpredictable="Rt == 15",
        ref="A5.2.8")
    user_load("LDRSHT_A1", "cond:4 0000 U:1 111 Rn:4 Rt:4 imm4H:4 1111 imm4L:4", reads="Rn",
        unpredictable="Rt == 15; " + USER, ref="A5.2.9")
    load("LDRSH_immediate_A1", "cond:4 000 P:1 U:1 1 W:1 1 Rn:4 Rt:4 imm4H:4 1111 imm4L:4", reads="Rn",
        unpredictable="Rt == 15; wback and Rn == Rt", relocate="verbatim", ref="A5.2.8")
with table.ordered():
    user_load("LDRSHT_A2", "cond:4 0000 U:1 011 Rn:4 Rt:4 (0)(0)(0)(0) 1111 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 15; Rm == 15; " + USER, ref="A5.2.9")
    load("LDRSH_register_A1", "cond:4 000 P:1 U:1 0 W:1 1 Rn:4 Rt:4 (0)(0)(0)(0) 1111 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 15; Rm == 15; " + BASE, relocate="operands", ref="A5.2.8")

# Extra load/store instructions: two registers

with table.ordered():
    literal("LDRD_literal_A1", "cond:4 000(1) U:1 1(0)0 Rn=1111 Rt:4 imm4H:4 1101 imm4L:4", writes="Rt Rt+1",
        unpredictable="Rt & 1; Rt == 14", ref="A5.2.8")
    load("LDRD_immediate_A1", "cond:4 000 P:1 U:1 1 W:1 0 Rn:4 Rt:4 imm4H:4 1101 imm4L:4", reads="Rn",
        writes="Rt Rt+1; Rn if wback", unpredictable=PAIR + "; " + PAIR_BASE, relocate="verbatim", ref="A5.2.8")
load("LDRD_register_A1", "cond:4 000 P:1 U:1 0 W:1 0 Rn:4 Rt:4 (0)(0)(0)(0) 1101 Rm:4", reads="Rn Rm",
    writes="Rt Rt+1; Rn if wback", unpredictable=PAIR + "; Rm == 15; Rm == Rt; Rm == Rt + 1; " + PAIR_BASE,
    relocate="operands", ref="A5.2.8")
store("STRD_immediate_A1", "cond:4 000 P:1 U:1 1 W:1 0 Rn:4 Rt:4 imm4H:4 1111 imm4L:4", reads="Rn Rt Rt+1",
    let=WBACK_IMM8, stack=BELOW_SP_IMM8, unpredictable=PAIR + "; " + PAIR_BASE, relocate="operands", ref="A5.2.8")
store("STRD_register_A1", "cond:4 000 P:1 U:1 0 W:1 0 Rn:4 Rt:4 (0)(0)(0)(0) 1111 Rm:4", reads="Rn Rt Rt+1 Rm",
    stack=ABOUT_SP, unpredictable=PAIR + "; Rm == 15; " + PAIR_BASE, relocate="operands", ref="A5.2.8")
