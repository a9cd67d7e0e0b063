"""Memory for slots: a live kernel gives it, and takes it back when no processor can be in it any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from armprobe.errors import ArmprobeError, Refused, TargetError, TargetFault, TargetLost
from armprobe.isa.branch import reaches
from armprobe.targets.base import TrapHandler
from armprobe.targets.journal import MARK, Journal, KernelMemory, KernelMemoryGone, make_mark, note
from armprobe.targets.kernelcalls import RETURN, SAFE_POINTS, KernelFunctions
from armprobe.targets.reservedmemory import ReservedMemory

_PAGE = 4096
_LESS = "take less when attaching (memory=...)"
#: functions that wait until nobody is in code that nothing leads to any more
_WAITS = _SCHEDULE, _RCU_TASKS = "schedule_on_each_cpu", "synchronize_rcu_tasks"
#: who gives memory for code, what it takes before the size, and who takes it back. The first is there up to Linux 6.9;
#: the second knows it as EXECMEM_MODULE_TEXT, which is 0.
_ALLOCATORS: tuple[tuple[str, list[int], str], ...] = (
    ("module_alloc", [], "module_memfree"),
    ("execmem_alloc", [0], "execmem_free"),
)


@dataclass(frozen=True, slots=True)
class KernelSlots:
    """[start, end), which the kernel behind `functions` gave; `memory` is the part of it that serves for slots."""

    functions: KernelFunctions
    start: int
    end: int
    memory: ReservedMemory
    #: [start, end) of what serves for something else
    spare: tuple[int, int] = (0, 0)

    @classmethod
    def take(
        cls,
        functions: KernelFunctions,
        *,
        size: int,
        spare: int,
        write: Callable[[int, bytes], None],
        journal: Journal | None,
    ) -> KernelSlots:
        """Have the kernel give `size` bytes for slots and `spare` more, multiples of 4096; `write` writes its memory.

        Raises Refused when it gives none in reach of its code, and what `KernelFunctions.call` does.
        """
        allocate, before, free = _allocator(functions.addresses)
        known = functions.addresses
        used = tuple((name, known[name]) for name in (*SAFE_POINTS, RETURN, allocate, *_WAITS, free) if name in known)
        # Where there is a journal, a page says whether the memory is still ours.
        first = 0 if journal is None else _PAGE
        note(journal, KernelMemory(0, 0, b"", used))
        try:
            start = functions.call(allocate, [*before, first + spare + size])
            if not start:
                raise Refused(f"{functions.stub.name} has no {size:,} bytes of memory for code", hint=_LESS)
            if not reaches(start + first + spare, known[allocate]):
                # Memory near its code is for modules: when there is not so much, it gives other memory.
                functions.call(free, [start])
                raise Refused(
                    f"the {size:,} bytes of memory for code that {functions.stub.name} gives, at 0x{start:08x}, are "
                    "out of branch reach of its own code",
                    hint=_LESS,
                )
        except TargetLost:
            raise
        except (Refused, TargetError):
            note(journal, KernelMemoryGone())
            raise
        slots = start + first + spare
        if journal is not None:
            mark = make_mark()
            write(start, mark)
            journal.note(KernelMemory(start, slots + size, mark, used))
        return cls(functions, start, slots + size, ReservedMemory(slots, size), (start + first, slots))

    @classmethod
    def adopt(
        cls,
        functions: KernelFunctions,
        taken: KernelMemory,
        returned: Mapping[int, int],
        read: Callable[[int, int], bytes],
    ) -> KernelSlots | None:
        """Memory that a session before this one took; None when the kernel does not know it any more.

        `returned` is what functions of the kernel returned when a call that it had begun came to its end; `read` reads
        its memory.
        """
        allocate, _, free = _allocator(functions.addresses)
        start, end = taken.start, taken.end
        if functions.addresses.get(free) in returned:
            return None
        if not start:
            # What the kernel was giving when the session was killed.
            start = returned.get(functions.addresses.get(allocate, 0), 0)
            end = start + _PAGE
        with suppress(TargetFault):
            if start and (not taken.start or read(start, MARK) == taken.mark):
                return cls(functions, start, end, ReservedMemory(start, end - start))
        return None

    def settle(self, empty_function: int, on_trap: TrapHandler) -> None:
        """Let the kernel run until no task can be where one was, in code that nothing leads to any more.

        `empty_function` is the address of one that does nothing; `on_trap` handles the traps that are hit meanwhile.
        Raises what `KernelFunctions.call` does.
        """
        # Without preemption, an interrupt returns to our code before the processor takes up another task. RCU alone
        # would not do: for it, a processor that waits in a slot, at a WFI, is in no code at all.
        self.functions.call(_SCHEDULE, [empty_function], on_trap=on_trap)
        if _RCU_TASKS in self.functions:
            # A kernel that preempts itself: a task may sleep in a slot.
            self.functions.call(_RCU_TASKS, on_trap=on_trap)

    def give_back(self, settle: Callable[[], object], journal: Journal | None) -> None:
        """Have the kernel take the memory back after `settle`; raises TargetError, with the reason, when it stays."""
        kept = f"0x{self.start:08x}..0x{self.end:08x} of {self.functions.stub.name} were not given back"
        if self.memory.in_use:
            raise TargetError(f"{kept}: not all probes are gone")
        try:
            settle()
            self.functions.call(_allocator(self.functions.addresses)[2], [self.start])
            note(journal, KernelMemoryGone())
        except ArmprobeError as error:
            raise TargetError(f"{kept}: {error}", hint=error.hint) from error


def _allocator(functions: Mapping[str, int]) -> tuple[str, list[int], str]:
    return next((known for known in _ALLOCATORS if known[0] in functions), _ALLOCATORS[0])
