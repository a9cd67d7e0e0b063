"""A board in QEMU, held at reset behind its GDB stub."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from armprobe.targets.base import Region

#: RAM from 0 on, and a Cortex-A8
BOARD = "realview-pb-a8"
RAM = Region(0, 0x8000000, name="ram")
#: no program of the tests goes there
SLOTS = Region(0x200000, 0x400000, name="slots")


@dataclass(frozen=True, slots=True)
class Board:
    """A running emulator: the address of its stub, its process, the other end of its serial port."""

    address: str
    process: subprocess.Popen[bytes]
    serial: socket.socket

    def printed(self) -> bytes:
        """What came out of the serial port since the last call; the program stands still."""
        parts = []
        with suppress(BlockingIOError):
            while part := self.serial.recv(1 << 16, socket.MSG_DONTWAIT):
                parts.append(part)
        return b"".join(parts)

    def output(self) -> bytes:
        """All that was printed, once the program has ended."""
        lines = self.process.communicate(timeout=60)[0].splitlines(keepends=True)
        return b"".join(line for line in lines if not line.startswith(b"audio:"))  # QEMU itself: no sound card


@contextmanager
def board(*options: str, machine: str = BOARD, arguments: Sequence[str] = ()) -> Iterator[Board]:
    """Start QEMU with `options`; a program gets `arguments` by semihosting. It is ended in the end.

    `Board.serial` is the other end of the first serial port.

    QEMU gets a socket that listens already, so that no port has to be guessed and nothing waited for.
    """
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("qemu-system-arm is missing; `make test` installs it")
    semihosting = ",".join(["enable=on,target=native", *(f"arg={argument}" for argument in arguments)])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # Not a socket pair: there a byte takes a kilobyte of the buffer, and QEMU waits when it is full.
        far = socket.create_connection(listening.getsockname())
        serial, _ = listening.accept()
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with socket.create_server(("127.0.0.1", 0)) as listening, far:
        command = [
            "qemu-system-arm", "-M", machine, "-S", "-display", "none", "-nic", "none", "-audiodev", "none,id=quiet",
            "-monitor", "none", "-semihosting-config", semihosting,
            "-chardev", f"socket,id=serial,fd={far.fileno()}", "-serial", "chardev:serial",
            "-chardev", f"socket,id=stub,server=on,wait=off,nodelay=on,fd={listening.fileno()}",
            "-gdb", "chardev:stub", *options,
        ]  # fmt: skip
        port = listening.getsockname()[1]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[listening.fileno(), far.fileno()],
        )
    try:
        yield Board(f"127.0.0.1:{port}", process, serial)
    finally:
        process.kill()
        process.communicate()
        serial.close()


def raw(words: Sequence[int], path: Path, *, base: int) -> list[str]:
    """Options that load A32 words at `base` and start there."""
    path.write_bytes(b"".join(word.to_bytes(4, "little") for word in words or [0]))
    return ["-device", f"loader,file={path},addr={base:#x},force-raw=on", "-device", f"loader,addr={base:#x},cpu-num=0"]
