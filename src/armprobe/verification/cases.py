"""Cases of the relocation sweep, generated from the production tables: instructions and a processor state.

Every case follows from (seed, number) and a table alone. Case number n takes the rows in turn; within a row the
conditions and the cells (one register operand that must be of one class) take turns, and all else is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import lcm
from random import Random

from armprobe.errors import Refused
from armprobe.isa import itstate
from armprobe.isa.decoder import decode, table
from armprobe.isa.insn import ALWAYS, Insn
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.rows import Row
from armprobe.verification.blocks import Place, block_after_it, choose_place, fill
from armprobe.verification.layout import FIRST_SLOT, SLOT_SIZES, slots
from armprobe.verification.states import LR, PC, SP, State, choose_state

#: classes of a register operand: r0 to r12, the three special ones, equal to another operand of the same word
CLASSES = ("low", "sp", "lr", "pc", "same")
#: classes of a register list: what it contains, or how long it is
LIST_CLASSES = ("any", "sp", "lr", "pc", "base", "one", "many")
#: rows whose operands may be PC come up more often: there relocation has work to do
_WEIGHTS = {
    "operands": 4, "store_pc": 6, "branch": 4, "call": 4, "exchange": 4, "call_register": 4,
    "literal": 4, "address": 4, "table_branch": 6, "compare_branch": 4, "it": 16,
}  # fmt: skip
#: after these Unicorn 2.1.4 goes on as if there were no IT block
_END_A_BLOCK = frozenset({"ISB_T1"})
#: words to try for a case; most operands of T32 can't be SP or PC, where more would find nothing either
_ATTEMPTS = {InstructionSet.A32: 50, InstructionSet.T32: 20}


@dataclass(frozen=True, slots=True)
class Cell:
    """A register operand (the name of its field) and the class it is to be of."""

    field: str
    kind: str


@dataclass(frozen=True, slots=True)
class Case:
    """Instructions from `address` on, and the state they start in.

    `insn` is the one in question, None when no valid word was found; in an IT block others stand around it in `insns`.
    The probe stands at `insns[site]`; without it, the instructions before change nothing.
    """

    seed: int
    number: int
    row: Row
    cond: int
    cell: Cell | None
    insn: Insn | None
    address: int
    state: State
    insns: tuple[Insn, ...] = ()
    site: int = 0

    @property
    def code(self) -> bytes:
        """The instructions as they lie in memory."""
        return b"".join(insn.code for insn in self.insns)

    def ends_at(self, pc: int) -> bool:
        """Whether PC is after the instructions, or where `bx pc` at their end leads to."""
        return pc - self.end in (0, self.end & 2)

    @property
    def end(self) -> int:
        """The address after the instructions."""
        return self.address + len(self.code)

    @property
    def places(self) -> list[int]:
        """The addresses of the instructions."""
        return [self.address + sum(insn.length for insn in self.insns[:number]) for number in range(len(self.insns))]

    @property
    def site_address(self) -> int:
        """Where the probe stands."""
        return self.places[self.site]

    @property
    def slot(self) -> int:
        """The number of its place among those of other cases."""
        return self.number % slots(self.row.instruction_set)


def make_case(seed: int, number: int, instruction_set: InstructionSet = InstructionSet.A32) -> Case:
    """Return case `number` of the sequence that `seed` starts."""
    random = _random(seed, number)
    rotation = _rotation(instruction_set)
    turn, place = divmod(number, len(rotation))
    row, index, weight = rotation[place]
    turn = turn * weight + index
    conditions = conditions_of(row)
    # Conditions and cells go round at different speeds, so that in time each meets each.
    shift = lcm(len(conditions), len(cells(row))) if instruction_set is InstructionSet.T32 else len(conditions)
    cell = cells(row)[(turn // shift + turn % shift) % len(cells(row))]
    cond = conditions[turn % len(conditions)]
    insn, insns, site = _find_word(random, row, cond, cell)
    state = choose_state(random, row, insn)
    return Case(seed, number, row, cond, cell, insn, _slot(number, instruction_set), state, insns, site)


def case_of(insn: Insn, number: int) -> Case:
    """Return a case of a given instruction; `number` chooses its place and state."""
    return case_of_run((insn,), number)


def case_of_run(insns: tuple[Insn, ...], number: int, *, site: int = 0) -> Case:
    """Return a case of given instructions with the probe at one of them; `number` chooses their place and state."""
    insn = insns[site]
    state = choose_state(_random(0, number), insn.row, insn)
    address = _slot(number, insn.instruction_set)
    return Case(0, number, insn.row, insn.cond, None, insn, address, state, insns, site)


def conditions_of(row: Row) -> tuple[int, ...]:
    """The conditions that cases of a row are of: those of its encoding, or in T32 of an IT block."""
    if row.instruction_set is InstructionSet.A32:
        return tuple(range(15)) if row.conditional else (ALWAYS,)
    if row.relocate == "it" or "in_it" in [reason.strip() for reason in row.unpredictable.split(";")]:
        return tuple(range(14)) if "cond" in row.fields else (ALWAYS,)
    return tuple(range(15))


def _random(seed: int, number: int) -> Random:
    """One generator a case, seeded from both numbers, so that any case can be made without those before it."""
    return Random(number << 32 | seed)  # noqa: S311  reproducible on purpose


def _slot(number: int, instruction_set: InstructionSet) -> int:
    return FIRST_SLOT + number % slots(instruction_set) * SLOT_SIZES[instruction_set]


@cache
def _rotation(instruction_set: InstructionSet) -> tuple[tuple[Row, int, int], ...]:
    """Rows in the order they are taken, each as often as its weight says: (row, which of how many)."""
    weights = [(row, _WEIGHTS.get(row.relocate, 1)) for row in table(instruction_set)]
    return tuple((row, index, weight) for row, weight in weights for index in range(weight))


def _named(name: str) -> Row:
    return next(row for one in InstructionSet for row in table(one) if row.name == name)


@cache
def _register_fields(name: str) -> tuple[str, ...]:
    """The operands that may be any register; `D:Rd` is one whose number is in two fields."""
    found = []
    fields = _named(name).free_fields
    for field, (_, mask) in fields.items():
        if field.startswith("R") and mask == 15:
            found.append(field)
        elif field.startswith("R") and mask == 7:
            found += [f"{upper}:{field}" for upper in ("D", "DN", "N") if upper in fields]
    return tuple(found)


@cache
def _cells(name: str) -> tuple[Cell | None, ...]:
    fields = _register_fields(name)
    found: list[Cell | None] = [
        Cell(field, kind) for field in fields for kind in CLASSES if kind != "same" or len(fields) > 1
    ]
    registers = _named(name).free_fields.get("registers")
    if registers is not None:
        kinds = LIST_CLASSES if registers[1] > 0xFF else ("any", "base", "one", "many")
        found += [Cell("registers", kind) for kind in kinds]
    return tuple(found) or (None,)


def cells(row: Row) -> tuple[Cell | None, ...]:
    """The cells of a row; (None,) if no operand of it is a core register."""
    return _cells(row.name)


def _find_word(random: Random, row: Row, cond: int, cell: Cell | None) -> tuple[Insn | None, tuple[Insn, ...], int]:
    """The instruction, those around it with itself, and at which of them the probe stands."""
    t32 = row.instruction_set is InstructionSet.T32
    for _ in range(_ATTEMPTS[row.instruction_set]):
        place = Place()
        if t32 and len(conditions_of(row)) == 15:
            place = choose_place(random, cond, last=row.name in _END_A_BLOCK)
        word = row.encode(**_field_values(random, row, cond, cell))
        try:
            insn = decode.__wrapped__(word, row.instruction_set, it=place.state)
        except Refused:
            continue
        if insn.row is not row:
            continue
        if row.relocate == "it":
            return insn, _decode_block(block_after_it(random, word)), 0
        if place.conditions:
            return insn, _decode_block(fill(random, place, word)), 0 if place.from_it else place.position + 1
        return insn, (insn,), 0
    return None, (), 0


def _decode_block(words: Sequence[int]) -> tuple[Insn, ...]:
    insns = [decode(words[0], InstructionSet.T32)]
    state = words[0] & 0xFF
    for word in words[1:]:
        insns.append(decode(word, InstructionSet.T32, it=state))
        state = itstate.advance(state)
    return tuple(insns)


def _field_values(random: Random, row: Row, cond: int, cell: Cell | None) -> dict[str, int]:
    values: dict[str, int] = {}
    registers = _register_fields(row.name)
    for name, (_, mask) in row.free_fields.items():
        if name == "cond":
            values[name] = cond
        elif name in registers:
            values[name] = _register(random)
        elif name == "registers":
            values[name] = random.getrandbits(16) & (random.getrandbits(16) | random.getrandbits(16)) & mask
        elif mask > 7:
            values[name] = random.choice(
                (random.randint(0, mask), random.randint(0, mask), random.randrange(8), 0, mask)
            )
        else:
            values[name] = random.randint(0, mask)
    for name in registers:
        if ":" in name:
            _put(values, name, _register(random))
    if row.instruction_set is InstructionSet.T32 and {"Rn", "Rm"} <= set(registers) and random.random() < 0.3:
        values["Rn"] = values["Rm"]  # CLZ, RBIT and REV name their operand twice
    if row.memory != "none" and "imm5" in values and random.random() < 0.7:
        values["imm5"] = random.randrange(4)  # a larger shift leads out of mapped memory
    if cell is not None:
        _apply(random, row, cell, values)
    return values


def _register(random: Random) -> int:
    """Mostly a low register; the special ones often enough to meet each other."""
    return random.choice((SP, LR, PC)) if random.random() < 0.2 else random.randrange(13)


def _put(values: dict[str, int], name: str, register: int) -> None:
    upper, _, lower = name.rpartition(":")
    if upper:
        values[upper] = register >> 3
        register &= 7
    values[lower] = register


def _get(values: dict[str, int], name: str) -> int:
    upper, _, lower = name.rpartition(":")
    return values[lower] | (values[upper] << 3 if upper else 0)


def _apply(random: Random, row: Row, cell: Cell, values: dict[str, int]) -> None:
    registers = _register_fields(row.name)
    if cell.field != "registers":
        others = [_get(values, name) for name in registers if name != cell.field]
        fixed = {"low": random.randrange(13), "sp": SP, "lr": LR, "pc": PC}
        _put(values, cell.field, random.choice(others) if cell.kind == "same" else fixed[cell.kind])
        return
    listed, mask = values["registers"], row.fields["registers"][1]
    many = (random.getrandbits(16) | random.getrandbits(16)) & 0xFFFF
    values["registers"] = {
        "any": listed,
        "sp": listed | 1 << SP,
        "lr": listed | 1 << LR,
        "pc": listed | 1 << PC,
        "base": listed | 1 << values.get("Rn", 0),
        "one": 1 << random.randrange(16),
        "many": many,
    }[cell.kind] & mask
