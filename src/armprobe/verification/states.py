"""What the processor holds before a case of the sweep."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from armprobe.isa.insn import ALWAYS, Insn, condition_holds
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.rows import Row
from armprobe.verification.layout import DATA, REGION_SIZE, STACK, STOP, STOP_SIZE

SP, LR, PC = 13, 14, 15
USER, SUPERVISOR = 0x10, 0x13
CPSR_T = 0x20


@dataclass(frozen=True, slots=True)
class State:
    """What the processor holds before the instruction; `vector` is d0 to d31, 8 bytes each."""

    core: tuple[int, ...]
    cpsr: int
    vector: bytes
    fpscr: int


def choose_state(random: Random, row: Row, insn: Insn | None) -> State:
    """Choose the state an instruction starts in: one that shows what it does, where that is known beforehand."""
    core = [_value(random) for _ in range(15)]
    # Not quite in the middle, so that the two words nearest to it are not special.
    core[SP] = STACK + REGION_SIZE // 2 + 4 * random.randrange(-16, 16)
    if insn is not None and row.memory != "none":
        fields = insn.fields
        if "Rm" in row.free_fields and fields["Rm"] not in (SP, PC):
            core[fields["Rm"]] = _offset(random, fields)
        base = fields.get("Rn", PC)
        if base not in (SP, PC) and random.random() < 0.95:
            offset = 8 * random.randrange(-8, 8) if random.random() < 0.8 else random.randrange(-64, 64)
            core[base] = DATA + REGION_SIZE // 2 + offset
    if insn is not None and row.relocate == "compare_branch" and random.random() < 0.5:
        core[insn.fields["Rn"]] = 0
    privileged = bool(row.effects & {"privileged", "mode", "exception_return", "spsr"}) or random.random() < 0.2
    cpsr = random.getrandbits(5) << 27 | random.getrandbits(4) << 16 | (SUPERVISOR if privileged else USER)
    if row.instruction_set is InstructionSet.T32:
        cpsr |= CPSR_T
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
