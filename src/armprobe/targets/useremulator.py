"""QEMU's user-mode emulator as a process of ours: it runs one A32 Linux program, behind its GDB stub."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from armprobe.errors import MissingDependency, TargetError, UsageError
from armprobe.targets.childprocess import NOWHERE, ChildProcess
from armprobe.targets.connection import Connection

EMULATOR = "qemu-arm"
#: stops the program without one of its own signals: it queues, and hardly anybody uses or blocks it
_STOP_SIGNAL = signal.SIGRTMAX
#: the program's number for the file that it shares with us; those of the stub come next, above all of its own
SHARED_FILE = 100
_RETRY_SECONDS = 0.002
_START_SECONDS = 10.0


#: standard input, output and error: as ours (None), a file, its descriptor, or subprocess.DEVNULL
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
        shared: int | None = None,
    ) -> None:
        """Start `command`, a path and arguments.

        `root` is where the program finds its interpreter and libraries; `streams` are its standard input, output and
        error, where they are not ours. The file `shared` has the number SHARED_FILE there. Raises MissingDependency
        without QEMU, TargetError when the emulator ends at once.
        """
        emulator = shutil.which(EMULATOR)
        if emulator is None:
            raise MissingDependency(f"{EMULATOR} is not installed", hint="apt-get install qemu-user")
        #: for messages
        self.name = Path(command[0]).name
        self._emulator = emulator
        files = {number: _descriptor(stream) for number, stream in enumerate(streams) if stream is not None}
        if shared is not None:
            files[SHARED_FILE] = shared
        with tempfile.TemporaryDirectory(prefix="armprobe-") as folder:
            path = f"{folder}/stub"
            options = [] if root is None else ["-L", os.fspath(root)]
            self.process = ChildProcess(
                [emulator, *options, "-g", path, *(os.fspath(part) for part in command)],
                env=os.environ if env is None else env,
                files=files,
                below=SHARED_FILE,
            )
            try:
                self.connection = Connection(self._connect(path), name=f"{EMULATOR} {self.name}", pipelines=False)
            except BaseException:
                self.process.kill()
                raise

    def _connect(self, path: str) -> socket.socket:
        deadline = time.monotonic() + _START_SECONDS
        while not self.process.wait(seconds=0) and time.monotonic() < deadline:
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

    @cached_property
    def version(self) -> tuple[int, ...]:
        """That of QEMU; () where it does not tell."""
        command = [self._emulator, "--version"]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603  found in PATH
        found = re.search(r"version (\d+)\.(\d+)", told)
        return tuple(map(int, found.groups())) if found else ()

    @property
    def threads(self) -> int:
        """How many threads the program has; the emulator has one of its own."""
        try:
            return len(list(Path(f"/proc/{self.process.pid}/task").iterdir())) - 1
        except OSError:
            return 0

    def interrupt(self) -> None:
        """Stop the program, which the stub does not."""
        self.process.send(_STOP_SIGNAL)

    def tell(self) -> None:
        """Pass a Ctrl-C on to the program."""
        self.process.send(signal.SIGINT)


def _descriptor(stream: IO[Any] | int) -> int:
    number = stream if isinstance(stream, int) else stream.fileno()
    if number < 0 and number != NOWHERE:
        raise UsageError(
            f"a standard stream is a file, a descriptor or subprocess.DEVNULL, not {number}",
            hint="make a pipe with os.pipe() and give its end",
        )
    return number
