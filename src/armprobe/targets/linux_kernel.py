"""A live Linux kernel behind QEMU's GDB stub, probed from outside: nothing is installed in it.

- Memory is read and written by physical address, through the kernel's own page tables: a processor in user mode shows
  no memory of the kernel, and one that runs an old process has not all of it mapped.
- Memory for slots is taken from the kernel (module_alloc, execmem_alloc) before the first probe is planted, and given
  back after the last one is gone and no processor can be in a slot any more (`settle`).
- The processors are all stopped together. Tasks that sleep are in memory only.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

from armprobe.errors import ArmprobeError, Refused, TargetFault, UsageError
from armprobe.isa.reading import TPIDRURO, Load, Sum
from armprobe.targets.base import TRAP, Region, Registers, Stop, TrapHandler
from armprobe.targets.capabilities import BulkMemory, ExecutableMemory, Task, TranslationTables
from armprobe.targets.connection import TIMEOUT, Connection
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.journal import Journal, KernelMemory
from armprobe.targets.kernelcalls import KernelFunctions
from armprobe.targets.kernelclock import find_start
from armprobe.targets.kernelsetup import joined, kernel_image, kernel_tables, system_register
from armprobe.targets.kernelslots import KernelSlots
from armprobe.targets.kerneltasks import TGID_BEHIND_PID, Snapshot, find_layout
from armprobe.targets.kernelwindows import high_memory, open_windows
from armprobe.targets.mappedmemory import MappedMemory
from armprobe.targets.pagetables import LongDescriptors
from armprobe.targets.remotebreakpoints import RemoteBreakpoints
from armprobe.targets.remotemonitor import execute_command
from armprobe.targets.remotesetup import describe
from armprobe.targets.remotethreads import RemoteThreads
from armprobe.targets.remotewatchpoints import RemoteWatchpoints
from armprobe.targets.systemregisters import QemuProcessors

#: what modules of the kernel, and our slots, lie in: below the linear map
_MODULES = 16 << 20
#: within so many bytes behind the constants lies the first task
_DATA = 16 << 20
_RETURN = 0xE12FFF1E  # bx lr
_PAGE = 4096


class KernelThreads:
    """The processors: a `Threads` that is not complete, as a task that does not run is on none of them."""

    complete = False

    def __init__(self, processors: RemoteThreads) -> None:
        self._processors = processors

    def ids(self) -> Sequence[int]:
        return self._processors.ids()

    def read_registers(self, thread: int) -> Registers:
        return self._processors.read_registers(thread)

    def write_registers(self, thread: int, registers: Registers) -> None:
        self._processors.write_registers(thread, registers)

    def select(self, thread: int) -> None:
        self._processors.select(thread)


class KernelTarget:
    """The kernel behind one connection: a `Target`. `text` and `constants` are where its code and constants lie."""

    trap = TRAP
    concurrent = True
    own_faults = shared_memory = mailbox = None
    no_mailbox = no_memory = ""
    searchable = 1 << 30
    vectors = ()
    #: the emulator keeps instruction fetch coherent with what its stub writes
    code_sync = None

    def __init__(self, connection: Connection, *, journal: Journal | None = None) -> None:
        """Take hold of the kernel behind a new connection, and stop it. `journal` is told of what is about to change.

        Raises UsageError when the stub has no access to physical memory, or no kernel runs there yet.
        """
        self._stub = GdbRemoteTarget(connection, journal=journal)
        self.journal = journal
        self._connection = connection
        self.architecture = self._stub.architecture
        # What is probed is code of the kernel, which may read all registers.
        timer = self._stub.clock
        self.clock = None if timer is None else replace(timer, privileged=False)
        self.no_clock = self._stub.no_clock
        self.threads = KernelThreads(self._stub.threads)
        self._system = describe(connection).registers
        try:
            if connection.ask(b"Qqemu.PhyMemMode:1") != b"OK":
                raise UsageError(
                    f"the stub at {connection.name} has no access to physical memory, which probing a kernel needs",
                    hint="QEMU's has, from version 4.1 on",
                )
            self._tables = kernel_tables(connection, self._system, self._stub.read_memory)
            mappings = list(self._tables.mappings())
            self.text, self.constants = kernel_image(mappings, connection.name)
        except ArmprobeError:
            self._let_go()
            raise
        self._mapped = MappedMemory(self._stub, self._tables, self._ask_emulator)
        offset = self.text.start - self.text.physical
        self._linear = [mapping for mapping in mappings if mapping.start - mapping.physical == offset]
        self._tables.lowest = lowest = (self._linear[0].start - _MODULES) & -_MODULES
        self.translation = TranslationTables(
            joined(self._linear),
            user_end=lowest,
            kernel_table=self._tables.root + offset,
            long=isinstance(self._tables, LongDescriptors),
        )
        #: known once there is memory for slots, if at all
        self.task: Task | None = None
        self.known_code = 0, b""
        #: whether it runs while nobody accesses it
        self._meanwhile = False
        #: what the kernel says of itself, as /proc/version has it
        self.version = ""
        self._slots: KernelSlots | None = None

    @classmethod
    def connect(cls, address: str, *, timeout: float = TIMEOUT, journal: Journal | None = None) -> Self:
        """Attach to the stub that listens at `HOST:PORT`; `:PORT` is this computer. See `__init__`."""
        connection = Connection.open(address, timeout=timeout)
        try:
            return cls(connection, journal=journal)
        except BaseException:
            connection.close()
            raise

    def take_memory(self, functions: abc.Mapping[str, int], sizes: Sequence[int]) -> None:
        """Take memory for slots from the kernel: as many bytes as it gives, of `sizes`, multiples of 4096, descending.

        `functions` are the addresses of its own. Raises what `KernelSlots.take` does.
        """
        ram = high_memory(self._ask_emulator, self.translation)
        # A window for each processor, and twice as many to choose from.
        count = len(self._stub.threads.ids()) if ram else 0
        for size in sizes:
            try:
                self._slots = KernelSlots.take(
                    KernelFunctions(self._stub, functions),
                    size=size,
                    spare=2 * count * _PAGE,
                    write=self._write_new,
                    journal=self.journal,
                )
                break
            except Refused:
                if size == sizes[-1]:
                    raise
            finally:
                self._tables.forget()
        assert self._slots is not None
        if ram:
            windows = open_windows(
                self._tables,
                self._slots.spare,
                self.translation,
                ram,
                count=count,
                read=self._stub.read_memory,
                write=self._stub.write_memory,
            )
            self.translation = replace(self.translation, windows=windows)
        self.task = self._find_task()
        timer = self.clock
        began = None if timer is None else find_start(self._read_what_is_there, functions, timer.frequency)
        if timer is not None and began is not None:
            self.clock = replace(timer, start=began, counted="sched_clock of the kernel")

    def adopt_memory(self, taken: KernelMemory, returned: abc.Mapping[int, int]) -> bool:
        """Regard memory as ours that a session before this one took; False when the kernel does not know it any more.

        `returned` is as for `KernelSlots.adopt`.
        """
        functions = KernelFunctions(self._stub, dict(taken.functions))
        self._slots = KernelSlots.adopt(functions, taken, returned, self.read_memory)
        return self._slots is not None

    def _ask_emulator(self, command: str) -> str:
        """Have the emulator tell something: a command that changes nothing."""
        return execute_command(self._connection, command)

    def _write_new(self, address: int, data: bytes) -> None:
        self._tables.forget()
        self.write_memory(address, data)

    # The Target protocol

    @property
    def name(self) -> str:
        return f"the kernel at {self._connection.name}"

    @property
    def regions(self) -> Sequence[Region]:
        """Where the kernel lies, and what it has mapped all the time; not what it maps when it needs it (vmalloc)."""
        known = [
            Region(mapping.start, mapping.end, writable=mapping.writable, executable=mapping.executable, name="kernel")
            for mapping in self._linear
        ]
        return known if self._slots is None else [self._slots.memory.region, *known]

    def read_memory(self, address: int, size: int) -> bytes:
        return self.read_many([(address, size)])[0]

    def write_memory(self, address: int, data: bytes) -> None:
        """Write also to what is read-only for the kernel. Raises TargetFault."""
        self.write_many([(address, data)])

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        try:
            return self._mapped.read_many(ranges)
        finally:
            self._go_on()

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        self._mapped.write_many(writes)
        self._go_on()

    def read_mapped(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read (address, size) ranges of a kernel that stands still, in which what is not mapped reads as zeros."""
        return self._mapped.read_mapped(ranges)

    def read_registers(self) -> Registers:
        return self._stub.read_registers()

    def write_registers(self, registers: Registers) -> None:
        self._stub.write_registers(registers)

    def run(self, on_trap: TrapHandler, *, until: int | None = None, limit: int | None = None) -> Stop:
        def at_trap(pc: int) -> bool:
            self._tables.forget()
            return on_trap(pc)

        try:
            return self._stub.run(at_trap, until=until, limit=limit)
        finally:
            self._tables.forget()

    def stop(self) -> None:
        self._stub.stop()

    @property
    def bulk(self) -> BulkMemory:
        return self

    @property
    def watchpoints(self) -> RemoteWatchpoints:
        return self._stub.watchpoints

    @property
    def breakpoints(self) -> RemoteBreakpoints | None:
        return self._stub.breakpoints

    @property
    def executable_memory(self) -> ExecutableMemory | None:
        return None if self._slots is None else self._slots.memory

    @property
    def processors(self) -> QemuProcessors | None:
        processors = self._stub.processors
        return None if processors is None else replace(processors, privileged=False)

    @property
    def no_task(self) -> str:
        return "" if self.task is not None else "this kernel has the running task elsewhere than Linux from 5.18 on"

    # Beyond the protocol

    def detach(self) -> None:
        """Give the memory for slots back when no processor can be in it any more, and let the kernel run on.

        No probe may be planted. Raises TargetError when memory had to stay; the kernel runs on nevertheless.
        """
        try:
            if self._connection.alive and self._slots is not None:
                self._slots.give_back(self.settle, self.journal)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._connection.alive:
            self._connection.ask(b"Qqemu.PhyMemMode:0")
            self._stub.detach()

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Let the kernel run within the block, but for accesses to it; a trap stops it up to the end of the block."""
        self._meanwhile = True
        self._go_on()
        try:
            yield
        finally:
            self._meanwhile = False
            if self._connection.alive:
                self._stub.runner.halt()

    def _go_on(self) -> None:
        if self._meanwhile and self._connection.alive and self._connection.before is None:
            self._tables.forget()
            self._stub.runner.go()

    @property
    def seconds_stopped(self) -> float:
        """How long the kernel stood still since it was attached to."""
        return self._stub.runner.seconds_stopped

    def settle(self, on_trap: TrapHandler = lambda _pc: False) -> None:
        """Let the kernel run until no task can be where one was, in code that nothing leads to any more.

        Probes may be planted elsewhere; `on_trap` handles the traps that are hit meanwhile. Raises what
        `KernelSlots.settle` does.
        """
        assert self._slots is not None

        def at_trap(pc: int) -> bool:
            self._tables.forget()
            return on_trap(pc)

        try:
            self._slots.settle(self._empty_function(), at_trap)
        finally:
            self._tables.forget()

    def _empty_function(self) -> int:
        """The address of a `bx lr`: called, it does nothing."""
        for page in range(self.text.start, self.text.end, 4096):
            words = memoryview(self.read_memory(page, 4096)).cast("I")
            for index, word in enumerate(words):
                if word == _RETURN:
                    return page + 4 * index
        raise Refused(f"the code of {self.name} has no `bx lr`")

    def _find_task(self) -> Task | None:
        """How to read the task, where it is in TPIDRURO (Linux 5.18 and later); a task of the kernel must run now."""
        value = system_register(self._connection, self._system, "TPIDRURO")
        if value is None:
            return None
        (_, size, start), end = self.translation.linear[0], self.constants.end
        memory = Snapshot(self._read_what_is_there, self.known_code)
        layout = find_layout(
            memory.read, (end, min(start + size, end + _DATA)), task=value, sp=self.read_registers().sp
        )
        if layout is None:
            return None
        return Task(
            Load(TPIDRURO, layout.pid), Load(TPIDRURO, layout.pid + TGID_BEHIND_PID), Sum(TPIDRURO, layout.comm)
        )

    def _read_what_is_there(self, address: int, size: int) -> bytes:
        try:
            return self.read_memory(address, size)
        except TargetFault:
            return bytes(size)
