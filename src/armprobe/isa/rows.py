"""The row notation: one declarative row per encoding, checked when the table is built.

A pattern describes every bit of the word, most significant first, in tokens separated by spaces:

    0 1         fixed bits (runs such as `0101` are allowed)
    (0) (1)     should-be bits: a word that differs matches the row but is UNPREDICTABLE
    -           a bit the processor ignores
    name:width  a field
    name=bits   a field that has one value only, such as `Rn=1111` in a literal load

An A32 row whose pattern starts with `cond:4` does not match words with 0b1111 in the condition field: those are the
unconditional space (DDI 0406C A5.7). In T32 only B has a condition; a 32-bit encoding is its first halfword above its
second.

The other columns are small expressions over the fields; `Row` documents them. A column left out is pessimistic: it
means every register, every flag, memory and stack.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from armprobe.errors import TableError
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.row_code import compile_invalid, compile_target, compile_usage, compile_values
from armprobe.isa.row_pattern import parse_pattern
from armprobe.isa.usage import Usage

#: What a word does beyond registers, flags and memory. `effects` columns may use these words only.
EFFECTS = frozenset(
    {
        "barrier",  # orders memory accesses or flushes the pipeline
        "coprocessor",  # reaches a coprocessor or a system register
        "endian",  # may change the byte order of data accesses
        "exception",  # takes an exception
        "exception_return",  # writes CPSR from SPSR
        "fpscr_read",  # depends on FPSCR
        "fpscr_write",  # may change FPSCR
        "hint",  # may be ignored by the processor
        "jazelle",  # may leave the A32/T32 instruction sets
        "mode",  # may change the processor mode or the interrupt masks
        "monitor_clear",  # clears the exclusive monitor
        "monitor_load",  # load-exclusive
        "monitor_store",  # store-exclusive
        "privileged",  # needs, or behaves differently at, PL1 or higher
        "it_state",  # makes the next one to four instructions conditional (IT)
        "spsr",  # reads or writes SPSR or a banked register
        "unconditional",  # is executed in an IT block whether its condition holds or not
        "unprivileged",  # memory access with user rights
        "wait",  # may suspend the processor
    }
)

#: Relocation strategies a row may name; `armprobe.isa.relocate` holds one function for each.
STRATEGIES = frozenset(
    {
        "verbatim",  # the same word anywhere: it neither reads PC nor depends on its own address
        "operands",  # as verbatim unless a register operand is PC; then PC is replaced by its value
        "store_pc",  # as operands, and a register list or Rt may store PC
        "branch",  # B
        "call",  # BL, BLX (immediate)
        "exchange",  # BX
        "compare_branch",  # CBZ, CBNZ
        "table_branch",  # TBB, TBH
        "literal",  # as verbatim unless the base is PC; then Align(PC, 4) is its value
        "address",  # ADR: Align(PC, 4) and an offset
        "it",  # IT: means nothing without the instructions that follow it
        "call_register",  # BLX (register)
        "drop",  # an address hint without architectural effect
        "refuse",  # never: `reason` says why
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One encoding.

    reads, writes   core registers: `Rn Rm`, `Rt+1`, `sp`, `registers` (a 16-bit list); terms may carry `if EXPR` and
                    are then separated by `;`
    vreads, vwrites VFP/Advanced SIMD registers: `Sd Dn Qm` for a single, double or quad register of the fields
                    (D:Vd, N:Vn, M:Vm), `Vd` for D or Q by the field Q, `Dd*COUNT`, `D[EXPR]`, `S[EXPR]`
    flags_read, flags_written  out of N Z C V Q GE, written together (`NZCV`), with `if EXPR` as above.
                    The condition is not listed: every instruction that has one reads what it tests.
    memory          `none`, `load`, `store`, `load store`
    stack           expression: bytes written below SP (None: unknown). Left out: 0 for rows that store nothing
    let             names derived from fields, `wback = P == 0 or W == 1; ...`, usable in all expressions
    undefined, unpredictable  conditions separated by `;`; each is its own reason
    target          where an immediate branch goes, from its fields and `pc`, the PC it reads
    effects         words out of EFFECTS
    relocate        a name out of STRATEGIES, with `reason` when it is `refuse`
    ref             section of DDI 0406C, or of DDI 0487 where marked

    Expressions of T32 rows may use `in_it` and `last_in_it`, which tell about the place in an IT block.
    """

    name: str
    pattern: str
    mask: int
    value: int
    should_mask: int
    should_value: int
    #: field name -> (shift, mask after shifting)
    fields: dict[str, tuple[int, int]]
    relocate: str
    reason: str = ""
    reads: str | None = None
    writes: str | None = None
    vreads: str | None = ""
    vwrites: str | None = ""
    flags_read: str | None = None
    flags_written: str | None = None
    memory: str | None = None
    stack: str | None = None
    let: str = ""
    undefined: str = ""
    unpredictable: str = ""
    effects: frozenset[str] = frozenset()
    ref: str = ""
    target: str = ""
    instruction_set: InstructionSet = InstructionSet.A32
    #: bytes an instruction occupies
    length: int = 4
    #: rows of one ordered group may overlap: the first that matches wins. 0: no overlap allowed
    group: int = 0
    _compiled: dict[str, Callable[..., object]] = field(default_factory=dict, compare=False, repr=False)

    def _function(self, name: str, make: Callable[[Row], Callable[..., object]]) -> Callable[..., object]:
        """What `make` compiled from the columns, kept from the first use on."""
        found = self._compiled.get(name)
        if found is None:
            found = self._compiled[name] = make(self)
        return found

    @property
    def conditional(self) -> bool:
        """Whether the encoding has the condition field of A32, bits 31:28."""
        return "cond" in self.fields and self.fields["cond"][0] == 28

    @property
    def bits(self) -> int:
        """All bits of a word, as a mask."""
        return (1 << 8 * self.length) - 1

    def matches(self, word: int) -> bool:
        """Whether the fixed bits of `word` are those of the row."""
        if word & self.mask != self.value or (self.conditional and word >> 28 == 15):
            return False
        return self.length == 4 or word <= self.bits

    def extract(self, word: int) -> dict[str, int]:
        """The fields of `word` by name."""
        return {name: (word >> shift) & mask for name, (shift, mask) in self.fields.items()}

    def values(self, word: int) -> dict[str, int]:
        """The fields of `word` by name, with the names that `let` derives from them."""
        if not self.let:
            return self.extract(word)
        return self._function("values", compile_values)(word, 0)  # type: ignore[return-value]

    @property
    def free_fields(self) -> dict[str, tuple[int, int]]:
        """The fields without those that have one value only."""
        return {name: place for name, place in self.fields.items() if not self.mask >> place[0] & 1}

    def encode(self, **values: int) -> int:
        """Build the word with these fields (all that are free); should-be bits get their proper values.

        Raises TableError for a missing, unknown or too large field, and for another value of a fixed one.
        """
        if values.keys() | self.fields.keys() != self.fields.keys() or not values.keys() >= self.free_fields.keys():
            raise TableError(f"{self.name}: fields are {sorted(self.fields)}, not {sorted(values)}")
        word = self.with_fields(self.value | self.should_value, **values)
        if not self.matches(word):
            raise TableError(f"{self.name}: a fixed field has another value in {values}")
        return word

    def with_fields(self, word: int, **values: int) -> int:
        """`word` with some fields replaced."""
        for name, number in values.items():
            shift, mask = self.fields[name]
            if not 0 <= number <= mask:
                raise TableError(f"{self.name}: {name}={number} does not fit in {mask.bit_length()} bits")
            word = word & ~(mask << shift) | number << shift
        return word

    def invalid(self, word: int, it: int = 0) -> tuple[str, str] | None:
        """("undefined" | "unpredictable", reason) if `word`, which matches the row, is not valid; else None.

        `it` is the ITSTATE it is executed with, which is 0 outside of T32's IT blocks.
        """
        return self._function("invalid", compile_invalid)(word, it)  # type: ignore[return-value]

    def usage(self, word: int, it: int = 0) -> Usage:
        """What `word` uses, as if its condition were true and without what the condition itself reads."""
        return self._function("usage", compile_usage)(word, it)  # type: ignore[return-value]

    def branch_target(self, word: int, pc: int) -> int | None:
        """Where `word`, an immediate branch that reads `pc` as PC, goes (bit 0 clear); None for any other row."""
        if not self.target:
            return None
        return self._function("target", compile_target)(word, pc)  # type: ignore[return-value]


