"""Any two instructions: the protocols to replace one by the other, and what goes wrong without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from armprobe.isa.instruction_set import InstructionSet, is_wide
from armprobe.patching.classify import Change, classify
from armprobe.verification.patchmodel.vocabulary import (
    CSE_ON_ALL,
    Action,
    Arm,
    Claim,
    Disarm,
    Kind,
    Operation,
    Promise,
    Protocol,
    Resume,
    Say,
    Stop,
    Store,
    WaitHandlers,
    WaitStopped,
    synchronize,
)

#: a trap: mask and value of BKPT and UDF in A32, and of their 16-bit encodings and UDF.W in T32
_TRAPS = {
    InstructionSet.A32: ((0xFFF000F0, 0xE1200070), (0x0FF000F0, 0x07F000F0)),
    InstructionSet.T32: ((0xFFFFFF00, 0xBE00), (0xFFFFFF00, 0xDE00), (0xFFF0F000, 0xF7F0A000)),
}


class Setting(Enum):
    """Who replaces the instruction, and where."""

    DEBUGGER = "all-stop debugger"
    RUNNING = "running, several processors"
    SINGLE = "one processor"


def is_trap(instruction: int, isa: InstructionSet) -> bool:
    """Whether an instruction is BKPT or UDF; T32 ones of 32 bits as 0xhw1_hw2."""
    return any(instruction & mask == value for mask, value in _TRAPS[isa])


def units(code: bytes, isa: InstructionSet) -> tuple[int, ...]:
    """Words of A32 or halfwords of T32, from bytes in memory order."""
    size = 4 if isa is InstructionSet.A32 else 2
    return tuple(int.from_bytes(code[at : at + size], "little") for at in range(0, len(code), size))


def first_instruction(code: bytes, isa: InstructionSet) -> int:
    """The first instruction of `code`, T32 ones of 32 bits as 0xhw1_hw2."""
    found = units(code, isa)
    return found[0] << 16 | found[1] if isa is InstructionSet.T32 and is_wide(found[0]) else found[0]


def safe(old: bytes, new: bytes, *, isa: InstructionSet, setting: Setting) -> Protocol:
    """The cheapest protocol that is safe in the setting: live where the architecture allows it and it is cheaper."""
    verdict = classify(old, new, isa=isa)
    live = verdict.change is not Change.STOP and setting is Setting.RUNNING
    stores = _stores(old, new, isa)
    cells = tuple(store.cell for store in stores)
    if live:
        body: tuple[Operation, ...] = (*stores, *synchronize(*cells), *CSE_ON_ALL)
    else:
        body = (Stop(), WaitStopped(), *stores, *synchronize(*cells), Resume())
    claims = tuple(Claim(store.cell, store.value) for store in stores)
    return _protocol(f"{setting.value}: {verdict.change.name}", old, new, isa, (*body, *claims))


def unsafe(old: bytes, new: bytes, *, isa: InstructionSet) -> Protocol:
    """What is tempting and wrong: to replace it live all the same, or to rely on the new one without a CSE."""
    verdict = classify(old, new, isa=isa)
    stores = _stores(old, new, isa)
    maintenance = synchronize(*(store.cell for store in stores))
    if verdict.change is Change.STOP:
        return _protocol(
            "replaced live, with all maintenance and a CSE everywhere", old, new, isa,
            (*stores, *maintenance, *CSE_ON_ALL),
        )  # fmt: skip
    return _protocol(
        "replaced live, relied on before every processor had a CSE", old, new, isa, (*stores, *maintenance)
    )


def _stores(old: bytes, new: bytes, isa: InstructionSet) -> tuple[Store, ...]:
    pairs = zip(units(old, isa), units(new, isa), strict=True)
    return tuple(Store(cell, after) for cell, (before, after) in enumerate(pairs) if before != after)


def _protocol(name: str, old: bytes, new: bytes, isa: InstructionSet, body: Sequence[Operation]) -> Protocol:
    """Frame `body` by what a trap needs: it is in the handler's table as long as a core may take it.

    A trap counts as a hit, and so does a new instruction that takes the place of one that is no trap.
    """
    first, second = first_instruction(old, isa), first_instruction(new, isa)
    from_trap, to_trap = is_trap(first, isa), is_trap(second, isa)
    operations: list[Operation] = [Arm()] if to_trap and not from_trap else []
    operations += body
    if not (from_trap and to_trap):
        operations.append(Say(Promise.NO_HIT if from_trap else Promise.HIT))
    if from_trap and not to_trap:
        operations += [WaitHandlers(), Disarm()]
    kind = Kind.ORIGINAL if from_trap else Kind.REPLACEMENT
    meaning: Mapping[int, Action] = {
        second: Action(Kind.TRAP if to_trap else kind),
        first: Action(Kind.TRAP if from_trap else Kind.ORIGINAL),
    }
    memory = units(old, isa)
    return Protocol(
        name, "", tuple(operations), (*memory, *([0] * (2 - len(memory)))), meaning, isa,
        armed=0 if from_trap else None,
    )  # fmt: skip
