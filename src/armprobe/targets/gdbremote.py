"""A target behind a GDB remote stub: QEMU, OpenOCD, gdbserver, debug probes.

What to know of stubs:

- Traps are the stub's own breakpoints (Z0, then Z1): QEMU gives a BKPT that stands in memory to the guest.
- QEMU 7.2 takes P only after target.xml was read, offers neither X nor no-ack mode, and says that a write was done
  where there is no memory. Its user-mode stub ignores a request to stop. When the program ends, QEMU ends.
- OpenOCD sends zeros for memory that it can't read, unless its user has told it not to before it began, calls
  everything RAM that is no flash, and acknowledges X before it has written. J-Link has no vCont. See `remotesetup`.
- Any byte that arrives while QEMU runs stops it: nothing is sent ahead of a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, Self

from armprobe.errors import TargetError, TargetLost, UsageError
from armprobe.isa.decoder import find_row
from armprobe.targets.base import CPSR_T, NO_TASKS, TRAP, Region, Registers, Stop, StopReason, TrapHandler
from armprobe.targets.capabilities import AskedProcessor, BulkMemory
from armprobe.targets.connection import TIMEOUT, Connection
from armprobe.targets.interrupt import heed_interrupt, stop_on_interrupt
from armprobe.targets.journal import Journal
from armprobe.targets.knownmemory import KnownMemory
from armprobe.targets.processevents import ProcessEvents
from armprobe.targets.remotebreakpoints import RemoteBreakpoints
from armprobe.targets.remotememory import RemoteMemory
from armprobe.targets.remotemonitor import execute_command
from armprobe.targets.remoterun import RemoteRun
from armprobe.targets.remotesetup import can_read_by_command, negotiate
from armprobe.targets.remotestops import TRAP_SIGNAL, RemoteStops
from armprobe.targets.remotethreads import RemoteThreads
from armprobe.targets.remotewatchpoints import RemoteWatchpoints
from armprobe.targets.rsp import Output, StopKind, error_of, stop_reply
from armprobe.targets.systemregisters import NO_FREQUENCY, NO_TIMER, GenericTimer, QemuProcessors

#: seconds that the server has between two lines of what it prints at a command: it may erase flash meanwhile
_COMMAND_SECONDS = 60.0


class WholeFunction(NamedTuple):
    """A function of which single steps may never come to the end, as it begins anew when too much time went by."""

    code: Region
    #: the instructions that leave it
    exits: tuple[int, ...]


class GdbRemoteTarget:
    """The program behind one connection: a `Target` with breakpoints, threads and bulk memory. See `connect`."""

    architecture: int
    trap = TRAP
    #: interrupt handlers of the program, and other processors, run when they like
    concurrent = True
    executable_memory = None
    own_faults = shared_memory = mailbox = None
    no_mailbox = ""
    #: stubs keep instruction fetch coherent with what they write
    code_sync = None
    task = None
    no_task = NO_TASKS

    def __init__(
        self,
        connection: Connection,
        *,
        architecture: int | None = None,
        output: Callable[[bytes], object] = lambda _: None,
        process: bool | None = None,
        interrupt: Callable[[], object] | None = None,
        tell: Callable[[], object] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Take hold of the target behind a new connection, and stop it.

        `output` gets what the program prints through the
        stub. `process`: it is a process, which gets its signals and goes on (default: the stub tells); `interrupt`
        stops it while it runs, where the stub does not, and `tell` passes a Ctrl-C on to it. `journal` is told of what
        is about to change. Raises UsageError when it runs no 32-bit ARM code, ProtocolError and TargetLost.
        """
        self._connection = connection
        abilities = negotiate(connection)
        self.architecture = architecture or abilities.architecture
        self.threads = RemoteThreads(
            connection,
            current=abilities.stop.thread,
            registers=abilities.registers,
            writes_one=abilities.writes_one,
        )
        packets = RemoteMemory(
            connection,
            packet_size=abilities.packet_size,
            binary_read=abilities.binary_read,
            binary_write=abilities.binary_write,
            can_read=partial(can_read_by_command, connection) if abilities.doubtful_zeros else None,
        )
        self.memory = KnownMemory(connection, packets, abilities.regions)
        self._described = abilities.described
        self.journal = journal
        self._breakpoints = RemoteBreakpoints(connection, journal)
        self._own_breakpoints = abilities.breakpoints
        frequency = abilities.timer_frequency
        self.clock = GenericTimer(frequency) if frequency else None
        self.no_clock = "" if frequency else NO_TIMER if frequency is None else NO_FREQUENCY
        #: a step in one of these takes the thread to where it is left
        self.whole: Sequence[WholeFunction] = ()
        self._numbered = abilities.system and self.architecture >= 7
        #: whether it is a process of an operating system
        self.process = abilities.process if process is None else process
        self.watchpoints = RemoteWatchpoints(self._breakpoints, self.threads, self.read_memory, masks=not self.process)
        self._follows = abilities.follows
        self.runner = RemoteRun(
            connection, self.threads, vcont=abilities.resumes, output=output, interrupt=interrupt, tell=tell
        )
        self.stops = RemoteStops(connection, self.threads, self.runner, process=self.process, forget=self.memory.forget)

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        memory: Sequence[Region] = (),
        architecture: int | None = None,
        output: Callable[[bytes], object] = lambda _: None,
        timeout: float = TIMEOUT,
        journal: Journal | None = None,
        silent: Callable[[], bool] | None = None,
    ) -> Self:
        """Attach to the stub that listens at `HOST:PORT`; `:PORT` is this computer. See `__init__`.

        `memory` is as for `know_memory`. Of a stub that does not answer at once, `silent` decides whether it has all
        the time it likes.
        """
        connection = Connection.open(address, timeout=timeout)
        try:
            if silent is not None:
                connection.await_stub(b"vMustReplyEmpty", silent)
            target = cls(connection, architecture=architecture, output=output, journal=journal)
            target.know_memory(memory)
            return target
        except BaseException:
            connection.close()
            raise

    # The Target protocol

    @property
    def name(self) -> str:
        return f"the target at {self._connection.name}"

    @property
    def regions(self) -> Sequence[Region]:
        """The memory map of the stub or of QEMU, or what the user said; EVERYWHERE when nobody knows."""
        return self.memory.regions

    def read_memory(self, address: int, size: int) -> bytes:
        return self.read_many([(address, size)])[0]

    def write_memory(self, address: int, data: bytes) -> None:
        """Raises TargetFault; of a write that takes several packets, what the stub took until then stays."""
        self.write_many([(address, data)])

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self.memory.read_many(ranges)

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        self.memory.write_many(writes)

    @property
    def searchable(self) -> int:
        return self.memory.searchable

    def read_registers(self) -> Registers:
        return self.threads.read_registers()

    def write_registers(self, registers: Registers) -> None:
        """Change them; the stub is told when the target goes on."""
        self.threads.write_registers(None, registers)

    def run(self, on_trap: TrapHandler, *, until: int | None = None, limit: int | None = None) -> Stop:
        """Run until the program ends, `until` is about to be executed, `limit` instructions ran, or `stop` is called.

        With a limit the stopped thread alone takes single steps, each of which is a round trip. Where it is a handler
        that has it take them, whoever wants the run to stop waits for that.
        """
        if limit is not None and limit < 1:
            raise UsageError(f"limit is a number of instructions, 1 or more, not {limit}")
        if self.runner.handling and limit is not None:
            return self._take_steps(limit)
        self.runner.stopping = False
        if not self.process:
            self.runner.sent = 0  # one that came too late for the last run is not heeded by a target that stands
        executed = 0
        ctrl_c = heed_interrupt(self.runner.interrupted) if self.process else stop_on_interrupt(self.stop)
        with ctrl_c, self._stops_at(until):
            while True:
                pc = self.read_registers().pc
                if pc == until:
                    return Stop(StopReason.ADDRESS, pc)
                if self.runner.stopping:
                    return Stop(StopReason.INTERRUPT, pc)
                if limit is not None and executed == limit:
                    return Stop(StopReason.LIMIT, pc)
                executed += 1
                if limit is not None and pc in self._breakpoints:
                    # A step of the stub would pass over the breakpoint.
                    if not on_trap(pc):
                        return Stop(StopReason.TRAP, pc)
                    continue
                self.stops.reasons = {}
                stop = self.stops.go(pc, step=False) if limit is None else self._step(pc)
                if stop is not None:
                    return stop
                watched = self.watchpoints.find(self.stops.reasons)
                if watched is not None:
                    stop = self.watchpoints.take(watched, partial(self.stops.go, pc, step=True, only=True))
                    if stop is not None:
                        return stop
                    continue
                if limit is None and not self.runner.stopping:
                    pc = self.read_registers().pc
                    if pc == until:
                        continue
                    self.runner.handling += 1
                    try:
                        handled = on_trap(pc)
                    finally:
                        self.runner.handling -= 1
                    if handled:
                        continue
                    if not self.process or pc in self._breakpoints:
                        return Stop(StopReason.TRAP, pc)
                    if not self._is_late(pc):
                        self.runner.signal = TRAP_SIGNAL  # the process's own

    def _is_late(self, pc: int) -> bool:
        """Whether the stopped thread came to a breakpoint that is gone by now, not to a trap of the program's own.

        Several threads may come to one at once, and the stub tells of them one after another.
        """
        if "swbreak" not in self.stops.reasons or self.read_registers().cpsr & CPSR_T:
            return False
        row = find_row(int.from_bytes(self.read_memory(pc, 4), "little"))
        return row is None or row.name not in ("BKPT_A1", "UDF_A1")

    def _take_steps(self, limit: int) -> Stop:
        """Let the stopped thread execute so many instructions, on the way of a run that goes on afterwards."""
        wanted, executed = False, 0
        while executed < limit:
            wanted |= self.runner.stopping
            self.runner.stopping = False
            before = self.read_registers().pc
            stop = self._step(before)
            if stop is not None:
                return stop
            # An interrupt may have come in place of the step.
            executed += not self.runner.stopping or self.read_registers().pc != before
        self.runner.stopping |= wanted
        return Stop(StopReason.LIMIT, self.read_registers().pc)

    def _step(self, pc: int) -> Stop | None:
        """Have the stopped thread execute the instruction at PC, or the rest of a function that is taken whole."""
        exits = next((whole.exits for whole in self.whole if pc in whole.code), ())
        if not exits or pc in exits:
            return self.stops.go(pc, step=True)
        owner = object()
        self._breakpoints.insert(exits, owner=owner)
        try:
            return self.stops.go(pc, step=False, only=True, withholding=True)
        finally:
            if self._connection.alive:
                self._breakpoints.remove(exits, owner=owner)

    def stop(self) -> None:
        self.runner.stop()

    @property
    def translation(self) -> AskedProcessor | None:
        return self.memory.translation

    @property
    def no_memory(self) -> str:
        return self.memory.no_memory

    @property
    def vectors(self) -> Sequence[int]:
        return self.memory.vectors

    @property
    def bulk(self) -> BulkMemory:
        return self

    @property
    def breakpoints(self) -> RemoteBreakpoints | None:
        return self._breakpoints if self._own_breakpoints else None

    @property
    def processors(self) -> QemuProcessors | None:
        return QemuProcessors(self.threads) if self._numbered and len(self.threads.ids()) > 1 else None

    # Beyond the protocol

    def know_memory(self, stated: Sequence[Region] = ()) -> None:
        """Find out what memory the machine has, where it is one; `stated` is memory that the user says is there.

        Raises UsageError where that makes no sense, or contradicts what the stub or QEMU tells.
        """
        if not self.process:
            self.memory.ask_emulator(self._described, self.architecture)
        if stated:
            self.memory.state(stated)

    @property
    def events(self) -> ProcessEvents | None:
        """What a server of processes tells besides, once it was asked to (`follow`)."""
        return self.stops.events

    @property
    def round_trips(self) -> int:
        """How often something was sent to the stub and its answer awaited."""
        return self._connection.round_trips

    @property
    def own_breakpoints(self) -> RemoteBreakpoints:
        """Those of the stub, which for a process always has some."""
        return self._breakpoints

    @property
    def alive(self) -> bool:
        """Whether the stub can be asked: the program has not ended, and nothing went wrong."""
        return self._connection.alive

    def ask(self, request: bytes) -> bytes:
        """Send a request and return the reply. Raises TargetLost, ProtocolError."""
        return self._connection.ask(request)

    def exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send requests that do not depend on each other; return the replies. Raises TargetLost, ProtocolError."""
        return self._connection.exchange(requests)

    def monitor(self, command: str) -> str:
        """Have the server behind the stub execute a command of its own, as GDB's `monitor` does; return what it prints.

        The target stands still afterwards, with the registers and the memory that the command left; one that the
        command let run is stopped where the stub can. Raises UsageError for an empty command, TargetError when the
        stub takes no commands, this one fails or it ends the program, TargetLost when it does not come to its end.
        """
        if not command.strip():
            raise UsageError("a command for the stub is empty", hint="for example `info registers` (QEMU)")
        connection = self._connection
        self.memory.forget()
        self.push_registers()
        patience, connection.timeout = connection.timeout, max(connection.timeout, _COMMAND_SECONDS)
        try:
            printed = execute_command(connection, command)
        except KeyboardInterrupt:
            # Its answer would be taken for that to the next request.
            connection.lose(f"the command {command!r} was interrupted", hint="attach again")
            raise
        finally:
            connection.timeout = patience
        if not self.process:
            # A server of processes has no command that lets them run, and may tell of an older stop once more.
            stop = stop_reply(connection.ask(b"?"))
            if isinstance(stop, Output) or stop.kind is not StopKind.STOPPED:
                raise TargetError(f"the program at {connection.name} has ended with the command {command!r}")
            self.threads.current = stop.thread or self.threads.current
            # For QEMU the question is that of a debugger which comes new, and all breakpoints of the old one go.
            self._breakpoints.renew()
        return printed

    def execute(self, registers: Registers, until: int) -> Registers:
        """Run the stopped thread alone from `registers` up to `until`, and put its own registers back.

        Returns those it had there. Signals of the program wait until all threads go on: a handler would come to traps.
        Raises TargetLost when it never comes there.
        """
        saved, owner = self.read_registers(), object()
        wanted, self.runner.stopping = self.runner.stopping, False
        self._breakpoints.insert([until], owner=owner)
        self.write_registers(registers)
        while True:
            try:
                stop = self.stops.go(registers.pc, step=False, only=True, withholding=True)
            except TargetError:
                if self._connection.alive:
                    self.write_registers(saved)
                    self._breakpoints.remove([until], owner=owner)
                raise
            if stop is not None:
                raise TargetLost(f"{self.name} ended in a call from outside: {stop.message or stop.reason.value}")
            after = self.read_registers()
            if after.pc == until:
                break
            if not self.runner.stopping:
                raise self._connection.lose(f"{self.name} did not come back from a call from outside")
            # Somebody wants the run to stop: that can wait.
            wanted, self.runner.stopping = True, False
        self.runner.stopping |= wanted
        self.write_registers(saved)
        self._breakpoints.remove([until], owner=owner)
        return after

    def follow(self, keep: Callable[[], object]) -> None:
        """Follow the process through its children up to its end, where the stub can.

        `keep` is called when that has come, while the stub can still be asked. Raises ProtocolError.
        """
        if self._follows:
            self.stops.events = ProcessEvents(self._connection, self.threads, self._breakpoints, keep=keep)

    def push_registers(self) -> None:
        """Tell the stub now of registers that were written, not when the target goes on."""
        for reply in self._connection.exchange(self.threads.flush()):
            if reply != b"OK":
                raise TargetError(f"{self.name} does not take registers: it answers {reply!r}")
        self.threads.forget()

    def detach(self) -> None:
        """Let go of the target, which runs on from its registers as they are now, and close the connection."""
        try:
            if self._connection.alive and self.process and self.runner.sent:
                self._take_interrupt()
            if self._connection.alive:
                self._connection.exchange(self.threads.flush())
                if self.runner.withheld:
                    self._pass_signals()
                self._let_go()
        finally:
            self._connection.close()

    def _let_go(self) -> None:
        current = self.threads.current
        process = current.process if current is not None else None
        headless = self.events is not None and self.events.is_headless
        try:
            error = error_of(self._connection.ask(b"D" if process is None else b"D;%x" % process))
        except TargetLost:
            # gdbserver lets go of all threads but the first, and falls over that one (linux-low.cc, detach).
            if not headless:
                raise
            return
        if error is not None:
            raise TargetError(f"{self.name} stands still: the stub answers {error} when it shall let go of it")

    def _pass_signals(self) -> None:
        """Let the process, which is about to be let go of, have its signals: it has to run for that.

        gdbserver can let go of one that runs; but only when it does not wait for a stop can it be asked to.
        """
        withheld = self.runner.withheld
        while withheld.several and self.runner.can_interrupt:
            self.runner.stopping = True
            self.stops.go(0, step=False)
        (reply,) = self._connection.exchange([b"QNonStop:1"])
        if reply == b"OK":
            (reply,) = self._connection.exchange([self.runner.action()])
        if reply != b"OK" or withheld:
            raise TargetError(f"{self.name} could not be given all of its signals: the stub answers {reply!r}")

    def _take_interrupt(self) -> None:
        """Let the process run up to an interrupt that waits for it: it would end it when nobody is there any more."""
        self.runner.stopping = True
        while self.stops.go(0, step=False) is None and self.runner.sent:
            self.runner.signal = TRAP_SIGNAL  # its own: all of ours are gone

    @contextmanager
    def _stops_at(self, until: int | None) -> Iterator[None]:
        """A breakpoint for the end of a run."""
        if until is None:
            yield
            return
        owner = object()
        self._breakpoints.insert([until], owner=owner)
        try:
            yield
        finally:
            if self._connection.alive:
                self._breakpoints.remove([until], owner=owner)
