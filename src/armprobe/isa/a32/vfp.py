"""VFP: data processing, loads, stores and transfers of coprocessors 10 and 11 (DDI 0406C A7.5, A7.6, A7.8, A7.9)."""

from __future__ import annotations

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row
