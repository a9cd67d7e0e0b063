"""The Target protocol: little is required; what a target can do besides is a capability, an object or None.

Addresses are byte addresses of 32 bits without a Thumb bit. Sizes are in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from armprobe.isa.insn import REGISTER_NUMBERS
from armprobe.targets.capabilities import (
    AskedKernel,
    AskedProcessor,
    Breakpoints,
    BulkMemory,
    Clock,
    CodeSync,
    ExecutableMemory,
    Mailbox,
    OwnFaults,
    Processors,
    SharedMemory,
    Task,
    Threads,
    TranslationTables,
    Watchpoints,
)
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
    def vectors(self) -> Sequence[int]:
        """Where the program begins to handle an undefined instruction, and a fetch that failed, if that is known.

        LR is one instruction behind what failed then.
        """

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
    def translation(self) -> TranslationTables | AskedKernel | AskedProcessor | None:
        """How handlers in the target reach memory beyond what lasts of `regions`; None: they don't."""

    @property
    def no_memory(self) -> str:
        """Why handlers in the target read no memory; empty where they do."""

    @property
    def journal(self) -> Journal | None:
        """Where changes are noted before they are made; None where the target does not outlive its session."""
