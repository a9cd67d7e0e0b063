"""Which thread of a stopped Linux process can make a system call from outside, and then go on as if it had made none.

How a thread may stand (arch/arm/kernel/signal.c, do_signal; arch/arm/kernel/ptrace.c, report_syscall):

- About to get a signal, that of a breakpoint included: all its registers are its own. So stands the thread whose stop
  was told. If it came out of a call that was interrupted, it stands at the `svc` again, with the arguments of then, and
  begins the call anew when it comes back there. Only what waits for a length of time would have waited for the rest.
- Right behind a `svc`: in a call, for all that can be seen. Before it, the kernel takes the number that it has already;
  in it, its result is still to come into r0. What is changed there is lost, or goes wrong.
- There, with -ERESTARTSYS or the like in r0: behind a call that was interrupted. That tells the kernel, not the
  program, to begin anew; afterwards the program does, at the `svc`, with the r0 of then: /proc tells.
- Elsewhere, with 0 or 1 in r12: it may be behind `sigreturn`, where the kernel shows that for the program's own r12.
- Anywhere else, in a kuser helper, in an exclusive sequence, in a handler of a signal: as when it is interrupted there.
- In vfork: it can't be resumed. Its child has the same memory.
"""

from __future__ import annotations

from collections.abc import Callable

from armprobe.errors import TargetError, TargetFault
from armprobe.targets.base import CPSR_T, Registers
from armprobe.targets.gdbremote import GdbRemoteTarget

#: restart_syscall, nanosleep, poll, futex, clock_nanosleep, and the last two with 64 bits of time: those that the
#: kernel does not begin anew, but goes on with (ERESTART_RESTARTBLOCK)
_TIMED = (0, 162, 168, 240, 265, 422, 407)
#: `svc` with any condition and number; in Thumb code
_SVC, _SVC_MASK = 0x0F000000, 0x0F000000
_SVC_T, _SVC_T_MASK = 0xDF00, 0xFF00
#: -ERESTARTSYS to -ERESTART_RESTARTBLOCK (linux/errno.h)
_INTERRUPTED = range((1 << 32) - 516, (1 << 32) - 511)


def calling_thread(
    stub: GdbRemoteTarget, first_argument: Callable[[int], int | None] = lambda _: None
) -> tuple[int, Registers]:
    """The thread that stopped, if it can; else another one; and what its registers shall be afterwards.

    `first_argument` gives that of the call that a thread is in, by the thread's number. Raises TargetError when none
    can.
    """
    threads = stub.threads
    told = threads.told
    possible: list[tuple[int, Registers]] = []
    for thread in threads.ids():
        if threads.is_held(thread):
            continue
        try:
            registers = threads.read_registers(thread)
        except TargetError:
            continue  # the first thread of a process may have ended before the others
        if thread == told or not (registers.r12 in (0, 1) or _is_behind_call(stub, registers)):
            if not _waits(stub, registers):
                return thread, registers
            possible.insert(0, (thread, registers))
        elif registers.r12 == 1 and registers.r0 in _INTERRUPTED and _is_behind_call(stub, registers):
            first = first_argument(thread)
            if first is not None:
                registers.r0 = first
                registers.pc -= 2 if registers.cpsr & CPSR_T else 4
                possible.append((thread, registers))
    if not possible:
        raise TargetError(
            f"no thread of {stub.name} can make a system call: each of them may be in one of its own",
            hint="let it run for a moment",
        )
    return possible[0]


def _waits(stub: GdbRemoteTarget, registers: Registers) -> bool:
    """Whether the thread is about to begin, or to begin anew, a call that waits for some time."""
    return registers.r7 in _TIMED and _is_call(stub, registers.pc, thumb=bool(registers.cpsr & CPSR_T))


def _is_behind_call(stub: GdbRemoteTarget, registers: Registers) -> bool:
    thumb = bool(registers.cpsr & CPSR_T)
    return _is_call(stub, registers.pc - (2 if thumb else 4) & 0xFFFFFFFF, thumb=thumb)


def _is_call(stub: GdbRemoteTarget, place: int, *, thumb: bool) -> bool:
    size, mask, value = (2, _SVC_T_MASK, _SVC_T) if thumb else (4, _SVC_MASK, _SVC)
    try:
        return int.from_bytes(stub.read_memory(place, size), "little") & mask == value
    except TargetFault:
        return False
