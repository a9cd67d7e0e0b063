"""The events of a session: records that were drained and nobody has taken yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from armprobe.errors import UsageError
from armprobe.events.batch import Batch, Origin, Store
from armprobe.events.optional import needed_for
from armprobe.events.record import split_header
from armprobe.events.timebase import TimeBase
from armprobe.probes.definition import DEFAULT_GROUP
from armprobe.probes.engine import Engine
from armprobe.probes.probe import Probe
from armprobe.session.event import Event
from armprobe.symbols.table import SymbolTable

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Recorded:
    """What the engine's ring gave, as events, arrays and tables. Its methods read what was drained."""

    def __init__(self, engine: Engine, symbols: SymbolTable) -> None:
        self._engine = engine
        self._symbols = symbols
        self._store = Store()
        #: of probes whose code is gone: where they were
        self._places: dict[Probe, str] = {}
        #: is given every event as it comes, which is not kept then; once it has raised, no more
        self.callback: Callable[[Event], object] | None = None
        #: while it must not be called, as it may raise
        self.waits = False

    def add(self, records: Batch) -> None:
        self._store.add(records)
        if not self.waits:
            self.hand_over()

    def hand_over(self) -> None:
        """Give the callback what it has not got yet. Raises what it raises."""
        if self.callback is None:
            return
        try:
            for event in self.take():
                self.callback(event)
        except BaseException:
            self.callback = None
            raise

    def remember(self, probes: Iterable[Probe]) -> None:
        """Keep the names of places that nobody will know by then."""
        self._places |= {probe: self._symbols.place(probe.address) for probe in probes}

    def take(self) -> Iterator[Event]:
        """Take the events, oldest first; those that are not asked for stay."""
        clock = self.clock
        places = dict(self._places)
        for number, record in self._store.take_each():
            probe = self._engine.instruments.probes[split_header(int.from_bytes(record[:4], "little"))[0]]
            if probe not in places:
                places[probe] = self._symbols.place(probe.address)
            yield Event(number, probe, places[probe], bytes(record), self._symbols, clock)

    def take_records(self) -> tuple[int, list[Batch]]:
        return self._store.first, self._store.take()

    def numpy(self, probe: Probe) -> NDArray[Any]:
        with needed_for("to_numpy()", extra="events"):
            from armprobe.events.decode import decode
        origin = self.origins().get(probe.number)
        if origin is None:
            raise UsageError(f"{probe.name} records no events", hint="session.define('p:EVENT LOCATION ...') does")
        return decode(
            origin.layout, self._store.batches, probe.number, describe=self._symbols.place, timebase=self.clock
        )

    def arrow(self) -> Any:
        with needed_for("to_arrow()", extra="arrow"):
            from armprobe.events.arrow import Converter
        converter = Converter(self.origins(), describe=self._symbols.place, timebase=self.clock)
        return converter.table(self._store.batches, self._store.first)

    def origins(self) -> dict[int, Origin]:
        found = {}
        for number, probe in self._engine.instruments.probes.items():
            definition, layout = probe.definition, probe.layout
            if layout is not None:
                group = DEFAULT_GROUP if definition is None else definition.group
                place = self._places.get(probe) or self._symbols.place(probe.address)
                at_return = probe.returning is not None
                found[number] = Origin(group, probe.name, probe.address, place, layout, at_return)
        return found

    @property
    def clock(self) -> TimeBase | None:
        clock = self._engine.moments.clock
        return None if clock is None else TimeBase(clock.name, clock.unit, clock.ns_per_tick, clock.start)
