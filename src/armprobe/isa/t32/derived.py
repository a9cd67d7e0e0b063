"""Coprocessors, VFP and Advanced SIMD: the rows of A32 with the top bits of T32 (DDI 0406C A6.3.18, A7.1).

With A32's condition "always" the words of coprocessors and VFP are the same in both sets. Advanced SIMD data processing
has U in bit 28 and 0b1111 below it, its loads and stores have 0b11111001 on top. The IT block takes the place of the
condition; PC is a base for literals only, and SP is no operand of a transfer (the manual's `CurrentInstrSet() !=
InstrSet_ARM`).
"""

from __future__ import annotations

import re
from dataclasses import replace

from armprobe.isa.a32 import advsimd, coprocessor, vfp
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.row_pattern import parse_pattern
from armprobe.isa.rows import Row
from armprobe.isa.t32.common import OUTSIDE

#: what begins differently in T32; 0b11111 on top is the same in both
_TOP_BITS = (
    (r"cond:4 ", "1110 "),
    (r"11110100", "11111001"),
    (r"1111001(?: (\w+:1) |([01]))", r"111 \1\2 1111 "),
)


def _pattern(pattern: str) -> str:
    for a32, t32 in _TOP_BITS:
        if re.match(a32, pattern):
            return re.sub(a32, t32, pattern, count=1)
    return pattern


def _unpredictable(row: Row) -> str:
    """The conditions of the row, and what T32 adds to them.

    No IT block may hold what is new in ARMv8, nor half precision in Advanced SIMD.
    """
    conditions = [row.unpredictable.replace("cond != 14", OUTSIDE)]
    if not row.conditional and row.ref.startswith("DDI 0487"):
        conditions.append(OUTSIDE)
    elif not row.conditional and "sz" in row.fields:
        conditions.append(f"sz == 1 and {OUTSIDE}")
    elif not row.conditional and "F" in row.fields:
        conditions.append(f"F == 1 and size == 1 and {OUTSIDE}")
    elif not row.conditional and "floating" in row.name and "size" in row.fields:
        conditions.append(f"size == 1 and {OUTSIDE}")
    elif row.name == "VMULL_polynomial_A2":
        conditions.append(f"size == 2 and {OUTSIDE}")
    if row.memory == "none":
        conditions += [f"{name} == 13" for name in ("Rt", "Rt2") if name in row.fields]
    elif row.memory == "store" or row.name.startswith(("VLDM", "FLDM")):
        conditions.append("Rn == 15")
    elif row.name.startswith("LDC"):
        conditions.append("P == 0 and Rn == 15")
    return "; ".join(condition for condition in conditions if condition)


def _derive(row: Row) -> Row:
    """The row of T32 for one of A32."""
    pattern = _pattern(row.pattern)
    mask, value, should_mask, should_value, fields = parse_pattern(row.name, pattern)
    literal = row.relocate == "operands" and row.name.startswith(("VLDR", "LDC"))
    return replace(
        row,
        name=re.sub(r"_A(\d)", r"_T\1", row.name),
        pattern=pattern,
        mask=mask,
        value=value,
        should_mask=should_mask,
        should_value=should_value,
        fields=fields,
        relocate="literal" if literal else "verbatim" if row.relocate == "operands" else row.relocate,
        unpredictable=_unpredictable(row),
        instruction_set=InstructionSet.T32,
        _compiled={},
    )


ROWS = tuple(_derive(row) for module in (coprocessor, vfp, advsimd) for row in module.table.rows)
