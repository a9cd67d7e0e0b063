"""A protocol as instructions to people: numbered steps with the barriers of the setting it is for."""

from __future__ import annotations

from armprobe.isa.instruction_set import InstructionSet
from armprobe.verification.patchmodel.pair import Setting
from armprobe.verification.patchmodel.vocabulary import (
    Arm,
    Claim,
    Dc,
    Disarm,
    Dsb,
    Ic,
    Ipi,
    Operation,
    Protocol,
    Resume,
    Say,
    Stop,
    Store,
    WaitHandlers,
    WaitIpi,
    WaitStopped,
)

_STOP = {
    Setting.DEBUGGER: "stop every thread, and wait until all have stopped",
    Setting.RUNNING: "stop every other processor, interrupts off; the last to arrive goes on with the next step",
    Setting.SINGLE: "mask interrupts",
}
_RESUME = {
    Setting.DEBUGGER: "resume: the return from the exception, or from Debug state, synchronises each thread's context",
    Setting.RUNNING: "release the others; each executes ISB before anything else, and so does this processor",
    Setting.SINGLE: "ISB; unmask interrupts",
}


def procedure(protocol: Protocol, setting: Setting) -> list[str]:
    """Return the steps of a protocol of `pair`; what the model only judges is left out."""
    return [text for operation in protocol.operations for text in _step(operation, protocol, setting)]


def _step(operation: Operation, protocol: Protocol, setting: Setting) -> list[str]:
    match operation:
        case Arm():
            return [
                "enter the site into the trap handler's table; the handler decides by PC, never by reading the word"
            ]
        case Disarm():
            return ["take the site out of the table"]
        case Stop():
            return [_STOP[setting]]
        case Store(cell, value):
            if protocol.isa is InstructionSet.A32:
                return [f"STR 0x{value:08x} to the site, one aligned word"]
            return [f"STRH 0x{value:04x} to the {('first', 'second')[cell]} halfword"]
        case Dc(cell):
            return [f"DCCMVAU: clean the data cache{_where(cell, protocol)} to the point of unification"]
        case Ic(cell):
            return [f"ICIMVAU, BPIMVA: invalidate instruction cache and branch predictor{_where(cell, protocol)}"]
        case Dsb():
            return ["DSB: wait for that"]
        case Resume():
            return [_RESUME[setting]]
        case Ipi():
            return ["have every processor execute ISB: an interrupt to each, or membarrier(SYNC_CORE) and an ISB here"]
        case WaitIpi():
            return ["wait until every one has; from here on the new instruction is executed, and nothing else"]
        case WaitHandlers():
            return ["wait until no processor is between the old trap and its handler"]
        case _:
            assert isinstance(operation, Say | Claim | WaitStopped)
            return []


def _where(cell: int, protocol: Protocol) -> str:
    return "" if protocol.isa is InstructionSet.A32 else f" for the {('first', 'second')[cell]} halfword"
