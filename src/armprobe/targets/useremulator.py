"""QEMU's user-mode emulator as a process of ours: it runs one A32 Linux program, behind its GDB stub."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from armprobe.errors import MissingDependency, TargetError
from armprobe.targets.connection import TIMEOUT, Connection

EMULATOR = "qemu-arm"
#: stops the program without one of its own signals: it queues, and hardly anybody uses or blocks it
_STOP_SIGNAL = signal.SIGRTMAX
_PR_SET_PDEATHSIG = 1
_RETRY_SECONDS = 0.002
_START_SECONDS = 10.0


#: standard input, output and error: as ours, a file, or its descriptor
Streams = tuple[IO[Any] | int | None, IO[Any] | int | None, IO[Any] | int | None]


class UserEmulator:
    """A program that stands before its first instruction, under `qemu-arm -g`; `connection` leads to its stub.

    The stub listens on a socket in a directory that only this user can enter. Standard input, output and error, open
    files and the environment are the program's, as if it had been started without us.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        root: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        streams: Streams = (None, None, None),
        files: Sequence[int] = (),
    ) -> None:
        """Start `command`, a path and arguments, with files besides that the program inherits.

        `root` is where the program finds its interpreter and libraries; `streams` are its standard input, output and
        error, where they are not ours. Raises MissingDependency without QEMU,
        TargetError when the emulator ends at once.
        """
        emulator = shutil.which(EMULATOR)
        if emulator is None:
            raise MissingDependency(f"{EMULATOR} is not installed", hint="apt-get install qemu-user")
        #: for messages
        self.name = Path(command[0]).name
        libc = ctypes.CDLL(None)

        def end_with_us() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            for file in files:
                os.set_inheritable(file, True)

        with tempfile.TemporaryDirectory(prefix="armprobe-") as folder:
            path = f"{folder}/stub"
            options = [] if root is None else ["-L", os.fspath(root)]
            self.process = subprocess.Popen(  # noqa: S603  the user's own program
                [emulator, *options, "-g", path, *(os.fspath(part) for part in command)],
                stdin=streams[0], stdout=streams[1], stderr=streams[2], env=env, close_fds=False,
                preexec_fn=end_with_us,  # noqa: PLW1509  prctl is all it calls
            )  # fmt: skip
            try:
                self.connection = Connection(self._connect(path), name=f"{EMULATOR} {self.name}", pipelines=False)
            except BaseException:
                self.end()
                raise

    def _connect(self, path: str) -> socket.socket:
        deadline = time.monotonic() + _START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            stream = socket.socket(socket.AF_UNIX)
            try:
                stream.connect(path)
            except OSError:
                stream.close()
                time.sleep(_RETRY_SECONDS)
            else:
                return stream
        raise TargetError(
            f"{EMULATOR} does not start {self.name}",
            hint="it has said why; --root DIR (root=...) is where a program finds its interpreter and libraries",
        )

    @property
    def threads(self) -> int:
        """How many threads the program has; the emulator has one of its own."""
        try:
            return len(list(Path(f"/proc/{self.process.pid}/task").iterdir())) - 1
        except OSError:
            return 0

    def interrupt(self) -> None:
        """Stop the program, which the stub does not."""
        self.process.send_signal(_STOP_SIGNAL)

    def tell(self) -> None:
        """Pass a Ctrl-C on to the program."""
        self.process.send_signal(signal.SIGINT)

    def has_ended(self, *, seconds: float = TIMEOUT) -> bool:
        """Whether the process ends within `seconds`."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None

    def end(self) -> None:
        """End the program, if it has not ended, and wait for that."""
        self.process.kill()
        self.process.wait()
