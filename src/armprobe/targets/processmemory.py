"""Memory for slots in a Linux process: mappings that the process makes when asked to by system calls."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Iterator

from armprobe.errors import Refused, TargetError
from armprobe.targets.linuxcalls import (
    MAP_ANONYMOUS,
    MAP_FIXED_NOREPLACE,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MMAP2,
    MUNMAP,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    SystemCalls,
)
from armprobe.targets.reservedmemory import ReservedMemory

#: what is mapped for data that the host shares; pages that nobody touches take no memory
SHARED_SIZE = 32 << 20
SHARED_NAME = "armprobe"
_ALL = PROT_READ | PROT_WRITE | PROT_EXEC
_ADDRESS_SPACE = 1 << 32
#: below it, a process may map nothing (vm.mmap_min_addr); above, is the kernel's half
_LOWEST, _HIGHEST = 0x10000, 0xBF000000
_STRIDE = 1 << 20


class MappedMemory:
    """Private mappings, near the code they are for: an `ExecutableMemory`."""

    def __init__(self, calls: SystemCalls) -> None:
        self._calls = calls
        #: [start, end) of all that is mapped
        self.parts: set[tuple[int, int]] = set()

    def allocate(self, size: int, low: int, high: int) -> int:
        start = self._map(size, low, high)
        self.parts.add((start, start + size))
        return start

    def free(self, address: int, size: int) -> None:
        self._calls.call(MUNMAP, address, size)
        self.parts.discard((address, address + size))

    def _map(self, size: int, low: int, high: int) -> int:
        if low == 0 and high == _ADDRESS_SPACE:
            return self._calls.call(MMAP2, 0, size, _ALL, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        for place in _places(size, low, high):
            try:
                flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
                found = self._calls.call(MMAP2, place, size, _ALL, flags, -1, 0)
            except TargetError:
                continue  # something is there already
            if low <= found and found + size <= high:
                return found
            self._calls.call(MUNMAP, found, size)  # kernels before 4.17, and QEMU 7.2, take the address for a wish
        raise Refused(f"nothing between 0x{low:08x} and 0x{high:08x} is free for {size:,} bytes")


class SharedData:
    """Memory of this computer that the process maps: a `SharedMemory`. It outlives the process.

    A child that the process forks shares it too, and goes on counting in it.
    """

    live = True

    def __init__(self) -> None:
        self.file = os.memfd_create(SHARED_NAME)
        os.ftruncate(self.file, SHARED_SIZE)
        self._content = mmap.mmap(self.file, SHARED_SIZE)
        self._reserved: ReservedMemory | None = None
        self.look: Callable[[], object] = lambda: None

    def map_into(self, calls: SystemCalls, *, file: int) -> None:
        """Map the memory in the process, which has inherited `file` under that number."""
        start = calls.call(MMAP2, 0, SHARED_SIZE, _ALL, MAP_SHARED | MAP_NORESERVE, file, 0)
        self._reserved = ReservedMemory(start, SHARED_SIZE, giver="the process")

    def close(self) -> None:
        self._content.close()
        os.close(self.file)

    def __contains__(self, address: int) -> bool:
        return self._reserved is not None and address in self._reserved.region

    @property
    def start(self) -> int:
        """Where the process has it."""
        return self._start

    def place(self, address: int) -> int:
        """Where in our own address space the byte is that the process has at `address`."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self._content)) + address - self._start

    def read(self, address: int, size: int) -> bytes:
        """`address` is one of the process; so it is for `write`."""
        offset = address - self._start
        return self._content[offset : offset + size]

    def write(self, address: int, data: bytes) -> None:
        offset = address - self._start
        self._content[offset : offset + len(data)] = data

    # The SharedMemory protocol

    def allocate(self, size: int, low: int, high: int) -> int:
        if self._reserved is None:
            raise Refused("the process has not mapped the memory that it shares yet")
        return self._reserved.allocate(size, low, high)

    def free(self, address: int, size: int) -> None:
        assert self._reserved is not None
        self._reserved.free(address, size)

    def while_running(self, look: Callable[[], object]) -> None:
        self.look = look

    @property
    def _start(self) -> int:
        assert self._reserved is not None
        return self._reserved.region.start


def _places(size: int, low: int, high: int) -> Iterator[int]:
    """Addresses to try, from the middle of the range down, where no heap grows to, then from its end down."""
    low, high = max(low, _LOWEST), min(high, _HIGHEST)
    middle = (low + high) // 2 & -_STRIDE
    yield from range(middle - size & -0x1000, low - 1, -_STRIDE)
    yield from range(high - size & -0x1000, max(middle, low) - 1, -_STRIDE)
