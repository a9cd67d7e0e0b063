"""Debian's gdbserver in a small Linux guest, reached from this computer through a forwarded port of its loopback."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.kernel_guest import BUSYBOX, KERNEL, need_guest

from armprobe.targets.linuxguest import LinuxGuest, start_guest

_DEBIAN = Path(__file__).resolve().parents[2] / ".cache/debian"
#: A32 code, in one static file of many programs
BUSYBOX_A32 = _DEBIAN / "armel/busybox-static/bin/busybox"
_GDBSERVER = _DEBIAN / "armhf/gdbserver/usr/bin/gdbserver"
#: what gdbserver is linked with: package -> libraries
_LIBRARIES = {
    "libc6": ("ld-linux-armhf.so.3", "libc.so.6", "libm.so.6"),
    "libstdc++6": ("libstdc++.so.6",),
    "libgcc-s1": ("libgcc_s.so.1",),
}
#: in the order in which they are loaded
_MODULES = (
    "drivers/virtio/virtio_mmio.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
)
_PORT = 5555
#: TCP_LISTEN in /proc/net/tcp
_LISTENING = "0A"
_END = "[ -e /tmp/gdbserver ] && kill -9 $(cat /tmp/gdbserver) 2>/dev/null; rm -f /tmp/told"
_LISTENS = "until grep -q '^Listening' /tmp/told 2>/dev/null; do usleep 10000; done"
#: more than the host has make the guest slow: kernels patch themselves with all processors standing still
PROCESSORS = 2


class GdbserverGuest:
    """A guest that serves one program after another. `address` is that of gdbserver."""

    def __init__(self, guest: LinuxGuest, address: str) -> None:
        self._guest = guest
        self.address = address

    def serve(self, *command: str, options: str = "") -> str:
        """Start gdbserver on a program, which stands still; return the address to attach to.

        What is left of the program before is ended: with gdbserver, the kernel ends all that it started.
        """
        line = f"gdbserver {options} 0.0.0.0:{_PORT} {shlex.join(command)} </dev/null >/tmp/printed 2>/tmp/told"
        self._guest.execute(f"{_END}; {line} & echo $! >/tmp/gdbserver; {_LISTENS}")
        return self.address

    def finish(self) -> tuple[str, str]:
        """Wait for the end of gdbserver; return what the program printed, and what gdbserver said."""
        self._guest.execute("wait $(cat /tmp/gdbserver) || true")
        return self.execute("cat /tmp/printed"), self.execute("cat /tmp/told")

    def execute(self, command: str) -> str:
        """Execute a line in the guest and return what it printed."""
        return self._guest.execute(command)


@contextmanager
def gdbserver_guest(programs: Mapping[str, bytes]) -> Iterator[GdbserverGuest]:
    """Boot a guest with `programs` by path, such as `bin/test`; skip the test where it can't be had."""
    need_guest()
    for file in (_GDBSERVER, BUSYBOX_A32):
        if not file.exists():
            message = f"{file.name} for the guest is missing: scripts/fetch-kernel.sh fetches it"
            (pytest.fail if "CI" in os.environ else pytest.skip)(message)
    forwarded = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:{_PORT}"
    options = ["-device", "virtio-net-device,netdev=net", "-netdev", forwarded]
    files = {"bin/gdbserver": _GDBSERVER.read_bytes(), **_libraries(), **_modules(), **programs}
    with start_guest(KERNEL, BUSYBOX, programs=files, processors=PROCESSORS, options=options) as guest:
        loads = "; ".join(f"insmod /modules/{Path(module).name}" for module in _MODULES)
        guest.execute(f"{loads}; ifconfig lo 127.0.0.1; ifconfig eth0 10.0.2.15")
        yield GdbserverGuest(guest, f"127.0.0.1:{_forwarded_port(guest)}")
        assert guest.power_off() == 0


def _libraries() -> dict[str, bytes]:
    return {
        f"lib/{name}": next((_DEBIAN / "armhf" / package).rglob(name)).read_bytes()
        for package, names in _LIBRARIES.items()
        for name in names
    }


def _modules() -> dict[str, bytes]:
    (folder,) = KERNEL.resolve().parents[1].glob("lib/modules/*/kernel")
    return {f"modules/{Path(module).name}": (folder / module).read_bytes() for module in _MODULES}


def _forwarded_port(guest: LinuxGuest) -> int:
    """The port of this computer that the system chose for the emulator, which tells it on its monitor alone."""
    process = Path("/proc") / str(guest.process_id)
    sockets = {str(entry.readlink()) for entry in (process / "fd").iterdir()}
    for line in (process / "net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        port = int(fields[1].partition(":")[2], 16)
        if fields[3] == _LISTENING and f"socket:[{fields[9]}]" in sockets and guest.address != f"127.0.0.1:{port}":
            return port
    raise AssertionError("QEMU listens at no port for gdbserver")
