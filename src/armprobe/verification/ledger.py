"""The ledger of a sweep: what was exercised, and the verdict whether that was everything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from armprobe.isa.decoder import table
from armprobe.isa.insn import CONDITIONS
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.rows import Row
from armprobe.verification.cases import Cell, cells, conditions_of

#: Rows that Unicorn 2.1.4's most capable processor does not execute as the architecture says, and why. Their words run
#: all the same, without counting as proof. A pattern fails the sweep when it excludes nothing: when no word of the rows
#: that it matches is undefined there or differs.
EXCLUSIONS: dict[str, str] = {
    "SVC_[AT]1": "takes an exception, which ends a run in Unicorn",
    "HVC_[AT]1": "takes an exception, which ends a run in Unicorn",
    "SMC_[AT]1": "takes an exception, which ends a run in Unicorn",
    "YIELD_[AT][12]": "leaves the processor, which ends a run in Unicorn",
    "WFE_[AT][12]": "leaves the processor, which ends a run in Unicorn",
    "WFI_T[12]": "leaves the processor, which in Unicorn ends a run in the middle of an IT block",
    "SETPAN_[AT]1": "Unicorn lacks ARMv8.1-PAN in AArch32",
    "*_low_[AT][12]": "Unicorn has no coprocessors 0 to 7",
    "CDP*_high_[AT][12]": "Unicorn has no such operation of coprocessors 8 to 15",
    "M*2_high_[AT]2": "Unicorn lacks the second forms of coprocessor transfers",
    "MCRR_high_[AT]1": "Unicorn's processor has hardly a 64-bit register to write",
    "MRRC_high_[AT]1": "the 64-bit registers that Unicorn has are counters, which run on between two runs",
    "LDC2_high_[AT]2": "Unicorn lacks the second forms of coprocessor transfers",
    "STC2_high_[AT]2": "Unicorn lacks the second forms of coprocessor transfers",
    "[LS][DT]C_high_[AT]1": "Unicorn takes LDC and STC of coprocessor 14 for MRRC and MCRR",
    "*_half": "Unicorn lacks ARMv8.2-FP16 in AArch32",
    "VMOVX_[AT]1": "Unicorn lacks ARMv8.2-FP16 in AArch32",
    "VINS_[AT]1": "Unicorn lacks ARMv8.2-FP16 in AArch32",
    "VMOV_core_to_half_[AT]1": "Unicorn lacks ARMv8.2-FP16 in AArch32",
    "VMOV_half_to_core_[AT]1": "Unicorn lacks ARMv8.2-FP16 in AArch32",
    "VCVT_fixed_half_[AT]1": "Unicorn lacks ARMv8.2-FP16 in AArch32",
    "*BFloat16*": "Unicorn lacks ARMv8.6-BF16",
    "VFMAB_VFMAT_scalar_[AT]1": "Unicorn lacks ARMv8.6-BF16",
    "VSMMLA_VUMMLA_[AT]1": "Unicorn lacks ARMv8.6-I8MM",
    "VUSMMLA_[AT]1": "Unicorn lacks ARMv8.6-I8MM",
    "VUSDOT_[AT]1": "Unicorn lacks ARMv8.6-I8MM",
    "VUSDOT_VSUDOT_element_[AT]1": "Unicorn lacks ARMv8.6-I8MM",
}


def is_excluded(row: Row) -> bool:
    """Whether cases of the row prove nothing."""
    return any(fnmatchcase(row.name, pattern) for pattern in EXCLUSIONS)


@dataclass(slots=True)
class RowLedger:
    """What happened to the cases of one row. Keys of the counters are conditions and cells."""

    conditions: Counter[int] = field(default_factory=Counter)
    cells: Counter[Cell | None] = field(default_factory=Counter)
    #: no valid word was found
    no_word_conditions: Counter[int] = field(default_factory=Counter)
    no_word_cells: Counter[Cell | None] = field(default_factory=Counter)
    verbatim: int = 0
    rewritten: int = 0
    completed: int = 0
    undefined: int = 0
    differed: int = 0
    #: cases that differed after others, and not alone
    unrepeated: int = 0
    #: cases that differed because the instruction accessed its own word, where the probe stands: no one can see that
    #: before it runs, when the offset is in a register
    own_word: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def merge(self, other: RowLedger) -> None:
        """Add what another process found."""
        for name in ("conditions", "cells", "no_word_conditions", "no_word_cells", "refused"):
            getattr(self, name).update(getattr(other, name))
        self.verbatim += other.verbatim
        self.rewritten += other.rewritten
        self.completed += other.completed
        self.undefined += other.undefined
        self.differed += other.differed
        self.unrepeated += other.unrepeated
        self.own_word += other.own_word


@dataclass(slots=True)
class Ledger:
    """The ledger of all rows of an instruction set, by name."""

    instruction_set: InstructionSet = InstructionSet.A32
    rows: dict[str, RowLedger] = field(default_factory=dict)

    def row(self, name: str) -> RowLedger:
        """The ledger of a row, a new one at first."""
        return self.rows.setdefault(name, RowLedger())

    def merge(self, other: Ledger) -> None:
        """Add what another process found."""
        for name, row in other.rows.items():
            self.row(name).merge(row)

    @property
    def executed(self) -> int:
        """Cases that ran both ways."""
        return sum(row.verbatim + row.rewritten for row in self.rows.values())

    def summary(self) -> str:
        """Totals, and each reason for refusal with its count."""
        rows = self.rows.values()
        refused: Counter[str] = Counter()
        for row in rows:
            refused.update(row.refused)
        verbatim, rewritten, completed, unrepeated, own_word = (
            sum(getattr(row, name) for row in rows)
            for name in ("verbatim", "rewritten", "completed", "unrepeated", "own_word")
        )
        lines = [
            f"{self.executed} cases of {len(self.rows)} rows ran both ways: {verbatim} verbatim, {rewritten} rewritten",
            f"{completed} completed; the condition of the others was false, or they faulted alike",
            f"{unrepeated} differed after others, and not alone: a fault of the emulator",
            f"{own_word} accessed their own word, where the probe stands, by an offset in a register",
            f"{refused.total()} were refused:",
            *(f"  {count:8} {reason}" for reason, count in refused.most_common()),
        ]
        return "\n".join(lines)

    def problems(self) -> list[str]:
        """Everything the sweep left out; empty is the verdict that nothing was."""
        found = [problem for row in table(self.instruction_set) for problem in self._row_problems(row)]
        unrepeated = sum(row.unrepeated for row in self.rows.values())
        if unrepeated * 10_000 > self.executed:
            found.append(
                f"{unrepeated} of {self.executed} cases differed after others and not alone: too many to be believed"
            )
        for pattern, reason in EXCLUSIONS.items():
            matched = [row.name for row in table(self.instruction_set) if fnmatchcase(row.name, pattern)]
            if not matched and any(fnmatchcase(row.name, pattern) for one in InstructionSet for row in table(one)):
                continue  # it is for the other instruction set
            if not any(self.row(name).undefined or self.row(name).differed for name in matched):
                found.append(f"exclusion {pattern!r} ({reason}) excludes nothing")
        return found

    def _row_problems(self, row: Row) -> list[str]:
        seen = self.row(row.name)
        found = []
        if not seen.conditions:
            found.append(f"{row.name}: never exercised")
        elif not seen.completed and seen.verbatim + seen.rewritten:
            if not is_excluded(row):
                found.append(f"{row.name}: never completed, and no exclusion says why")
        never = [cond for cond in conditions_of(row) if cond not in seen.conditions]
        # A row is for all conditions or for AL alone; anything between is a gap.
        if never and (list(seen.conditions) != [14] or any(cond not in seen.no_word_conditions for cond in never)):
            found.append(
                f"{row.name}: conditions never exercised: {', '.join(CONDITIONS[cond] or 'al' for cond in never)}"
            )
        untried = [cell for cell in cells(row) if cell not in seen.cells and cell not in seen.no_word_cells]
        found += [f"{row.name}: operand class never tried: {cell.field}={cell.kind}" for cell in untried if cell]
        return found
