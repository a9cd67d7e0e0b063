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
#: few enough for all records to fit into the ring: a stop for its sake would be measured as well
CALLS = 2000
TRACING = "/sys/kernel/tracing"
EVENTS = f"{TRACING}/events/kprobes/own"


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
        rows = [
            # The kernel has no probe that only counts. Its cheapest that does is one whose records are switched off.
            ("count", 15,
             ours(guest, lambda session: session.count("sys_getppid")),
             kernels(guest, "p:own sys_getppid", records=False)),
            ("filtered out by a register", 12,
             ours(guest, lambda session: session.define("p:own sys_getppid a=%r0 if a == 12345")),
             kernels(guest, "p:own sys_getppid a=%r0", condition="a == 12345")),
            ("filtered out by the task", 12,
             ours(guest, lambda session: session.define("p:own sys_getppid if common_pid == 12345")),
             kernels(guest, "p:own sys_getppid", condition="common_pid == 12345")),
            ("filtered out by its name", 12,
             ours(guest, lambda session: session.define('p:own sys_getppid if COMM == "cat"')),
             kernels(guest, "p:own sys_getppid", condition='COMM == "cat"')),
            ("count by the name of the task", 100,
             ours(guest, count_by_name),
             kernels(guest, "p:own sys_getppid", trigger="hist:keys=common_pid.execname", records=False)),
            ("record", 60,
             ours(guest, lambda session: session.define("p:own sys_getppid")),
             kernels(guest, "p:own sys_getppid")),
            ("record of two registers", 60,
             ours(guest, lambda session: session.define("p:own sys_getppid a=%r0 b=%r1")),
             kernels(guest, "p:own sys_getppid a=%r0 b=%r1")),
        ]  # fmt: skip
        guest.power_off()
    print(f"{'':28}{'armprobe':>10}{'at most':>9}{'kernel':>9}{'ratio':>8}")
    above = False
    for name, most, cost, other in rows:
        added, theirs = cost - plain, other - plain
        print(f"{name:28}{added:10.1f}{most:9}{theirs:9.1f}{theirs / added:8.1f}")
        above |= added > most
    return int(above)


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


def count_by_name(session: armprobe.Session) -> armprobe.Probe:
    """Sum the hits up by the task's name, in the kernel."""
    (probe,) = session.define_all(["p:own sys_getppid"], records=False)
    session.trigger("own.hist:keys=COMM")
    return probe


def kernels(
    guest: LinuxGuest, definition: str, *, condition: str = "", trigger: str = "", records: bool = True
) -> float:
    """Instructions of a call with a probe of the kernel's own; fails when it was no branch, or missed a hit."""
    guest.execute(f"echo '{definition}' > {TRACING}/kprobe_events")
    if condition:
        guest.execute(f"echo '{condition}' > {EVENTS}/filter")
    if trigger:
        guest.execute(f"echo '{trigger}' > {EVENTS}/trigger")
    guest.execute(f"echo 1 > {EVENTS}/enable; sleep 2")
    state = guest.execute("cat /sys/kernel/debug/kprobes/list")
    assert "[OPTIMIZED]" in state, state
    guest.execute(f"echo {int(records)} > {TRACING}/tracing_on")
    result = per_call(guest.execute("getppid"))
    hits = int(guest.execute(f"cat {TRACING}/kprobe_profile").split()[1])
    assert hits == 2 * CALLS, hits
    if trigger:
        guest.execute(f"echo '!{trigger}' > {EVENTS}/trigger")
    guest.execute(f"echo 1 > {TRACING}/tracing_on; echo 0 > {EVENTS}/enable; echo > {TRACING}/kprobe_events")
    return result


if __name__ == "__main__":
    sys.exit(main())
