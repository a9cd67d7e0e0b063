"""Memory of a process for data of ours, which are read also after its end."""

from __future__ import annotations

from collections.abc import Callable

from armprobe.errors import Refused, TargetLost
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.heldfile import make_file
from armprobe.targets.journal import Memory, make_mark, note
from armprobe.targets.linuxcalls import (
    CLOSE,
    MAP_ANONYMOUS,
    MAP_NORESERVE,
    MAP_SHARED,
    MMAP2,
    MUNMAP,
    PROT_READ,
    PROT_WRITE,
    SystemCalls,
)
from armprobe.targets.remotefiles import RemoteFile
from armprobe.targets.reservedmemory import ReservedMemory

#: pages that nobody touches take no memory
_SIZE = 32 << 20
_PAGE = 0x1000


class KeptData:
    """Memory that the process behind `stub` maps: a `SharedMemory` that the host sees at stops only.

    It is a file that the stub holds (`heldfile`), and read once more when the process has ended. Where there can be
    none, `no_file` says why, and what is there is read before the process may end: it stops at its system calls.
    Children that the process forks share the memory, and go on counting in it.
    """

    live = False

    def __init__(self, stub: GdbRemoteTarget) -> None:
        self._stub = stub
        self._reserved: ReservedMemory | None = None
        self._file: RemoteFile | None = None
        self.no_file = ""
        self._copy: list[tuple[int, bytearray]] = []
        #: whether only the copy is left
        self.gone = False

    def map_into(self, calls: SystemCalls, *, name: int) -> None:
        """Map the memory in the process, in which the name for a file stands at `name`."""
        try:
            number, self._file = make_file(self._stub, calls, size=_SIZE, name=name)
        except Refused as error:
            self.no_file = error.message
            if self._stub.events is not None:
                self._stub.events.keep_early()
            self._map(calls, MAP_ANONYMOUS, -1)
        else:
            try:
                self._map(calls, 0, number)
            finally:
                calls.call(CLOSE, number)

    def _map(self, calls: SystemCalls, kind: int, file: int) -> None:
        start = calls.call(MMAP2, 0, _SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | kind, file, 0)
        mark_as_ours(self._stub, start, _SIZE)
        self._reserved = ReservedMemory(start + _PAGE, _SIZE - _PAGE, giver="the process")

    def unmap(self, calls: SystemCalls) -> None:
        """Take the memory from the process."""
        if self._reserved is not None:
            calls.call(MUNMAP, self._start, _SIZE)
        if self._file is not None:
            self._file.close()

    def keep(self) -> None:
        """Copy what is in use: of the file, when the process has ended, or while it still stands."""
        used = self._reserved.used if self._reserved is not None else []
        if self._file is None:
            contents = self._stub.read_many([(start, end - start) for start, end in used])
        else:
            contents = self._file.read_many([(start - self._start, end - start) for start, end in used])
            self._file.close()
        self._copy = [(start, bytearray(content)) for (start, _), content in zip(used, contents, strict=True)]

    @property
    def _start(self) -> int:
        assert self._reserved is not None
        return self._reserved.region.start - _PAGE

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
            f"{self._stub.name} was ended at once, and what was counted and recorded went with it"
            + (f": {self.no_file}" if self.no_file else ""),
            hint="SIGKILL does that, and so does a power failure",
        )


def mark_as_ours(stub: GdbRemoteTarget, start: int, size: int) -> None:
    """Mark memory that the process has just mapped: if armprobe is killed, it is known by that, and given back."""
    mark = make_mark()
    note(stub.journal, Memory(start, start + size, None, mark))
    stub.write_memory(start, mark)
