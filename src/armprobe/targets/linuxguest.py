"""A small Linux guest of our own in QEMU: a kernel, a static busybox, and a shell that obeys what is typed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from armprobe.errors import TargetError, TargetLost
from armprobe.targets.initramfs import make_initramfs
from armprobe.targets.qemu import EMULATOR, Qemu, boot_linux, start_qemu

#: seconds; an emulator on a busy computer takes its time
PATIENCE = 120.0
_READY = "guest: ready"
_ENDED = "guest: ended"
_INIT = f"""#!/bin/sh
/bin/mkdir -p /bin /proc /sys /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
echo 0 > /proc/sys/kernel/printk
stty -echo
echo "{_READY}"
while read -r line; do
    eval "$line"
    echo "{_ENDED} $?"
done
"""


class LinuxGuest:
    """A booted guest. `address` is that of the GDB stub; `output` is what was printed so far."""

    def __init__(self, qemu: Qemu, said: _Console) -> None:
        self._qemu = qemu
        self._said = said
        self.address = qemu.address

    @property
    def output(self) -> str:
        return self._said.text

    @property
    def process_id(self) -> int:
        """That of the emulator."""
        return self._qemu.process.pid

    def start(self, command: str, *, when_ended: Callable[[], object] = lambda: None) -> None:
        """Have the shell execute a line. `when_ended` is called, from another thread, when that is done.

        The guest must run for that: nothing happens while a debugger holds it.
        """
        self._said.expect(_ENDED, when_ended)
        self._qemu.type(command + "\n")

    def finish(self) -> str:
        """Wait until the line ended that `start` gave to the shell; return what it printed.

        Raises TargetError when its exit status is not 0 or it takes too long, TargetLost when the guest is gone.
        """
        printed, _, status = self._said.wait().rpartition(_ENDED)
        if status.strip() != "0":
            raise TargetError(f"a command of the guest ended with status {status.strip()}", evidence=printed.strip())
        return printed

    def execute(self, command: str) -> str:
        """Execute a line in the running guest and return what it printed. Raises what `finish` does."""
        self.start(command)
        return self.finish()

    def power_off(self) -> int:
        """Shut the running guest down; return the exit status of the emulator."""
        self._qemu.type("poweroff -f\n")
        return self._qemu.process.wait(PATIENCE)


@contextmanager
def start_guest(
    kernel: str | Path,
    busybox: str | Path,
    *,
    programs: Mapping[str, bytes] | None = None,
    processors: int = 4,
    options: Sequence[str] = (),
    emulator: str = EMULATOR,
) -> Iterator[LinuxGuest]:
    """Boot `kernel` with the static `busybox` and more `programs` by path, such as `bin/test`; end it with the block.

    `options` are added to QEMU's own. Raises what `start_qemu` does, and TargetError when the guest does not boot.
    """
    files = {"init": _INIT.encode(), "bin/busybox": Path(busybox).read_bytes(), **(programs or {})}
    said = _Console()
    with TemporaryDirectory(prefix="armprobe-guest-") as folder:
        archive = Path(folder) / "initramfs"
        archive.write_bytes(make_initramfs(files, links={"bin/sh": "busybox", "bin/mkdir": "busybox"}))
        said.expect(_READY, lambda: None)
        line = boot_linux(kernel, archive, processors=processors, options=options)
        with start_qemu(line, emulator=emulator, console=said.add) as qemu:
            threading.Thread(target=said.end_with, args=(qemu,), name="qemu-end", daemon=True).start()
            said.wait()
            yield LinuxGuest(qemu, said)


class _Console:
    """What a guest prints, and the wait for a line of it."""

    def __init__(self) -> None:
        self.text = ""
        self._changed = threading.Condition()
        self._expected = ""
        self._from = 0
        self._when: Callable[[], object] = lambda: None
        self._found: str | None = None
        self._over = False

    def add(self, data: bytes) -> None:
        with self._changed:
            self.text += data.decode("utf-8", "replace").replace("\r", "")
            found = self._look()
        if found:
            self._when()

    def expect(self, line: str, when: Callable[[], object]) -> None:
        """Look for a line that begins with `line` in what is printed from now on, and call `when` then."""
        with self._changed:
            self._expected, self._when, self._from, self._found = line, when, len(self.text), None

    def wait(self) -> str:
        """Return what was printed since `expect`, up to the end of the line that was expected."""
        with self._changed:
            self._changed.wait_for(lambda: self._found is not None or self._over, PATIENCE)
            if self._found is None:
                kind, what = (TargetLost, "ended") if self._over else (TargetError, "is silent")
                raise kind(f"the guest {what} before it printed {self._expected!r}", evidence=self.text[-2000:])
            return self._found

    def end_with(self, qemu: Qemu) -> None:
        """Let nobody wait any longer when the emulator has ended."""
        qemu.process.wait()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _look(self) -> bool:
        place = self.text.find(self._expected, self._from)
        end = self.text.find("\n", place)
        if self._found is not None or place < 0 or end < 0:
            return False
        self._found = self.text[self._from : end]
        self._changed.notify_all()
        return True
