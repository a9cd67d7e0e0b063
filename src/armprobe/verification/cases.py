"""Cases of the relocation sweep, generated from the production table: an instruction word and a processor state.

Every case follows from (seed, number) and the table alone. Case number n takes the rows in turn; within a row the
conditions and the cells (one register operand that must be of one class) take turns, and all else is random.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from armprobe.errors import Refused
from armprobe.isa.decoder import decode, table
from armprobe.isa.insn import ALWAYS, Insn, condition_holds
from armprobe.isa.rows import Row
from armprobe.verification.layout import DATA, FIRST_SLOT, REGION_SIZE, SLOT_SIZE, SLOTS, STACK, STOP, STOP_SIZE

SP, LR, PC = 13, 14, 15
USER, SUPERVISOR = 0x10, 0x13
#: classes of a register operand: r0 to r12, the three special ones, equal to another operand of the same word
CLASSES = ("low", "sp", "lr", "pc", "same")
#: classes of a register list: what it contains, or how long it is
LIST_CLASSES = ("any", "sp", "lr", "pc", "base", "one", "many")
#: rows whose operands may be PC come up more often: there relocation has work to do
_WEIGHTS = {"operands": 4, "store_pc": 6, "branch": 4, "call": 4, "exchange": 4, "call_register": 4}
_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Cell:
    """A register operand (the name of its field) and the class it is to be of."""

    field: str
    kind: str


@dataclass(frozen=True, slots=True)
class State:
    """What the processor holds before the instruction; `vector` is d0 to d31, 8 bytes each."""

    core: tuple[int, ...]
    cpsr: int
    vector: bytes
    fpscr: int


@dataclass(frozen=True, slots=True)
class Case:
    """One instruction at `address` and the state it starts in; `insn` is None when no valid word was found."""

    seed: int
    number: int
    row: Row
    cond: int
    cell: Cell | None
    insn: Insn | None
    address: int
    state: State


def make_case(seed: int, number: int) -> Case:
    """Return case `number` of the sequence that `seed` starts."""
    random = _random(seed, number)
    turn, place = divmod(number, len(_rotation()))
    row, index, weight = _rotation()[place]
    turn = turn * weight + index
    conditions = 15 if row.conditional else 1
    # Conditions and cells go round at different speeds, so that in time each meets each.
    cell = cells(row)[(turn // conditions + turn % conditions) % len(cells(row))]
    cond = turn % conditions if row.conditional else ALWAYS
    insn = _find_word(random, row, cond, cell)
    return Case(seed, number, row, cond, cell, insn, _slot(number), _state(random, row, insn))


def case_of(insn: Insn, number: int) -> Case:
    """Return a case of a given instruction; `number` chooses its place and state."""
    state = _state(_random(0, number), insn.row, insn)
    return Case(0, number, insn.row, insn.cond, None, insn, _slot(number), state)


def _random(seed: int, number: int) -> Random:
    """One generator a case, seeded from both numbers, so that any case can be made without those before it."""
    return Random(number << 32 | seed)  # noqa: S311  reproducible on purpose


def _slot(number: int) -> int:
    return FIRST_SLOT + number % SLOTS * SLOT_SIZE


@cache
def _rotation() -> tuple[tuple[Row, int, int], ...]:
    """Rows in the order they are taken, each as often as its weight says: (row, which of how many)."""
    weights = [(row, _WEIGHTS.get(row.relocate, 1)) for row in table()]
    return tuple((row, index, weight) for row, weight in weights for index in range(weight))


@cache
def _register_fields(name: str) -> tuple[str, ...]:
    row = next(row for row in table() if row.name == name)
    return tuple(field for field, (_, mask) in row.free_fields.items() if field.startswith("R") and mask == 15)


@cache
def _cells(name: str) -> tuple[Cell | None, ...]:
    fields = _register_fields(name)
    found: list[Cell | None] = [
        Cell(field, kind) for field in fields for kind in CLASSES if kind != "same" or len(fields) > 1
    ]
    row = next(row for row in table() if row.name == name)
    if "registers" in row.free_fields:
        found += [Cell("registers", kind) for kind in LIST_CLASSES]
    return tuple(found) or (None,)


def cells(row: Row) -> tuple[Cell | None, ...]:
    """The cells of a row; (None,) if no operand of it is a core register."""
    return _cells(row.name)


def _find_word(random: Random, row: Row, cond: int, cell: Cell | None) -> Insn | None:
    for _ in range(_ATTEMPTS):
        word = row.encode(**_field_values(random, row, cond, cell))
        try:
            insn = decode.__wrapped__(word)
        except Refused:
            continue
        if insn.row is row:
            return insn
    return None


def _field_values(random: Random, row: Row, cond: int, cell: Cell | None) -> dict[str, int]:
    values: dict[str, int] = {}
    registers = _register_fields(row.name)
    for name, (_, mask) in row.free_fields.items():
        if name == "cond":
            values[name] = cond
        elif name in registers:
            # Mostly low registers; the special ones often enough to meet each other.
            values[name] = random.choice((SP, LR, PC)) if random.random() < 0.2 else random.randrange(13)
        elif name == "registers":
            values[name] = random.getrandbits(16) & (random.getrandbits(16) | random.getrandbits(16)) & mask
        elif mask > 7:
            values[name] = random.choice(
                (random.randint(0, mask), random.randint(0, mask), random.randrange(8), 0, mask)
            )
        else:
            values[name] = random.randint(0, mask)
    if row.memory != "none" and "imm5" in values and random.random() < 0.7:
        values["imm5"] = random.randrange(4)  # a larger shift leads out of mapped memory
    if cell is not None:
        _apply(random, cell, values, registers)
    return values


def _apply(random: Random, cell: Cell, values: dict[str, int], registers: tuple[str, ...]) -> None:
    if cell.field != "registers":
        others = [values[name] for name in registers if name != cell.field]
        fixed = {"low": random.randrange(13), "sp": SP, "lr": LR, "pc": PC}
        values[cell.field] = random.choice(others) if cell.kind == "same" else fixed[cell.kind]
        return
    listed = values["registers"]
    many = (random.getrandbits(16) | random.getrandbits(16)) & 0xFFFF
    values["registers"] = {
        "any": listed,
        "sp": listed | 1 << SP,
        "lr": listed | 1 << LR,
        "pc": listed | 1 << PC,
        "base": listed | 1 << values.get("Rn", 0),
        "one": 1 << random.randrange(16),
        "many": many,
    }[cell.kind] & (0xFFFF if values["registers"] <= 0xFFFF else 0)


def _state(random: Random, row: Row, insn: Insn | None) -> State:
    core = [_value(random) for _ in range(15)]
    # Not quite in the middle, so that the two words nearest to it are not special.
    core[SP] = STACK + REGION_SIZE // 2 + 4 * random.randrange(-16, 16)
    if insn is not None and row.memory != "none":
        fields = insn.fields
        for name in _register_fields(row.name):
            if name == "Rm" and fields[name] not in (SP, PC):
                core[fields[name]] = _offset(random, fields)
        base = fields.get("Rn", PC)
        if base not in (SP, PC) and random.random() < 0.95:
            offset = 8 * random.randrange(-8, 8) if random.random() < 0.8 else random.randrange(-64, 64)
            core[base] = DATA + REGION_SIZE // 2 + offset
    privileged = bool(row.effects & {"privileged", "mode", "exception_return", "spsr"}) or random.random() < 0.2
    cpsr = random.getrandbits(5) << 27 | random.getrandbits(4) << 16 | (SUPERVISOR if privileged else USER)
    cond = insn.cond if insn is not None else ALWAYS
    if not condition_holds(cond, cpsr) and random.random() < 0.8:
        # Not one more test of "nothing happens": make the condition true.
        cpsr = next(cpsr & 0x0FFFFFFF | flags << 28 for flags in _flags(random) if condition_holds(cond, flags << 28))
    return State(tuple(core), cpsr, random.randbytes(256), random.getrandbits(32) & 0xF7C0009F)


def _offset(random: Random, fields: dict[str, int]) -> int:
    """A small offset in a register; from PC downwards one that does not reach the instruction itself."""
    if fields.get("Rn") == PC and not fields.get("U", 1):
        return 0 if fields.get("type", 0) else 64 * random.randrange(1, 16)
    return random.choice((1, 4, 8)) * random.randrange(64)


def _flags(random: Random) -> list[int]:
    flags = list(range(16))
    random.shuffle(flags)
    return flags


def _value(random: Random) -> int:
    kind = random.randrange(8)
    if kind < 3:
        return random.getrandbits(32)
    if kind < 5:
        return STOP + 4 * random.randrange(STOP_SIZE // 4) + random.choice((0, 0, 1, 3))
    if kind < 6:
        return random.randrange(64)
    if kind < 7:
        return DATA + REGION_SIZE // 2 + random.randrange(-64, 64)
    return random.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
