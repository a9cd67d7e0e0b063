"""What an operation of a protocol does: to what all share, and to each core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from armprobe.isa.instruction_set import InstructionSet
from armprobe.verification.patchmodel import fetch, memory
from armprobe.verification.patchmodel.state import FINISHED, Core, Mode, Shared, Violation
from armprobe.verification.patchmodel.victim import cell_name, instruction_before
from armprobe.verification.patchmodel.vocabulary import (
    AT_SECOND,
    SECOND,
    Arm,
    Claim,
    Dc,
    Disarm,
    Dsb,
    Free,
    Ic,
    Ipi,
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
    WaitIpi,
    WaitLeft,
    WaitStopped,
    place_name,
)

#: the core after the operation, the rule it broke, or None: the operation cannot be done before this core moves
Effect = Callable[[Core], Core | Violation | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation and what it does.

    It waits until `ready`. `effect` is applied to every core; with `only_one`, to a single one, whichever. `enough`
    cores that are ready will do; None means all. `otherwise` takes the place of the step when a core is not ready.
    """

    text: str
    shared: Shared
    effect: Effect
    ready: bool = True
    only_one: bool = False
    enough: int | None = None
    otherwise: Step | None = None


def describe(operation: Operation, protocol: Protocol) -> str:
    """An operation as tables show it."""
    match operation:
        case Store(cell, value):
            return f"{cell_name(cell)} := {_content(cell, value, protocol)}"
        case Dc(cell):
            return f"DC {cell_name(cell)}"
        case Ic(cell, broadcast):
            return f"IC {cell_name(cell)}" + ("" if broadcast else ", one core only")
        case Dsb():
            return "DSB"
        case Stop():
            return "stop all cores"
        case WaitStopped(count):
            return "all have stopped" if count is None else f"{count} stopped"
        case Resume(synchronize):
            return "resume" + (" with a CSE" if synchronize else " without a CSE")
        case Ipi():
            return "ask all cores for a CSE"
        case WaitIpi():
            return "all had a CSE"
        case Move(source, target):
            return f"move PCs from {place_name(source)} to {place_name(target)}"
        case Retry(places):
            return f"is a PC at {_places(places)}? then again"
        case Arm():
            return "arm the table"
        case Disarm():
            return "disarm the table"
        case SetSlot(place, stub):
            return f"data slot{'' if stub == 0 else f' {stub}'} := {place_name(place)}"
        case WaitLeft(places):
            return f"no PC at {_places(places)}"
        case WaitHandlers():
            return "no core before its handler"
        case Free(stub):
            return "free the stub" if stub == 0 else f"free stub {stub}"
        case Say(promise):
            return f"promise: {promise.value}"
        case Claim(cell, value):
            return f"claim: all fetch {_content(cell, value, protocol)} from {cell_name(cell)}"


def _content(cell: int, value: int, protocol: Protocol) -> str:
    if cell > SECOND:
        return "its code"
    shown = f"{value:0{8 if protocol.isa is InstructionSet.A32 else 4}x}"
    action = protocol.meaning.get(value)
    return shown if action is None else f"{shown} ({action})"


def _places(places: tuple[int, ...]) -> str:
    return ", ".join(place_name(place) for place in places)


