"""A Linux process behind a GDB stub: QEMU's user-mode emulator, or gdbserver.

- It gets its own signals and goes on. When it ends, so does what can be read, but for shared memory.
- Memory for slots is mapped by system calls that the process makes at a stop.
- QEMU's stub writes no page that the program may not write, or that it has translated: such code is made writable
  before each write, and the program's read-only again at the end.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from armprobe.errors import Refused, TargetFault
from armprobe.isa.reading import TPIDRURO, Load
from armprobe.targets.auxiliary import architecture_of, auxiliary_vector
from armprobe.targets.base import TRAP, Region, Registers, Stop, TrapHandler
from armprobe.targets.capabilities import AskedKernel, BulkMemory, ExecutableMemory, OwnFaults, Task
from armprobe.targets.emulatedrun import EmulatedRun
from armprobe.targets.gdbremote import GdbRemoteTarget, WholeFunction
from armprobe.targets.heldfile import NAME
from armprobe.targets.journal import MARK, Journal, OfProcess, OwnTimer, note
from armprobe.targets.keptdata import KeptData, mark_as_ours
from armprobe.targets.linkmap import AT_BASE, AT_ENTRY
from armprobe.targets.linuxcalls import (
    CALL_CODE,
    CHECK_CODE,
    CLOSE,
    MPROTECT,
    PR_SET_PDEATHSIG,
    PRCTL,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    SystemCalls,
)
from armprobe.targets.mailbox import Mailbox
from armprobe.targets.processclock import CLOCK_SIZE, ProcessClock, clock_code
from armprobe.targets.processmaps import read_maps
from armprobe.targets.processmemory import MappedMemory, SharedData
from armprobe.targets.processtimer import SCRATCH, ProcessTimer
from armprobe.targets.questions import Questions
from armprobe.targets.remotebreakpoints import RemoteBreakpoints
from armprobe.targets.remotefiles import read_file
from armprobe.targets.remotethreads import RemoteThreads
from armprobe.targets.useremulator import SHARED_FILE, UserEmulator

_PAGE = 0x1000
#: how soon a process stops that can only be stopped by a timer of its own
_STOP_SECONDS = 0.2
#: the architecture from which on Linux has the thread in TPIDRURO
_THREAD_REGISTER = 7
#: the entry point in the header of an ELF file, from its start
_ELF_ENTRY = 24


class Vdso(NamedTuple):
    """What the kernel maps into processes: its clock_gettime, where its code is, and functions that read the time.

    Those begin anew when it goes on meanwhile.
    """

    clock_gettime: int
    code: Region
    functions: tuple[WholeFunction, ...]


class LinuxProcess:
    """The process behind `stub`: a `Target`. `take_memory` comes before the first probe."""

    trap = TRAP
    #: threads, and signal handlers in the middle of a detour
    concurrent = True
    #: stubs keep instruction fetch coherent with what they write
    code_sync = None
    no_memory = ""
    vectors = ()
    no_clock = "its kernel gives programs no clock without a system call (vDSO), where gdbserver would stop them"
    processors = None

    def __init__(
        self, stub: GdbRemoteTarget, *, emulator: UserEmulator | None = None, shared: SharedData | None = None
    ) -> None:
        """`emulator` runs the process, if it is ours; `shared` is memory that the process has inherited as a file.

        Without them, it is behind gdbserver. Raises Refused where no system call instruction is found.
        """
        self.stub = stub
        self._emulator = emulator
        self._kept = None if emulator is not None else KeptData(stub)
        self._shared = shared or self._kept
        self._ours = EmulatedRun(stub, emulator, shared) if emulator is not None and shared is not None else None
        self._memory: MappedMemory | None = None
        self.auxiliary = auxiliary_vector(stub)
        #: the page of code that belongs to no probe
        self._own: Region | None = None
        #: whether it leads a process group, which gdbserver interrupts
        self._leads = True
        #: how code reads memory that comes and goes
        self.translation: AskedKernel | None = None
        self.clock: ProcessClock | None = None
        self.task: Task | None = None
        self._mapped: tuple[Region, ...] = ()
        #: what else was mapped at this stop; empty: not read yet
        self._rest: Sequence[Region] = ()
        #: [start, end) of the program's code, read-only for it, and those that were made writable
        self._code: list[tuple[int, int]] = []
        self._opened: set[tuple[int, int]] = set()
        self.architecture = architecture_of(stub, self.auxiliary)
        if self._kept is not None:
            stub.follow(self._kept.keep)
            self._leads = stub.events is None or stub.events.leads
            stub.runner.can_interrupt = self._leads
        # Not every program makes system calls itself, but its dynamic linker does.
        linker, program = (self.auxiliary.get(kind, 0) for kind in (AT_BASE, AT_ENTRY))
        near = [place for place in (linker, program, stub.read_registers().pc) if place]
        self._calls = SystemCalls(stub, near=near, regions=self.regions)
        self._calls.instead = lambda: self._storing
        self._timer = None
        if stub.events is not None:
            self._timer = ProcessTimer(stub, self._calls)
            stub.stops.timer = self._timer
        self._rest = ()  # it is about to map more

    def take_memory(self, vdso: Vdso | None = None) -> None:
        """Have the process map memory for slots. Raises TargetError and Refused when it can't.

        `vdso` knows the time without a system call: where gdbserver stops threads at each call, there is no clock
        without one.
        """
        calls = self._calls
        if self.stub.events is not None:
            note(self.stub.journal, OfProcess(self.stub.events.process))
        if vdso is not None:
            self.stub.whole = vdso.functions
        self._memory = MappedMemory(calls)
        start = self._memory.allocate(_PAGE, 0, 1 << 32)
        self._own = Region(start, start + _PAGE)
        mark_as_ours(self.stub, start, _PAGE)
        if isinstance(self._shared, SharedData):
            self._shared.map_into(calls, file=SHARED_FILE)
        elif self._kept is not None:
            self.stub.write_memory(start + MARK, NAME)
            self._kept.map_into(calls, name=start + MARK)
        place = start + MARK
        check = place + len(CALL_CODE)
        clock = check + len(CHECK_CODE)
        ask_time = clock_code(clock, None if vdso is None else vdso.clock_gettime)
        self.stub.write_memory(place, CALL_CODE + CHECK_CODE + ask_time)
        routines = Region(check, clock + CLOCK_SIZE)
        self.translation = AskedKernel(check, (routines,) if vdso is None else (routines, vdso.code))
        if not self.stops_at_calls or vdso is not None:
            self.clock, self.no_clock = ProcessClock(clock, self._time), ""
        if self._emulator is not None:
            self.stub.stops.learn_stop_signal(place + 4)
        calls.settle(place)
        if self._emulator is not None and self._ours is not None:
            self._ours.open_mailbox(calls, architecture=self.architecture)
            # The program goes with us; and its files are those that it would have without us.
            calls.call(PRCTL, PR_SET_PDEATHSIG, signal.SIGKILL)
            for file in (*self._emulator.process.placeholders, SHARED_FILE):
                calls.call(CLOSE, file)

    def adopt_memory(self) -> None:
        """Take what a session that was killed had the process map: it can be given back from now on."""
        self._memory = MappedMemory(self._calls)

    def adopt_timer(self, left: OwnTimer) -> None:
        """Take the timer of the process that such a session has left."""
        if self._timer is not None:
            self._timer.adopt(left)
            self.stub.runner.can_interrupt = self._leads and not self._timer.every

    def end_timer(self) -> None:
        """Take the timer from the process. Raises TargetError."""
        if self._timer is not None:
            self._timer.delete()
            self.stub.runner.can_interrupt = self._leads

    @property
    def stops_at_calls(self) -> str:
        """Why gdbserver stops it at each of its system calls, so that what was counted is kept; empty: it does not."""
        return "" if self._kept is None else self._kept.no_file

    @property
    def no_task(self) -> str:
        if self.task is None:
            return "its threads are not those of a C library that tells where their numbers are (glibc, shared)"
        return "what a thread calls itself, and which process a child is, is known to the kernel alone"

    def know_threads(self, number: int, *, name: str) -> None:
        """Tell where the number of a thread is, from TPIDRURO on, in the process whose program is `name`."""
        if self.architecture < _THREAD_REGISTER:
            return

        def find() -> int:
            answering = self._ours.answering if self._ours is not None else None
            if answering is None:
                return self.threads.ids()[0]
            place = answering.mailbox.thread_register + number & 0xFFFFFFFF
            return int.from_bytes(self.read_memory(place, 4), "little")

        self.task = Task(Load(TPIDRURO, number), None, name, find)

    def _time(self) -> int:
        """What the routine of the clock would say now: the emulator has the clock of this computer."""
        if self._emulator is not None:
            return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        assert self.clock is not None
        return self._calls.routine(self.clock.at_site.address)

    def describe(self, mapped: Sequence[Region], *, thread_starts: Iterable[int] = ()) -> None:
        """Tell what is mapped as long as the process lives: the parts of its program, and of its libraries.

        `thread_starts` are the functions that start threads.
        """
        if self._ours is not None:
            self._ours.know(self._calls, thread_starts=thread_starts)
        self._mapped = tuple(mapped)
        self._code = [(part.start & -_PAGE, part.end + _PAGE - 1 & -_PAGE) for part in mapped if not part.writable]

    @property
    def is_new(self) -> bool:
        """Whether it stands at the first instruction of its dynamic linker, and has executed none."""
        base = self.auxiliary.get(AT_BASE, 0)
        if not base:
            return False
        entry = int.from_bytes(self.stub.read_memory(base + _ELF_ENTRY, 4), "little")
        return self.read_registers().pc == base + entry & ~1

    @property
    def is_local(self) -> bool:
        """Whether it runs on this computer, and has its files."""
        return self._emulator is not None

    def read_file(self, name: str) -> bytes | None:
        """The content of a file of the system where the stub runs; None when it can't be read."""
        return read_file(self.stub.exchange, name)

    # The Target protocol

    @property
    def name(self) -> str:
        return self.stub.name

    @property
    def regions(self) -> Sequence[Region]:
        """What is mapped all the time, then the rest, which code in the process does not rely on.

        That is what it has mapped now, where its stub reads files; else nobody knows.
        """
        if not self._rest:
            events = self.stub.events if self.stub.alive else None
            listed = None if events is None else read_file(self.stub.exchange, events.file("maps"))
            self._rest = self.stub.regions if listed is None else read_maps(listed.decode("utf-8", "replace"))
        return [*self._mapped, *self._rest]

    def read_memory(self, address: int, size: int) -> bytes:
        return self.read_many([(address, size)])[0]

    def write_memory(self, address: int, data: bytes) -> None:
        self.write_many([(address, data)])

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        shared = self._shared
        if shared is None:
            return self.stub.read_many(ranges)
        memory = self.stub if self._answering is None else self._answering.memory
        others = iter(memory.read_many([part for part in ranges if part[0] not in shared]))
        return [shared.read(*part) if part[0] in shared else next(others) for part in ranges]

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write, also to code that is read-only for the program. Raises TargetFault."""
        others = []
        storing = self._storing
        for address, data in writes:
            if self._shared is not None and address in self._shared:
                self._shared.write(address, data)
            elif storing is not None and self._holds_code(address):
                storing.store(address, data, protected=any(part[0] <= address < part[1] for part in self._code))
            elif self._answering is None or not self._answering.write(address, data):
                others.append((address, data))
        if not others:
            return
        if storing is not None:
            address, data = others[0]
            raise TargetFault(
                f"cannot write {len(data)} bytes at 0x{address:08x}: the program itself may not write all of that",
                address=address,
                size=len(data),
            )
        try:
            self.stub.write_many(others)
        except TargetFault:
            if not self._open([address for address, _ in others]):
                raise
            self.stub.write_many(others)

    @property
    def _answering(self) -> Questions | None:
        """Who answers what a thread asks, while that is done: the target is what that thread sees."""
        return None if self._ours is None else self._ours.answering

    @property
    def _storing(self) -> Questions | None:
        """Who changes code while other threads execute it, which have to see that: the thread that is answered."""
        answering = self._answering
        return answering if answering is not None and answering.others_run else None

    def _holds_code(self, address: int) -> bool:
        own = self._memory.parts if self._memory is not None else ()
        return any(start <= address < end for start, end in (*self._code, *own))

    def read_registers(self) -> Registers:
        return self.stub.read_registers() if self._answering is None else self._answering.registers.copy()

    def write_registers(self, registers: Registers) -> None:
        if self._answering is None:
            self.stub.write_registers(registers)
        else:
            self._answering.registers = registers.copy()

    def run(self, on_trap: TrapHandler, *, until: int | None = None, limit: int | None = None) -> Stop:
        """Run until the program ends, or what else ends a run; its own signals do not."""

        def at_trap(pc: int) -> bool:
            self._rest = ()
            return on_trap(pc)

        try:
            stop = (self._ours or self.stub).run(at_trap, until=until, limit=limit)
        finally:
            self._rest = ()
        if stop.gone and self._kept is not None:
            self._kept.gone = True
        return stop

    def stop(self) -> None:
        self.stub.stop()

    @property
    def bulk(self) -> BulkMemory:
        return self

    @property
    def searchable(self) -> int:
        return self.stub.searchable

    @property
    def threads(self) -> RemoteThreads:
        return self.stub.threads

    @property
    def watchpoints(self) -> None:
        """None: its stubs watch nothing (QEMU), or take no steps (gdbserver), and a step is what an access needs."""
        return None

    @property
    def breakpoints(self) -> RemoteBreakpoints | None:
        return self.stub.breakpoints

    @property
    def journal(self) -> Journal | None:
        return self.stub.journal

    @property
    def executable_memory(self) -> ExecutableMemory | None:
        return self._memory

    @property
    def shared_memory(self) -> SharedData | KeptData | None:
        return self._shared

    @property
    def mailbox(self) -> Mailbox | None:
        questions = None if self._ours is None else self._ours.questions
        return None if questions is None else questions.mailbox

    @property
    def no_mailbox(self) -> str:
        return "" if self._ours is None else self._ours.no_mailbox

    @property
    def own_faults(self) -> OwnFaults:
        return self

    def stops_alone(self) -> bool:
        if self._emulator is not None or (self._timer is not None and self._timer.every):
            return True
        return self.stub.events is not None and self.stub.events.is_alone()

    def look_every(self, every: float | None) -> None:
        events = self.stub.events
        if self._timer is None or self._own is None or events is None:
            return
        if every is None:
            every = 0.0 if events.is_alone() else _STOP_SECONDS
        with suppress(Refused):
            self._timer.set(every, self._own.end - SCRATCH)
        self.stub.runner.can_interrupt = self._leads and not self._timer.every

    def show_at(self, place: Callable[[int], int]) -> None:
        self.stub.stops.fault_place = place

    # Beyond the protocol

    def detach(self) -> None:
        """Make code read-only again and let the process run on; one that we started is ended. All slots are free."""
        try:
            if self.stub.alive and self._emulator is None:
                for start, end in self._opened:
                    self._calls.call(MPROTECT, start, end - start, PROT_READ | PROT_EXEC)
                self._give_back()
        finally:
            self._release()

    def _give_back(self) -> None:
        """Take our own code and data from a process that goes on; code stays where a thread is in it."""
        if self._memory is None or self._kept is None:
            return
        self._calls.unsettle()
        self.end_timer()
        self._kept.unmap(self._calls)
        threads = [self.threads.read_registers(thread).pc for thread in self.threads.ids()]
        if self._own is not None and not any(pc in self._own for pc in threads):
            self._memory.free(self._own.start, _PAGE)

    def _release(self) -> None:
        if self._ours is not None:
            self._ours.end()
        else:
            self.stub.detach()
        if self._shared is not None:
            self._shared.close()

    def _open(self, addresses: Sequence[int]) -> bool:
        """Make our own code, and the program's around these addresses, writable; False if there is none."""
        own = self._memory.parts if self._memory is not None else ()
        found = [part for part in (*self._code, *own) if any(part[0] <= address < part[1] for address in addresses)]
        for start, end in found:
            self._calls.call(MPROTECT, start, end - start, PROT_READ | PROT_WRITE | PROT_EXEC)
        self._opened.update(part for part in found if part in self._code)
        return bool(found)
