"""What compiled handlers keep in target memory: counters and the ring, and the way to their values."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from armprobe.codegen import latency
from armprobe.codegen.action_order import split_filter
from armprobe.codegen.actions import Action, BeginCall, Call, Count, EndCall, Follow, Latency, Record, Stop
from armprobe.codegen.aggregate import Aggregate
from armprobe.codegen.body import Body
from armprobe.codegen.conditions import map_symbol
from armprobe.codegen.filters import maps_read, sources
from armprobe.codegen.handlers import SITE, compile_actions, compile_guard
from armprobe.codegen.map_layout import MapShape
from armprobe.codegen.waiting import CONTROL_SIZE, Waiting, control_block
from armprobe.errors import Refused
from armprobe.events.batch import Batch, single
from armprobe.events.record import make_header
from armprobe.events.ring import Drained, Ring, drain, initialize, skip
from armprobe.events.source import Source, reads_memory
from armprobe.patching.slots import Pool, Slot, SlotAllocator
from armprobe.probes.latencies import Latencies
from armprobe.probes.maps import Map
from armprobe.probes.moments import Moments
from armprobe.probes.probe import Probe
from armprobe.probes.readable_memory import ReadableMemory
from armprobe.targets.base import Target, read_all, write_all

#: how long a ring may be nearly full without a record that can be read
STUCK_SECONDS = 5.0
#: words of the ring that all probes of a session share
RING_WORDS = 1 << 16
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Compiled:
    """The compiled part of a site and the values of its symbols."""

    body: Body
    symbols: dict[str, int]
    guard: Body | None = None


@dataclass(slots=True)
class _Cell:
    """A 32-bit counter in target memory, extended on the host: `total` is what was seen up to the value `last`."""

    slot: Slot
    last: int = 0
    total: int = 0
    frozen: bool = False


class Instruments:
    """The counters and the ring of one engine. `sink` is given the records of each drain, oldest first."""

    def __init__(self, target: Target, slots: SlotAllocator, moments: Moments) -> None:
        self._target = target
        self.moments = moments
        self._slots = slots
        #: by probe and by what is counted: `hits`, `lost`, `faults`
        self._cells: dict[Probe, dict[str, _Cell]] = {}
        #: of hits that want the host where there is none: a child that the program forked
        self._unanswered: dict[Probe, list[_Cell]] = {}
        #: how many slots have code that counts for a probe
        self._slots_of: dict[Probe, int] = {}
        self._probes: dict[int, Probe] = {}
        self._records: dict[Probe, int] = {}
        self._ring: Ring | None = None
        self._maps: list[Map] = []
        #: whether it is the host that changes a map, or code in the target, or both
        self._changed_by: dict[Map, set[bool]] = {}
        self._latencies: list[Latencies] = []
        #: how code waits for room in the ring; None: it stops the target for that
        self.waiting: Waiting | None = None
        #: words of records that were given up, behind one that was never finished
        self.unfinished = 0
        self._moved = 0.0
        #: where return probes have their `calls` (the table) and `pads`
        self.calls: dict[Probe, dict[str, int]] = {}
        #: what handlers may read: the memory of the program, not ours
        self.memory = ReadableMemory(target, slots)
        self.sink: Callable[[Batch], object] = lambda _records: None

    def add(self, probe: Probe) -> None:
        """Give a probe the memory that its actions need. Raises Refused when there is none."""
        self._probes[probe.number] = probe
        self._records[probe] = 0
        self._cells[probe] = {}
        for role in {role for action in (*probe.actions, *probe.handling) for role in _roles(action)}:
            self._cells[probe][role] = _Cell(self._slots.allocate(4, pool=Pool.DATA))
        if self._ring is None and any(map(_writes_records, probe.handling)):
            longest = Ring(0, RING_WORDS).longest
            slot = self._slots.allocate(Ring(0, RING_WORDS, longest).size, align=8, pool=Pool.DATA)
            self._ring = Ring(slot.address, RING_WORDS, longest)
            initialize(self._ring, self._target.write_memory)
            shared = self._target.shared_memory
            if shared is not None and shared.live:
                control = self._slots.allocate(CONTROL_SIZE, pool=Pool.DATA).address
                self._target.write_memory(control, control_block(os.getpid()))
                self.waiting = Waiting(control, slot.address, RING_WORDS // 2)

    def add_map(self, name: str, shape: MapShape, *, log2: bool = False) -> Map:
        """Make an empty map. Raises Refused when there is no memory for it."""
        slot = self._slots.allocate(shape.bytes, align=8, pool=Pool.DATA)
        self._target.write_memory(slot.address, bytes(shape.bytes))
        live = self._target.mailbox is not None
        self._maps.append(Map(name, shape, slot.address, log2, live, _memory=self._target))
        return self._maps[-1]

    def add_latencies(self, name: str) -> Latencies:
        """Make room for the latencies of one function. Raises Refused when there is no memory, or no clock."""
        clock = self.moments.need_clock()
        slot = self._slots.allocate(latency.BYTES, align=8, pool=Pool.DATA)
        made = Latencies(name, clock.unit, clock.ns_per_tick, slot.address, _memory=self._target)
        made.clear()
        self._latencies.append(made)
        return made

    def add_calls(self) -> int:
        """Make room for the calls in progress of one function; return where. Raises Refused when there is none."""
        slot = self._slots.allocate(latency.CALLS * latency.CALL_BYTES, align=8, pool=Pool.DATA)
        self._target.write_memory(slot.address, bytes(latency.CALLS * latency.CALL_BYTES))
        return slot.address

    def has_map(self, known: Map) -> bool:
        """Whether the map is one of this target."""
        return any(known is other for other in self._maps)

    def note_changes(self, maps: Iterable[Map], *, by_host: bool) -> None:
        """Note who changes maps. Raises Refused where code in the target and the host would do so at the same time."""
        for known in maps:
            self._changed_by.setdefault(known, set()).add(by_host)
            if len(self._changed_by[known]) > 1 and self._target.mailbox is not None:
                raise Refused(
                    f"the map {known.name!r} would be changed by compiled code and by a handler on the host, while "
                    "other threads run: updates would be lost",
                    hint="use a map for each side, or compile both handlers",
                )

    def clear(self, probes: Iterable[Probe]) -> None:
        """Set the counters of new probes to zero, before one of them is planted."""
        cells = [cell for probe in probes for cell in self._cells[probe].values()]
        write_all(self._target, [(cell.slot.address, bytes(4)) for cell in cells])

    def discard(self, probe: Probe) -> None:
        """Forget a probe that was never planted."""
        self._probes.pop(probe.number, None)
        self.calls.pop(probe, None)
        self._records.pop(probe, None)
        for cell in self._cells.pop(probe, {}).values():
            self._slots.free(cell.slot)

    def freeze(self, probes: Iterable[Probe]) -> None:
        """Keep the last values of counters. Their words are free again when no slot has code that changes them."""
        self._freeze([cell for probe in probes for cell in self._cells.get(probe, {}).values()])

    def hold(self, probes: Iterable[Probe]) -> None:
        """Note a slot that has code of these probes."""
        for probe in probes:
            self._slots_of[probe] = self._slots_of.get(probe, 0) + 1

    def let_go(self, probes: Iterable[Probe]) -> None:
        """Forget such a slot, which nobody is in; the counters of probes that are gone go with their last one."""
        for probe in probes:
            self._slots_of[probe] -= 1
            if not self._slots_of[probe]:
                del self._slots_of[probe]
                self._free(probe)

    def _free(self, probe: Probe) -> None:
        if probe.returning is not None:
            return  # its trampoline counts as well, and outlives the detour
        for cell in self._cells.get(probe, {}).values():
            if cell.frozen:
                self._slots.free(cell.slot)

    def compile(self, probes: Sequence[Probe], address: int) -> Compiled | None:
        """The compiled part of these probes together; None when all they have are host handlers."""
        symbols = {SITE: address}
        actions = [
            self._name(action, probe, index, symbols) for index, probe in enumerate(probes) for action in probe.actions
        ]
        if not actions:
            return None
        if any(probe.follows_on_host or (probe.at_entry_on_host and not _asks_itself(probe)) for probe in probes):
            actions.append(Stop())
        return self._compile(actions, symbols)

    def compile_return(self, probe: Probe) -> Compiled:
        """The compiled part of the trampoline of a return probe."""
        symbols = dict(self.calls[probe])
        actions = [self._name(action, probe, 0, symbols) for action in probe.handling]
        assert probe.returning is not None
        return self._compile(actions, symbols, at_return=True, kept=(probe.returning.maxactive, probe.kept))

    def _name(self, action: Action, probe: Probe, index: int, symbols: dict[str, int]) -> Action:
        """The action with names of its own for what it needs; `symbols` gets their values."""
        cells = {role: cell.slot.address for role, cell in self._cells[probe].items()}
        if self._ring is not None:
            symbols["ring"] = self._ring.address
        match action:
            case Count():
                symbols[f"counter{index}"] = cells["hits"]
                return replace(action, counter=f"counter{index}")
            case Record():
                symbols[f"header{index}"] = make_header(probe.number, action.layout.words)
                symbols[f"lost{index}"] = cells["lost"]
                return replace(action, header=f"header{index}", lost=f"lost{index}")
            case Call():
                prefix = f"call{index}_"
                numbers = {"probe": probe.number}
                if action.program.layout is not None:
                    numbers["header"] = make_header(probe.number, action.program.layout.words)
                maps = {f"map{number}": address for number, address in enumerate(action.maps)}
                symbols |= {prefix + name: value for name, value in (cells | numbers | maps).items()}
                return replace(action, prefix=prefix)
            case Follow():
                places = self.calls[probe] | {"missed": cells["missed"]}
                symbols |= {f"{name}{index}": value for name, value in places.items()}
                return replace(action, calls=f"calls{index}", pads=f"pads{index}", missed=f"missed{index}")
            case Aggregate():
                prefix = f"hist{index}_{len(symbols)}_"
                symbols |= {f"{prefix}map{number}": address for number, address in enumerate(action.maps)}
                return replace(action, prefix=prefix)
            case Latency():
                symbols[f"latency{index}"] = action.address
                return replace(action, latency=f"latency{index}")
            case BeginCall():
                symbols |= {f"began{index}": action.address, f"missed{index}": cells["missed"]}
                return replace(action, calls=f"began{index}", missed=f"missed{index}")
            case EndCall():
                symbols |= {f"began{index}": action.table, f"latency{index}": action.address}
                return replace(action, calls=f"began{index}", latency=f"latency{index}")
            case Stop():
                return action

    def _compile(
        self,
        actions: Sequence[Action],
        symbols: dict[str, int],
        *,
        at_return: bool = False,
        kept: tuple[int, tuple[Source, ...]] = (0, ()),
    ) -> Compiled:
        readable, routines = self.memory.prepare() if any(map(_reads_memory, actions)) else ((), {})
        symbols |= routines
        filters = [action.filter for action in actions if action.filter is not None]
        symbols |= {map_symbol(place): place for known in filters for place in maps_read(known)}
        architecture, atomic = self._target.architecture, self._target.concurrent
        wanted, rest = (None, tuple(actions)) if at_return else split_filter(tuple(actions))
        body = compile_actions(
            rest,
            architecture=architecture,
            atomic=atomic,
            at_return=at_return,
            kept=kept,
            readable=readable,
            walked=bool(routines),
        )
        guard = None
        if wanted is not None:
            guard = compile_guard(
                wanted, architecture=architecture, atomic=atomic, readable=readable, walked=bool(routines)
            )
        names = body.symbols | (guard.symbols if guard is not None else frozenset())
        if not names <= symbols.keys():
            symbols |= self.moments.routines()
        return Compiled(body, {name: symbols[name] for name in names}, guard)

    @property
    def probes(self) -> Mapping[int, Probe]:
        """All probes by their numbers, which headers name; also those that are not registered any more."""
        return self._probes

    def drain(self) -> None:
        """Hand all complete records to the sink."""
        if self._ring is None:
            return
        drained = drain(self._ring, self._target.read_memory, self._target.write_memory)
        for number, count in drained.records.count().items():
            self._records[self._probes[number]] += count
        self.sink(drained.records)
        if self.waiting is not None:
            self._see_to_progress(drained)

    def _see_to_progress(self, drained: Drained) -> None:
        """Give up what is behind a record that nobody finishes: a child, say, that was killed while it wrote."""
        assert self._ring is not None
        assert self.waiting is not None
        now = time.monotonic()
        if drained.records or drained.pending <= self.waiting.enough:
            self._moved = now
        elif now - self._moved > STUCK_SECONDS:
            self.unfinished += skip(self._ring, self._target.read_memory, self._target.write_memory)
            self._moved = now

    def record(self, probe: Probe, record: bytes) -> None:
        """Hand a record that was made on the host to the sink, after those that are in the ring."""
        self.drain()
        self._records[probe] += 1
        self.sink(single(record))

    def lost(self, probe: Probe) -> int:
        """Records of the probe that found the ring full."""
        return self._count(probe, "lost")

    def missed(self, probe: Probe) -> int:
        """Calls that code in a detour did not follow for want of a pad, and handlers that nobody was there to run."""
        return self._count(probe, "missed") + sum(map(self._total, self._unanswered.get(probe, ())))

    def count_unanswered(self, probes: Iterable[Probe]) -> int:
        """The address of a counter of hits that want the host where there is none: these probes miss them."""
        cell = _Cell(self._slots.allocate(4, pool=Pool.DATA))
        self._target.write_memory(cell.slot.address, bytes(4))
        for probe in probes:
            self._unanswered.setdefault(probe, []).append(cell)
        return cell.slot.address

    def faults(self, probe: Probe) -> int:
        """How often a read of memory that is not there ended the compiled handler of the probe."""
        return self._count(probe, "faults") + probe.host_faults

    def hits(self, probe: Probe) -> int:
        """How often the probe's handlers ran."""
        if probe.latencies is not None:
            return probe.latencies.count
        if all(isinstance(action, Stop) for action in probe.handling):
            return probe.host_hits
        if any(isinstance(action, Record) for action in probe.handling):
            self.drain()
            return self._records[probe] + self._count(probe, "lost")
        return self._count(probe, "hits")

    def counter(self, probe: Probe) -> int:
        """The address of the word that counts the hits of a probe that counts."""
        return self._cells[probe]["hits"].slot.address

    def close(self) -> None:
        """Read the ring, all counters and maps for the last time: their memory is about to go."""
        self.drain()
        if self._ring is not None and self._target.shared_memory is not None:
            # Whoever is left, a child of the program, goes on by itself.
            self.unfinished += skip(self._ring, self._target.read_memory, self._target.write_memory)
        self._ring = None
        if self.waiting is not None:
            self._target.write_memory(self.waiting.control, control_block(0))
        self._freeze([cell for cells in self._cells.values() for cell in cells.values()])
        self._freeze([cell for cells in self._unanswered.values() for cell in cells])
        for known in self._maps:
            known.freeze()
        for latencies in self._latencies:
            latencies.freeze()

    def _count(self, probe: Probe, role: str) -> int:
        cell = self._cells.get(probe, {}).get(role)
        return 0 if cell is None else self._total(cell)

    def _total(self, cell: _Cell) -> int:
        self._update([cell])
        return cell.total

    def _freeze(self, cells: Collection[_Cell]) -> None:
        self._update(cells)
        for cell in cells:
            cell.frozen = True

    def _update(self, cells: Collection[_Cell]) -> None:
        """Read those that still count."""
        counting = [cell for cell in cells if not cell.frozen]
        for cell, data in zip(counting, read_all(self._target, [(at.slot.address, 4) for at in counting]), strict=True):
            value = int.from_bytes(data, "little")
            cell.total += (value - cell.last) & _WORD
            cell.last = value


def _roles(action: Action) -> tuple[str, ...]:
    """The counters in target memory that an action needs."""
    match action:
        case Count():
            return ("hits",)
        case Record():
            return ("lost",)
        case Call(program):
            return ("hits", *(("lost",) if program.layout is not None else ()), *(("faults",) if program.reads else ()))
        case Follow() | BeginCall():
            return ("missed",)
        case Stop() | Aggregate() | Latency() | EndCall():
            return ()


def _writes_records(action: Action) -> bool:
    return isinstance(action, Record) or (isinstance(action, Call) and action.program.layout is not None)


def _reads_memory(action: Action) -> bool:
    if isinstance(action, Call) and action.program.reads:
        return True
    fields = [field.source for field in action.layout.fields] if isinstance(action, Record) else []
    fields += action.sources if isinstance(action, Aggregate) else ()
    looked_at = sources(action.filter) if action.filter is not None else frozenset[Source]()
    return any(map(reads_memory, (*fields, *looked_at)))


def _asks_itself(probe: Probe) -> bool:
    return any(isinstance(action, Stop) for action in probe.actions)
