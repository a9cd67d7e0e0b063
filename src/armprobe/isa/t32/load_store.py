"""Load and store of 32-bit encodings: one, two, or several registers (DDI 0406C A6.3.5 to A6.3.10).

Where Rt is 15, loads of bytes and halfwords are memory hints. A literal is at Align(PC, 4). The immediate forms with
PUW are post-indexed where P = 0; with P = 0 and W = 0 they are UNDEFINED.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.rows import TableBuilder
from armprobe.isa.t32.common import LAST, bad

table = TableBuilder(InstructionSet.T32)
row = partial(table.row, flags_read="", flags_written="")
# fmt: off

BELOW_SP = "imm8 if Rn == 13 and P == 1 and U == 0 else 0"
#: the offset is in a register: unknown
ABOUT_SP = "None if Rn == 13 else 0"
NO_INDEX = "P == 0 and W == 0"
NO_BASE = "Rn == 15"
SAME = "W == 1 and Rn == Rt"
RT_LAST = "Rt == 15 and " + LAST

store = partial(row, reads="Rn Rt", writes="", memory="store", stack="0", undefined=NO_BASE, relocate="verbatim",
    ref="A6.3.10")
store_indexed = partial(store, writes="Rn if W == 1", stack=BELOW_SP, undefined=NO_BASE + "; " + NO_INDEX)
load = partial(row, reads="Rn", writes="Rt", memory="load", relocate="verbatim")
load_indexed = partial(load, writes="Rt; Rn if W == 1", undefined=NO_INDEX)
literal = partial(load, reads="pc", relocate="literal")
hint = partial(row, reads="Rn", writes="", memory="none", effects="hint", relocate="verbatim")
unallocated = partial(hint, reads="")
literal_hint = partial(hint, reads="pc", relocate="drop")

# Store single data item

store("STRB_immediate_T2", "111110001000 Rn:4 Rt:4 imm12:12", unpredictable=bad("Rt"))
store("STRH_immediate_T2", "111110001010 Rn:4 Rt:4 imm12:12", unpredictable=bad("Rt"))
store("STR_immediate_T3", "111110001100 Rn:4 Rt:4 imm12:12", unpredictable="Rt == 15")
with table.ordered():
    store("STRBT_T1", "111110000000 Rn:4 Rt:4 1110 imm8:8", unpredictable=bad("Rt"), effects="unprivileged")
    store_indexed("STRB_immediate_T3", "111110000000 Rn:4 Rt:4 1 P:1 U:1 W:1 imm8:8",
        unpredictable=bad("Rt") + "; " + SAME)
with table.ordered():
    store("STRHT_T1", "111110000010 Rn:4 Rt:4 1110 imm8:8", unpredictable=bad("Rt"), effects="unprivileged")
    store_indexed("STRH_immediate_T3", "111110000010 Rn:4 Rt:4 1 P:1 U:1 W:1 imm8:8",
        unpredictable=bad("Rt") + "; " + SAME)
with table.ordered():
    store("STRT_T1", "111110000100 Rn:4 Rt:4 1110 imm8:8", unpredictable=bad("Rt"), effects="unprivileged")
    store_indexed("STR_immediate_T4", "111110000100 Rn:4 Rt:4 1 P:1 U:1 W:1 imm8:8", unpredictable="Rt == 15; " + SAME)
store("STRB_register_T2", "111110000000 Rn:4 Rt:4 000000 imm2:2 Rm:4", reads="Rn Rt Rm", stack=ABOUT_SP,
    unpredictable=bad("Rt Rm"))
store("STRH_register_T2", "111110000010 Rn:4 Rt:4 000000 imm2:2 Rm:4", reads="Rn Rt Rm", stack=ABOUT_SP,
    unpredictable=bad("Rt Rm"))
store("STR_register_T2", "111110000100 Rn:4 Rt:4 000000 imm2:2 Rm:4", reads="Rn Rt Rm", stack=ABOUT_SP,
    unpredictable="Rt == 15; " + bad("Rm"))

# Load byte, memory hints: PLD and PLDW stand with the loads whose Rt is 15, PLI with those that extend the sign

with table.ordered():
    literal_hint("PLD_literal_T1", "11111000 U:1 0 (0) 1 1111 1111 imm12:12", ref="A6.3.9")
    literal("LDRB_literal_T1", "11111000 U:1 001 1111 Rt:4 imm12:12", unpredictable="Rt == 13", ref="A6.3.9")
    literal("LDRH_literal_T1", "11111000 U:1 011 1111 Rt:4 imm12:12", unpredictable="Rt == 13", ref="A6.3.8")
    hint("PLD_immediate_T1", "111110001001 Rn:4 1111 imm12:12", ref="A6.3.9")
    hint("PLDW_immediate_T1", "111110001011 Rn:4 1111 imm12:12", ref="A6.3.8")
    hint("PLD_immediate_T2", "111110000001 Rn:4 1111 1100 imm8:8", ref="A6.3.9")
    hint("PLDW_immediate_T2", "111110000011 Rn:4 1111 1100 imm8:8", ref="A6.3.8")
    hint("PLD_register_T1", "111110000001 Rn:4 1111 000000 imm2:2 Rm:4", reads="Rn Rm", unpredictable=bad("Rm"),
        ref="A6.3.9")
    hint("PLDW_register_T1", "111110000011 Rn:4 1111 000000 imm2:2 Rm:4", reads="Rn Rm", unpredictable=bad("Rm"),
        ref="A6.3.8")
    load("LDRB_immediate_T2", "111110001001 Rn:4 Rt:4 imm12:12", unpredictable="Rt == 13", ref="A6.3.9")
    load("LDRBT_T1", "111110000001 Rn:4 Rt:4 1110 imm8:8", unpredictable=bad("Rt"), effects="unprivileged",
        ref="A6.3.9")
    load_indexed("LDRB_immediate_T3", "111110000001 Rn:4 Rt:4 1 P:1 U:1 W:1 imm8:8",
        unpredictable="Rt == 13; Rt == 15 and W == 1; " + SAME, ref="A6.3.9")
    load("LDRB_register_T2", "111110000001 Rn:4 Rt:4 000000 imm2:2 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 13; " + bad("Rm"), ref="A6.3.9")
    load("LDRH_immediate_T2", "111110001011 Rn:4 Rt:4 imm12:12", unpredictable="Rt == 13", ref="A6.3.8")
    load("LDRHT_T1", "111110000011 Rn:4 Rt:4 1110 imm8:8", unpredictable=bad("Rt"), effects="unprivileged",
        ref="A6.3.8")
    load_indexed("LDRH_immediate_T3", "111110000011 Rn:4 Rt:4 1 P:1 U:1 W:1 imm8:8",
        unpredictable="Rt == 13; Rt == 15 and W == 1; " + SAME, ref="A6.3.8")
    load("LDRH_register_T2", "111110000011 Rn:4 Rt:4 000000 imm2:2 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 13; " + bad("Rm"), ref="A6.3.8")
with table.ordered():
    literal_hint("PLI_literal_T3", "11111001 U:1 001 1111 1111 imm12:12", ref="A6.3.9")
    unallocated("unallocated_hint_literal_T1", "11111001 U:1 011 1111 1111 imm12:12", ref="A6.3.8")
    literal("LDRSB_literal_T1", "11111001 U:1 001 1111 Rt:4 imm12:12", unpredictable="Rt == 13", ref="A6.3.9")
    literal("LDRSH_literal_T1", "11111001 U:1 011 1111 Rt:4 imm12:12", unpredictable="Rt == 13", ref="A6.3.8")
    hint("PLI_immediate_T1", "111110011001 Rn:4 1111 imm12:12", ref="A6.3.9")
    unallocated("unallocated_hint_immediate_T1", "111110011011 Rn:4 1111 imm12:12", ref="A6.3.8")
    hint("PLI_immediate_T2", "111110010001 Rn:4 1111 1100 imm8:8", ref="A6.3.9")
    unallocated("unallocated_hint_immediate_T2", "111110010011 Rn:4 1111 1100 imm8:8", ref="A6.3.8")
    hint("PLI_register_T1", "111110010001 Rn:4 1111 000000 imm2:2 Rm:4", reads="Rn Rm", unpredictable=bad("Rm"),
        ref="A6.3.9")
    unallocated("unallocated_hint_register_T1", "111110010011 Rn:4 1111 000000 imm2:2 Rm:4", ref="A6.3.8")
    load("LDRSB_immediate_T1", "111110011001 Rn:4 Rt:4 imm12:12", unpredictable="Rt == 13", ref="A6.3.9")
    load("LDRSBT_T1", "111110010001 Rn:4 Rt:4 1110 imm8:8", unpredictable=bad("Rt"), effects="unprivileged",
        ref="A6.3.9")
    load_indexed("LDRSB_immediate_T2", "111110010001 Rn:4 Rt:4 1 P:1 U:1 W:1 imm8:8",
        unpredictable="Rt == 13; Rt == 15 and W == 1; " + SAME, ref="A6.3.9")
    load("LDRSB_register_T2", "111110010001 Rn:4 Rt:4 000000 imm2:2 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 13; " + bad("Rm"), ref="A6.3.9")
    load("LDRSH_immediate_T1", "111110011011 Rn:4 Rt:4 imm12:12", unpredictable="Rt == 13", ref="A6.3.8")
    load("LDRSHT_T1", "111110010011 Rn:4 Rt:4 1110 imm8:8", unpredictable=bad("Rt"), effects="unprivileged",
        ref="A6.3.8")
    load_indexed("LDRSH_immediate_T2", "111110010011 Rn:4 Rt:4 1 P:1 U:1 W:1 imm8:8",
        unpredictable="Rt == 13; Rt == 15 and W == 1; " + SAME, ref="A6.3.8")
    load("LDRSH_register_T2", "111110010011 Rn:4 Rt:4 000000 imm2:2 Rm:4", reads="Rn Rm",
        unpredictable="Rt == 13; " + bad("Rm"), ref="A6.3.8")

# Load word: may write PC, which interworks

with table.ordered():
    literal("LDR_literal_T2", "11111000 U:1 101 1111 Rt:4 imm12:12", unpredictable=RT_LAST, ref="A6.3.7")
    load("LDR_immediate_T3", "111110001101 Rn:4 Rt:4 imm12:12", unpredictable=RT_LAST, ref="A6.3.7")
    load("LDRT_T1", "111110000101 Rn:4 Rt:4 1110 imm8:8", unpredictable=bad("Rt"), effects="unprivileged",
        ref="A6.3.7")
    load_indexed("LDR_immediate_T4", "111110000101 Rn:4 Rt:4 1 P:1 U:1 W:1 imm8:8",
        unpredictable=SAME + "; " + RT_LAST, ref="A6.3.7")
    load("LDR_register_T2", "111110000101 Rn:4 Rt:4 000000 imm2:2 Rm:4", reads="Rn Rm",
        unpredictable=bad("Rm") + "; " + RT_LAST, ref="A6.3.7")

# Load/store multiple. PUSH and POP are STMDB and LDM of SP. A list has two registers or more, and neither has SP in it

EMPTY = "Rn == 15; count(registers) < 2; registers >> 13 & 1; W == 1 and registers >> Rn & 1"
store_multiple = partial(row, reads="Rn registers", writes="Rn if W == 1", memory="store",
    unpredictable=EMPTY + "; registers >> 15", relocate="verbatim", ref="A6.3.5")
load_multiple = partial(row, reads="Rn", writes="registers; Rn if W == 1", memory="load",
    unpredictable=EMPTY + "; registers >> 14 == 3; registers >> 15 and " + LAST, relocate="verbatim", ref="A6.3.5")
store_multiple("STM_T2", "1110100010 W:1 0 Rn:4 registers:16", stack="0")
load_multiple("LDM_T2", "1110100010 W:1 1 Rn:4 registers:16")
store_multiple("STMDB_T1", "1110100100 W:1 0 Rn:4 registers:16", stack="4 * count(registers) if Rn == 13 else 0")
load_multiple("LDMDB_T1", "1110100100 W:1 1 Rn:4 registers:16")

# Load/store dual, exclusive, table branch. P = 0 and W = 0 is none of dual: the others stand there

SAME_PAIR = "W == 1 and (Rn == Rt or Rn == Rt2)"
STATUS = "; Rn == 15; Rd == Rn; Rd == Rt"
load_exclusive = partial(load, effects="monitor_load", ref="A6.3.6")
store_exclusive = partial(row, reads="Rn Rt", writes="Rd", memory="store", stack="0", effects="monitor_store",
    unpredictable=bad("Rd Rt") + STATUS, relocate="verbatim", ref="A6.3.6")
acquire = partial(load, unpredictable="Rt == 15; Rn == 15", effects="barrier", ref="DDI 0487 F3.1")
acquire_exclusive = partial(acquire, effects="barrier monitor_load")
release = partial(row, reads="Rn Rt", writes="", memory="store", stack="0", unpredictable="Rt == 15; Rn == 15",
    effects="barrier", relocate="verbatim", ref="DDI 0487 F3.1")
release_exclusive = partial(release, writes="Rd", unpredictable="Rd == 15; Rt == 15; Rn == 15; Rd == Rn; Rd == Rt",
    effects="barrier monitor_store")
with table.ordered():
    store_exclusive("STREX_T1", "111010000100 Rn:4 Rt:4 Rd:4 imm8:8")
    load_exclusive("LDREX_T1", "111010000101 Rn:4 Rt:4 (1)(1)(1)(1) imm8:8", unpredictable=bad("Rt") + "; Rn == 15")
    store_exclusive("STREXB_T1", "111010001100 Rn:4 Rt:4 (1)(1)(1)(1) 0100 Rd:4")
    store_exclusive("STREXH_T1", "111010001100 Rn:4 Rt:4 (1)(1)(1)(1) 0101 Rd:4")
    store_exclusive("STREXD_T1", "111010001100 Rn:4 Rt:4 Rt2:4 0111 Rd:4", reads="Rn Rt Rt2",
        unpredictable=bad("Rd Rt Rt2") + STATUS + "; Rd == Rt2")
    release("STLB_T1", "111010001100 Rn:4 Rt:4 (1)(1)(1)(1) 1000 (1)(1)(1)(1)")
    release("STLH_T1", "111010001100 Rn:4 Rt:4 (1)(1)(1)(1) 1001 (1)(1)(1)(1)")
    release("STL_T1", "111010001100 Rn:4 Rt:4 (1)(1)(1)(1) 1010 (1)(1)(1)(1)")
    release_exclusive("STLEXB_T1", "111010001100 Rn:4 Rt:4 (1)(1)(1)(1) 1100 Rd:4")
    release_exclusive("STLEXH_T1", "111010001100 Rn:4 Rt:4 (1)(1)(1)(1) 1101 Rd:4")
    release_exclusive("STLEX_T1", "111010001100 Rn:4 Rt:4 (1)(1)(1)(1) 1110 Rd:4")
    release_exclusive("STLEXD_T1", "111010001100 Rn:4 Rt:4 Rt2:4 1111 Rd:4", reads="Rn Rt Rt2",
        unpredictable="Rd == 15; Rt == 15; Rt2 == 15; Rn == 15; Rd == Rn; Rd == Rt; Rd == Rt2")
    row("TBB_T1", "111010001101 Rn:4 (1)(1)(1)(1) (0)(0)(0)(0) 000 H:1 Rm:4", reads="Rn Rm pc", writes="pc",
        memory="load", unpredictable="Rn == 13; " + bad("Rm") + "; " + LAST, relocate="table_branch", ref="A6.3.6")
    load_exclusive("LDREXB_T1", "111010001101 Rn:4 Rt:4 (1)(1)(1)(1) 0100 (1)(1)(1)(1)",
        unpredictable=bad("Rt") + "; Rn == 15")
    load_exclusive("LDREXH_T1", "111010001101 Rn:4 Rt:4 (1)(1)(1)(1) 0101 (1)(1)(1)(1)",
        unpredictable=bad("Rt") + "; Rn == 15")
    load_exclusive("LDREXD_T1", "111010001101 Rn:4 Rt:4 Rt2:4 0111 (1)(1)(1)(1)", writes="Rt Rt2",
        unpredictable=bad("Rt Rt2") + "; Rt == Rt2; Rn == 15")
    acquire("LDAB_T1", "111010001101 Rn:4 Rt:4 (1)(1)(1)(1) 1000 (1)(1)(1)(1)")
    acquire("LDAH_T1", "111010001101 Rn:4 Rt:4 (1)(1)(1)(1) 1001 (1)(1)(1)(1)")
    acquire("LDA_T1", "111010001101 Rn:4 Rt:4 (1)(1)(1)(1) 1010 (1)(1)(1)(1)")
    acquire_exclusive("LDAEXB_T1", "111010001101 Rn:4 Rt:4 (1)(1)(1)(1) 1100 (1)(1)(1)(1)")
    acquire_exclusive("LDAEXH_T1", "111010001101 Rn:4 Rt:4 (1)(1)(1)(1) 1101 (1)(1)(1)(1)")
    acquire_exclusive("LDAEX_T1", "111010001101 Rn:4 Rt:4 (1)(1)(1)(1) 1110 (1)(1)(1)(1)")
    acquire_exclusive("LDAEXD_T1", "111010001101 Rn:4 Rt:4 Rt2:4 1111 (1)(1)(1)(1)", writes="Rt Rt2",
        unpredictable="Rt == 15; Rt2 == 15; Rt == Rt2; Rn == 15")
    literal("LDRD_literal_T1", "1110100 P:1 U:1 1 W:1 1 1111 Rt:4 Rt2:4 imm8:8", writes="Rt Rt2", undefined=NO_INDEX,
        unpredictable=bad("Rt Rt2") + "; Rt == Rt2; W == 1", ref="A6.3.6")
    load_indexed("LDRD_immediate_T1", "1110100 P:1 U:1 1 W:1 1 Rn:4 Rt:4 Rt2:4 imm8:8", writes="Rt Rt2; Rn if W == 1",
        unpredictable=bad("Rt Rt2") + "; Rt == Rt2; " + SAME_PAIR, ref="A6.3.6")
    row("STRD_immediate_T1", "1110100 P:1 U:1 1 W:1 0 Rn:4 Rt:4 Rt2:4 imm8:8", reads="Rn Rt Rt2", writes="Rn if W == 1",
        memory="store", stack="4 * imm8 if Rn == 13 and P == 1 and U == 0 else 0", undefined=NO_INDEX,
        unpredictable="Rn == 15; " + bad("Rt Rt2") + "; " + SAME_PAIR, relocate="verbatim", ref="A6.3.6")
