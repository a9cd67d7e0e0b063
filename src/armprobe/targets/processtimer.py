"""A timer of the process that stops it from time to time, so that somebody may look.

gdbserver interrupts a process group: it reaches no process that leads none, and its children besides. A timer of the
process's own (timer_create) sends a signal to this process alone; gdbserver tells us of it, and it goes no further. It
is one that does nothing to the program, should gdbserver be killed. Children do not inherit timers, and a program that
is executed has none.

What is due while the process stands still stops it as soon as it goes on. So nobody hears of it while one thread alone
takes a step or makes a call; and as the process would come nowhere if ticks were no further apart than it takes to deal
with one, they are a multiple of that apart.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from contextlib import suppress

from armprobe.errors import Refused, TargetError
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.journal import OwnTimer, OwnTimerGone, note
from armprobe.targets.linuxcalls import TIMER_CREATE, TIMER_DELETE, TIMER_SETTIME, SystemCalls
from armprobe.targets.processstatus import ProcessStatus
from armprobe.targets.rsp import error_of, object_part

#: bytes of the process for what its kernel reads
SCRATCH = 80
_MONOTONIC = 1
#: SIGURG and SIGWINCH: the number, and that of GDB
_SIGNALS = ((23, 16), (28, 28))
#: struct sigevent: value, signal, SIGEV_SIGNAL; its size
_EVENT, _EVENT_SIZE = struct.Struct("<3I"), 64
#: siginfo_t: signal, error, code, timer
_INFO = struct.Struct("<4i")
_SI_TIMER = -2
#: seconds between two ticks at least; and so many times what a call from outside takes, which is about what a tick does
_LEAST_SECONDS, _CALLS = 0.01, 4
#: so many ticks in a row that come so late tell that the next one is always due when one was dealt with, and how long
#: that takes: they come so many times further apart then
_GAPS, _LATE, _SHARE = 3, 1.1, 3


class ProcessTimer:
    """One timer of the process behind `stub`. `every`: so many seconds lie between its ticks; 0: it stands."""

    def __init__(self, stub: GdbRemoteTarget, calls: SystemCalls) -> None:
        self._stub = stub
        self._calls = calls
        self._number: int | None = None
        self._heeded: set[int] = set()
        self._scratch = 0
        self._wanted = self.every = 0.0
        #: seconds between two ticks that leave the process time
        self._least = _LEAST_SECONDS
        #: when the last tick came, if nothing has stopped the process since
        self._ticked: float | None = None
        #: whether the thread that the last tick stopped is there no more: another one ends the process, or executes
        self.ending = False
        #: seconds between the last ticks, with nothing else in between
        self._gaps = deque[float](maxlen=_GAPS)

    def adopt(self, left: OwnTimer) -> None:
        """Take the timer that a session which was killed has left."""
        self._number, self.every = left.number, _LEAST_SECONDS if left.ticks else 0.0
        self._heeded = {signal for _, signal in _SIGNALS}

    def set(self, every: float, scratch: int) -> None:
        """Let it tick every so many seconds, or less often if it must, or stand (0).

        At `scratch` there are SCRATCH bytes for that; the process stands still. Raises Refused with the reason where it
        can't, or not without harm.
        """
        if every == self._wanted:
            return
        self._scratch = scratch
        try:
            if self._number is None:
                self._create()
            self._set(max(every, self._least) if every else 0.0)
        except TargetError as error:
            raise Refused(error.message) from None
        self._wanted = every

    def delete(self) -> None:
        """Take it from the process. Raises TargetError."""
        if self._number is None:
            return
        self._calls.call(TIMER_DELETE, self._number)
        note(self._stub.journal, OwnTimerGone())
        self._number, self._wanted, self.every = None, 0.0, 0.0

    def attend(self, *, heed: bool) -> None:
        """Have the stub tell of ticks from now on; or not: then they do nothing. The process stands still."""
        if self._number is not None and self._stub.events is not None:
            self._stub.events.heed(self._heeded if heed else set())

    def sent(self, signal: int) -> bool:
        """Whether the stopped thread stands with a signal, in GDB's numbering, that comes from this timer.

        So it is where the thread is `ending`, as it gets no signals any more.
        """
        thread = self._stub.threads.current
        if self._number is None or thread is None or signal not in self._heeded:
            return False
        selected, reply = self._stub.exchange([b"Hg" + str(thread).encode(), b"qXfer:siginfo:read::0,80"])
        self.ending = selected != b"OK" or error_of(reply) is not None
        if self.ending:
            return True
        info, _ = object_part(reply)
        _, _, code, timer = _INFO.unpack_from(info)
        if (code, timer) != (_SI_TIMER, self._number):
            return False
        now = time.monotonic()
        if self._ticked is not None:
            self._gaps.append(now - self._ticked)
        self._ticked = now
        return True

    def disturbed(self) -> None:
        """Learn that the process has stood for something else: when the next tick comes says nothing."""
        self._ticked = None
        self._gaps.clear()

    def slow_down(self) -> None:
        """Let ticks be fewer if they come too fast. The process stands at one."""
        if len(self._gaps) < _GAPS or not self._scratch:
            return
        shortest = min(self._gaps)
        if shortest > _LATE * self.every:
            self._least = _SHARE * shortest
            with suppress(TargetError):
                self._set(self._least)

    def _create(self) -> None:
        signal, heeded = self._choose_signal()
        self._stub.write_memory(self._scratch, _EVENT.pack(0, signal, 0).ljust(_EVENT_SIZE, b"\0"))
        begin = time.monotonic()
        self._calls.call(TIMER_CREATE, _MONOTONIC, self._scratch, self._scratch + _EVENT_SIZE)
        self._least = max(_LEAST_SECONDS, _CALLS * (time.monotonic() - begin))
        self._number = int.from_bytes(self._stub.read_memory(self._scratch + _EVENT_SIZE, 4), "little")
        self._heeded = {heeded}

    def _set(self, every: float) -> None:
        seconds, fraction = divmod(every, 1)
        self._stub.write_memory(self._scratch, 2 * struct.pack("<2I", int(seconds), int(fraction * 1e9)))
        assert self._number is not None
        # What is noted to tick does, so that a restoring session can rely on it.
        if not every:
            note(self._stub.journal, OwnTimer(self._number, ticks=False))
        self._calls.call(TIMER_SETTIME, self._number, 0, self._scratch, 0)
        note(self._stub.journal, OwnTimer(self._number, ticks=bool(every)))
        self.every, self._ticked = every, time.monotonic()
        self._gaps.clear()

    def _choose_signal(self) -> tuple[int, int]:
        """One that some thread may get, and that does nothing to the program."""
        assert self._stub.events is not None
        process = self._stub.events.process
        found = [
            ProcessStatus.read(self._stub.exchange, process, thread)
            for thread in self._stub.threads.ids()
            if not self._stub.threads.is_held(thread)
        ]
        known = [status for status in found if status is not None]
        if not known:
            raise Refused("the stub does not read /proc")
        if any(status.limited for status in known):
            raise Refused("the process is allowed certain system calls only (seccomp)")
        for signal, heeded in _SIGNALS:
            blocked = all(status.blocked >> (signal - 1) & 1 for status in known)
            if not blocked and not known[0].catches(signal):
                return signal, heeded
        raise Refused("the process handles or blocks both SIGURG and SIGWINCH")