def step(protocol: Protocol, shared: Shared) -> Step | None:
    """The next operation; None at the end of the protocol."""
    if shared.at == len(protocol.operations):
        return None
    operation = protocol.operations[shared.at]
    next_ = shared._replace(at=shared.at + 1)
    text = describe(operation, protocol)
    match operation:
        case Store(cell, value):
            after = next_._replace(memory=memory.store(shared.memory, cell, value))
            return Step(text, after, _stored(protocol, shared, cell, value))
        case Dc(cell):
            return Step(text, next_._replace(memory=memory.begin_clean(shared.memory, cell)), _unchanged)
        case Ic(cell, broadcast):
            return Step(text, next_, _on_view(lambda view: memory.begin_invalidate(view, cell)), only_one=not broadcast)
        case Dsb():
            reached = _when(lambda core: not core.view.invalidating)
            return Step(text, next_, reached, ready=not shared.memory.cleaning)
        case Stop():
            return Step(text, next_._replace(stopping=True), _unchanged)
        case WaitStopped(count):
            return Step(text, next_, _when(_is_stopped), enough=count)
        case Resume(synchronize):
            return Step(text, next_._replace(stopping=False), _resumed(protocol, shared, synchronize=synchronize))
        case Ipi():
            return Step(text, next_, lambda core: core._replace(asked=True))
        case WaitIpi():
            return Step(text, next_, _when(lambda core: not core.asked))
        case Move(source, target):
            return Step(text, next_, lambda core: core._replace(place=target) if core.place == source else core)
        case Retry(places):
            again = _again(protocol, shared)
            return Step(text, next_, _when(lambda core: core.place not in places), otherwise=again)
        case Arm(stub):
            return Step(text, next_._replace(armed=stub), _unchanged)
        case Disarm():
            return Step(text, next_._replace(armed=None), _unchanged)
        case SetSlot(place, stub):
            slots = (*shared.slots[:stub], place, *shared.slots[stub + 1 :])
            return Step(text, next_._replace(slots=slots), _unchanged)
        case WaitLeft(places):
            return Step(text, next_, _when(lambda core: core.place not in places))
        case WaitHandlers():
            return Step(text, next_, _when(lambda core: core.mode not in (Mode.TRAPPED, Mode.STOPPED_IN_TRAP)))
        case Free(stub):
            return Step(text, next_._replace(freed=shared.freed | 1 << stub), _unchanged)
        case Say(promise):
            return Step(text, next_._replace(promise=promise), _promised(promise))
        case Claim(cell, value):
            return Step(text, next_, _claimed(cell, value))


def _unchanged(core: Core) -> Core:
    return core


def _when(ready: Callable[[Core], bool]) -> Effect:
    return lambda core: core if ready(core) else None


def _on_view(change: Callable[[memory.View], memory.View]) -> Effect:
    return lambda core: core._replace(view=change(core.view))


def _is_stopped(core: Core) -> bool:
    return core.mode in (Mode.STOPPED, Mode.STOPPED_IN_TRAP)


def _stored(protocol: Protocol, shared: Shared, cell: int, value: int) -> Effect:
    before = shared.memory.newest

    def effect(core: Core) -> Core | Violation:
        if before[cell] != value and instruction_before(protocol.isa, core, cell):
            if cell > SECOND:
                return Violation("I1", f"is in {cell_name(cell)} while its code is stored")
            problem = None if protocol.translates else fetch.stored_under(protocol.isa, before, cell, value)
            if problem is not None:
                return problem
        if protocol.translates and cell > SECOND:
            return core._replace(view=memory.see_translations_go(core.view, cell, value))
        return core._replace(view=memory.see_store(core.view, cell, value))

    return effect


def _resumed(protocol: Protocol, shared: Shared, *, synchronize: bool) -> Effect:
    second = protocol.meaning.get(shared.memory.newest[SECOND]) if protocol.window > 1 else None
    rewritten = protocol.window > 1 and (second is None or second.kind is not Kind.ORIGINAL)

    def effect(core: Core) -> Core | Violation:
        if not _is_stopped(core):
            return core
        if rewritten and core.place == AT_SECOND:
            return Violation("I6", "goes on inside a window that was rewritten: it would execute an address as code")
        view = memory.context_synchronized(core.view) if synchronize else core.view
        return core._replace(mode=Mode.RUN if core.mode is Mode.STOPPED else Mode.TRAPPED, view=view)

    return effect


def _again(protocol: Protocol, shared: Shared) -> Step:
    """Resume all, and go back to the request to stop them."""
    stops = (number for number in range(shared.at) if isinstance(protocol.operations[number], Stop))
    stop = max(stops, default=shared.at)
    resumed = shared._replace(at=stop, stopping=False)
    return Step("a PC is there: resume, and stop again", resumed, _resumed(protocol, shared, synchronize=True))


def _promised(promise: Promise) -> Effect:
    """A pass that began under another promise is not held to it any more."""
    return lambda core: core if core.promise is promise else core._replace(promise=Promise.NOTHING)


def _claimed(cell: int, value: int) -> Effect:
    def effect(core: Core) -> Core | Violation:
        if core.view.queued[cell] != {value}:
            return Violation("I8", f"may still fetch something else from {cell_name(cell)}")
        return core

    return effect


def apply(effect: Effect, core: Core) -> Core | Violation | None:
    """Apply an effect; a core that has finished is always ready and never changes."""
    return core if core is FINISHED else effect(core)
