"""What a core can do next, of itself: begin a pass, execute, handle a trap, stop, take an interrupt."""

from __future__ import annotations

from collections.abc import Iterator

from armprobe.isa.instruction_set import InstructionSet
from armprobe.verification.patchmodel import fetch, memory
from armprobe.verification.patchmodel.state import FINISHED, Core, Mode, Shared, Violation
from armprobe.verification.patchmodel.vocabulary import (
    AT_SECOND,
    AT_SITE,
    CODE,
    FIRST,
    IDLE,
    SECOND,
    Action,
    Handler,
    Kind,
    Promise,
    Protocol,
    copy,
    hook,
    place_name,
    second_copy,
    stub_cell,
    stub_of,
)

#: what happened, and the core after it or the rule it broke
Step = tuple[str, Core | Violation]


def steps(protocol: Protocol, shared: Shared, core: Core) -> Iterator[Step]:
    """Every step that `core` may take now. A step changes nothing but this core."""
    if core is FINISHED:
        return
    for cell, view in memory.invalidated(core.view, shared.memory):
        yield f"IC of {cell_name(cell)} reaches it", core._replace(view=view)
    if core.mode is Mode.STOPPED or core.mode is Mode.STOPPED_IN_TRAP:
        return
    trapped = core.mode is Mode.TRAPPED
    if not trapped or protocol.stop_in_handler:
        if core.asked:
            yield "takes the interrupt: CSE", _synchronized(core)._replace(asked=False)
        if shared.stopping:
            where = "before the handler" if trapped else f"at {place_name(core.place)}"
            yield f"stops {where}", core._replace(mode=Mode.STOPPED_IN_TRAP if trapped else Mode.STOPPED)
    if trapped:
        yield _handle(protocol, shared, core)
    elif core.place == IDLE:
        yield (
            f"comes to the site{_expecting(shared.promise)}",
            core._replace(place=AT_SITE, executed=0, hits=0, promise=shared.promise),
        )
    elif stub_of(core.place) is not None:
        yield _in_stub(protocol, shared, core)
    else:
        yield from _at_site(protocol, shared, core)


def cell_name(cell: int) -> str:
    """A cell as tables show it."""
    if cell < stub_cell(0):
        return ("the site", "the second unit")[cell]
    stub = cell - stub_cell(0)
    return "the stub" if stub == 0 else f"stub {stub}"


def _expecting(promise: Promise) -> str:
    return "" if promise is Promise.NOTHING else f" (promised: {promise.value})"


def _synchronized(core: Core) -> Core:
    return core._replace(view=memory.context_synchronized(core.view))


def _at_site(protocol: Protocol, shared: Shared, core: Core) -> Iterator[Step]:
    units = core.view.queued
    found: tuple[int, ...] | Violation
    if protocol.translates:
        found = tuple(sorted(units[SECOND if core.place == AT_SECOND else FIRST]))
    elif core.place == AT_SECOND:
        found = fetch.fetched_a32(units[SECOND])
    else:
        found = fetch.at_site(protocol.isa, units)
    if isinstance(found, Violation):
        yield "fetches", found
        return
    for instruction in found:
        shown = fetch.show(instruction, protocol.isa)
        action = protocol.meaning.get(instruction)
        if action is None:
            yield f"fetches {shown}", Violation("I7", f"executes {shown}, which nobody wrote")
        else:
            label, after = _execute(protocol, shared, core, action)
            yield f"fetches {shown}: {label}", after


def _execute(protocol: Protocol, shared: Shared, core: Core, action: Action) -> Step:
    match action.kind:
        case Kind.ORIGINAL:
            return _original(protocol, core, action.index, in_stub=None)
        case Kind.REPLACEMENT:
            done = core._replace(executed=core.executed + 1, hits=core.hits + 1)
            return "the new instruction", _end(protocol, done)
        case Kind.TRAP:
            return "trap", _synchronized(core)._replace(mode=Mode.TRAPPED)
        case Kind.GOTO:
            return str(action), _go(core, action.place)
        case Kind.LOAD_PC:
            address = protocol.meaning.get(shared.memory.newest[SECOND])
            if address is None or address.kind is not Kind.ADDRESS:
                return "loads PC", Violation("I7", "loads PC from a word that is no address")
            return f"loads PC: {place_name(address.place)}", _go(core, address.place)
        case Kind.ADDRESS:
            return "no instruction", Violation("I7", "executes the address of a stub as an instruction")


