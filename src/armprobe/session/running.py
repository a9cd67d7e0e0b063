"""Runs of the target of a session: in one piece or in stretches, up to a place, and past copies of its probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from armprobe.probes.astray import Astray
from armprobe.probes.engine import Engine
from armprobe.probes.stops import explain_stop
from armprobe.session.arrival import run_to
from armprobe.session.modules import Modules
from armprobe.session.recorded import Recorded
from armprobe.session.stretches import can_stretch, run_in_stretches
from armprobe.symbols.image import Image
from armprobe.targets.base import Stop, StopReason


class Runs:
    """The runs of one session. `copies` are the probes that were taken out of copies of code: place and its copy."""

    def __init__(
        self,
        engine: Engine,
        recorded: Recorded,
        *,
        image: Image | None,
        modules: Modules | None,
        broken: Callable[[], object],
        gone: Callable[[], object],
    ) -> None:
        """`broken` is called when an error ends a run, `gone` when the target has ended with it."""
        self._engine = engine
        self._recorded = recorded
        self._modules = modules
        self._astray = Astray(engine, image)
        self._broken = broken
        self._gone = gone
        self._stop_asked = False
        self.copies: list[tuple[int, int]] = []

    def run(
        self, address: int | None, limit: int | None, *, between: Callable[[], object] | None, every: float
    ) -> Stop:
        """Run as `Session.run` does."""
        self._stop_asked = False
        target, look = self._engine.target, between or (lambda: None)
        looks = limit is None and (between is not None or self._recorded.callback is not None) and can_stretch()
        if target.own_faults is not None:
            target.own_faults.look_every(every if looks else None)
        if target.shared_memory is not None and target.shared_memory.live:
            target.shared_memory.while_running(partial(self._look, look))
        elif looks and self._stops_alone():
            return run_in_stretches(
                lambda: self._run(address, None),
                target.stop,
                look,
                every=every,
                ended=lambda: self._stop_asked,
                may_stop=self._stops_alone,
            )
        stop = self._run(address, limit)
        look()
        return stop

    def stop(self) -> None:
        """Ask the target to stop."""
        self._stop_asked = True
        self._engine.target.stop()

    def _stops_alone(self) -> bool:
        """Whether a stop from time to time is nobody else's affair."""
        faults = self._engine.target.own_faults
        return faults is None or faults.stops_alone()

    def _look(self, look: Callable[[], object]) -> None:
        """Do this while the target runs, which ends if it returns True."""
        self._engine.instruments.drain()
        if look() is True:
            self.stop()

    def _run(self, address: int | None, limit: int | None) -> Stop:
        """One stretch of a run."""
        engine, target = self._engine, self._engine.target
        if target.shared_memory is not None and engine.optimizer.enabled:
            # Stops are dear there, and may be impossible once there are threads.
            engine.optimizer.run()
        engine.forget_code()
        try:
            stop = self._run_target(address, limit)
        except BaseException:
            if not engine.dispatcher.handling:  # else the run that called the handler ends, too
                self._broken()
            raise
        if stop.gone:
            self._gone()
            return explain_stop(engine, stop)
        engine.instruments.drain()
        if self._modules is not None:
            self._modules.refresh()
        if stop.reason in (StopReason.LIMIT, StopReason.INTERRUPT) and not engine.threads_run:
            # Whoever looks at registers now wants to see the program, not our code.
            engine.leaving.leave_slots(lambda: target.run(engine.dispatcher.on_trap, limit=1))
            return replace(stop, pc=target.read_registers().pc)
        return explain_stop(engine, stop)

    def _run_target(self, address: int | None, limit: int | None) -> Stop:
        engine = self._engine
        if address is not None and engine.threads_run:
            return run_to(engine, address, lambda: self._run_target(None, None))
        if limit is not None:
            stop = engine.target.run(engine.dispatcher.on_trap, until=address, limit=limit)
        else:
            with self._astray.watching():
                stop = self._run_past_copies(address)
        if address is not None and stop.reason is StopReason.ADDRESS and stop.pc != address:
            # It is about to start threads, from which on nobody can stop it.
            return run_to(engine, address, lambda: self._run_target(None, None))
        return stop

    def _run_past_copies(self, address: int | None) -> Stop:
        """Run on where the program is only stopped because it has copied code with probes in it, and may go on."""
        engine = self._engine
        while True:
            stop = engine.target.run(engine.dispatcher.on_trap, until=address)
            mended = self._astray.mend(stop)
            if mended is None:
                return self._astray.explain(stop)
            self.copies += [(site.address, place) for site, place in mended]
