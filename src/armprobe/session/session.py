"""The session: what users hold of a target, its probes and its events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from armprobe.codegen.map_layout import MapKind
from armprobe.errors import TargetError, UsageError
from armprobe.events.batch import Batch, Origin
from armprobe.events.timebase import TimeBase
from armprobe.probes.binding import read_definition
from armprobe.probes.compiled import OnHost
from armprobe.probes.definition import MAXACTIVE, parse_removal
from armprobe.probes.engine import Engine
from armprobe.probes.event_histogram import EventHistogram, sum_up
from armprobe.probes.event_names import EventNames
from armprobe.probes.explain import Explanation, explain
from armprobe.probes.hit_fields import HitFields
from armprobe.probes.latencies import Latencies
from armprobe.probes.maps import Map, key_parts, map_shape
from armprobe.probes.probe import Hit, HostHandler, Probe, check_handlers
from armprobe.probes.sleepers import SlotInUse
from armprobe.probes.stops import program_place, shown_place
from armprobe.probes.watch import Watch, WatchHandler
from armprobe.session.awaited import Awaited
from armprobe.session.event import Event
from armprobe.session.libraries import Libraries
from armprobe.session.loading import Loading
from armprobe.session.making import ProbeMaker, When
from armprobe.session.moduleloading import ModuleLoading
from armprobe.session.modules import Modules
from armprobe.session.recorded import Recorded
from armprobe.session.running import Runs
from armprobe.session.stretches import STRETCH_SECONDS
from armprobe.symbols.image import Image
from armprobe.symbols.location import data_address, resolve
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import LiveTarget, Region, Registers, Stop, Target
from armprobe.targets.capabilities import Access
from armprobe.targets.interrupt import hold_interrupt
from armprobe.targets.journal import TargetGone, note

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Session:
    """Probes on one target. Leaving the `with` block restores every byte of the target, whatever happened.

    Methods take a place as text (`symbol`, `symbol+0x10`, `0xADDRESS`) or as an address.
    """

    def __init__(
        self,
        target: Target,
        *,
        symbols: SymbolTable,
        slots: Sequence[Region] = (),
        detach: Callable[[], object] = lambda: None,
        live: LiveTarget | None = None,
        ends_target: bool = False,
        image: Image | None = None,
        libraries: Libraries | None = None,
        modules: Modules | None = None,
    ) -> None:
        """Start a session on a target that stands still.

        `slots` are regions that the program does not use. `detach` is called at the end, to let go of the target; where
        that is the end of the target, `ends_target`, there is nothing to restore.
        `live` is for a target that goes on with its own work, and may not show all of its threads.
        `image` is what should run on the target: it is compared before a probe is placed.
        `libraries` are those of a Linux process, `modules` those of a kernel.
        """
        self.target = target
        self._detach = detach
        self._ends_target = ends_target
        self.symbols = symbols
        self._engine = Engine(target, regions=slots, code_map=symbols, live=live, image=image)
        self._maker = ProbeMaker(self._engine, symbols)
        self._recorded = Recorded(self._engine, symbols)
        self._engine.instruments.sink = self._recorded.add
        if target.own_faults is not None:
            target.own_faults.show_at(lambda pc: program_place(self._engine, pc))
        if target.shared_memory is not None:
            target.shared_memory.while_running(self._drain)
        #: those of a Linux process
        self.libraries = libraries
        #: those of a kernel
        self.modules = modules
        self._loading: Loading | ModuleLoading | None = None
        if libraries is not None:
            self._loading = Loading(self._engine, libraries, symbols, self._recorded)
        elif modules is not None:
            self._loading = ModuleLoading(self._engine, modules, self._recorded)
        self._closed = False
        self._watches: list[Watch] = []
        self._runs = Runs(
            self._engine, self._recorded, image=image, modules=modules, broken=self.close, gone=self._end
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @hold_interrupt()
    def close(self) -> None:
        """Remove all probes and restore the target; raises TargetError listing what could not be restored.

        Then the last events are handed over (`on_event`).
        """
        if self._engine.dispatcher.handling:
            raise UsageError("a handler can't close its session", hint="call stop(), and close when run() has returned")
        if not self._closed:
            self._closed = self._recorded.waits = True
            try:
                try:
                    self._restore()
                except KeyboardInterrupt:
                    # Whoever is impatient wants an end, not a target that is broken.
                    self._restore()
                    raise
            except TargetError as error:
                if self.target.journal is not None:
                    error.hint = self.target.journal.remedy
                raise
            finally:
                self._detach()
            self._recorded.hand_over()

    def _restore(self) -> None:
        if self._ends_target:
            self._engine.keep_results()
            return
        try:
            for watch in self._watches:
                watch.remove()
        finally:
            self._engine.leaving.close(lambda: self.target.run(self._engine.dispatcher.on_trap, limit=1))

    @property
    def copies(self) -> tuple[tuple[int, int], ...]:
        """Probes that the program has copied with its code, and that were taken out of the copy: place and its copy."""
        return tuple(self._runs.copies)

    @property
    def in_place(self) -> tuple[SlotInUse, ...]:
        """Slots that the end of the session left where they are, as a word in memory may be the PC of a task in one.

        The program has its own bytes again; these are in memory that it does not use. `armprobe.restore` and the next
        session give them back once nothing points there any more.
        """
        return self._engine.leaving.in_place

    # --- probes

    @overload
    def probe(
        self, where: str | int, handler: HostHandler, *, post_handler: HostHandler | None = None, when: When = ""
    ) -> Probe: ...

    @overload
    def probe(
        self, where: str | int, handler: Callable[..., object], *, compiled: Literal[True], when: When = ""
    ) -> Probe: ...

    @overload
    def probe(self, where: str | int, *, post_handler: HostHandler) -> Probe: ...

    @overload
    def probe(self, where: str | int, *, when: When = "") -> Callable[[HostHandler], Probe]: ...

    @overload
    def probe(
        self, where: str | int, *, compiled: Literal[True], when: When = ""
    ) -> Callable[[Callable[..., object]], Probe]: ...

    def probe(
        self,
        where: str | int,
        handler: Callable[..., object] | None = None,
        *,
        post_handler: HostHandler | None = None,
        when: When = "",
        compiled: bool = False,
    ) -> Probe | Callable[[Callable[..., object]], Probe]:
        """Run `handler` on the host before, `post_handler` after the instruction at `where`.

        Both are called with a Hit; a handler that returns True has diverted control. Without either, returns a
        decorator for the handler. With `when`, a filter such as `"%r0 > 4096"` or a function such as
        `lambda r0: r0 > 4096`, the target tests the condition itself, and only hits that pass stop it.

        With `compiled`, the handler becomes ARM code and runs in the target, which does not stop. It takes registers
        (`def handler(r0, lr)`) or `hit`, and is written in a subset of Python: docs/handlers.md.

        Raises Refused with the reason when the instruction can't be probed, UsageError for a place that does not exist
        and, with the line and a caret as evidence, for a handler that can't be compiled.
        """
        if handler is None and post_handler is None:
            return lambda function: self._probe(where, function, None, when, compiled=compiled)
        return self._probe(where, handler, post_handler, when, compiled=compiled)

    def _probe(
        self,
        where: str | int,
        handler: Callable[..., object] | None,
        post_handler: HostHandler | None,
        when: When,
        *,
        compiled: bool,
    ) -> Probe:
        check_handlers(handler, post_handler)
        if isinstance(post_handler, OnHost):
            post_handler.check_after()
        if compiled and handler is None:
            raise UsageError("there is no handler to compile", hint="a post handler runs on the host")
        return self._register_one(self._maker.handled([where], handler, post_handler, when, compiled=compiled)[0])

    def probe_all(
        self, places: Iterable[str | int], handler: Callable[..., object], *, compiled: bool = False, when: When = ""
    ) -> list[Probe]:
        """Give many places one handler, planted together; all or none. The rest is as in `probe`."""
        if handler is None:
            raise UsageError("handler must be a function that takes the hit, not None")
        return self._register(self._maker.handled(places, handler, None, when, compiled=compiled))

    @overload
    def retprobe(
        self,
        where: str | int,
        handler: HostHandler,
        *,
        entry: Callable[[Hit], object] | None = None,
        maxactive: int = MAXACTIVE,
    ) -> Probe: ...

    @overload
    def retprobe(
        self, where: str | int, *, entry: Callable[[Hit], object] | None = None, maxactive: int = MAXACTIVE
    ) -> Callable[[HostHandler], Probe]: ...

    @overload
    def retprobe(
        self, where: str | int, handler: Callable[..., object], *, compiled: Literal[True], maxactive: int = MAXACTIVE
    ) -> Probe: ...

    @overload
    def retprobe(
        self, where: str | int, *, compiled: Literal[True], maxactive: int = MAXACTIVE
    ) -> Callable[[Callable[..., object]], Probe]: ...

    def retprobe(
        self,
        where: str | int,
        handler: Callable[..., object] | None = None,
        *,
        entry: Callable[[Hit], object] | None = None,
        maxactive: int = MAXACTIVE,
        compiled: bool = False,
    ) -> Probe | Callable[[Callable[..., object]], Probe]:
        """Run `handler` on the host each time the function at `where` returns, with its result as `hit.retval`.

        The handler may set `hit.retval`, the result. `entry` runs when the function is called; what it returns is
        `hit.entry` later. Of at most `maxactive` calls at once the return is seen; the others count as missed. Without
        a handler, returns a decorator for it. docs/return-probes.md tells how it works, and what it can't see.

        With `compiled`, the handler becomes ARM code as that of `probe` does, and nothing stops the target. It sees the
        registers at the return, `hit.retval`, and as `hit.entry.r0`, `hit.entry.time` what they were at the entry.

        Raises Refused with the reason where returns can't be followed, UsageError for a place that does not exist.
        """
        if compiled and entry is not None:
            raise UsageError("a compiled handler takes no entry handler", hint="it knows the entry as hit.entry.r0")
        if handler is None:
            return lambda function: self._register_one(
                self._maker.returning(where, function, entry, maxactive, compiled=compiled)
            )
        return self._register_one(self._maker.returning(where, handler, entry, maxactive, compiled=compiled))

    def on_host(self, handler: Callable[..., object]) -> HostHandler:
        """Make a host handler of a function that is written for `compiled=True`: it does the same.

        It is given to `probe`, `probe_all` or `retprobe`.

        Raises UsageError as `probe` does for a handler that can't be compiled.
        """
        return OnHost(handler, self._engine.instruments)

    def latency(self, where: str | int, *, maxactive: int = MAXACTIVE) -> Latencies:
        """Measure in the target how long each call of the function at `where` takes, from its entry to its return.

        Nothing stops the target. Times are those of `session.clock`, the function's callees included; of at most
        `maxactive` calls at once. In a kernel, whose tasks may sleep in the function, the instructions with which it is
        left are probed, and some 1,000 calls may be in progress. Raises Refused with the reason where there is no
        clock, where returns can't be followed, and without a compiler.
        """
        self._check_open()
        measuring = self._register(self._maker.latency(where, maxactive))[0].latencies
        assert measuring is not None
        return measuring

    # --- maps

    def counter(self, name: str) -> Map:
        """Make a number in target memory. Compiled handlers write `counter.add(N)`; `counter.total` is its value."""
        return self._engine.instruments.add_map(name, map_shape(MapKind.COUNTER, 1))

    def histogram(self, name: str, *, log2: bool = True, step: int = 0, base: int = 0, buckets: int = 64) -> Map:
        """Make numbers in target memory by bucket. Compiled handlers write `histogram.observe(r0)`.

        The buckets are powers of two or, with `step`, `step` values each from `base` on; a value that has none counts
        in `overflow`. Handlers may also name the bucket, `histogram[r0 >> 4] += 1`; without `log2` and `step`, a bucket
        is printed as its number.
        """
        shape = map_shape(MapKind.HISTOGRAM, buckets, step=step, base=base)
        return self._engine.instruments.add_map(name, shape, log2=log2 and not step)

    def table(self, name: str, capacity: int, *, key: str | Sequence[str] = "u32", removable: bool = False) -> Map:
        """Make numbers in target memory by key, u32; compiled handlers write `table[lr] += 1`.

        With `key`, keys are strings, `"char[16]"` (of which 16 bytes count; 4 to 64), or made of parts, as
        `("char[16]", "u32")`: `table[hit.comm] += 1`, `table[hit.comm, hit.pid] += 1`. Then what is there is not
        replaced by handlers.

        With `removable`, handlers may remove keys, `del table[r0]` or `table.pop(r0)`, and their places are free for
        others; they may replace numbers whatever the keys are. An update costs more then: docs/handlers.md.

        It takes `capacity` keys, and 0. Give it twice the room that you expect to need: up to 64 keys are looked at for
        a place, and an update without one is only counted, in `overflow`.
        """
        return self._engine.instruments.add_map(
            name, map_shape(MapKind.TABLE, capacity, key=key_parts(key), removable=removable)
        )

    def count(self, where: str | int, *, false_conditions: bool = False) -> Probe:
        """Count the executions of the instruction at `where` in the target: `hits` of the probe returned.

        A conditional instruction whose condition is false is not executed. `false_conditions` counts these as well, in
        the probe's attribute of that name; the probe then stays a trap.
        """
        return self._register_one(self._maker.counting(where, false_conditions=false_conditions))

    def count_all(self, places: Iterable[str | int]) -> list[Probe]:
        """Count at many places, planted together; all or none."""
        return self._register([self._maker.counting(where) for where in places])

    def define(self, definition: str) -> Probe:
        """Add a probe by one line of Linux's kprobe_events grammar: `p:packet parse_packet len=%r1 if len > 64`.

        Its hits become events. A location alone, `malloc` or `malloc if %r0 > 64`, counts them.
        """
        if parse_removal(definition) is not None:
            raise UsageError(f"{definition!r} removes events, and define() adds one", hint="session.remove(EVENT)")
        return self.define_all([definition])[0]

    def define_all(self, definitions: Iterable[str], *, records: bool = True) -> list[Probe]:
        """Add the probes of many lines, planted together; all or none. Without `records`, hits are only counted.

        A line `-:[GROUP/]EVENT` or `-:GROUP/` removes the probes of events that were there before or in lines above.
        """
        self._check_open()
        events = EventNames(self.probes)
        probes: list[Probe] = []
        gone: set[Probe] = set()
        for line in definitions:
            removal = parse_removal(line)
            if removal is not None:
                gone.update(events.remove(removal))
                continue
            probe = self._maker.defined(line, read_definition(line, self.symbols, self.hit_fields), records=records)
            events.add(probe)
            probes.append(probe)
        fresh = self._register([probe for probe in probes if probe not in gone])
        self.unregister_all(gone.difference(probes))
        return fresh

    @property
    def hit_fields(self) -> HitFields:
        """What definitions may ask of every hit on this target."""
        return self._engine.moments.fields

    def trigger(self, text: str) -> EventHistogram:
        """Sum up the hits of an event by a field, in target memory: `packet.hist:keys=length.log2 if kind > 1`.

        The event is one of `define`; the language is that of the kernel's `hist` trigger: docs/definitions.md.
        """
        self._check_open()
        return sum_up(self._engine, self.probes, text, self.symbols.describe)

    def remove(self, event: str) -> None:
        """Remove the probes of an event, `[GROUP/]EVENT`, or of a group, `GROUP/`. Raises UsageError for none."""
        self.define_all([f"-:{event}"])

    def park_all(self, probes: Iterable[Probe]) -> None:
        """Park probes, as `Probe.park` does each: all or none, in one patch, under one stop."""
        self._check_open()
        self._engine.park(probes)

    def unpark_all(self, probes: Iterable[Probe]) -> None:
        """Undo `park_all`."""
        self._check_open()
        self._engine.unpark(probes)

    def unregister_all(self, probes: Iterable[Probe]) -> None:
        """Remove probes together, as `Probe.unregister` does each."""
        self._check_open()
        self._engine.unregister(probes)

    def _register(self, probes: list[Probe]) -> list[Probe]:
        self._check_open()
        if self._loading is not None:
            self._loading.expect(probes)
        self._engine.register(probes)
        if self._loading is not None:
            self._loading.planting.planted(probes)
        return probes

    def _register_one(self, probe: Probe) -> Probe:
        return self._register([probe])[0]

    def on_load(self, file: str, plant: Callable[[], object]) -> Awaited:
        """Call `plant` whenever the program has loaded a library whose name matches `file`, before any code of it runs.

        It is called now if one is loaded. The probes that it plants are gone when the library is unloaded, with their
        counts kept; it is called again when the library is loaded again. `file` is a shell pattern: `libfoo.so*`. In
        a kernel it is that of a module's name, `virtio_*`.
        Raises UsageError where the target is no Linux process and no kernel, Refused with the reason where libraries
        or modules can't be awaited, and what `plant` raises; an error that it raises later ends the run.
        """
        self._check_open()
        if self._loading is None:
            raise UsageError(f"{self.target.name} is no Linux process and no kernel: it loads nothing")
        return self._loading.add(file, plant)

    @property
    def runs_meanwhile(self) -> bool:
        """Whether the target runs while new probes are prepared, and stands still only while they are planted.

        Then it is no more where it stopped before, and probes that can be branches are branches at once. Setting it
        raises UsageError for a target that is no live kernel.
        """
        return self._engine.runs_meanwhile

    @runs_meanwhile.setter
    def runs_meanwhile(self, value: bool) -> None:
        self._check_open()
        self._engine.runs_meanwhile = value

    @property
    def probes(self) -> tuple[Probe, ...]:
        """All registered probes, by address."""
        sites = self._engine.sites
        own = [] if self._loading is None else self._loading.watchers
        return tuple(probe for address in sorted(sites) for probe in sites[address].probes if probe not in own)

    def locate(self, where: str | int) -> int:
        """The address of a place. Raises UsageError when there is none or several, Refused where no A32 code is."""
        return self._maker.locate(where)

    def places(self, pattern: str) -> list[int]:
        """The addresses of all functions whose names match a shell pattern."""
        return [place.address for place in resolve(pattern, self.symbols)]

    # --- optimization

    @property
    def optimization(self) -> bool:
        """Whether traps become branches (the global switch); switching it off makes every branch a trap at once."""
        return self._engine.optimizer.enabled

    @optimization.setter
    def optimization(self, value: bool) -> None:
        self._check_open()
        self._engine.optimizer.enabled = value

    def optimize_now(self) -> int:
        """Run the optimizer without its delay; return how many traps became branches."""
        self._check_open()
        return self._engine.optimizer.run()

    def explain(self, where: str | int) -> Explanation:
        """Tell how the instruction at `where` is, or would be, probed, and why. Nothing of the program is written."""
        self._check_open()
        return explain(self._engine, self.locate(where))

    # --- running

    def run(
        self,
        *,
        until: str | int | None = None,
        limit: int | None = None,
        between: Callable[[], object] | None = None,
        every: float = STRETCH_SECONDS,
    ) -> Stop:
        """Run until the program ends, `until` is about to execute, `limit` instructions ran, or Ctrl-C.

        `between` is called about every `every` seconds, and at the end: it may read counters, maps and events, and ends
        the run by returning True. The target stands still for that, for some milliseconds. Where a function was given
        to `on_event`, it stops as often to hand over events, so that they come promptly. A process that shares memory
        with us is looked at while it runs, several times a second, and goes on to its end. With a limit, which counts
        from the start of a run, there are no such stops.

        A handler that raises ends the run: the target is restored, the session closed, and HandlerError raised.
        A program that copies code with probes in it has the probes taken out of the copy where it runs into one of
        them, and goes on: see `copies`. Where that can't be proven, it stops there, with a message.
        """
        self._check_open()
        address = None if until is None else self.locate(until)
        return self._runs.run(address, limit, between=between, every=every)

    def _end(self) -> None:
        """The target has ended: there is nothing left to restore."""
        note(self.target.journal, TargetGone())
        self._closed = True
        try:
            self._engine.keep_results()
        finally:
            self._detach()

    def stop(self) -> None:
        """Ask a running target to stop; may be called from a handler.

        Of a process with threads under an emulator, the thread that asked for that handler stays where it is; others
        run on up to where they ask. Called elsewhere, it ends such a process.
        """
        self._runs.stop()

    # --- looking

    def watch(
        self,
        where: str | int,
        handler: WatchHandler,
        *,
        size: int = 4,
        access: Literal["write", "read", "any"] = "write",
    ) -> Watch:
        """Call `handler` on the host after each access to `size` bytes at `where`, an address or `SYMBOL[+OFFSET]`.

        The target stops for each, by a watchpoint of its own, of which there are few. The handler gets an `Accessed`:
        registers, and the old and the new value. Raises UsageError, Refused where the target has no watchpoints,
        TargetError when it sets no more.
        """
        self._check_open()
        address = where if isinstance(where, int) else data_address(where, self.symbols)
        self._watches.append(Watch(self._engine, address, size, Access(access), handler))
        return self._watches[-1]

    @property
    def regs(self) -> Registers:
        """The registers of the stopped thread, with the return addresses that return probes replaced."""
        registers = self._engine.returns.shown(self.target.read_registers())
        if self._engine.threads_run:
            registers.pc = shown_place(self._engine, registers.pc)
        return registers

    def read_memory(self, address: int, size: int) -> bytes:
        """Memory as the program would see it without probes. Raises TargetFault."""
        return self._engine.program.read_memory(address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        """Raises TargetFault, and Refused for bytes that armprobe itself has changed."""
        self._engine.program.write_memory(address, data)
        self._engine.forget_code()

    # --- events

    @property
    def clock(self) -> TimeBase | None:
        """What the times of events and hits mean; None: the target has no clock, and `target.no_clock` says why.

        In the embedded emulator it counts the instructions of the program, without those that probes add: times are
        the same in every run. On a machine with a generic timer it is real time.
        """
        return self._recorded.clock

    @property
    def timestamps(self) -> bool:
        """Whether the records of probes that are added from now on have the time, where there is a clock."""
        return self._engine.moments.timestamps

    @timestamps.setter
    def timestamps(self, value: bool) -> None:
        self._engine.moments.timestamps = value

    def events(self) -> Iterator[Event]:
        """Take the events recorded so far, oldest first."""
        self._drain()
        yield from self._recorded.take()

    def on_event(self, callback: Callable[[Event], object] | None) -> None:
        """Call `callback` for every event as it is drained, instead of keeping it for `events`.

        While the target runs, that is several times a second. What it raises ends the run; then it is not called any
        more, and events are kept.
        """
        self._recorded.callback = callback

    def to_numpy(self, probe: Probe) -> NDArray[Any]:
        """The arguments of the events of a probe that `events` did not take yet, oldest first, as a structured array.

        It has a field for each argument, after those that all events have (`common_time`, `common_cpu`...). Strings are
        objects; where memory may be unreadable, it is a masked array. Raises MissingDependency without NumPy,
        UsageError for a probe that records nothing.
        """
        self._drain()
        return self._recorded.numpy(probe)

    def to_arrow(self) -> Any:
        """All events that `events` did not take yet, oldest first, as a pyarrow.Table.

        Its columns are number, time and cpu (where the target knows them), group, event, address, symbol, and a struct
        for each event that has arguments; see `armprobe.events.arrow`. Raises MissingDependency without pyarrow.
        """
        self._drain()
        return self._recorded.arrow()

    def take_records(self) -> tuple[int, list[Batch]]:
        """Take what `events` would, as it came from the target: the number of the first event, and the records."""
        self._drain()
        return self._recorded.take_records()

    def origins(self) -> dict[int, Origin]:
        """What records stand for, by the numbers of the probes in their headers."""
        return self._recorded.origins()

    def lost(self, probe: Probe) -> int:
        """Records of the probe that found the ring full."""
        return self._engine.instruments.lost(probe)

    @property
    def unfinished(self) -> int:
        """Words of records that could not be read: behind one whose writer was killed while it wrote."""
        return self._engine.instruments.unfinished

    def _drain(self) -> None:
        if not self._closed:
            self._engine.instruments.drain()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the session is closed: its target is restored", hint="start a new one")
