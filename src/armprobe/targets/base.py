"""The Target protocol: little is required; what a target can do besides is a capability, an object or None.

Addresses are byte addresses of 32 bits without a Thumb bit. Sizes are in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Protocol

from armprobe.isa.insn import REGISTER_NUMBERS
from armprobe.isa.reading import Reading
from armprobe.targets.journal import Journal

CPSR_T = 1 << 5
#: BKPT #0x5be0: an immediate no compiler or library uses (DDI 0406C A8.8.24)
TRAP = 0xE125BE70
#: why the task is not known where anything may run
NO_TASKS = "what tasks a program without Linux has is not known"
CPSR_MODE, MODE_USER = 0x1F, 0x10


class Registers:
    """The core registers of one stopped thread: r0 to r12, sp, lr, pc, cpsr. Unsigned 32-bit values.

    Attribute access knows all names of AAPCS (`fp`, `ip`, `r13`, ...); a value is reduced to 32 bits when it is set.
    `orig_r0` is 0xffffffff, as in the frame Linux gives to the handler of a kprobe.
    """

    __slots__ = ("cpsr", "values")
    values: list[int]
    cpsr: int

    def __init__(self, values: Sequence[int], cpsr: int) -> None:
        object.__setattr__(self, "values", list(values))
        object.__setattr__(self, "cpsr", cpsr)

    def __getattr__(self, name: str) -> int:
        if name == "orig_r0":
            return 0xFFFFFFFF
        try:
            return self.values[REGISTER_NUMBERS[name]]
        except KeyError:
            raise AttributeError(f"no register {name!r}; there are r0 to r12, sp, lr, pc, cpsr") from None

    def __setattr__(self, name: str, value: int) -> None:
        if name == "cpsr":
            object.__setattr__(self, "cpsr", value & 0xFFFFFFFF)
        elif name in REGISTER_NUMBERS:
            self.values[REGISTER_NUMBERS[name]] = value & 0xFFFFFFFF
        else:
            raise AttributeError(f"no register {name!r} can be set; there are r0 to r12, sp, lr, pc, cpsr")

    def copy(self) -> Registers:
        return Registers(self.values, self.cpsr)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registers) and self.values == other.values and self.cpsr == other.cpsr

    def __repr__(self) -> str:
        names = (*(f"r{n}" for n in range(13)), "sp", "lr", "pc")
        text = " ".join(f"{name}={value:#x}" for name, value in zip(names, self.values, strict=True))
        return f"Registers({text} cpsr={self.cpsr:#010x})"


@dataclass(frozen=True, slots=True)
class Region:
    """A range of target memory: [start, end). Handlers in the target read what lasts as long as the target alone."""

    start: int
    end: int
    readable: bool = True
    writable: bool = True
    executable: bool = True
    name: str = ""
    lasting: bool = True

    def __contains__(self, address: int) -> bool:
        return self.start <= address < self.end


class StopReason(Enum):
    """Why a target stopped running."""

    TRAP = "a trap that is no probe"
    EXIT = "the program ended"
    ADDRESS = "the address was reached"
    LIMIT = "the instruction limit was reached"
    INTERRUPT = "interrupted"
    FAULT = "a fault"


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of a run. `address` and `access` ("read", "write", "fetch", "undefined") belong to a fault.

    `signal` is the signal that ended a Linux process, by Linux's number. `gone`: the target went with its program, so
    that there is nothing to restore, and nothing but shared memory to be read any more.
    """

    reason: StopReason
    pc: int
    exit_code: int | None = None
    address: int | None = None
    access: str = ""
    message: str = ""
    signal: int = 0
    gone: bool = False


#: Called when the target stopped at a trap instruction at the address given. It may read and write registers and
#: memory. True: go on from the registers as they are now. False: not a probe's trap; the run ends with StopReason.TRAP.
TrapHandler = Callable[[int], bool]


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


