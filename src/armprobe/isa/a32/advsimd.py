"""Advanced SIMD: data processing, element and structure loads and stores (DDI 0406C A7.4, A7.7; DDI 0487 F4.1)."""

from __future__ import annotations

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row
