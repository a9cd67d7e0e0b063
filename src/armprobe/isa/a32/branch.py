"""Branches (DDI 0406C A5.5, A5.7, A5.2.12)."""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = partial(table.row, flags_read="", flags_written="", memory="none")

# fmt: off
# Branch, branch with link, and block data transfer

row("B_A1", "cond:4 1010 imm24:24", reads="pc", writes="pc",
    target="pc + 4 * signed(imm24, 24)", relocate="branch", ref="A5.5")
row("BL_immediate_A1", "cond:4 1011 imm24:24", reads="pc", writes="lr pc",
    target="pc + 4 * signed(imm24, 24)", relocate="call", ref="A5.5")

# Unconditional instructions

row("BLX_immediate_A2", "1111 101 H:1 imm24:24", reads="pc", writes="lr pc",
    target="pc + 4 * signed(imm24, 24) + 2 * H", relocate="call", ref="A5.7")

# Miscellaneous instructions

row("BX_A1", "cond:4 00010010 (1)(1)(1)(1) (1)(1)(1)(1) (1)(1)(1)(1) 0001 Rm:4", reads="Rm", writes="pc",
    relocate="exchange", ref="A5.2.12")
row("BXJ_A1", "cond:4 00010010 (1)(1)(1)(1) (1)(1)(1)(1) (1)(1)(1)(1) 0010 Rm:4", reads="Rm", writes="pc",
    effects="jazelle", unpredictable="Rm == 15", relocate="refuse",
    reason="BXJ may enter Jazelle state, whose registers and way back are not the architecture's", ref="A5.2.12")
row("BLX_register_A1", "cond:4 00010010 (1)(1)(1)(1) (1)(1)(1)(1) (1)(1)(1)(1) 0011 Rm:4", reads="Rm pc",
    writes="lr pc", unpredictable="Rm == 15", relocate="call_register", ref="A5.2.12")
