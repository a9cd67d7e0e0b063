"""A child process whose open files are given by number: what a program sees of them is as if we had no part in it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence

#: /dev/null, as `subprocess` has it
NOWHERE = subprocess.DEVNULL
#: signals that Python ignores, and whose being ignored a child would inherit
_DEFAULTS = (signal.SIGPIPE, signal.SIGXFSZ)
_FIRST_FILE = 3


class ChildProcess:
    """A process that was started here. `returncode` is None until it has ended, then as in `subprocess`."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], files: Mapping[int, int], below: int = _FIRST_FILE
    ) -> None:
        """Start `command`, whose first word is a path. Its files are ours that can be inherited, and those of `files`.

        `files` maps its numbers to ours, or to NOWHERE. Numbers from 3 up to `below` that are free are taken by
        /dev/null, so that what the process opens at its start gets others: `placeholders` are those numbers. Raises
        OSError.
        """
        self.placeholders = [number for number in range(_FIRST_FILE, below) if not _inherited(number)]
        nowhere = [*(number for number, own in files.items() if own == NOWHERE), *self.placeholders]
        actions = [
            *((os.POSIX_SPAWN_DUP2, own, number) for number, own in files.items() if own != NOWHERE),
            *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in nowhere),
        ]
        self.pid = os.posix_spawn(command[0], list(command), env, file_actions=actions, setsigdef=_DEFAULTS)
        self.returncode: int | None = None
        self._handle = os.pidfd_open(self.pid)

    @property
    def file(self) -> int:
        """A file of ours that can be read when the process has ended."""
        return self._handle

    def send(self, number: int) -> None:
        """Send a signal, if the process has not ended."""
        if self.returncode is None:
            signal.pidfd_send_signal(self._handle, number)

    def wait(self, *, seconds: float | None = None) -> bool:
        """Whether the process has ended, or does so within `seconds`; None waits for that."""
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._handle, select.POLLIN)
            if waiting.poll(None if seconds is None else seconds * 1000):
                self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                os.close(self._handle)
        return self.returncode is not None

    def kill(self) -> None:
        """End the process, if it has not ended, and wait for that."""
        self.send(signal.SIGKILL)
        self.wait()


def _inherited(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:
        return False