def _go(core: Core, place: int) -> Core:
    return core._replace(place=place)


def _original(protocol: Protocol, core: Core, index: int, *, in_stub: int | None) -> Step:
    """Execute the program's own instruction `index`, at its place or as a copy in a stub."""
    label = ("the instruction", "the second instruction")[index]
    if core.executed != index:
        return label, Violation("I2", f"executes {label} when {core.executed} of {protocol.window} were executed")
    done = core._replace(executed=index + 1)
    if index + 1 == protocol.window:
        return label, _end(protocol, done)
    return label, _go(done, AT_SECOND if in_stub is None else second_copy(in_stub))


def _in_stub(protocol: Protocol, shared: Shared, core: Core) -> Step:
    stub = stub_of(core.place)
    assert stub is not None
    if shared.freed >> stub & 1:
        return f"executes {place_name(core.place)}", Violation("I4", "executes a stub that was freed")
    if core.view.queued[stub_cell(stub)] != {CODE}:
        return f"executes {place_name(core.place)}", Violation("I1", "fetches what was in the stub before its code")
    if core.place == hook(stub):
        if core.hits:
            return "the hook", Violation("I3", "hits twice in one pass")
        return "the hook: a hit", _go(core, copy(stub))._replace(hits=1)
    if core.place == copy(stub):
        return _original(protocol, core, 0, in_stub=stub)
    if core.place == second_copy(stub):
        return _original(protocol, core, 1, in_stub=stub)
    place = shared.slots[stub]
    return f"loads PC from the slot: {place_name(place)}", _go(core, place)


def _handle(protocol: Protocol, shared: Shared, core: Core) -> Step:
    """The trap handler, from entry to return."""
    newest = fetch.newest_instruction(protocol.isa, shared.memory.newest)
    action = protocol.meaning.get(newest)
    trap_in_memory = action is not None and action.kind is Kind.TRAP
    if protocol.handler is Handler.REREAD and not trap_in_memory:
        return "handler reads the site", Violation("I5", f"finds {fetch.show(newest, protocol.isa)} instead of a trap")
    back = _synchronized(core)._replace(mode=Mode.RUN)
    if shared.armed is None:
        if trap_in_memory:
            return "handler", Violation("I5", "finds no probe for a trap, which stays unclaimed")
        return "handler finds no trap any more: again", back
    if protocol.handler is Handler.DETOUR:
        return "handler goes on in the stub", _go(back, hook(shared.armed))
    if core.hits:
        return "handler", Violation("I3", "hits twice in one pass")
    label, after = _original(protocol, back._replace(hits=1), 0, in_stub=None)
    return f"handler counts a hit and executes {label}", after


def _end(protocol: Protocol, core: Core) -> Core | Violation:
    """Judge the pass that ends here."""
    if core.executed != protocol.window:
        return Violation("I2", f"leaves the site with {core.executed} of {protocol.window} instructions executed")
    if core.promise is Promise.HIT and not core.hits:
        return Violation("I3", "passes without a hit, though every pass was promised to hit")
    if core.promise is Promise.NO_HIT and core.hits:
        return Violation("I3", "hits, though no pass was promised to hit")
    if core.passes == 1:
        return FINISHED
    return core._replace(place=IDLE, executed=0, hits=0, promise=Promise.NOTHING, passes=core.passes - 1)


def instruction_before(isa: InstructionSet, core: Core, cell: int) -> bool:
    """Whether a store to `cell` may change the instruction that `core` is about to execute."""
    if core.mode is not Mode.RUN:
        return False
    stub = stub_of(core.place)
    if stub is not None:
        return cell == stub_cell(stub)
    if core.place == AT_SITE:
        return cell == 0 or (cell == SECOND and isa is InstructionSet.T32)
    return core.place == AT_SECOND and cell == SECOND