#: groups of all tables have different numbers: a group declares overlaps within one table only
_group_numbers = itertools.count(1)


class TableBuilder:
    """Collects the rows of one table; `row` adds one, `ordered` declares that the rows within may overlap."""

    def __init__(self, instruction_set: InstructionSet = InstructionSet.A32, *, length: int = 4) -> None:
        self.rows: list[Row] = []
        self._instruction_set = instruction_set
        self._length = length
        self._group = 0

    @contextmanager
    def ordered(self) -> Iterator[None]:
        """Rows added within may overlap one another: the first match wins."""
        if self._group:
            raise TableError("ordered groups do not nest")
        self._group = next(_group_numbers)
        try:
            yield
        finally:
            self._group = 0

    def row(
        self,
        name: str,
        pattern: str,
        *,
        relocate: str,
        reason: str = "",
        reads: str | None = None,
        writes: str | None = None,
        vreads: str | None = "",
        vwrites: str | None = "",
        flags_read: str | None = None,
        flags_written: str | None = None,
        memory: str | None = None,
        stack: str | None = None,
        let: str = "",
        undefined: str = "",
        unpredictable: str = "",
        target: str = "",
        effects: str = "",
        ref: str = "",
    ) -> None:
        """Add a row; raise TableError if its pattern, strategy or effects are not of the notation."""
        mask, value, should_mask, should_value, fields = parse_pattern(name, pattern, 8 * self._length)
        if relocate not in STRATEGIES:
            raise TableError(f"{name}: unknown relocation strategy {relocate!r}")
        if (relocate == "refuse") != bool(reason):
            raise TableError(f"{name}: a reason belongs to relocate='refuse', and only to it")
        unknown = set(effects.split()) - EFFECTS
        if unknown:
            raise TableError(f"{name}: unknown effects {sorted(unknown)}")
        self.rows.append(
            Row(
                name, pattern, mask, value, should_mask, should_value, fields, relocate, reason, reads, writes, vreads,
                vwrites, flags_read, flags_written, memory, stack, let, undefined, unpredictable,
                frozenset(effects.split()), ref, target, self._instruction_set, self._length, self._group,
            )
        )  # fmt: skip


def check_table(rows: Iterable[Row]) -> None:
    """Raise TableError if two rows share a name, overlap without being declared ordered, or a column is malformed.

    Also compiles every column, so that a misspelled field or expression is found here and not at a user's probe.
    """
    seen: list[Row] = []
    names: set[str] = set()
    for row in rows:
        if row.name in names:
            raise TableError(f"{row.name}: the name stands twice")
        names.add(row.name)
        for other in seen:
            if row.length != other.length or (row.value ^ other.value) & row.mask & other.mask:
                continue
            if not (row.group and row.group == other.group) and _share_a_word(row, other):
                raise TableError(f"{row.name}: overlaps {other.name}, and no ordered group declares it")
        compile_invalid(row)
        compile_usage(row)
        if row.target:
            compile_target(row)
        seen.append(row)


def _share_a_word(row: Row, other: Row) -> bool:
    """Whether two rows whose fixed bits agree share a word, given that `cond` is never 0b1111."""
    for one, two in ((row, other), (other, row)):
        if one.conditional and two.mask >> 28 == 15 and two.value >> 28 == 15:
            return False
    return True
