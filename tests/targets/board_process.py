"""A process on a board: what its kernel tells, and the system calls that it makes, without a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from armprobe.errors import TargetError
from armprobe.targets.journal import Change, Left
from armprobe.targets.rsp import ThreadId

FILE = 4
STATUS = "Name:\tprogram\nSigBlk:\t{blocked:016x}\nSigIgn:\t0\nSigCgt:\t{caught:016x}\nSeccomp:\t{limited}\n"
LIMITS = "Limit                     Soft Limit           Hard Limit           Units     \n"
UNLIMITED = LIMITS + "Max file size             unlimited            unlimited            bytes     \n"


def status(*, blocked: int = 0, caught: int = 0, limited: int = 0) -> str:
    """/proc/PID/status."""
    return STATUS.format(blocked=blocked, caught=caught, limited=limited)


class BoardProcess:
    """Process 1 with threads 1 and 2: the stub, what it tells, the journal, and who makes system calls, in one."""

    process = 1

    def __init__(
        self,
        files: Mapping[str, str | None] | None = None,
        *,
        results: Mapping[int, int] | None = None,
        failing: Sequence[int] = (),
    ) -> None:
        """`files` are in /proc/1; `results` are those of system calls, and `failing` calls have none."""
        self.files: dict[str, str | None] = {"status": status(), "limits": UNLIMITED}
        self.files |= {f"task/{thread}/status": status() for thread in self.ids()}
        self.files |= files or {}
        self.events = self.journal = self.threads = self
        self.current = ThreadId(1, 1)
        self.calls: list[tuple[int, ...]] = []
        self.noted: list[Change] = []
        self.heard: set[int] = set()
        self.info = b""
        self.alive = True
        self.memory: dict[int, bytes] = {}
        self._results, self._failing = results or {}, failing
        self._opened = b""

    # What the stub tells, and the threads it shows

    def ids(self) -> list[int]:
        return [1, 2]

    def file(self, name: str) -> str:
        return f"/proc/1/task/1/{name}"

    def is_held(self, _thread: int) -> bool:
        return False

    def heed(self, signals: set[int]) -> None:
        self.heard = signals

    # The journal

    def note(self, *changes: Change) -> None:
        self.noted += changes

    @property
    def left(self) -> Left:
        return Left.of(self.noted)

    # The stub

    def write_memory(self, address: int, data: bytes) -> None:
        self.memory[address] = data

    def read_memory(self, address: int, size: int) -> bytes:
        return self.memory.get(address, bytes(size))

    def exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: bytes) -> bytes:
        if request.startswith(b"Hg"):
            return b"OK" if self.alive else b"E01"
        if request.startswith(b"qXfer:siginfo"):
            return b"l" + self.info if self.info else b"E01"
        operation, _, text = request.removeprefix(b"vFile:").partition(b":")
        if operation == b"open":
            name = bytes.fromhex(text.split(b",")[0].decode()).decode()
            content = self.files.get(name.removeprefix("/proc/1/"))
            if content is None:
                return b"F-1,2"
            self._opened = content.encode()
            return b"F%x" % FILE
        if operation == b"pread":
            _, size, offset = (int(part, 16) for part in text.split(b","))
            part = self._opened[offset : offset + size]
            return b"F%x;%b" % (len(part), part)
        return b"F0"

    # Its system calls

    def call(self, number: int, *arguments: int) -> int:
        self.calls.append((number, *arguments))
        if number in self._failing:
            raise TargetError("the system call fails")
        return self._results.get(number, 0)
