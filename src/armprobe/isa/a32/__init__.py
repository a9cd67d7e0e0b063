"""The A32 instruction set, one module per part of the manual (DDI 0406C chapters A5 to A8, B9; DDI 0487 part F)."""

from __future__ import annotations

from armprobe.isa.a32 import (
    advsimd,
    block,
    branch,
    coprocessor,
    data_processing,
    load_store,
    media,
    multiply,
    synchronization,
    system,
    vfp,
)

ROWS = tuple(
    row
    for module in (
        data_processing, multiply, media, synchronization, load_store, block, branch, system, coprocessor, vfp, advsimd,
    )
    for row in module.table.rows
)  # fmt: skip
