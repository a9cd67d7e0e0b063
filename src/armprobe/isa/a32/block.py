"""Block data transfer (DDI 0406C A5.5; B9.3.5, B9.3.6, B9.3.17 for the forms with `^`).

POP and PUSH of several registers are LDM and STMDB here. A store of the base is allowed also where it stores an
UNKNOWN value (write-back, and the base not the lowest register): the copy stores the same.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row
# fmt: off

BANKED = " r8 r9 r10 r11 r12 sp lr"
EMPTY = "Rn == 15; registers == 0"
LOADS_BASE = EMPTY + "; W == 1 and registers >> Rn & 1"

load = partial(row, reads="Rn", writes="registers; Rn if W == 1", flags_read="", flags_written="", memory="load",
    unpredictable=LOADS_BASE, relocate="verbatim", ref="A5.5")
store = partial(row, reads="Rn registers", writes="Rn if W == 1", flags_read="", flags_written="", memory="store",
    unpredictable=EMPTY, relocate="store_pc", ref="A5.5")

# Branch, branch with link, and block data transfer

store("STMDA_A1", "cond:4 100000 W:1 0 Rn:4 registers:16", stack="4 * count(registers) - 4 if Rn == 13 else 0")
load("LDMDA_A1", "cond:4 100000 W:1 1 Rn:4 registers:16")
store("STM_A1", "cond:4 100010 W:1 0 Rn:4 registers:16", stack="0")
load("LDM_A1", "cond:4 100010 W:1 1 Rn:4 registers:16")
store("STMDB_A1", "cond:4 100100 W:1 0 Rn:4 registers:16", stack="4 * count(registers) if Rn == 13 else 0")
load("LDMDB_A1", "cond:4 100100 W:1 1 Rn:4 registers:16")
store("STMIB_A1", "cond:4 100110 W:1 0 Rn:4 registers:16", stack="0")
load("LDMIB_A1", "cond:4 100110 W:1 1 Rn:4 registers:16")

# System level: the registers are those of User mode. SP and LR are another mode's; in FIQ mode so are r8 to r12, and
# the own ones keep their values, so that what is written counts as read too.

row("STM_user_A1", "cond:4 100 P:1 U:1 1 (0) 0 Rn:4 registers:16", reads="Rn registers", writes="", flags_read="",
    flags_written="", memory="store", stack="4 * count(registers) if Rn == 13 and U == 0 else 0", unpredictable=EMPTY,
    effects="privileged", relocate="store_pc", ref="B9.3.17")
row("LDM_user_A1", "cond:4 100 P:1 U:1 1 (0) 1 Rn:4 0 user_registers:15", let="registers = user_registers & 0x1fff",
    reads="Rn registers", writes="registers", flags_read="", flags_written="", memory="load",
    unpredictable="Rn == 15; user_registers == 0", effects="privileged", relocate="verbatim", ref="B9.3.6")
load("LDM_exception_return_A1", "cond:4 100 P:1 U:1 1 W:1 1 Rn:4 1 low_registers:15",
    let="registers = low_registers | 0x8000", reads="Rn" + BANKED, writes="registers; Rn if W == 1;" + BANKED,
    flags_written="NZCVQGE", effects="exception_return mode privileged spsr", ref="B9.3.5")
