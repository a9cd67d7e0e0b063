"""Probes in modules of a live kernel, which come and go while it runs.

- While there are probes in modules, one of our own stands where each module goes that is unloaded, before its memory
  does: its code gets its bytes back, the traps in it go, and what was counted stays. Nothing is ever written to what
  has taken its place.
- While somebody waits for modules, one stands where each goes that was loaded: it is relocated, what the kernel
  rewrites in it is written, and none of its code has run.
- What runs once, when a module begins, is memory of its own, which the kernel frees when nothing can run there any more
  (do_free_init; free_module, where the module fails to begin). One of our own stands where memory of modules is freed:
  there, that code gets its bytes back as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from armprobe.errors import Refused, TargetFault
from armprobe.probes.engine import Engine
from armprobe.probes.probe import Hit, HostHandler, Probe
from armprobe.probes.site import Site
from armprobe.probes.state import SiteState
from armprobe.session.awaited import Awaited, Planting
from armprobe.session.modules import FREE, FREE_MEMORY, START, Modules
from armprobe.session.recorded import Recorded


class ModuleLoading:
    """Follows what the kernel of one session loads and unloads."""

    def __init__(self, engine: Engine, modules: Modules, recorded: Recorded) -> None:
        self._engine = engine
        self._modules = modules
        self._recorded = recorded
        self.planting = Planting()
        #: where modules come and go
        self.watchers: list[Probe] = []

    def add(self, file: str, plant: Callable[[], object]) -> Awaited:
        """Call `plant` when a module that matches `file` has been loaded, and now if one is.

        Raises Refused where modules can't be watched, and what `plant` raises.
        """
        self._watch(FREE, self._on_unload)
        self._watch(START, self._on_load)
        for name in FREE_MEMORY:
            with suppress(Refused):
                self._watch(name, self._on_free)
        self._modules.refresh(closely=True)
        awaited = Awaited(file, plant)
        if any(fnmatchcase(name, file) for name in self._modules.names):
            self.planting.plant(awaited)
        else:
            self._note_problem(awaited, self._modules.problem(file))
        self.planting.awaited.append(awaited)
        return awaited

    def expect(self, probes: Sequence[Probe]) -> None:
        """Get ready for probes that are about to be planted. Raises Refused where a module has gone meanwhile."""
        symbols = self._modules.symbols
        wanted = {probe: found for probe in probes if (found := symbols.object_at(probe.address)) is not None}
        if not wanted:
            return
        self._watch(FREE, self._on_unload)
        # From here on, none goes unseen; the kernel may have run before.
        self._modules.refresh(closely=True)
        for probe, module in wanted.items():
            if symbols.object_at(probe.address) != module:
                raise Refused(f"{probe.location} is gone: the kernel has unloaded the module {module.name}")

    def _watch(self, function: str, handler: HostHandler) -> None:
        """Have all modules seen that come to a function of the kernel."""
        if function in {watcher.location for watcher in self.watchers}:
            return
        if function not in self._modules.functions:
            raise Refused(f"{self._engine.target.name} has no function {function}, by which modules are seen")
        watcher = Probe(self._engine, self._modules.functions[function], function, pre=handler, always=True)
        self._engine.register([watcher])
        self.watchers.append(watcher)

    def _on_load(self, hit: Hit) -> None:
        name = self._modules.name_of(hit.regs.r0)
        wanted = [awaited for awaited in self.planting.awaited if fnmatchcase(name, awaited.file)]
        if not wanted:
            return
        # The code of the start has no probes where nobody would see it go.
        seen = any(watcher.location in FREE_MEMORY for watcher in self.watchers)
        problem = self._modules.learn(hit.regs.r0, start=seen)
        for awaited in wanted:
            if problem:
                self._note_problem(awaited, problem)
            else:
                self.planting.plant(awaited)
        if self._engine.optimizer.enabled:
            self._engine.optimizer.run()

    def _note_problem(self, awaited: Awaited, problem: str) -> None:
        """A module has come that can't be probed."""
        awaited.loads += bool(problem)
        awaited.problem = problem

    def _on_unload(self, hit: Hit) -> None:
        self._leave(*self._modules.code_of(hit.regs.r0))
        self._modules.forget(hit.regs.r0)

    def _on_free(self, hit: Hit) -> None:
        start, end = self._modules.start_at(hit.regs.r0)
        if start:
            self._leave(start, end)
            self._modules.forget_start(start)

    def _leave(self, start: int, end: int) -> None:
        """Take everything out of code that is about to go."""
        engine = self._engine
        sites = [site for site in engine.sites.values() if start <= site.address < end]
        if sites:
            engine.instruments.drain()
            self._recorded.remember([probe for site in sites for probe in site.probes])
            self._disarm(sites)
            engine.lose([(start, end)])

    def _disarm(self, sites: Sequence[Site]) -> None:
        """Give sites their bytes back, as far as that can be done: one by one where it can't be at once."""
        armed = [site for site in sites if site.state is not SiteState.DISARMED]
        try:
            self._engine.patch([(site, "disarm") for site in armed])
        except (Refused, TargetFault):
            for site in armed:
                with suppress(Refused, TargetFault):
                    self._engine.patch([(site, "disarm")])
