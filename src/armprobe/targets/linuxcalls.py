"""System calls from outside: a stopped process makes them, and its registers are as before.

Numbers and conventions are those of the EABI (arch/arm/tools/syscall.tbl; arguments in r0 to r5, the number in r7).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from armprobe.errors import Refused, TargetError, TargetFault
from armprobe.targets.base import CPSR_T
from armprobe.targets.gdbremote import GdbRemoteTarget

CLOSE, MUNMAP, MPROTECT, MMAP2 = 6, 91, 125, 192
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_FIXED_NOREPLACE = 1, 2, 0x20, 0x4000, 0x100000
#: `svc #0`, and `b .`, which is where the calls end
CALL_CODE = b"\x00\x00\x00\xef" + b"\xfe\xff\xff\xea"
_SVC = CALL_CODE[:4]
_PAGE = 0x1000
_PAGES_SEARCHED = 1024
_ERRORS = 4095


class SystemCalls:
    """System calls of the process behind `stub`, made by its stopped thread while the others stand still."""

    def __init__(self, stub: GdbRemoteTarget) -> None:
        """Raises Refused when no `svc` is found around PC: a process makes calls by one."""
        self._stub = stub
        self._place = _find_call(stub, near=stub.read_registers().pc)

    def settle(self, place: int) -> None:
        """Make calls from `place` from now on, where CALL_CODE stands: nothing of the program comes there."""
        assert self._stub.breakpoints is not None
        self._stub.breakpoints.insert([place + 4], owner=self)
        self._place = place

    def call(self, number: int, *arguments: int) -> int:
        """Make a call and return its result, unsigned. Raises TargetError with the error number's name."""
        registers = self._stub.read_registers()
        registers.cpsr &= ~CPSR_T
        registers.values[: len(arguments)] = [argument & 0xFFFFFFFF for argument in arguments]
        registers.r7 = number
        registers.pc = self._place
        result = self._stub.execute(registers, self._place + 4).r0
        if result >= (1 << 32) - _ERRORS:
            code = (1 << 32) - result
            raise TargetError(
                f"system call {number} fails in {self._stub.name}: {os.strerror(code)} "
                f"({errno.errorcode.get(code, f'error {code}')})"
            )
        return result


def _find_call(stub: GdbRemoteTarget, *, near: int) -> int:
    for page in _pages_around(stub, near & -_PAGE):
        start, data = page
        position = data.find(_SVC)
        while position >= 0:
            if position % 4 == 0:
                return start + position
            position = data.find(_SVC, position + 1)
    raise Refused(f"no system call instruction (svc #0, A32) is found near 0x{near:08x} in {stub.name}")


def _pages_around(stub: GdbRemoteTarget, start: int) -> Iterator[tuple[int, bytes]]:
    """Pages that can be read, upwards and then downwards."""
    for step, first in ((_PAGE, start), (-_PAGE, start - _PAGE)):
        for page in range(first, first + step * _PAGES_SEARCHED, step):
            try:
                yield page, stub.read_memory(page, _PAGE)
            except TargetFault:
                break
