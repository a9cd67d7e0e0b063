"""Debian's gdbserver in a small Linux guest, reached from this computer through a forwarded port of its loopback."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.kernel_guest import BUSYBOX, KERNEL, need_guest

from armprobe.targets.debian import modules_for
from armprobe.targets.linuxguest import LinuxGuest, start_guest

_DEBIAN = Path(__file__).resolve().parents[2] / ".cache/debian"
#: A32 code with libraries of A32 code
LUA = _DEBIAN / "armel/lua5.4/usr/bin/lua5.4"
LIBC = _DEBIAN / "armel/libc6/lib/arm-linux-gnueabi/libc.so.6"
_LUA_LIBRARIES = {
    "libc6": ("ld-linux.so.3", "libc.so.6", "libm.so.6", "libdl.so.2"),
    "libreadline8": ("libreadline.so.8",),
    "libtinfo6": ("libtinfo.so.6",),
}
_GDBSERVER = _DEBIAN / "armhf/gdbserver/usr/bin/gdbserver"
_TRIPLETS = {"armhf": "arm-linux-gnueabihf", "armel": "arm-linux-gnueabi"}
#: what gdbserver is linked with: package -> libraries
_LIBRARIES = {
    "libc6": ("ld-linux-armhf.so.3", "libc.so.6", "libm.so.6"),
    "libstdc++6": ("libstdc++.so.6",),
    "libgcc-s1": ("libgcc_s.so.1",),
}
_PORT = 5555
#: TCP_LISTEN in /proc/net/tcp
_LISTENING = "0A"
_END = "[ -e /tmp/gdbserver ] && kill -9 $(cat /tmp/gdbserver) 2>/dev/null; rm -f /tmp/told"
_SERVED = "$(sed -n 's/.* pid = //p' /tmp/told)"
#: of a process that has ended, and that nobody has asked for yet, there is no memory left
_GONE = f"while grep -qs . /proc/{_SERVED}/task/*/maps; do usleep 10000; done"
#: before it executes the program, the process is a shell; while it does, it does not sleep
_WAITS = (
    'until [ "$(readlink /proc/$process/exe)" = {program} ] && grep -q ") S " /proc/$process/stat; '
    "do usleep 10000; done"
)
_INPUT = "rm -f /tmp/input; mkfifo /tmp/input; exec 9<>/tmp/input"
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
        line = f"gdbserver {options} 0.0.0.0:{_PORT} {shlex.join(command)} </tmp/input >/tmp/printed 2>/tmp/told 9>&-"
        self._guest.execute(f"{_END}; {_INPUT}; {line} & echo $! >/tmp/gdbserver; {_LISTENS}")
        return self.address

    def start(self, command: str, *, leads: bool = True) -> int:
        """Start a program that waits for its input, which `tell` gives it; return its process number when it waits.

        It `leads` a process group.
        """
        line = f"{'setsid' if leads else ''} {command} </tmp/input >/tmp/printed 9>&-"
        self._guest.execute(f"{_END}; {_INPUT}; {line} & echo $! >/tmp/started")
        return int(self._guest.execute(f"process=$(cat /tmp/started); {_WAITS.format(program=command)}; echo $process"))

    def attach(self, process: int) -> str:
        """Attach gdbserver to a program that runs; return the address to attach to."""
        line = f"gdbserver --attach 0.0.0.0:{_PORT} {process} </dev/null >/dev/null 2>/tmp/told"
        self._guest.execute(f"{_END}; {line} & echo $! >/tmp/gdbserver; {_LISTENS}")
        return self.address

    def tell(self, text: str) -> str:
        """Write to the program that was started, wait for its end, and return what it printed."""
        self.send(text)
        self._guest.execute("wait $(cat /tmp/started) || true")
        return self.printed()

    def send(self, text: str) -> None:
        """Write to the program that was started, or served, last."""
        self._guest.execute(f"printf %s {shlex.quote(text)} >&9")

    def timers(self, process: int) -> str:
        """The timers that a program has made."""
        return self._guest.execute(f"cat /proc/{process}/timers")

    def signal(self, process: int, *signals: int) -> None:
        """Send signals to a program."""
        self._guest.execute("; ".join(f"kill -{signal} {process}" for signal in signals))

    def printed(self) -> str:
        """What the program has printed."""
        return self._guest.execute("cat /tmp/printed")

    def finish(self) -> str:
        """Wait for the end of gdbserver, and of the program; return what that one printed."""
        self._guest.execute(f"wait $(cat /tmp/gdbserver); {_GONE}")
        return self.printed()

    def mapped(self, process: int | None = None) -> str:
        """What the program has mapped: that which was served last, or another."""
        return self._guest.execute(f"sort -u /proc/{process or _SERVED}/task/*/maps")

    def run(self, *command: str) -> str:
        """Run a program without gdbserver; return what it printed."""
        return self._guest.execute(f"{shlex.join(command)} || true")


@contextmanager
def gdbserver_guest(programs: Mapping[str, bytes]) -> Iterator[GdbserverGuest]:
    """Boot a guest with `programs` by path, such as `bin/test`; skip the test where it can't be had."""
    need_guest()
    for file, script in ((_GDBSERVER, "fetch-kernel.sh"), (LUA, "fetch-debian.sh")):
        if not file.exists():
            message = f"{file.name} for the guest is missing: scripts/{script} fetches it"
            (pytest.fail if "CI" in os.environ else pytest.skip)(message)
    forwarded = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:{_PORT}"
    options = ["-device", "virtio-net-device,netdev=net", "-netdev", forwarded]
    modules = modules_for(KERNEL, "virtio_mmio") | modules_for(KERNEL, "virtio_net")
    files = {
        "bin/gdbserver": _GDBSERVER.read_bytes(), "bin/lua": LUA.read_bytes(), **programs,
        **{f"modules/{name}.ko": content for name, content in modules.items()},
        **_libraries("armhf", _LIBRARIES), **_libraries("armel", _LUA_LIBRARIES),
    }  # fmt: skip
    with start_guest(KERNEL, BUSYBOX, programs=files, processors=PROCESSORS, options=options) as guest:
        loads = "; ".join(f"insmod /modules/{name}.ko" for name in modules)
        guest.execute(f"{loads}; ifconfig lo 127.0.0.1; ifconfig eth0 10.0.2.15")
        yield GdbserverGuest(guest, f"127.0.0.1:{_forwarded_port(guest)}")
        assert guest.power_off() == 0


def _libraries(architecture: str, packages: Mapping[str, Sequence[str]]) -> dict[str, bytes]:
    """The files of libraries, in the directory that both dynamic linkers know as their own; these are in /lib."""
    found = {}
    for package, names in packages.items():
        for name in names:
            folder = "lib" if name.startswith("ld-") else f"lib/{_TRIPLETS[architecture]}"
            found[f"{folder}/{name}"] = next((_DEBIAN / architecture / package).rglob(name)).read_bytes()
    return found


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
