"""Calls that come back to pads which ask the host, instead of stopping for it: other threads go on coming and going.

Code in the target alone takes pads and gives them back. The host only changes what belongs to a call in progress: its
state, and where it comes back to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from armprobe.codegen.calls import SILENT, TAKEN
from armprobe.errors import UsageError
from armprobe.probes.callers import go_to
from armprobe.probes.dispatch import call_handler
from armprobe.probes.probe import Hit, Probe
from armprobe.targets.base import CPSR_T, Registers

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine
    from armprobe.probes.returns import Trampoline

#: a pad of a trampoline, by its number
Pad = tuple["Trampoline", int]


class AskedReturns:
    """Answers what pads ask, and entries of calls whose pads do."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enter(self, probe: Probe, regs: Registers) -> None:
        """Run the entry handler of a call that code has sent on its way; `regs` have the pad as return address."""
        returns = self._engine.returns
        assert probe.returning is not None
        assert probe.returning.entry is not None
        for trampoline, number in returns.pads_of(regs.lr):
            if trampoline.probe is probe:
                with returns.unfollowed(self._engine.sites[probe.address], regs):
                    hit = Hit(self._engine, probe, regs, self._engine.current_cpu())
                    trampoline.kept[number] = call_handler(probe.returning.entry, hit)

    def on_question(self, pc: int) -> bool:
        """Handle the return of the call whose pad is at `pc`; True: the thread goes on at PC, else in the pad."""
        engine, returns = self._engine, self._engine.returns
        regs = engine.target.read_registers()
        trampoline, number = returns.pad_at(pc)
        state, address = returns.entry(trampoline, number)
        kept = trampoline.kept.pop(number, None)
        probe = trampoline.probe
        assert probe.returning is not None
        if state != TAKEN or probe.returning.handler is None or not probe.enabled:
            return False
        shown = regs.copy()
        shown.lr = returns.real(regs.lr)
        go_to(shown, returns.real(address))
        lr, sp, calls = shown.lr, shown.sp, engine.program.calls
        hit = Hit(engine, probe, shown, engine.current_cpu(), entry=kept, returned=True)
        diverted = engine.dispatcher.run_return(probe, probe.returning.handler, hit)
        if shown.sp != sp:
            raise UsageError(
                f"the return handler of {hit.symbol} changed sp to 0x{shown.sp:08x}, and code in the target needs it",
                hint="change sp where the caller goes on, in a handler of a probe there",
            )
        if diverted:
            self._lead([*returns.pads_of(pc)], shown, silent=1)
        regs.values[:13], regs.cpsr = shown.values[:13], shown.cpsr & ~CPSR_T
        regs.lr = regs.lr if shown.lr == lr else shown.lr
        called = engine.program.calls != calls
        if called:
            # The thread was elsewhere, and its stack is not what the pad left there: it comes to the pad once more.
            returns.set_state(trampoline, number, SILENT)
        engine.target.write_registers(regs)
        return called

    def leave(self, pads: Sequence[Pad], regs: Registers) -> None:
        """Let a call that does not begin go on at PC by way of its pads, which are free then."""
        self._lead(pads, regs, silent=0)
        trampoline, number = pads[0]
        regs.pc, regs.cpsr = trampoline.pad(number), regs.cpsr & ~CPSR_T

    def _lead(self, pads: Sequence[Pad], regs: Registers, *, silent: int) -> None:
        """Let the last of these pads lead to PC, and those from the number `silent` on without a handler."""
        returns = self._engine.returns
        for trampoline, number in pads[silent:]:
            returns.set_state(trampoline, number, SILENT)
            trampoline.kept.pop(number, None)
        returns.set_address(*pads[-1], regs.pc | bool(regs.cpsr & CPSR_T))
