"""Memory of a process for data of ours, of which there is a copy when the process has ended."""

from __future__ import annotations

from collections.abc import Callable

from armprobe.errors import Refused, TargetLost
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.journal import Memory, make_mark, note
from armprobe.targets.linuxcalls import (
    MAP_ANONYMOUS,
    MAP_NORESERVE,
    MAP_SHARED,
    MMAP2,
    MUNMAP,
    PROT_READ,
    PROT_WRITE,
    SystemCalls,
)
from armprobe.targets.reservedmemory import ReservedMemory

#: pages that nobody touches take no memory
_SIZE = 32 << 20
_PAGE = 0x1000


class KeptData:
    """Memory that the process behind `stub` maps: a `SharedMemory` that the host sees at stops only.

    Children that the process forks share it, and go on counting in it.
    """

    live = False

    def __init__(self, stub: GdbRemoteTarget) -> None:
        self._stub = stub
        self._reserved: ReservedMemory | None = None
        self._copy: list[tuple[int, bytearray]] = []
        #: whether only the copy is left
        self.gone = False

    def map_into(self, calls: SystemCalls) -> None:
        """Map the memory in the process."""
        flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE
        start = calls.call(MMAP2, 0, _SIZE, PROT_READ | PROT_WRITE, flags, -1, 0)
        mark_as_ours(self._stub, start, _SIZE)
        self._reserved = ReservedMemory(start + _PAGE, _SIZE - _PAGE, giver="the process")

    def unmap(self, calls: SystemCalls) -> None:
        """Take the memory from the process."""
        if self._reserved is not None:
            calls.call(MUNMAP, self._reserved.region.start - _PAGE, _SIZE)

    def keep(self) -> None:
        """Copy what is in use, as the process stands still and may soon be gone."""
        used = self._reserved.used if self._reserved is not None else []
        contents = self._stub.read_many([(start, end - start) for start, end in used])
        self._copy = [(start, bytearray(content)) for (start, _), content in zip(used, contents, strict=True)]

    def close(self) -> None:
        pass

    def __contains__(self, address: int) -> bool:
        return self.gone and self._reserved is not None and address in self._reserved.region

    def read(self, address: int, size: int) -> bytes:
        """Read of the copy. Raises TargetLost when the process ended before one was made."""
        content, offset = self._find(address, size)
        return bytes(content[offset : offset + size])

    def write(self, address: int, data: bytes) -> None:
        content, offset = self._find(address, len(data))
        content[offset : offset + len(data)] = data

    # The SharedMemory protocol

    def allocate(self, size: int, low: int, high: int) -> int:
        if self._reserved is None:
            raise Refused("the process has not mapped memory for data yet")
        return self._reserved.allocate(size, low, high)

    def free(self, address: int, size: int) -> None:
        assert self._reserved is not None
        self._reserved.free(address, size)

    def while_running(self, look: Callable[[], object]) -> None:
        """Do nothing: it is not live."""

    def _find(self, address: int, size: int) -> tuple[bytearray, int]:
        for start, content in self._copy:
            if start <= address and address + size <= start + len(content):
                return content, address - start
        raise TargetLost(
            f"{self._stub.name} was ended at once, and what was counted and recorded went with it",
            hint="SIGKILL does that, and so does a power failure",
        )


def mark_as_ours(stub: GdbRemoteTarget, start: int, size: int) -> None:
    """Mark memory that the process has just mapped: if armprobe is killed, it is known by that, and given back."""
    mark = make_mark()
    note(stub.journal, Memory(start, start + size, None, mark))
    stub.write_memory(start, mark)
