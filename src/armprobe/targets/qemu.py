"""QEMU as a process of ours: started with a GDB stub on this computer's loopback, ended with the `with` block."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from armprobe.errors import MissingDependency, TargetError, TargetLost

EMULATOR = "qemu-system-arm"
#: emulates the same processors, and walks page tables above 4 GiB, which the other does not in version 7.2
WIDE_EMULATOR = "qemu-system-aarch64"


@dataclass(frozen=True, slots=True)
class Qemu:
    """A running emulator: the address of its GDB stub, and its process."""

    address: str
    process: subprocess.Popen[bytes]

    def type(self, text: str) -> None:
        """Type on the first serial port. Raises TargetLost when the emulator has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except OSError as error:
            raise TargetLost(f"{EMULATOR} has ended: {error.strerror}") from None


def emulator_path(emulator: str = EMULATOR) -> str:
    """Where the emulator is. Raises MissingDependency."""
    program = shutil.which(emulator)
    if program is None:
        raise MissingDependency(f"{emulator} is not installed", hint="apt-get install qemu-system-arm")
    return program


@contextmanager
def start_qemu(
    options: Sequence[str], *, emulator: str = EMULATOR, console: Callable[[bytes], object] = lambda _: None
) -> Iterator[Qemu]:
    """Start the emulator with `options` and a GDB stub; end it, whatever happened, when the block is left.

    `console` gets what the guest prints on its first serial port, and what QEMU itself says, from another thread.
    QEMU is given a socket that listens already: its stub can be connected to at once. Raises MissingDependency without
    QEMU, TargetError when it ends at once.
    """
    program = emulator_path(emulator)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        stub = f"socket,id=stub,server=on,wait=off,nodelay=on,fd={listening.fileno()}"
        process = subprocess.Popen(  # noqa: S603  the user's own options for the user's own emulator
            [
                program, "-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none", "-no-reboot",
                "-chardev", stub, "-gdb", "chardev:stub", *options,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            pass_fds=[listening.fileno()],
        )  # fmt: skip
    said: list[bytes] = []
    reader = threading.Thread(target=_read, args=(process, console, said), name="qemu-console", daemon=True)
    reader.start()
    try:
        yield Qemu(f"127.0.0.1:{port}", process)
    except TargetError as error:
        if process.poll():
            reader.join()
            error.evidence = error.evidence or b"".join(said).decode("utf-8", "replace")[-2000:]
        raise
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stdin is not None
        with suppress(OSError):  # what was typed last, and nobody read
            process.stdin.close()


def boot_linux(
    kernel: str | Path,
    initramfs: str | Path,
    *,
    processors: int = 4,
    memory: int = 512,
    arguments: str = "",
    options: Sequence[str] = (),
) -> list[str]:
    """The options that boot a Linux kernel on QEMU's ARM virtual machine; `memory` in MiB.

    `arguments` are added to the kernel's command line.
    """
    line = f"console=ttyAMA0 quiet panic=-1 {arguments}".rstrip()
    return [
        "-M", "virt", "-cpu", "cortex-a15", "-smp", str(processors), "-m", str(memory),
        "-kernel", str(kernel), "-initrd", str(initramfs), "-append", line, *options,
    ]  # fmt: skip


def _read(process: subprocess.Popen[bytes], console: Callable[[bytes], object], said: list[bytes]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        while data := stream.read1():  # type: ignore[attr-defined]
            said.append(data)
            console(data)
