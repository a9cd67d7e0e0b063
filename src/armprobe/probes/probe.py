"""What users hold: a Probe, and the Hit its host handlers are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from armprobe.codegen.actions import Action, Follow, needed_of_entry
from armprobe.errors import UsageError
from armprobe.events.record import Layout
from armprobe.events.source import Source
from armprobe.events.values import decode_text
from armprobe.probes.named_values import NamedValues, values_at
from armprobe.symbols.data import NamesAt
from armprobe.symbols.values import State, read_string, value_as
from armprobe.targets.base import Registers

if TYPE_CHECKING:
    from armprobe.probes.definition import ProbeDefinition
    from armprobe.probes.engine import Engine
    from armprobe.probes.latencies import Latencies
    from armprobe.probes.returning import Returning


class Hit:
    """One hit, as a host handler sees it.

    `regs` is the state just before the displaced instruction (for a post handler: just after it), with `pc` the
    address of the probe (post: of the next instruction) and `orig_r0` 0xffffffff. Registers that the handler sets are
    written back. `cpu` is the number of the CPU, as the target numbers it.

    For the handler of a return probe `regs` is the state in which the function came back, with `pc` the return address,
    and `entry` is what the probe's entry handler returned.
    """

    __slots__ = ("_engine", "_pc", "_returned", "_time", "cpu", "entry", "probe", "regs")

    def __init__(
        self,
        engine: Engine,
        probe: Probe,
        regs: Registers,
        cpu: int,
        *,
        entry: object = None,
        returned: bool = False,
    ) -> None:
        """`returned`: the instruction at the site, or that which returned, was executed."""
        self._engine = engine
        self.probe = probe
        self.regs = regs
        self.cpu = cpu
        self.entry = entry
        self._pc = regs.pc
        self._returned = returned
        self._time: int | None = None

    def __repr__(self) -> str:
        return f"<hit of {self.probe.name} at 0x{self._pc:08x}>"

    @property
    def address(self) -> int:
        return self.probe.address

    @property
    def time(self) -> int:
        """When it is, in ticks of the target's clock (`session.clock`): the same that compiled handlers read.

        Ask before the handler lets the target do anything. Raises Refused where there is no clock.
        """
        if self._time is None:
            self._time = self._engine.moments.time(returned=self._returned)
        return self._time

    @property
    def pid(self) -> int:
        """The number of the task (the thread), as the kernel counts and its traces show it.

        Ask before the handler lets the target do anything, of this, `tgid` and `comm`. Raises Refused where no task is
        known: they are those of a kernel.
        """
        return self._engine.moments.task_number("pid")

    @property
    def tgid(self) -> int:
        """The number of the task's process, which its threads share."""
        return self._engine.moments.task_number("tgid")

    @property
    def comm(self) -> str:
        """The name of the task: at most 15 bytes."""
        return decode_text(self._engine.moments.task_name(), 0)

    @property
    def retval(self) -> int:
        """What the function of a return probe returned: r0. A result of 64 bits has its upper half in `regs.r1`.

        Where it is set, the caller gets that instead.
        """
        return self.regs.r0

    @retval.setter
    def retval(self, value: int) -> None:
        self.regs.r0 = value & 0xFFFFFFFF

    @property
    def symbol(self) -> str:
        """The probe's place as `name+0x10`, or its address where there is no symbol."""
        return self._engine.program.describe(self.probe.address)

    @property
    def args(self) -> NamedValues:
        """The arguments of the function, by the names of its source: `hit.args.pkt.hdr.type`, `hit.args["len"]`.

        Each is read when it is asked for: numbers are int, pointers and structures know their members, arrays their
        elements. Raises UsageError where there is no debug information, AttributeError with the reason for a value that
        is not there: `optimized out here`.
        """
        return self._named(arguments_only=True)

    @property
    def vars(self) -> NamedValues:
        """All variables known at the place, arguments and those of its source file included, as `args` are."""
        return self._named(arguments_only=False)

    def cast(self, type_name: str, address: int) -> Any:
        """An address as a pointer of a type that the source file of the place knows: `hit.cast("struct packet *", r0)`.

        Raises UsageError for a type that it does not know.
        """
        program = self._engine.program
        names = NamesAt(lambda: program.scope(self._pc), program.describe(self._pc))
        return value_as(names.type_named(type_name), address, self._state)

    @property
    def _state(self) -> State:
        return State(lambda name: int(getattr(self.regs, name)), self.read)

    def _named(self, *, arguments_only: bool) -> NamedValues:
        if self.probe.returning is not None and self._pc != self.probe.address:
            raise UsageError(f"{self.symbol} has returned: its variables are gone",
                             hint="keep what you need in an entry handler: hit.entry")  # fmt: skip
        program = self._engine.program
        return values_at(
            program.scope(self._pc), self._state, where=program.describe(self._pc), arguments_only=arguments_only
        )

    def read(self, address: int, size: int) -> bytes:
        """Read memory as the program would see it without probes. Raises TargetFault."""
        return self._engine.program.read_memory(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Write memory. Raises TargetFault, and Refused for bytes that armprobe itself has changed."""
        self._engine.program.write_memory(address, data)

    def call(self, function: int, *arguments: int) -> int:
        """Call a function of the program (AAPCS, up to four words as arguments) and return its r0.

        Probes that are hit meanwhile on this CPU count as missed. Raises TargetError when the call does not come back.
        """
        engine = self._engine
        returns_to = engine.asking.returned
        return engine.program.call(function, arguments, engine.dispatcher.on_trap, returns_to=returns_to)

    def u8(self, address: int) -> int:
        return self.read(address, 1)[0]

    def u16(self, address: int) -> int:
        return int.from_bytes(self.read(address, 2), "little")

    def u32(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little")

    def string(self, address: int, limit: int = 256) -> str:
        """The NUL-terminated string at `address`, at most `limit` bytes of it; bytes that are no UTF-8 as `\\xNN`."""
        return read_string(self.read, address, limit)


#: A host handler. As a pre handler, returning True says that it has diverted control: the displaced instruction is not
#: executed and the thread goes on at `hit.regs.pc`.
HostHandler = Callable[[Hit], object]


@dataclass(slots=True, eq=False, repr=False)
class Probe:
    """A place with handlers. Made by a session; it works from the moment it is returned until `unregister`.

    `pre` and `post` are host handlers, `actions` what is compiled into the detour. `missed` counts hits whose handlers
    did not run because another handler was running on the same CPU or, in a child that a process forked, because nobody
    is there to run them; and calls that a return probe did not follow because so many were in progress already.
    """

    engine: Engine
    address: int
    location: str
    pre: HostHandler | None = None
    post: HostHandler | None = None
    actions: tuple[Action, ...] = ()
    #: whether the condition of the host handler holds; the target decides it as well, but not for whom it stopped
    condition: Callable[[Hit], bool] | None = None
    definition: ProbeDefinition | None = None
    #: what makes it a return probe
    returning: Returning | None = None
    number: int = 0
    enabled: bool = True
    host_missed: int = 0
    host_hits: int = 0
    host_faults: int = 0
    #: whether a handler in Python may skip the function that begins here
    skips: bool = False
    #: how the records of a handler in Python are laid out
    layout: Layout | None = None
    #: of a probe that measures latency
    latencies: Latencies | None = None
    #: probes at other places that do a part of its work, and go with it
    companions: tuple[Probe, ...] = ()
    #: whether its handler runs also where those of others do not, and their hits count as missed
    always: bool = False
    #: what its place was called when the program unloaded it
    lost_place: str = ""
    #: whether hits that find the condition of the instruction false are counted; that takes a trap
    watch_condition: bool = False
    #: address of the counter in target memory, for a probe with a compiled count
    counter: int | None = None

    def __repr__(self) -> str:
        return f"<probe {self.name} at 0x{self.address:08x}>"

    @property
    def name(self) -> str:
        """The event name of a definition, else the location."""
        return self.definition.event if self.definition else self.location

    @property
    def place(self) -> str:
        """What its address is called, or was when there was code."""
        return self.lost_place or self.engine.program.describe(self.address)

    @property
    def hits(self) -> int:
        """How often the handlers ran: exact at every stop of the target."""
        return self.engine.hits(self)

    @property
    def missed(self) -> int:
        return self.host_missed + self.engine.instruments.missed(self)

    @property
    def runs_on_host(self) -> bool:
        """Whether it has a handler that runs on the host."""
        host = (self.pre, self.post)
        return any(host) or (
            self.returning is not None and (self.returning.handler or self.returning.entry) is not None
        )

    @property
    def at_entry_on_host(self) -> bool:
        """Whether it has a handler that runs on the host for what happens at its address."""
        entry = None if self.returning is None else self.returning.entry
        return any(handler is not None for handler in (self.pre, self.post, entry))

    @property
    def follows_on_host(self) -> bool:
        """Whether the host sends the calls of a return probe on their way, not code in the detour."""
        return self.returning is not None and not any(isinstance(action, Follow) for action in self.actions)

    @property
    def handling(self) -> tuple[Action, ...]:
        """The compiled actions that handle a hit: for a return probe, at the return."""
        return self.actions if self.returning is None else self.returning.actions

    @property
    def kept(self) -> tuple[Source, ...]:
        """What is kept in target memory of each call in progress that a return probe follows."""
        return next((action.keep for action in self.actions if isinstance(action, Follow)), ())

    def add_action(self, action: Action) -> None:
        """Let one more thing happen in the target at a hit; of a return probe that does without the host, at a return.

        What is in its slot, or its trampoline, has yet to be made again.
        """
        if self.returning is None:
            self.actions = (*self.actions, action)
            return
        self.returning = replace(self.returning, actions=(*self.returning.actions, action))
        keep = needed_of_entry(self.returning.actions)
        self.actions = tuple(replace(old, keep=keep) if isinstance(old, Follow) else old for old in self.actions)

    @property
    def active(self) -> int:
        """Calls in progress that a return probe follows: they will come back."""
        return self.engine.returns.active_calls(self)

    @property
    def faults(self) -> int:
        """How often a read of memory that is not there ended a compiled handler."""
        return self.engine.instruments.faults(self)

    @property
    def false_conditions(self) -> int:
        """Times a trap found the condition of the instruction false: neither hit nor missed."""
        return self.engine.false_conditions(self)

    @property
    def state(self) -> str:
        """`disabled`, `trap`, `branch`, `parked`, `unregistered`, or `unloaded`: the program has unloaded its code."""
        return self.engine.state_of(self)

    @property
    def reason(self) -> str:
        """Why the probe is not optimized; empty when it is, or will be at the optimizer's next pass, or is gone."""
        return self.engine.reason(self)

    def enable(self) -> None:
        self.engine.enable([self])

    def disable(self) -> None:
        self.engine.disable([self])

    def park(self) -> None:
        """Turn the branch at the site to the out-of-line copy: hits cost two branches and run no handler."""
        self.engine.park([self])

    def unpark(self) -> None:
        self.engine.unpark([self])

    def unregister(self) -> None:
        """Remove the probe; the last one at an address puts the original bytes back."""
        self.engine.unregister([self])


def check_handlers(pre: object, post: object) -> None:
    """Raise UsageError unless both are callable or None."""
    for role, handler in (("handler", pre), ("post_handler", post)):
        if handler is not None and not callable(handler):
            raise UsageError(f"{role} must be a function that takes the hit, not {handler!r}")
