"""From a plan that armprobe carries out to the protocol that the checker judges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from armprobe.errors import Refused, UsageError
from armprobe.isa.branch import far_jump
from armprobe.isa.decoder import decode
from armprobe.patching.classify import Change
from armprobe.patching.plan import ClearTraps, MoveThreads, PatchPlan, SetTraps, Sync, Write
from armprobe.verification.patchmodel.vocabulary import (
    AT_SECOND,
    AT_SITE,
    CODE,
    CSE_ON_ALL,
    FIRST,
    IDLE,
    JUNK,
    SECOND,
    Action,
    Arm,
    Claim,
    Disarm,
    Free,
    Handler,
    Kind,
    Move,
    Operation,
    Promise,
    Protocol,
    Resume,
    Retry,
    Say,
    SetSlot,
    Stop,
    Store,
    WaitHandlers,
    WaitLeft,
    WaitStopped,
    copy,
    dispatch,
    hook,
    second_copy,
    stub_cell,
    stub_places,
    synchronize,
)

_WORD = 4
_LOAD_PC = int.from_bytes(far_jump(0)[:_WORD], "little")


@dataclass(frozen=True, slots=True)
class Stub:
    """Code of ours in [start, end): a slot and the places in it, or an island and where its second word leads."""

    start: int
    end: int
    written: bool
    entry: int | None = None
    copy: int | None = None
    second: int | None = None
    leads_to: int | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """A site before and after a plan.

    `stubs` are its slot, its island, and those that replace them. `hits` tells whether a pass hits before the plan and
    after it. `armed` is the number of the slot in the handler's table, `arms` the one that is entered before the plan
    is carried out, `frees` are given back when no thread is in them.
    """

    address: int
    original: bytes
    planted: bytes
    trap: int
    stubs: tuple[Stub, ...]
    hits: tuple[bool, bool]
    armed: int | None = None
    arms: int | None = None
    frees: tuple[int, ...] = ()


def protocol_of(plan: PatchPlan, situation: Situation, *, name: str, running: bool = False) -> Protocol:
    """What `plan` does to the site of `situation`; steps for other sites do not count.

    The target stands still, or, with `running`, cores run and each Sync is followed by a context synchronisation event
    on all of them. Raises Refused if they may not run, UsageError if the plan writes what the situation does not know.
    """
    if running and plan.classification.change is Change.STOP:
        raise Refused(f"{name} needs a stop: {plan.classification.rule}")
    before, after = (Promise.HIT if hits else Promise.NO_HIT for hits in situation.hits)
    operations: list[Operation] = [Say(before)]
    if before is not after:
        operations.append(Say(Promise.NOTHING))
    if not running:
        operations += [Stop(), WaitStopped()]
    steps = list(_operations(plan, situation, running=running))
    if situation.arms is not None:
        # A handler that runs meanwhile must find the new slot complete; one that runs later must find the entry.
        steps.insert(next((at for at, step in enumerate(steps) if _is_of_site(step)), len(steps)), Arm(situation.arms))
    operations += steps
    if not running:
        operations.append(Resume())
    memory = _words(situation.planted)
    final = list(memory)
    for operation in steps:
        if isinstance(operation, Store) and _is_of_site(operation):
            final[operation.cell] = operation.value
    operations += [Claim(cell, value) for cell, value in enumerate(final) if value != memory[cell]]
    operations.append(Say(after))
    if situation.frees:
        operations += _retire(situation, running=running)
    return Protocol(
        name,
        str(plan),
        tuple(operations),
        (*memory, *([0] * (2 - len(memory))), *(CODE if stub.written else JUNK for stub in situation.stubs)),
        _meaning(plan, situation),
        handler=Handler.DETOUR,
        armed=situation.armed,
        window=len(memory),
        slots=tuple(IDLE if stub.leads_to is None else _place(situation, stub.leads_to) for stub in situation.stubs),
    )


def emulated_protocol_of(plan: PatchPlan, situation: Situation, *, name: str) -> Protocol:
    """The same under an emulator whose threads run on (`Protocol.translates`, `armprobe.patching.live`).

    Nothing is promised but what holds before and after, nothing is claimed of when the change is seen, and no slot is
    given back.
    """
    before, after = (Promise.HIT if hits else Promise.NO_HIT for hits in situation.hits)
    whole = protocol_of(plan, situation, name=name)
    stores = tuple(step for step in whole.operations if isinstance(step, Store | SetSlot))
    promises = (Say(before),) if before is after else (Say(before), Say(Promise.NOTHING))
    return replace(whole, operations=(*promises, *stores), translates=True)


def _retire(situation: Situation, *, running: bool) -> Iterator[Operation]:
    """Give slots back. The handler's table keeps a trap that is gone, as a tombstone, until its slot is freed."""
    places = tuple(place for stub in situation.frees for place in stub_places(stub))
    if running:
        yield from (WaitHandlers(), WaitLeft(places))
    else:
        yield from (Stop(), WaitStopped(), Retry(places))
    if situation.arms is None:
        yield Disarm()
    for stub in situation.frees:
        yield Free(stub)
    if not running:
        yield Resume()


