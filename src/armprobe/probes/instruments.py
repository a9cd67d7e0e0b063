"""What compiled handlers keep in target memory: counters and the ring, and the way to their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from armprobe.codegen.body import Body
from armprobe.codegen.handlers import SITE, Action, Count, Record, Stop, compile_actions
from armprobe.events.record import make_header, split_header
from armprobe.events.ring import Ring, drain, initialize
from armprobe.patching.slots import Pool, Slot, SlotAllocator
from armprobe.probes.probe import Probe
from armprobe.targets.base import Target

#: words of the ring that all probes of a session share
RING_WORDS = 1 << 16
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Compiled:
    """The compiled part of a site and the values of its symbols."""

    body: Body
    symbols: dict[str, int]


@dataclass(slots=True)
class _Cell:
    """A 32-bit counter in target memory, extended on the host: `total` is what was seen up to the value `last`."""

    slot: Slot
    last: int = 0
    total: int = 0
    frozen: bool = False


class Instruments:
    """The counters and the ring of one engine. `sink` is given every record, oldest first."""

    def __init__(self, target: Target, slots: SlotAllocator) -> None:
        self._target = target
        self._slots = slots
        self._cells: dict[Probe, _Cell] = {}
        self._probes: dict[int, Probe] = {}
        self._records: dict[Probe, int] = {}
        self._ring: Ring | None = None
        self.sink: Callable[[Probe, memoryview], object] = lambda _probe, _record: None

    def add(self, probe: Probe) -> None:
        """Give a probe the memory that its actions need. Raises Refused when there is none."""
        self._probes[probe.number] = probe
        self._records[probe] = 0
        if any(isinstance(action, Count | Record) for action in probe.actions):
            slot = self._slots.allocate(4, pool=Pool.DATA)
            self._target.write_memory(slot.address, bytes(4))
            self._cells[probe] = _Cell(slot)
        if self._ring is None and any(isinstance(action, Record) for action in probe.actions):
            longest = Ring(0, RING_WORDS).longest
            slot = self._slots.allocate(Ring(0, RING_WORDS, longest).size, align=8, pool=Pool.DATA)
            self._ring = Ring(slot.address, RING_WORDS, longest)
            initialize(self._ring, self._target.write_memory)

    def discard(self, probe: Probe) -> None:
        """Forget a probe that was never planted."""
        self._probes.pop(probe.number, None)
        self._records.pop(probe, None)
        cell = self._cells.pop(probe, None)
        if cell is not None:
            self._slots.free(cell.slot)

    def freeze(self, probe: Probe) -> None:
        """Keep the last value of a probe's counter. Its word is not reused: a thread may still be in the detour."""
        if probe in self._cells:
            self._cell_value(probe)
            self._cells[probe].frozen = True

    def compile(self, probes: Sequence[Probe], address: int) -> Compiled | None:
        """The compiled part of these probes together; None when all they have are host handlers."""
        actions: list[Action] = []
        symbols = {SITE: address}
        for index, probe in enumerate(probes):
            cell = self._cells.get(probe)
            for action in probe.actions:
                if isinstance(action, Count):
                    assert cell is not None
                    symbols[f"counter{index}"] = cell.slot.address
                    actions.append(replace(action, counter=f"counter{index}"))
                elif isinstance(action, Record):
                    assert cell is not None
                    assert self._ring is not None
                    symbols["ring"] = self._ring.address
                    symbols[f"header{index}"] = make_header(probe.number, action.layout.words)
                    symbols[f"lost{index}"] = cell.slot.address
                    actions.append(replace(action, header=f"header{index}", lost=f"lost{index}"))
                else:
                    actions.append(action)
        if not actions:
            return None
        if any(probe.pre is not None and not _asks_itself(probe) for probe in probes):
            actions.append(Stop())
        body = compile_actions(tuple(actions), architecture=self._target.architecture, atomic=self._target.concurrent)
        return Compiled(body, {name: symbols[name] for name in body.symbols})

    def drain(self) -> None:
        """Hand all complete records to the sink."""
        if self._ring is None:
            return
        drained = drain(self._ring, self._target.read_memory, self._target.write_memory)
        for record in drained.records:
            number, _ = split_header(int.from_bytes(record[:4], "little"))
            probe = self._probes[number]
            self._records[probe] += 1
            self.sink(probe, record)

    def lost(self, probe: Probe) -> int:
        """Records of the probe that found the ring full."""
        return self._cell_value(probe) if any(isinstance(action, Record) for action in probe.actions) else 0

    def hits(self, probe: Probe) -> int:
        """How often the probe's handlers ran."""
        if not probe.actions or all(isinstance(action, Stop) for action in probe.actions):
            return probe.host_hits
        if any(isinstance(action, Record) for action in probe.actions):
            self.drain()
            return self._records[probe] + self._cell_value(probe)
        return self._cell_value(probe)

    def close(self) -> None:
        """Read the ring and all counters for the last time: their memory is about to go."""
        self.drain()
        self._ring = None
        for probe in self._cells:
            self.freeze(probe)

    def _cell_value(self, probe: Probe) -> int:
        cell = self._cells[probe]
        if cell.frozen:
            return cell.total
        value = int.from_bytes(self._target.read_memory(cell.slot.address, 4), "little")
        cell.total += (value - cell.last) & _WORD
        cell.last = value
        return cell.total


def _asks_itself(probe: Probe) -> bool:
    return any(isinstance(action, Stop) for action in probe.actions)
