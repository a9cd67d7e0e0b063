"""The end of a run, told as the program's: a PC in a slot stands for its site, and what armprobe has to do with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from armprobe.probes.copies import describe_copy, find_copy
from armprobe.probes.site import Site
from armprobe.targets.base import Stop, StopReason

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine

#: bytes around SP that a slot may touch
_FRAME = 128


def explain_stop(engine: Engine, stop: Stop) -> Stop:
    """The same stop with the program's PC, and with a message where probes are the reason for it."""
    site = _site_with_slot_at(engine, stop.pc)
    return replace(
        stop,
        pc=stop.pc if site is None else site.address,
        message=_copied(engine, stop) or _without_stack(engine, site, stop) or stop.message,
    )


def program_place(engine: Engine, pc: int) -> int:
    """Where the program is, if PC is in a slot and all its registers are its own there; else PC itself."""
    site = _site_with_slot_at(engine, pc)
    if site is None or pc not in (site.code.copy, site.code.post_copy) or not site.relocations[0].verbatim:
        return pc
    return site.address


def shown_place(engine: Engine, pc: int) -> int:
    """Where a thread is for the program that stays where it asked, with PC in our code."""
    site = _site_with_slot_at(engine, pc)
    return engine.returns.real(pc) if site is None else site.address


def _site_with_slot_at(engine: Engine, pc: int) -> Site | None:
    sites = (*engine.sites.values(), *engine.leaving.retired)
    return next((site for site in sites if site.slot.address <= pc < site.slot.end), None)


def _copied(engine: Engine, stop: Stop) -> str:
    if stop.reason not in (StopReason.TRAP, StopReason.FAULT):
        return ""
    found = find_copy(engine.target, engine.sites.values(), stop)
    if found is None:
        return ""
    return describe_copy(engine, *found)


def _without_stack(engine: Engine, site: Site | None, stop: Stop) -> str:
    """Whether the code in the slot of `site` faulted because it saves registers."""
    if site is None or stop.reason is not StopReason.FAULT or stop.address is None:
        return ""
    sp = engine.target.read_registers().sp
    if (stop.address - sp + _FRAME) & 0xFFFFFFFF > 2 * _FRAME:
        return ""
    return (
        f"the probe at {engine.program.describe(site.address)} saves registers on the stack, and there is no stack: "
        f"sp is 0x{sp:08x}; probe where the program has set it up"
    )
