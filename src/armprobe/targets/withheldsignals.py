"""Signals of a program that came amid a call from outside: its handlers would run then, and come to traps."""

from __future__ import annotations

from collections import deque

from armprobe.targets.rsp import ThreadId

#: the first signal of real time in GDB's numbering: these queue up, while of others there is one at a time
_FIRST_REAL_TIME = 45


class WithheldSignals:
    """Signals that threads are still to get, in GDB's numbering, oldest first. True while there are any."""

    def __init__(self) -> None:
        self._waiting: dict[ThreadId | None, deque[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def several(self) -> bool:
        """Whether a thread is to get more than one: it has to stop in between."""
        return any(len(waiting) > 1 for waiting in self._waiting.values())

    def add(self, thread: ThreadId | None, signal: int) -> None:
        waiting = self._waiting.setdefault(thread, deque())
        if signal not in waiting or signal >= _FIRST_REAL_TIME:
            waiting.append(signal)

    def take(self) -> dict[ThreadId | None, int]:
        """The next signal of each thread, which goes on with it."""
        taken = {thread: waiting.popleft() for thread, waiting in self._waiting.items()}
        self._waiting = {thread: waiting for thread, waiting in self._waiting.items() if waiting}
        return taken
