"""Instructions that a probe adds to one system call of a live kernel: armprobe's, and the kernel's own kprobe events.

    .venv/bin/python benchmarks/kernel_hit_cost.py

QEMU counts instructions as nanoseconds of the guest (-icount shift=0), so that a loop around getppid, timed in the
guest, gives instructions per call. Both sides probe the first instruction of sys_getppid in the same guest; the
kernel's probe is one that its optimizer made a branch of.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import armprobe
from armprobe.targets.linuxguest import LinuxGuest, start_guest

ROOT = Path(__file__).resolve().parents[1]
DEBIAN = ROOT / ".cache/debian/armhf"
#: so few that the ring holds all records: a stop to empty it takes time of the guest
CALLS = 2000
#: instructions that ours may add
MOST = {"count": 15, "filtered out": 12}
EVENTS = "/sys/kernel/tracing/events/kprobes/own"


def main() -> int:
    """Print a table, and the ratio of the kernel's figures to ours."""
    subprocess.run([ROOT / "scripts/fetch-kernel.sh"], check=True)  # noqa: S603
    with (
        TemporaryDirectory() as folder,
        start_guest(
            DEBIAN / "kernel/vmlinuz",
            DEBIAN / "busybox-static/bin/busybox",
            programs={"bin/getppid": build(Path(folder))},
            processors=1,
            options=["-icount", "shift=0,sleep=off"],
        ) as guest,
    ):
        plain = per_call(guest.execute("getppid"))
        print(f"one call of getppid: {plain:.1f} instructions; a probe at its first one adds")
        own = {
            "count": ours(guest, lambda session: session.count("sys_getppid")),
            "filtered out": ours(guest, lambda session: session.define("p:own sys_getppid a=%r0 if a == 12345")),
            "record": ours(guest, lambda session: session.define("p:own sys_getppid a=%r0 b=%r1")),
        }
        kernel = {
            "count": None,
            "filtered out": kernels(guest, "p:own sys_getppid a=%r0", condition="a == 12345"),
            "record": kernels(guest, "p:own sys_getppid a=%r0 b=%r1"),
        }
        guest.power_off()
    print(f"{'':16}{'armprobe':>10}{'kernel':>10}{'ratio':>8}")
    for name, cost in own.items():
        # The kernel has no probe that only counts: its cheapest, filtered out, counts hits as well (kprobe_profile).
        other = kernel[name] or kernel["filtered out"]
        assert other is not None
        added, theirs = cost - plain, other - plain
        most = MOST.get(name)
        verdict = "" if most is None else f"  EXCEEDED: {most}" if added > most else f"  at most {most}"
        print(f"{name:16}{added:10.1f}{theirs:10.1f}{theirs / added:8.1f}{verdict}")
    return int(any(own[name] - plain > most for name, most in MOST.items()))


def build(folder: Path) -> bytes:
    """Compile the loop for the guest."""
    result = folder / "getppid"
    subprocess.run(  # noqa: S603
        [  # noqa: S607
            "arm-none-eabi-gcc", "-O2", "-marm", "-march=armv7-a", "-nostdlib", "-static", "-ffreestanding",
            f"-DCALLS={CALLS}", "-o", result, Path(__file__).with_name("getppid.c"),
        ],
        check=True,
    )  # fmt: skip
    return result.read_bytes()


def per_call(printed: str) -> float:
    return int(printed.rsplit(maxsplit=1)[-1]) / CALLS


def ours(guest: LinuxGuest, add: Callable[[armprobe.Session], armprobe.Probe]) -> float:
    """Instructions of a call with a probe of armprobe; fails when it was no branch, or missed a hit."""
    with armprobe.attach_kernel(guest.address) as session:
        probe = add(session)
        session.optimize_now()
        assert probe.state == "branch", probe.reason
        guest.start("getppid", when_ended=session.stop)
        session.run()
        result = per_call(guest.finish())
        filtered = probe.definition is not None and probe.definition.filter is not None
        assert probe.hits == (0 if filtered else 2 * CALLS), probe.hits
        return result


def kernels(guest: LinuxGuest, definition: str, *, condition: str = "") -> float:
    """Instructions of a call with a probe of the kernel's own; fails when it was no branch."""
    guest.execute(f"echo '{definition}' > /sys/kernel/tracing/kprobe_events")
    if condition:
        guest.execute(f"echo '{condition}' > {EVENTS}/filter")
    guest.execute(f"echo 1 > {EVENTS}/enable; sleep 2")
    state = guest.execute("cat /sys/kernel/debug/kprobes/list")
    assert "[OPTIMIZED]" in state, state
    result = per_call(guest.execute("getppid"))
    guest.execute(f"echo 0 > {EVENTS}/enable; echo > /sys/kernel/tracing/kprobe_events")
    return result


if __name__ == "__main__":
    sys.exit(main())
