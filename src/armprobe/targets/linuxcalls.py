"""System calls from outside: a stopped process makes them, and its registers are as before.

Numbers and conventions are those of the EABI (arch/arm/tools/syscall.tbl; arguments in r0 to r5, the number in r7).
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from armprobe.errors import Refused, TargetError, TargetFault
from armprobe.targets.base import CPSR_T, Region, Registers
from armprobe.targets.callingthread import calling_thread
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.journal import Call, CallUndone, note
from armprobe.targets.remotefiles import read_file

CLOSE, GETPID, MUNMAP, FTRUNCATE, MPROTECT, PRCTL, MMAP2, MEMFD_CREATE = 6, 20, 91, 93, 125, 172, 192, 385
TIMER_CREATE, TIMER_SETTIME, TIMER_DELETE = 257, 258, 261
MFD_CLOEXEC = 1
PR_SET_PDEATHSIG = 1
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_FIXED_NOREPLACE = 1, 2, 0x20, 0x4000, 0x100000
#: `svc #0`, and `b .`, which is where the calls end
CALL_CODE = b"\x00\x00\x00\xef" + b"\xfe\xff\xff\xea"
#: whether the page at r0 can be read: futex(r0 & ~3, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, some value, no time at all)
#: compares the word there with the value, and says EFAULT where there is none
CHECK_CODE = struct.pack(
    "<14I",
    0xE52D7004,  # str   r7, [sp, #-4]!
    0xE3C00003,  # bic   r0, r0, #3
    0xE3A01080,  # mov   r1, #0x80
    0xE3E020A5,  # mvn   r2, #0xa5
    0xE28F3018,  # add   r3, pc, #24
    0xE3A070F0,  # mov   r7, #240
    0xEF000000,  # svc   #0
    0xE370000E,  # cmn   r0, #14
    0x13A00001,  # movne r0, #1
    0x03A00000,  # moveq r0, #0
    0xE49D7004,  # ldr   r7, [sp], #4
    0xE12FFF1E,  # bx    lr
    0,
    0,
)
_SVC = CALL_CODE[:4]
_PAGE = 0x1000
_PAGES_SEARCHED = 1024
#: of a thread in a call: its number, six arguments, SP and PC
_CALL_FIELDS = 8
_ERRORS = 4095
#: of CPSR: T, J, and what is left of an IT block
_STATE = CPSR_T | 1 << 24 | 0x0600FC00


class Caller(Protocol):
    """A thread that makes system calls by itself when it is asked to."""

    def call(self, number: int, *arguments: int) -> int:
        """Return the result, unsigned."""


class SystemCalls:
    """System calls of the process behind `stub`, made by one of its threads while the others stand still."""

    def __init__(self, stub: GdbRemoteTarget, *, near: Iterable[int], regions: Iterable[Region]) -> None:
        """Find a `svc`, by which a process makes calls, around one of the addresses, in memory that it executes.

        Raises Refused when there is none.
        """
        self._stub = stub
        self._found = self._place = _find_call(stub, list(near), list(regions))
        #: who makes calls while the stub can't stop the process
        self.instead: Callable[[], Caller | None] = lambda: None

    def settle(self, place: int) -> None:
        """Make calls from `place` from now on, where CALL_CODE stands: nothing of the program comes there."""
        self._stub.own_breakpoints.insert([place + 4], owner=self)
        self._place = place

    def unsettle(self) -> None:
        """Make calls from where they were made at first: the place of our own is about to go."""
        self._stub.own_breakpoints.remove([self._place + 4], owner=self)
        self._place = self._found

    def call(self, number: int, *arguments: int) -> int:
        """Make a call and return its result, unsigned.

        Raises TargetError with the error number's name, and where no thread can make one.
        """
        caller = self.instead()
        result = self._call_by_stub(number, *arguments) if caller is None else caller.call(number, *arguments)
        if result >= (1 << 32) - _ERRORS:
            code = (1 << 32) - result
            raise TargetError(
                f"system call {number} fails in {self._stub.name}: {os.strerror(code)} "
                f"({errno.errorcode.get(code, f'error {code}')})"
            )
        return result

    def _call_by_stub(self, number: int, *arguments: int) -> int:
        stopped = self._stub.threads.current
        thread, registers = calling_thread(self._stub, self._first_argument)
        self._stub.threads.select(thread)
        try:
            return self._call(registers, number, *arguments)
        finally:
            self._stub.threads.current = stopped

    def _first_argument(self, thread: int) -> int | None:
        """That of the system call that a thread is in, as the kernel tells (proc(5))."""
        if self._stub.events is None:
            return None
        content = read_file(self._stub.exchange, f"/proc/{self._stub.events.process}/task/{thread}/syscall") or b""
        fields = content.split()
        return int(fields[1], 16) if len(fields) > _CALL_FIELDS else None

    def routine(self, address: int) -> int:
        """Have the stopped thread, which must be able to, call a function at `address` that returns 64 bits."""
        registers = self._stub.read_registers()
        registers.pc, registers.lr = address, self._place + 4
        after = self._execute(registers, self._stub.read_registers())
        return after.r0 | after.r1 << 32

    def _call(self, own: Registers, number: int, *arguments: int) -> int:
        registers = own.copy()
        registers.values[: len(arguments)] = [argument & 0xFFFFFFFF for argument in arguments]
        registers.r7 = number
        registers.pc = self._place
        return self._execute(registers, own).r0

    def _execute(self, registers: Registers, own: Registers) -> Registers:
        """Let the selected thread run from these registers to the place where calls end; then it gets its `own`."""
        journal, back = self._stub.journal, self._place + 4
        note(journal, Call(registers.pc, tuple(own.values), own.cpsr, own.sp, back))
        registers.cpsr &= ~_STATE
        after = self._stub.execute(registers, back)
        if registers.pc == self._place:
            own.values[12] = after.r12  # a call keeps it, and at a stop behind one ptrace shows its own value for it
        self._stub.write_registers(own)
        if journal is not None:
            self._stub.push_registers()
            journal.note(CallUndone())
        return after


def _find_call(stub: GdbRemoteTarget, places: Sequence[int], regions: Sequence[Region]) -> int:
    executable = [region for region in regions if region.executable]
    # What can be written, too, may be gone soon: code of ours, for example.
    for known in ([region for region in executable if not region.writable], executable):
        for start, data in (page for place in places for page in _pages_around(stub, place & -_PAGE, known)):
            position = data.find(_SVC)
            while position >= 0:
                if position % 4 == 0:
                    return start + position
                position = data.find(_SVC, position + 1)
    raise Refused(f"no system call instruction (svc #0, A32) is found near 0x{places[0]:08x} in {stub.name}")


def _pages_around(stub: GdbRemoteTarget, start: int, known: Sequence[Region]) -> Iterator[tuple[int, bytes]]:
    """Pages of the known regions that can be read, upwards and then downwards."""
    for step, first in ((_PAGE, start), (-_PAGE, start - _PAGE)):
        for page in range(first, first + step * _PAGES_SEARCHED, step):
            if not any(page in region for region in known):
                break
            try:
                yield page, stub.read_memory(page, _PAGE)
            except TargetFault:
                break