def _is_of_site(operation: Operation) -> bool:
    return isinstance(operation, Store) and operation.cell <= SECOND


def _words(code: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(code[at : at + _WORD], "little") for at in range(0, len(code), _WORD))


def _operations(plan: PatchPlan, situation: Situation, *, running: bool) -> Iterator[Operation]:
    """What each step of the plan does to the site and its slots."""
    address, end = situation.address, situation.address + len(situation.original)
    for step in plan.steps:
        match step:
            case Write(at, before, code, _) if before is None or not address <= at < end:
                yield from _new_code(situation, at, code)
            case Write(at, before, code, _):
                assert before is not None
                for cell, (old, new) in enumerate(zip(_words(before), _words(code), strict=True)):
                    if old != new:
                        yield Store(cell, new)
            case Sync(ranges):
                cells = [cell for cell, span in _cells(situation) if _touches(span, ranges)]
                yield from synchronize(*cells) if cells else ()
                yield from CSE_ON_ALL if cells and running else ()
            case MoveThreads(moves):
                for source, target in moves:
                    if address < source < end:
                        yield Move(AT_SECOND, _place(situation, target))
            case ClearTraps(addresses) if address in addresses:
                yield from _target_stores(_words(situation.original)[0])
            case SetTraps(addresses) if address in addresses:
                yield from _target_stores(situation.trap)


def _target_stores(word: int) -> Iterator[Operation]:
    """A trap that the target sets or clears by itself, with the maintenance that is its own duty."""
    yield Store(FIRST, word)
    yield from synchronize(FIRST)


def _new_code(situation: Situation, at: int, code: bytes) -> Iterator[Operation]:
    for number, stub in enumerate(situation.stubs):
        if stub.start <= at < stub.end:
            if _is_island(stub):
                yield SetSlot(_place(situation, _words(code)[1]), number)
            yield Store(stub_cell(number), CODE)


def _is_island(stub: Stub) -> bool:
    return stub.copy is None


def _cells(situation: Situation) -> Iterator[tuple[int, tuple[int, int]]]:
    """Every cell with the range of addresses it stands for."""
    for cell in range(len(situation.original) // _WORD):
        start = situation.address + _WORD * cell
        yield cell, (start, start + _WORD)
    for number, stub in enumerate(situation.stubs):
        yield stub_cell(number), (stub.start, stub.end)


def _touches(span: tuple[int, int], ranges: Sequence[tuple[int, int]]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in ranges)


def _place(situation: Situation, address: int) -> int:
    """The place that an address of code stands for."""
    for number, stub in enumerate(situation.stubs):
        places: dict[int | None, int] = {stub.second: second_copy(number), stub.copy: copy(number)}
        places |= {stub.start: dispatch(number)} if _is_island(stub) else {stub.entry: hook(number)}
        if address in places:
            return places[address]
    if address == situation.address:
        return AT_SITE
    raise UsageError(f"0x{address:08x} is neither the site nor a place in one of its slots")


def _meaning(plan: PatchPlan, situation: Situation) -> dict[int, Action]:
    """What the words do that stand at the site now or at any time during the plan."""
    words = {*_words(situation.planted), situation.trap}
    for step in plan.steps:
        if isinstance(step, Write) and step.address == situation.address:
            words.update(_words(step.after))
    meaning = {word: _action(situation, word) for word in words}
    originals = _words(situation.original)
    return meaning | {word: Action(Kind.ORIGINAL, index=index) for index, word in reversed([*enumerate(originals)])}


def _action(situation: Situation, word: int) -> Action:
    if word in _words(situation.original):
        return Action(Kind.ORIGINAL)
    if word == situation.trap:
        return Action(Kind.TRAP)
    if word == _LOAD_PC:
        return Action(Kind.LOAD_PC)
    if len(situation.original) > _WORD:
        return Action(Kind.ADDRESS, _place(situation, word))
    target = decode(word).target(situation.address)
    if target is None:
        raise UsageError(f"0x{word:08x} is neither the original, nor the trap, nor a branch")
    return Action(Kind.GOTO, _place(situation, target))
