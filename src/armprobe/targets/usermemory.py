"""Memory of a program under QEMU's user-mode emulator, as the emulator's process has it: no stub is asked.

The kernel copies it (process_vm_readv), and only what the emulator itself could read or write: not what is no memory of
the program, and code that has been translated is not written.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from armprobe.errors import TargetError, TargetFault, TargetLost

_ADDRESS_SPACE = 1 << 32


class _Range(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t))


class UserMemory:
    """The memory of the program in one emulator process."""

    def __init__(self, process: int, *, known: tuple[str, int]) -> None:
        """`known` is the name of a file that is mapped in the process, and where the program has it.

        Raises TargetError where this user may not read the memory of the process.
        """
        name, address = known
        self._process = process
        try:
            lines = Path(f"/proc/{process}/maps").read_text("utf-8", "replace").splitlines()
        except OSError as error:
            raise TargetError(f"the memory of process {process} is not known: {error.strerror}") from None
        starts = [int(line.split("-", 1)[0], 16) for line in lines if name in line]
        if not starts:
            raise TargetError(f"process {process} has not mapped {name}")
        #: what an address of the program is less than one of the emulator
        self._base = min(starts) - address
        library = ctypes.CDLL(None, use_errno=True)
        self._copy_from, self._copy_to = library.process_vm_readv, library.process_vm_writev
        for copy in (self._copy_from, self._copy_to):
            copy.restype = ctypes.c_ssize_t
        self.read_many([(address, 1)])

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read (address, size) ranges. Raises TargetFault, TargetLost once the process has ended."""
        found = []
        for address, size in ranges:
            content = ctypes.create_string_buffer(size)
            self._copy(self._copy_from, content, address, size, "read")
            found.append(content.raw)
        return found

    def write(self, address: int, data: bytes) -> None:
        """Raises as `read_many` does; then the first bytes may be written."""
        self._copy(self._copy_to, ctypes.create_string_buffer(data, len(data)), address, len(data), "write")

    def _copy(self, copy: Any, content: Any, address: int, size: int, verb: str) -> None:
        if not size:
            return
        done, code = -1, errno.EFAULT
        if address + size <= _ADDRESS_SPACE:
            own, other = _Range(ctypes.addressof(content), size), _Range(self._base + address, size)
            done = copy(self._process, ctypes.byref(own), 1, ctypes.byref(other), 1, 0)
            code = ctypes.get_errno() if done < 0 else errno.EFAULT
        if done == size:
            return
        if code == errno.ESRCH:
            raise TargetLost("the program has ended, and its memory with it")
        if code == errno.EFAULT:
            raise TargetFault(
                f"cannot {verb} {size} bytes at 0x{address:08x}: not all of it is memory that the program may {verb}",
                address=address,
                size=size,
            )
        raise TargetError(f"this user may not {verb} the memory of process {self._process}: {os.strerror(code)}")
