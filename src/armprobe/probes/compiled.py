"""Python functions as handlers: compiled, run in the target; and the same functions run on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from armprobe.codegen.actions import Call
from armprobe.codegen.filters import Filter
from armprobe.codegen.python_host import Ending, Fault, Key, Surroundings, host_condition, host_function
from armprobe.codegen.python_objects import Names
from armprobe.codegen.python_scope import PlaceNeededError, Scope
from armprobe.codegen.python_subset import Checked, check_condition, check_handler
from armprobe.errors import TargetFault, UsageError
from armprobe.events.record import HEADER_BYTES, Field, Layout, make_header
from armprobe.probes.callers import go_to
from armprobe.probes.host_conditions import Looking, holds
from armprobe.probes.instruments import RING_WORDS, Instruments
from armprobe.probes.maps import Map, shape_of
from armprobe.probes.probe import Hit, Probe
from armprobe.symbols.data import NamesAt
from armprobe.targets.base import Registers


def compiled_calls(
    function: Callable[..., object], instruments: Instruments, places: Iterable[NamesAt]
) -> Iterator[Call]:
    """Check a function and make it the action of a probe at each of the places.

    Raises UsageError, with the line and a caret as evidence, for what is not in the subset, and for maps of another
    session.
    """
    call: Call | None = None
    for names in places:
        if call is None:
            checked, maps = _check(function, instruments, names)
            instruments.note_changes(maps, by_host=False)
            source = checked.scope.source
            origin = f"{source.name}() at {source.filename}:{source.tree.lineno}"
            call = Call(
                checked.program, RING_WORDS, maps=tuple(known.address for known in maps), origin=origin,
                moment=instruments.moments.sources(checked.program.moment, at_return=False),
            )  # fmt: skip
        yield call
        if checked.scope.handler.uses_names:
            call = None


def compiled_return(function: Callable[..., object], instruments: Instruments) -> Call:
    """Check a function and make it the action of a return probe. Raises UsageError like `compiled_calls`."""
    checked, maps = _check(function, instruments, None, at_return=True)
    instruments.note_changes(maps, by_host=False)
    program, moments, source = checked.program, instruments.moments, checked.scope.source
    return Call(
        program, RING_WORDS, maps=tuple(known.address for known in maps),
        moment=moments.sources(program.moment, at_return=True), entry=moments.at_entry(program.entry),
        origin=f"{source.name}() at {source.filename}:{source.tree.lineno}",
    )  # fmt: skip


def conditions(
    function: Callable[..., object], instruments: Instruments, places: Iterable[NamesAt]
) -> Iterator[tuple[Filter, Scope]]:
    """Check a function that decides whether a hit counts, at each of the places; its scope is for the host.

    Raises UsageError like `compiled_calls`.
    """
    found: tuple[Filter, Scope] | None = None
    moments = instruments.moments
    for names in places:
        if found is None:
            condition, scope = check_condition(function, shape_of, names, lacking=moments.lacking)
            maps = tuple((known.shape, known.address) for known in _own_maps(scope.handler.maps, instruments))
            found = replace(condition, moment=moments.sources(scope.handler.moment, at_return=False), maps=maps), scope
        yield found
        if found[1].handler.uses_names:
            found = None


class _NoPlaceYet:
    """Stands for the names of a place that is not known yet."""

    def variable(self, name: str) -> NoReturn:
        raise PlaceNeededError(name)

    argument = type_named = variable


class OnHost:
    """A host handler that does what a function does in the target. `layout` is that of its records.

    One that uses names of the program, or of the call, runs once `at` or `at_return` has given it a place.
    """

    def __init__(
        self,
        function: Callable[..., object],
        instruments: Instruments,
        names: Names | None = None,
        *,
        at_return: bool | None = None,
    ) -> None:
        """Raises UsageError like `compiled_calls`."""
        self._function = function
        self._instruments = instruments
        self._run: Callable[[Surroundings, Any, int], Ending] | None = None
        self.layout: Layout | None = None
        self.skips = False
        #: what it asks for of the entry of the call, at a return
        self.entry: frozenset[str] = frozenset()
        try:
            checked, self._maps = _check(
                function, instruments, None if at_return else names or _NoPlaceYet(), at_return=at_return
            )
        except PlaceNeededError:
            return
        instruments.note_changes(self._maps, by_host=True)
        self._run = host_function(checked)
        program = checked.program
        self.layout, self.skips, self.entry = program.layout, program.skips, program.entry

    def at(self, names: NamesAt) -> OnHost:
        """The handler at a place. Raises UsageError for names that are not known there."""
        return self if self._run is not None else OnHost(self._function, self._instruments, names, at_return=False)

    def at_return(self) -> OnHost:
        """The handler at the return of a function. Raises UsageError for what there is only before it runs."""
        return OnHost(self._function, self._instruments, at_return=True)

    def check_after(self) -> None:
        """Raise UsageError for a function that can't run after an instruction: it asks for a place before one."""
        if self._run is None or self.skips:
            raise UsageError(f"{self._function.__name__}() can't run after the instruction: it skips a function, or "
                             "asks for names or for a result", hint="give it as the handler before")  # fmt: skip

    def __call__(self, hit: Hit) -> bool:
        surroundings = _Surroundings(hit, self._maps, self.layout, self._instruments)
        assert self._run is not None
        ending = self._run(surroundings, hit.regs, hit.probe.number)
        if surroundings.changed is not None:
            hit.regs.r0 = surroundings.changed
        if ending is Ending.FAULT:
            hit.probe.host_faults += 1
        return ending is Ending.SKIP


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a function at a return may ask of the entry of the call."""

    registers: Registers
    time: int | None


def keep_entry(names: frozenset[str]) -> Callable[[Hit], object] | None:
    """An entry handler that keeps what a function at the return asks for; None when that is nothing."""
    if not names:
        return None
    return lambda hit: _Entry(hit.regs.copy(), hit.time if "time" in names else None)


def condition_on_host(wanted: Filter, scope: Scope | None, instruments: Instruments) -> Callable[[Hit], bool]:
    """Make a function that decides a condition of `when=` on the host; `scope` is that of one in Python."""
    decide = host_condition(scope) if scope is not None else None
    maps = scope.handler.maps if scope is not None else []

    def condition(hit: Hit) -> bool:
        surroundings = _Surroundings(hit, maps, None, instruments)
        if decide is not None:
            return decide(surroundings, hit.regs)
        moments = instruments.moments
        looking = Looking(lambda name: int(getattr(hit.regs, name)), surroundings.read, moments.value, moments.text)
        return holds(wanted, looking)

    return condition


def _check(
    function: Callable[..., object], instruments: Instruments, names: Names | None, *, at_return: bool | None = False
) -> tuple[Checked, list[Map]]:
    moments = instruments.moments
    checked = check_handler(
        function,
        shape_of,
        names,
        common=moments.common(at_return=bool(at_return)),
        lacking=moments.lacking,
        at_return=at_return,
    )
    return checked, _own_maps(checked.maps, instruments)


def _own_maps(maps: Iterable[object], instruments: Instruments) -> list[Map]:
    """The maps that a function uses. Raises UsageError for one of another session."""
    own = [known for known in maps if isinstance(known, Map)]
    for known in own:
        if not instruments.has_map(known):
            raise UsageError(f"the map {known.name!r} belongs to another session", hint="make maps with this session")
    return own


@dataclass(slots=True)
class _Surroundings:
    """What a function reaches at one hit, on the host."""

    hit: Hit
    maps: list[Map]
    layout: Layout | None
    instruments: Instruments
    #: the result that was set; registers show it when the handler has run
    changed: int | None = None

    def read(self, address: int, size: int) -> bytes:
        if not self.instruments.memory.includes(address, size):
            raise Fault
        try:
            return self.hit.read(address, size)
        except TargetFault:
            raise Fault from None

    def add(self, number: int, key: Key, amount: int) -> None:
        self.maps[number].add(amount, key)

    def put(self, number: int, key: Key, value: int) -> None:
        self.maps[number].put(key, value)

    def get(self, number: int, key: Key) -> int:
        return self.maps[number].get(key)

    def pop(self, number: int, key: Key) -> int:
        return self.maps[number].pop(key)

    def time(self) -> int:
        return self.hit.time

    def cpu(self) -> int:
        return self.hit.cpu

    def task_number(self, name: str) -> int:
        return self.instruments.moments.task_number(name)

    def task_name(self) -> bytes:
        return self.instruments.moments.task_name()

    def record(self, values: Mapping[str, int | bytes | None]) -> None:
        assert self.layout is not None
        common = {field.name: self._common(field) for field in self.layout.shared}
        self.instruments.record(self.hit.probe, pack(self.layout, self.hit.probe, values, common))

    def skip(self, words: Sequence[int]) -> None:
        regs = self.hit.regs
        for number, word in enumerate(words):
            regs.values[number] = word
        go_to(regs, regs.lr)

    @property
    def result(self) -> int:
        return self.hit.retval if self.changed is None else self.changed

    def set_result(self, value: int) -> None:
        self.changed = value

    def at_entry(self, name: str) -> int:
        entry = self.hit.entry
        assert isinstance(entry, _Entry)
        return int(getattr(entry if name == "time" else entry.registers, name))

    def _common(self, field: Field) -> bytes:
        """What target code would store in a field that all records have."""
        found: int | None = {"time": self.hit.time, "cpu": self.hit.cpu}.get(field.name)
        return self.instruments.moments.stored(field) if found is None else found.to_bytes(field.type.size, "little")


def pack(
    layout: Layout, probe: Probe, values: Mapping[str, int | bytes | None], common: Mapping[str, bytes] | None = None
) -> bytes:
    """The record that target code would write; None is what could not be read."""
    record = bytearray(4 * layout.words)
    for field in layout.shared:
        record[field.offset : field.offset + field.type.stored] = (common or {})[field.name]
    faults = 0
    for field in layout.own:
        value = values[field.name]
        if isinstance(value, bytes):
            record[field.offset : field.offset + 4] = (len(value) << 16 | len(record)).to_bytes(4, "little")
            record += value + bytes(-len(value) % 4)
        elif value is None:
            if field.fault is None:
                continue  # a string that is nowhere
            faults |= 1 << field.fault
        else:
            size = field.type.size
            record[field.offset : field.offset + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    record[:HEADER_BYTES] = make_header(probe.number, len(record) // 4).to_bytes(HEADER_BYTES, "little")
    record[HEADER_BYTES : HEADER_BYTES + 4 * layout.faults] = faults.to_bytes(4 * layout.faults, "little")
    return bytes(record)
