"""What a target can do besides: each capability is an object, or None where the target has it not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from armprobe.isa.reading import Reading

if TYPE_CHECKING:
    from armprobe.targets.base import Region, Registers, TrapHandler


@dataclass(frozen=True, slots=True)
class Windows:
    """Pages of the target through which code there may look at physical memory: `armprobe.codegen.page_window`.

    There are `count` of them, as many as processors, from `address` on; their descriptors, 8 bytes each if `wide` and
    else 4, stand one behind the other from the address `descriptors` on, and are 0.
    """

    address: int
    count: int
    descriptors: int
    wide: bool
    #: what is in the descriptor of a window beside the physical address
    attributes: int
    #: what says in Linux's own descriptor that memory is of the same kind, with short descriptors
    own: int
    #: (physical address, size) of the RAM that is not mapped all the time
    ram: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TranslationTables:
    """Where code that runs in the target, privileged, finds what memory stands behind an address.

    The tables are those of Linux, with short descriptors (DDI 0406C B3.5), where before each one of the second level
    lies one of Linux's own, or with `long` ones (B3.6). Addresses below `user_end` are a user's: their tables are where
    TTBR0 says, and only what a user may read counts. The others have the table at the address `kernel_table`.
    """

    #: (physical address, size, address) of memory that is mapped all the time
    linear: tuple[tuple[int, int, int], ...]
    user_end: int
    kernel_table: int
    long: bool = False
    #: the way to the memory, and the tables, that are not; without any it is a fault
    windows: Windows | None = None


class CodeSync(Protocol):
    """Cache maintenance: makes written code visible to instruction fetch on all CPUs."""

    def synchronize(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Clean and invalidate [start, end) ranges to the point of unification, with the barriers that belong to it."""


class ExecutableMemory(Protocol):
    """Memory for slots."""

    def allocate(self, size: int, low: int, high: int) -> int:
        """Return the address of `size` bytes, readable, writable and executable, wholly within [low, high).

        `size` is a multiple of 4096, and so is the result. Raises Refused when there is no such memory.
        """

    def free(self, address: int, size: int) -> None:
        """Give an allocation back."""


class SharedMemory(Protocol):
    """Memory for data of ours that the host reads also after the end of the target."""

    @property
    def live(self) -> bool:
        """Whether the host reads and writes it while the target runs, too."""

    def allocate(self, size: int, low: int, high: int) -> int:
        """Like `ExecutableMemory.allocate`."""

    def free(self, address: int, size: int) -> None:
        """Give an allocation back."""

    def while_running(self, look: Callable[[], object]) -> None:
        """Call `look` several times a second while the target runs, from now on; it reads nothing but this memory.

        Nothing happens where the memory is not live.
        """


class Mailbox(Protocol):
    """Shared memory by which threads ask the host while the target runs, and wait for its answer (`codegen.asking`).

    While one is answered, the registers of the target are those of that thread, with PC where it asks.
    """

    @property
    def address(self) -> int: ...

    @property
    def can_stop(self) -> bool:
        """Whether the target could be stopped meanwhile: no other thread runs."""

    def answer_with(self, answer: TrapHandler) -> None:
        """Call `answer` for each thread that asks while the target runs, as the handler of traps is called.

        Where it returns False, the thread goes on behind the place where it asks, with all registers but SP.
        """


class OwnFaults(Protocol):
    """A program that handles its own faults, as a Linux process does by signals, and looks at where they happened."""

    def show_at(self, place: Callable[[int], int]) -> None:
        """Let the program see a fault at PC as one at `place(PC)`, from now on."""

    def look_every(self, every: float | None) -> None:
        """Be ready for stops every so many seconds, so that none is anybody else's affair; None: for a rare one.

        It stands still when this is called. Where that can't be done, nothing changes.
        """

    def stops_alone(self) -> bool:
        """Whether `stop` reaches the program and nobody else. It stands still when this is asked for the first time."""


class Threads(Protocol):
    """Threads or CPUs whose registers can be read while all are stopped."""

    @property
    def complete(self) -> bool:
        """Whether these are all: no others sleep in memory only, as a kernel's tasks do."""

    def ids(self) -> Sequence[int]:
        """All of them; the one that stopped, or was selected since, comes first."""

    def read_registers(self, thread: int) -> Registers: ...

    def write_registers(self, thread: int, registers: Registers) -> None: ...

    def select(self, thread: int) -> None:
        """Let `read_registers`, `write_registers` and a run with a limit of the target mean this thread from now on."""


