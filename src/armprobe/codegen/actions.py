"""What happens at a hit in the target: the actions of probes, as data that `handlers` compiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from armprobe.codegen.aggregate import Aggregate
from armprobe.codegen.calls import ENTRY
from armprobe.codegen.fetch import bytes_at_entry
from armprobe.codegen.filters import Filter
from armprobe.codegen.python_tree import Program
from armprobe.events.record import Layout
from armprobe.events.source import AtEntry, Read, Source, entries


@dataclass(frozen=True, slots=True)
class Count:
    """Add one to the word at the symbol `counter`, where `filter` holds."""

    counter: str = "counter"
    filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """Write a record to the ring at the symbol `ring`, where `filter` holds.

    `capacity` is the ring's, in words. `header` is a symbol whose *value* is the header word (`make_header`), `lost`
    one for the address of the probe's own count of lost records. With `stops`, the body leaves by Exit.DRAIN when the
    ring is more than three quarters full, so that nothing need be lost.
    """

    layout: Layout
    capacity: int
    filter: Filter | None = None
    stops: bool = False
    ring: str = "ring"
    header: str = "header"
    lost: str = "lost"


@dataclass(frozen=True, slots=True)
class Stop:
    """Leave by Exit.STOP, where `filter` holds."""

    filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Run a checked Python function, where `filter` holds.

    Its symbols begin with `prefix`: `hits`, `faults` and `lost` are words that count, `header` and `probe` numbers,
    `map0`... the maps of the program. `capacity` is that of the ring, with the symbol `ring`.
    """

    program: Program
    capacity: int
    filter: Filter | None = None
    prefix: str = ""
    ring: str = "ring"
    #: how the time and the number of the processor are read: name, source, size in bytes
    moment: tuple[tuple[str, Read, int], ...] = ()
    #: at a return: what it needs of the entry, by name
    entry: tuple[tuple[str, AtEntry], ...] = ()
    #: the addresses of its maps, and the function's name and place: they do not change the code
    maps: tuple[int, ...] = field(default=(), compare=False)
    origin: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Follow:
    """At the entry of a function: let the call come back through a pad. See `armprobe.codegen.calls`.

    `size` is how many pads there are; `calls`, `pads` and `missed` are the symbols of the table, of the first pad, and
    of the number of calls for which there was none. Then the body leaves by Exit.DRAIN now and then: the host may find
    pads of calls that will not come back. `keep` is what is stored for the return, one behind the other, behind
    the table; see `needed_of_entry`.
    """

    size: int
    keep: tuple[Source, ...] = ()
    calls: str = "calls"
    pads: str = "pads"
    missed: str = "missed"
    filter: None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """At a return: count how long the call took, at the symbol `latency`.

    `now` and `began` are how the time is read. `address` is where the latencies stand.
    """

    now: Read
    began: AtEntry
    latency: str = "latency"
    address: int = field(default=0, compare=False)
    filter: None = None


@dataclass(frozen=True, slots=True)
class BeginCall:
    """At the entry of a function: keep the time in the table of calls in progress, at the symbol `calls`.

    `missed` is the symbol of the number of calls for which there was no room, `address` where the table stands.
    """

    now: Read
    calls: str = "calls"
    missed: str = "missed"
    address: int = field(default=0, compare=False)
    filter: None = None


@dataclass(frozen=True, slots=True)
class EndCall:
    """At an instruction that leaves it, and adds `popped` to SP: count how long that call took, as `Latency` does.

    `table` is where the calls in progress stand.
    """

    now: Read
    popped: int
    calls: str = "calls"
    latency: str = "latency"
    address: int = field(default=0, compare=False)
    table: int = field(default=0, compare=False)
    filter: None = None


Action = BeginCall | EndCall | Count | Record | Stop | Call | Follow | Latency | Aggregate


def needed_of_entry(actions: Iterable[Action]) -> tuple[Source, ...]:
    """What actions at a return need of the entry of the call, in the order in which `Follow` keeps it: times first."""
    wanted = tuple((action.entry, action.filter) if isinstance(action, Call) else action for action in actions)
    found = dict.fromkeys(entry.source for entry in entries(wanted))
    return tuple(sorted(found, key=lambda source: -bytes_at_entry(source)))


def kept_bytes(keep: tuple[Source, ...]) -> int:
    """The bytes that are kept of each call: a multiple of those that it has in the table of calls."""
    return -(-sum(map(bytes_at_entry, keep)) // ENTRY) * ENTRY
