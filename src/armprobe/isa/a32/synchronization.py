"""Synchronization primitives (DDI 0406C A5.2.10), load-acquire and store-release (DDI 0487 F4.1), CLREX.

A word copied out of an exclusive sequence would break it; sites inside such a sequence are refused by a separate scan.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row
# fmt: off

load = partial(row, reads="Rn", writes="Rt", flags_read="", flags_written="", memory="load", relocate="verbatim",
    unpredictable="Rt == 15; Rn == 15", ref="A5.2.10")
store = partial(row, reads="Rn Rt", writes="Rd", flags_read="", flags_written="", memory="store", stack="0",
    unpredictable="Rd == 15; Rt == 15; Rn == 15; Rd == Rn; Rd == Rt", relocate="verbatim", ref="A5.2.10")
exclusive = partial(load, effects="monitor_load")
acquire = partial(load, effects="barrier", ref="DDI 0487 F4.1")
acquire_exclusive = partial(load, effects="barrier monitor_load", ref="DDI 0487 F4.1")
store_exclusive = partial(store, effects="monitor_store")
release = partial(store, writes="", unpredictable="Rt == 15; Rn == 15", effects="barrier", ref="DDI 0487 F4.1")
release_exclusive = partial(store, effects="barrier monitor_store", ref="DDI 0487 F4.1")
LOAD_PAIR = "Rt & 1; Rt == 14; Rn == 15"
STORE_PAIR = "Rd == 15; Rt & 1; Rt == 14; Rn == 15; Rd == Rn; Rd == Rt; Rd == Rt + 1"

# Synchronization primitives

row("SWP_A1", "cond:4 00010000 Rn:4 Rt:4 (0)(0)(0)(0) 1001 Rt2:4", reads="Rn Rt2", writes="Rt", flags_read="",
    flags_written="", memory="load store", stack="0",
    unpredictable="Rt == 15; Rt2 == 15; Rn == 15; Rn == Rt; Rn == Rt2", relocate="verbatim", ref="A5.2.10")
row("SWPB_A1", "cond:4 00010100 Rn:4 Rt:4 (0)(0)(0)(0) 1001 Rt2:4", reads="Rn Rt2", writes="Rt", flags_read="",
    flags_written="", memory="load store", stack="0",
    unpredictable="Rt == 15; Rt2 == 15; Rn == 15; Rn == Rt; Rn == Rt2", relocate="verbatim", ref="A5.2.10")

store_exclusive("STREX_A1", "cond:4 00011000 Rn:4 Rd:4 (1)(1)11 1001 Rt:4")
exclusive("LDREX_A1", "cond:4 00011001 Rn:4 Rt:4 (1)(1)11 1001 (1)(1)(1)(1)")
store_exclusive("STREXD_A1", "cond:4 00011010 Rn:4 Rd:4 (1)(1)11 1001 Rt:4", reads="Rn Rt Rt+1",
    unpredictable=STORE_PAIR)
exclusive("LDREXD_A1", "cond:4 00011011 Rn:4 Rt:4 (1)(1)11 1001 (1)(1)(1)(1)", writes="Rt Rt+1",
    unpredictable=LOAD_PAIR)
store_exclusive("STREXB_A1", "cond:4 00011100 Rn:4 Rd:4 (1)(1)11 1001 Rt:4")
exclusive("LDREXB_A1", "cond:4 00011101 Rn:4 Rt:4 (1)(1)11 1001 (1)(1)(1)(1)")
store_exclusive("STREXH_A1", "cond:4 00011110 Rn:4 Rd:4 (1)(1)11 1001 Rt:4")
exclusive("LDREXH_A1", "cond:4 00011111 Rn:4 Rt:4 (1)(1)11 1001 (1)(1)(1)(1)")

# Load-Acquire/Store-Release

release("STL_A1", "cond:4 00011000 Rn:4 (1)(1)(1)(1) (1)(1)00 1001 Rt:4")
acquire("LDA_A1", "cond:4 00011001 Rn:4 Rt:4 (1)(1)00 1001 (1)(1)(1)(1)")
release("STLB_A1", "cond:4 00011100 Rn:4 (1)(1)(1)(1) (1)(1)00 1001 Rt:4")
acquire("LDAB_A1", "cond:4 00011101 Rn:4 Rt:4 (1)(1)00 1001 (1)(1)(1)(1)")
release("STLH_A1", "cond:4 00011110 Rn:4 (1)(1)(1)(1) (1)(1)00 1001 Rt:4")
acquire("LDAH_A1", "cond:4 00011111 Rn:4 Rt:4 (1)(1)00 1001 (1)(1)(1)(1)")

release_exclusive("STLEX_A1", "cond:4 00011000 Rn:4 Rd:4 (1)(1)10 1001 Rt:4")
acquire_exclusive("LDAEX_A1", "cond:4 00011001 Rn:4 Rt:4 (1)(1)10 1001 (1)(1)(1)(1)")
release_exclusive("STLEXD_A1", "cond:4 00011010 Rn:4 Rd:4 (1)(1)10 1001 Rt:4", reads="Rn Rt Rt+1",
    unpredictable=STORE_PAIR)
acquire_exclusive("LDAEXD_A1", "cond:4 00011011 Rn:4 Rt:4 (1)(1)10 1001 (1)(1)(1)(1)", writes="Rt Rt+1",
    unpredictable=LOAD_PAIR)
release_exclusive("STLEXB_A1", "cond:4 00011100 Rn:4 Rd:4 (1)(1)10 1001 Rt:4")
acquire_exclusive("LDAEXB_A1", "cond:4 00011101 Rn:4 Rt:4 (1)(1)10 1001 (1)(1)(1)(1)")
release_exclusive("STLEXH_A1", "cond:4 00011110 Rn:4 Rd:4 (1)(1)10 1001 Rt:4")
acquire_exclusive("LDAEXH_A1", "cond:4 00011111 Rn:4 Rt:4 (1)(1)10 1001 (1)(1)(1)(1)")

# A5.7.1: CLREX

row("CLREX_A1", "1111 01010111 (1)(1)(1)(1) (1)(1)(1)(1) (0)(0)(0)(0) 0001 (1)(1)(1)(1)", reads="", writes="",
    flags_read="", flags_written="", memory="none", effects="monitor_clear", relocate="verbatim", ref="A5.7.1")
