"""Probes in libraries that a program loads while it runs.

The dynamic linker calls a function that does nothing, for debuggers (link.h, r_brk), before and after it changes its
list of libraries. A probe stands there:

1. Before libraries are unmapped, traps in those that may go are taken away. Their destructors have run.
2. After a change, what was in a library that is gone is forgotten, and the other traps are set again.
3. Whoever waits for a library that has come plants probes in it. It is mapped, but neither relocated nor initialized:
   none of its code has run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from armprobe.errors import Refused, TargetError, TargetLost
from armprobe.probes.engine import Engine
from armprobe.probes.probe import Hit, Probe
from armprobe.probes.site import Site
from armprobe.probes.state import SiteState
from armprobe.session.awaited import Awaited, Planting
from armprobe.session.libraries import Libraries
from armprobe.session.recorded import Recorded
from armprobe.symbols.objects import LoadedImage
from armprobe.symbols.table import SymbolTable
from armprobe.targets.linkmap import LoaderState


class Loading:
    """Waits for the libraries of one process. `symbols` are kept up to date."""

    def __init__(self, engine: Engine, libraries: Libraries, symbols: SymbolTable, recorded: Recorded) -> None:
        self._engine = engine
        self._libraries = libraries
        self._symbols = symbols
        self._recorded = recorded
        self.planting = Planting()
        #: where the dynamic linker tells
        self.watchers: list[Probe] = []
        #: whose traps are gone while the list changes
        self._paused: list[Site] = []

    def add(self, file: str, plant: Callable[[], object]) -> Awaited:
        """Call `plant` when a library that matches `file` has been loaded, and now if one is.

        Raises Refused where the program has no dynamic linker, or that can't be watched, and what `plant` raises.
        """
        if not self.watchers:
            place, _ = self._libraries.loader()
            if place & 1:
                raise Refused("the dynamic linker is Thumb code: T32 is not supported yet")
            watcher = Probe(self._engine, place, "the dynamic linker", pre=self._on_change)
            self._engine.register([watcher])
            self.watchers.append(watcher)
        awaited = Awaited(file, plant)
        _, state = self._libraries.loader()
        if state is LoaderState.CONSISTENT:
            self._refresh([file])
        loaded = [known for known in self._libraries.objects if not known.main]
        if any(fnmatchcase(known.name, file) for known in loaded):
            self.planting.plant(awaited)
        self.planting.awaited.append(awaited)
        return awaited

    def expect(self, probes: Sequence[Probe]) -> None:
        """Nothing has to be done before probes are planted: while the process stands still, nothing is unloaded."""

    def _on_change(self, _hit: Hit) -> None:
        _, state = self._libraries.loader()
        if state is LoaderState.DELETE:
            self._pause()
        elif state is LoaderState.CONSISTENT:
            self._follow()

    def _follow(self) -> None:
        self._engine.fleeting = []
        came = self._refresh([awaited.file for awaited in self.planting.awaited])
        self._resume()
        for awaited in tuple(self.planting.awaited):
            found = [known for known in came if fnmatchcase(known.name, awaited.file)]
            if found:
                self._try(awaited, found)

    def _refresh(self, files: Sequence[str]) -> list[LoadedImage]:
        """Forget what is gone, and know the symbols of what has come: return that."""
        came, gone = self._libraries.read(far=files)
        if gone:
            spans = [(part.address, part.end) for known in gone for part in known.image.segments]
            self._engine.instruments.drain()
            self._recorded.remember(self._probes_in(spans))
            self._engine.lose(spans)
        if came or gone:
            self._symbols.become(self._libraries.symbols())
        return came

    def _try(self, awaited: Awaited, came: Sequence[LoadedImage]) -> None:
        changing = [known.name for known in came if known.relocates_code]
        if changing:
            awaited.loads += 1
            awaited.problem = f"the code of {changing[0]} is relocated after it was loaded (DT_TEXTREL)"
            return
        try:
            self.planting.plant(awaited)
            if self._engine.optimizer.enabled:
                self._engine.optimizer.run()  # a stop for each hit is dear here
        except TargetLost:
            raise
        except (TargetError, Refused) as error:
            if isinstance(error, Refused) and not self._engine.threads_run:
                raise
            # The program goes on without. Where nothing stops while that is planted, not everything can be.
            awaited.problem = error.message

    def _pause(self) -> None:
        spans = [(part.address, part.end) for known in self._libraries.fleeting for part in known.image.segments]
        self._engine.fleeting = spans if self._engine.threads_run else []
        sites = {site for site in self._engine.sites.values() if _lies_in(site.address, spans)}
        armed = [site for site in sites if site.state is SiteState.ARMED]
        self._engine.patch([(site, "disarm") for site in armed])
        self._paused += armed

    def _resume(self) -> None:
        sites = self._engine.sites
        left = [site for site in self._paused if sites.get(site.address) is site and site.state is SiteState.DISARMED]
        self._paused.clear()
        self._engine.patch([(site, "arm") for site in left])

    def _probes_in(self, spans: list[tuple[int, int]]) -> list[Probe]:
        sites = self._engine.sites.values()
        return [probe for site in sites if _lies_in(site.address, spans) for probe in site.probes]


def _lies_in(address: int, spans: list[tuple[int, int]]) -> bool:
    return any(start <= address < end for start, end in spans)