class Breakpoints(Protocol):
    """Traps that the target sets by itself, where it keeps the trap instruction for itself.

    Memory is read and written as if they were not there. They stop at `on_trap`, whatever instruction stands there.
    """

    def __contains__(self, address: int) -> bool: ...

    def insert(self, addresses: Sequence[int]) -> None:
        """Set traps at A32 instructions, where there are none yet.

        Raises TargetError when one can't be set; then none is that was not there before.
        """

    def remove(self, addresses: Sequence[int]) -> None:
        """Take traps away again, where there are any. Raises TargetError when one stays; all others are gone."""

    def adopt(self, traps: Mapping[int, str]) -> None:
        """Regard traps as ours that a session before this one may have set, each with its kind (`journal.Traps`)."""


class Access(Enum):
    """What a watchpoint stops at."""

    WRITE = "write"
    READ = "read"
    ANY = "any"


class Watchpoints(Protocol):
    """Stops at accesses to data, by means of the target's own."""

    def insert(self, address: int, size: int, access: Access, handler: Callable[[], object]) -> None:
        """Call `handler` after each access to one of `size` bytes at `address`, 1, 2, 4 or 8, a multiple of `size`.

        The target stands still then, behind the instruction that did it. Raises TargetError when the target does not
        do this, UsageError when there is a watchpoint already.
        """

    def remove(self, address: int) -> None:
        """Take a watchpoint away. Raises TargetError when it stays."""


class BulkMemory(Protocol):
    """Many accesses to memory for the price of few: each alone would cost a round trip."""

    @property
    def searchable(self) -> int:
        """How many bytes of memory can be read, and searched, in a while that people wait."""

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read (address, size) ranges. Raises TargetFault when any of the bytes can't be read."""

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write (address, data) pairs, which do not overlap, in any order.

        Raises TargetFault when any of the bytes can't be written; others may be written then.
        """


@dataclass(frozen=True, slots=True)
class AskedKernel:
    """How code of a Linux process finds out whether it can read memory: it asks its kernel.

    At `routine` stands a function of AAPCS, with 4 bytes of stack: r0 is an address, and its result is 0 when the page
    there can't be read. `code` is where detours call functions, this one among them.
    """

    routine: int
    code: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class AskedProcessor:
    """How code on a board finds out whether it can read memory: it asks its processor what an address stands for.

    `memory` is physical memory that may be read, as [start, end) spans of whole pages; all else may be devices. A
    processor with an operation that `translates` (ATS1CPR, DDI 0406C B3.13) answers as its MMU would at this moment,
    in PAR, which has 64 bits if `wide`; others have the MMU off, or nothing is read. If there is a `hypervisor` mode,
    it has an operation of its own (ATS1HR).
    """

    memory: tuple[tuple[int, int], ...]
    translates: bool
    wide: bool
    hypervisor: bool = False

    @property
    def unanswered(self) -> tuple[int, ...]:
        """The modes in which it does not answer: user mode may not ask, and nothing is known of the monitor's."""
        return (_USER, _MONITOR) if self.hypervisor else (_USER, _MONITOR, HYPERVISOR)

    def answers_in(self, cpsr: int) -> bool:
        return cpsr & MODE not in self.unanswered


#: bits of CPSR, and modes (DDI 0406C B1.3.1)
MODE, _USER, _MONITOR, HYPERVISOR = 0x1F, 0x10, 0x16, 0x1A


class Clock(Protocol):
    """What tells the time, in ticks of 64 bits that never go back: to code in the target, and to the host."""

    @property
    def name(self) -> str:
        """What is counted, for people: "generic timer, 62.5 MHz"."""

    @property
    def unit(self) -> str:
        """`ns` where it is time; else what `ns_per_tick` takes for a nanosecond, in the plural: `instructions`."""

    @property
    def ns_per_tick(self) -> Fraction: ...

    @property
    def start(self) -> int:
        """The tick that is time 0, modulo 2**64."""

    @property
    def at_site(self) -> Reading:
        """The time in a detour, before the instruction at the site is executed."""

    @property
    def at_return(self) -> Reading:
        """The time in a trampoline, after the instruction that returned."""

    @property
    def privileged(self) -> bool:
        """Whether user mode may not read it: code there must not try."""

    def now(self, *, returned: bool) -> int | None:
        """The time as code would read it that stands where the target stopped: at a site, or `returned`.

        None where only code can read it.
        """


class Processors(Protocol):
    """Which of several processors this is."""

    @property
    def number(self) -> Reading:
        """How code reads the number of the processor it runs on."""

    @property
    def privileged(self) -> bool:
        """Whether user mode may not read it: code there must not try."""

    def current(self) -> int:
        """The number of the processor that stopped, the same that `number` would read."""


@dataclass(frozen=True, slots=True)
class Task:
    """How code of a kernel reads what it works for: the numbers of the task and of its process, in the kernel's words.

    `comm` is the address of its name, 16 bytes with the zero, or a name for all. `find_pid` tells the host the number
    where the target stopped; without it, the host reads as code does. None: only the kernel knows it.
    """

    pid: Reading
    tgid: Reading | None
    comm: Reading | str
    find_pid: Callable[[], int] | None = None
