"""Make probes of what users ask for: a function, a definition, a latency. They are not registered yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from armprobe.codegen.actions import Action, BeginCall, Count, EndCall, Follow, Latency, Record, needed_of_entry
from armprobe.codegen.actions import Stop as AskHost
from armprobe.codegen.filters import Filter
from armprobe.codegen.requirements import can_compile
from armprobe.errors import Refused, UsageError
from armprobe.events.source import AtEntry
from armprobe.probes.binding import check_entry, pointing_at, read_condition
from armprobe.probes.compiled import OnHost, compiled_calls, compiled_return, condition_on_host, conditions, keep_entry
from armprobe.probes.definition import Kind, ProbeDefinition
from armprobe.probes.engine import Engine
from armprobe.probes.exits import function_exits
from armprobe.probes.instruments import RING_WORDS
from armprobe.probes.probe import Hit, HostHandler, Probe
from armprobe.probes.returning import Returning, check_returning
from armprobe.symbols.data import NamesAt
from armprobe.symbols.location import resolve
from armprobe.symbols.table import SymbolTable

#: a filter in the language of definitions, or a function in the subset of Python that handlers are written in
When = str | Callable[..., object]


class ProbeMaker:
    """Makes the probes of one session. Methods raise UsageError for a place that does not exist, and say what else."""

    def __init__(self, engine: Engine, symbols: SymbolTable) -> None:
        self._engine = engine
        self._symbols = symbols

    def locate(self, where: str | int) -> int:
        """The address of a place. Raises UsageError when there is none or several, Refused where no A32 code is."""
        if isinstance(where, int):
            return where
        places = resolve(where, self._symbols)
        if len(places) > 1:
            raise UsageError(
                f"{where!r} stands for {len(places)} places, and one is wanted here",
                hint="session.places() gives all of them",
            )
        return places[0].address

    def bare(self, where: str | int) -> Probe:
        """A probe that does nothing yet."""
        place = self.locate(where)
        return Probe(self._engine, place, where if isinstance(where, str) else self._symbols.describe(place))

    def counting(self, where: str | int, *, false_conditions: bool = False) -> Probe:
        probe = self.bare(where)
        probe.actions, probe.watch_condition = (Count(),), false_conditions
        return probe

    def handled(
        self,
        places: Iterable[str | int],
        handler: Callable[..., object] | None,
        post_handler: HostHandler | None,
        when: When,
        *,
        compiled: bool,
    ) -> list[Probe]:
        """Probes with a handler each, on the host or compiled. Raises UsageError for one that can't be compiled."""
        probes = [self.bare(where) for where in places]
        names = [
            NamesAt(partial(self._symbols.scope, probe.address), self._symbols.describe(probe.address))
            for probe in probes
        ]
        calls = iter(compiled_calls(handler, self._engine.instruments, names) if compiled and handler else ())
        decided = iter(conditions(when, self._engine.instruments, names) if callable(when) else ())
        for probe, known in zip(probes, names, strict=True):
            condition, scope = next(decided) if callable(when) else (self._condition(when, probe.address), None)
            own = handler.at(known) if isinstance(handler, OnHost) else handler
            if compiled:
                call = next(calls)
                probe.actions, probe.layout = (replace(call, filter=condition),), call.program.layout
                probe.skips = call.program.skips
            else:
                probe.actions = (AskHost(condition),) if condition is not None else ()
                probe.layout, probe.skips = (own.layout, own.skips) if isinstance(own, OnHost) else (None, False)
            probe.pre, probe.post = None if compiled else own, post_handler
            if condition is not None and not compiled:
                probe.condition = condition_on_host(condition, scope, self._engine.instruments)
        return probes

    def _condition(self, when: When, address: int) -> Filter | None:
        assert isinstance(when, str)
        return read_condition(when, self._symbols, self._engine.moments.fields, address) if when else None

    def returning(
        self,
        where: str | int,
        handler: Callable[..., object],
        entry: Callable[[Hit], object] | None,
        maxactive: int,
        *,
        compiled: bool,
    ) -> Probe:
        """A probe with a handler for returns."""
        if compiled:
            probe = self.bare(where)
            call = compiled_return(handler, self._engine.instruments)
            probe.layout = call.program.layout
            self._return_by_code(probe, maxactive, call)
            return probe
        own = handler.at_return() if isinstance(handler, OnHost) else None
        if own is not None and own.entry:
            if entry is not None:
                raise UsageError("a handler that asks for the entry itself takes no entry handler",
                                 hint="it knows the entry as hit.entry.r0")  # fmt: skip
            entry = keep_entry(own.entry)
        if isinstance(entry, OnHost):
            entry.check_after()
        returning = Returning(own or handler, entry, maxactive)
        check_returning(returning)
        probe = self.bare(where)
        probe.returning, probe.layout = returning, None if own is None else own.layout
        target = self._engine.target
        if (entry is None or target.mailbox is not None) and can_compile(
            architecture=target.architecture, atomic=target.concurrent
        ):
            # Then only the return stops the target, if that does; and the host never changes which pads are free.
            probe.actions = (Follow(maxactive),)
        return probe

    def _return_by_code(self, probe: Probe, maxactive: int, action: Action) -> None:
        """Let an action happen in the target at each return, and what it needs of the entry be kept there."""
        probe.returning = Returning(None, maxactive=maxactive, actions=(action,))
        check_returning(probe.returning)
        probe.actions = (Follow(maxactive, keep=needed_of_entry([action])),)

    def latency(self, where: str | int, maxactive: int) -> list[Probe]:
        """Probes of which the first has `latencies`. Raises Refused where there is no clock, or no compiler."""
        engine, target = self._engine, self._engine.target
        if not can_compile(architecture=target.architecture, atomic=target.concurrent):
            raise Refused(
                f"latency is measured by code in the target, which can't be made for {target.name}",
                hint="install llvmlite: pip install 'armprobe[compile]'; before ARMv6, only one processor is supported",
            )
        probe = self.bare(where)
        latencies = engine.instruments.add_latencies(probe.location)
        probe.latencies, latencies.probe = latencies, probe
        if target.threads is not None and not target.threads.complete:
            return [probe, *self._met_at_exits(probe, latencies.address)]
        now, then = (engine.moments.time_source(at_return=returned) for returned in (True, False))
        self._return_by_code(probe, maxactive, Latency(now, AtEntry(then), address=latencies.address))
        return [probe]

    def _met_at_exits(self, probe: Probe, address: int) -> list[Probe]:
        """Let a probe note when calls begin; make those that measure, at the instructions that end them.

        A task may sleep in the function when its probes go: nothing leads through code of ours then.
        """
        engine = self._engine
        exits = function_exits(engine.program, self._symbols, probe.address)
        now, calls = engine.moments.time_source(at_return=False), engine.instruments.add_calls()
        probe.actions = (BeginCall(now, address=calls),)
        ends = [self.bare(place.address) for place in exits]
        probe.companions = tuple(ends)
        for end, place in zip(ends, exits, strict=True):
            end.actions = (EndCall(now, place.popped, address=address, table=calls),)
        return ends

    def defined(self, line: str, definition: ProbeDefinition, *, records: bool) -> Probe:
        """The probe of a definition, which was read from `line`."""
        try:
            probe = self.bare(definition.location)
        except UsageError as error:
            raise pointing_at(error, line, definition.location) from None
        check_entry(definition, probe.address, self._symbols)
        probe.definition = definition
        action = self._action_of(definition) if records else Count(filter=definition.filter)
        probe.layout = action.layout if isinstance(action, Record) else None
        if definition.kind is Kind.RETURN:
            self._return_by_code(probe, definition.maxactive, action)
        else:
            probe.actions = (action,)
        return probe

    def _action_of(self, definition: ProbeDefinition) -> Count | Record:
        """The compiled action that a definition asks for."""
        if definition.kind is Kind.COUNT:
            return Count(filter=definition.filter)
        common = self._engine.moments.common(at_return=definition.kind is Kind.RETURN)
        return Record(definition.layout(common), RING_WORDS, definition.filter, stops=True)
