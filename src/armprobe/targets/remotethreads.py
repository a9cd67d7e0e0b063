"""The threads, or processors, behind a GDB stub, and their registers while they stand still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from armprobe.errors import TargetError, UsageError
from armprobe.targets.base import Registers
from armprobe.targets.connection import Connection
from armprobe.targets.rsp import ThreadId, data_of, error_of, thread_list
from armprobe.targets.rspxml import Register

_WORD = 4
#: so many registers are written one by one; for more, all are
_FEW = 4


@dataclass(slots=True)
class _Frame:
    """The registers of a stopped thread: as they came, and as they shall be when it goes on."""

    block: bytes
    came: Registers
    now: Registers


class RemoteThreads:
    """The threads behind one stub: a `Threads`. `current` is the one that stopped, or was selected since.

    Registers are read once a stop, and written when the target goes on.
    """

    complete = True

    def __init__(
        self, connection: Connection, *, current: ThreadId | None, registers: Sequence[Register], writes_one: bool
    ) -> None:
        """`registers` are r0 to r12, sp, lr, pc, cpsr; `writes_one`: whether the stub takes P."""
        self.current = current
        #: the number of the thread whose stop was told, and whose registers are all its own
        self.told: int | None = 0 if current is None else current.thread
        self._connection = connection
        self._registers = registers
        self._writes_one = writes_one
        self._frames: dict[ThreadId | None, _Frame] = {}
        self._threads: list[ThreadId] | None = None
        #: the processes that have the memory in common that is looked at, the first one for good; none: all threads do
        self._processes: list[int] = []
        #: threads that must not be resumed
        self.held: set[ThreadId] = set()

    def follow(self, process: int) -> None:
        """See the threads of this process as well, and those of no other that is not followed."""
        self._processes.append(process)
        self._threads = None

    def unfollow(self, process: int) -> None:
        self._processes.remove(process)
        self._threads = None

    def come_home(self) -> None:
        """Let memory and breakpoints at the stub be those of the first process that is followed."""
        self._connection.exchange(self._home())

    def followed(self) -> list[ThreadId]:
        """All threads that are followed, as the stub names them."""
        return [thread for thread in self._list() if not self._processes or thread.process in self._processes]

    def ids(self) -> Sequence[int]:
        threads = sorted(self.followed(), key=lambda thread: thread != self.current)
        return [thread.thread for thread in threads] or [0]

    def read_registers(self, thread: int | None = None) -> Registers:
        return self._frame(self.current if thread is None else self._named(thread)).now.copy()

    def write_registers(self, thread: int | None, registers: Registers) -> None:
        self._frame(self.current if thread is None else self._named(thread)).now = registers.copy()

    def select(self, thread: int) -> None:
        self.current = self._named(thread)
        if not self._processes:
            self._connection.exchange(_selecting(self.current))

    def stopped(self, thread: ThreadId | None) -> None:
        """The stub has told that this thread stopped."""
        self.current = thread or self.current
        self.told = 0 if self.current is None else self.current.thread

    def is_held(self, thread: int) -> bool:
        """Whether the thread must not be resumed."""
        return self._named(thread) in self.held

    def flush(self) -> list[bytes]:
        """Return the requests that bring the registers of all threads to what they shall be."""
        requests: list[bytes] = []
        foreign = False
        for thread, frame in self._frames.items():
            now, came = ([*registers.values, registers.cpsr] for registers in (frame.now, frame.came))
            changed = {self._registers[index]: now[index] for index in range(len(now)) if now[index] != came[index]}
            if not changed:
                continue
            requests += _selecting(thread)
            foreign |= self._is_foreign(thread)
            if len(changed) <= _FEW and self._writes_one:
                requests += [b"P%x=%b" % (at.number, _word(value).hex().encode()) for at, value in changed.items()]
            else:
                block = bytearray(frame.block)
                for at, value in changed.items():
                    block[at.offset : at.offset + _WORD] = _word(value)
                requests.append(b"G" + block.hex().encode())
        return requests + (self._home() if foreign else [])

    def forget(self) -> None:
        """The target goes on: what was read of its registers is out of date."""
        self._frames.clear()
        self._threads = None

    def _list(self) -> list[ThreadId]:
        if self._threads is None:
            found = []
            more = thread_list(self._connection.ask(b"qfThreadInfo") or b"l")
            while more is not None:
                found += more
                more = thread_list(self._connection.ask(b"qsThreadInfo"))
            self._threads = found
        return self._threads

    def _named(self, number: int) -> ThreadId | None:
        for thread in self.followed():
            if thread.thread == number:
                return thread
        if self._threads:
            raise UsageError(f"the target at {self._connection.name} has no thread {number}")
        return self.current

    def _is_foreign(self, thread: ThreadId | None) -> bool:
        return bool(self._processes) and thread is not None and thread.process != self._processes[0]

    def _home(self) -> list[bytes]:
        return [b"Hgp%x.0" % self._processes[0]] if self._processes else []

    def _frame(self, thread: ThreadId | None) -> _Frame:
        frame = self._frames.get(thread)
        if frame is None:
            selecting = _selecting(thread)
            home = self._home() if self._is_foreign(thread) else []
            if not self._processes and thread != self.current:
                home = _selecting(self.current)  # memory is what that one sees, by its MMU
            reply = self._connection.exchange([*selecting, b"g", *home])[len(selecting)]
            if error := error_of(reply):
                raise TargetError(f"the stub at {self._connection.name} shows no registers: it answers {error}")
            block = data_of(reply.replace(b"x", b"0"), what="registers")  # x: a register that is not available
            if len(block) < max(at.offset + at.size for at in self._registers):
                raise TargetError(
                    f"the stub at {self._connection.name} sent {len(block)} bytes of registers: r0 to cpsr take more"
                )
            *values, cpsr = (int.from_bytes(block[at.offset : at.offset + _WORD], "little") for at in self._registers)
            came = Registers(values, cpsr)
            frame = self._frames[thread] = _Frame(block, came, came.copy())
        return frame


def _word(value: int) -> bytes:
    return value.to_bytes(_WORD, "little")


def _selecting(thread: ThreadId | None) -> list[bytes]:
    return [] if thread is None else [b"Hg" + str(thread).encode()]