def read_all(target: Target, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Read (address, size) ranges, together where the target can. Raises TargetFault."""
    if target.bulk is not None:
        return target.bulk.read_many(ranges)
    return [target.read_memory(address, size) for address, size in ranges]


def write_all(target: Target, writes: Sequence[tuple[int, bytes]]) -> None:
    """Write (address, data) pairs that do not overlap, together where the target can. Raises TargetFault."""
    if target.bulk is not None:
        target.bulk.write_many(writes)
    else:
        for address, data in writes:
            target.write_memory(address, data)


class LiveTarget(Protocol):
    """What a target offers that has more to do than to be probed, as a kernel has."""

    @property
    def known_code(self) -> tuple[int, bytes]:
        """Where code lies and what it was when it was read last; empty when it was not.

        The target rewrites it only where `CodeMap.may_change` says so.
        """

    def settle(self, on_trap: TrapHandler) -> None:
        """Run until no thread, shown or not, is where one was before, in code that nothing led to any more.

        `on_trap` handles the traps that are hit meanwhile. Raises TargetError when the target comes to no such point.
        """

    def meanwhile(self) -> AbstractContextManager[None]:
        """Let the target run within the block, but for accesses to it; after the block it stands still.

        A trap that it comes to stops it earlier, and is handled in the next run.
        """


class Target(Protocol):
    """Something that runs A32 code and can be stopped."""

    @property
    def name(self) -> str:
        """What it is, for messages: "Unicorn (cortex-a15)"."""

    @property
    def architecture(self) -> int:
        """The architecture version: 4 to 8. From 7 on, an ALU write to PC interworks (DDI 0406C A2.3.2)."""

    @property
    def trap(self) -> int:
        """The A32 word that stops at a site, condition AL: BKPT where nothing else owns it."""

    @property
    def concurrent(self) -> bool:
        """Whether several CPUs, or interrupt handlers, can run the same detour at once."""

    @property
    def regions(self) -> Sequence[Region]:
        """The memory the target is known to have."""

    def read_memory(self, address: int, size: int) -> bytes:
        """Raises TargetFault when any of the bytes can't be read."""

    def write_memory(self, address: int, data: bytes) -> None:
        """Raises TargetFault when any of the bytes can't be written; then none is changed."""

    def read_registers(self) -> Registers:
        """The registers of the thread that stopped."""

    def write_registers(self, registers: Registers) -> None: ...

    def run(self, on_trap: TrapHandler, *, until: int | None = None, limit: int | None = None) -> Stop:
        """Run until the program ends, `until` is about to be executed, `limit` instructions ran, or `stop` is called.

        An exception of `on_trap` stops the target and is passed on. KeyboardInterrupt ends the run with INTERRUPT.
        """

    def stop(self) -> None:
        """Ask a running target to stop; may be called from a trap handler, a signal handler or another thread."""

    @property
    def code_sync(self) -> CodeSync | None: ...

    @property
    def executable_memory(self) -> ExecutableMemory | None: ...

    @property
    def own_faults(self) -> OwnFaults | None:
        """None: a fault of the program ends the run."""

    @property
    def shared_memory(self) -> SharedMemory | None: ...

    @property
    def mailbox(self) -> Mailbox | None:
        """How code asks the host without a stop; None: it stops the target."""

    @property
    def no_mailbox(self) -> str:
        """Why there is none where there might be one; empty for targets that never have one."""

    @property
    def threads(self) -> Threads | None: ...

    @property
    def watchpoints(self) -> Watchpoints | None:
        """Stops at accesses to data."""

    @property
    def breakpoints(self) -> Breakpoints | None:
        """How traps are set where the target does that itself; None: `trap` is written to memory like other code."""

    @property
    def bulk(self) -> BulkMemory | None: ...

    @property
    def clock(self) -> Clock | None: ...

    @property
    def no_clock(self) -> str:
        """Why there is no clock; empty where there is one."""

    @property
    def processors(self) -> Processors | None:
        """None: there is one."""

    @property
    def task(self) -> Task | None: ...

    @property
    def no_task(self) -> str:
        """Why no task is known, or not all of it; empty where it is."""

    @property
    def translation(self) -> TranslationTables | AskedKernel | None:
        """How handlers in the target reach memory beyond `regions`; None: they don't."""

    @property
    def journal(self) -> Journal | None:
        """Where changes are noted before they are made; None where the target does not outlive its session."""
