"""The T32 instruction set, one module per part of the manual (DDI 0406C chapters A6 to A8, B9; DDI 0487 part F).

Where ARMv7 forbids SP as an operand and ARMv8 allows it, the tables follow ARMv7: a target may be either. Instructions
that are new in ARMv8 have its rules.
"""

from __future__ import annotations

from armprobe.isa.t32 import data_processing, derived, load_store, media, narrow, system

ROWS = (
    *(row for module in (narrow, data_processing, load_store, media, system) for row in module.table.rows),
    *derived.ROWS,
)
