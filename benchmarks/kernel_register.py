"""How fast probes are planted in a live kernel, optimized and removed, and how long it stands still for that.

How long it stands still while armprobe attaches is said first.

    .venv/bin/python benchmarks/kernel_register.py [PROBES ...]

Beside armprobe's counters stand the kernel's own kprobe events, on the same functions of the same guest: defined one by
one, as its interface has it, enabled together until its optimizer has made branches of them, and disabled. They are
fewer, as the kernel stops all its processors for each, which takes long on a busy computer; the ratio is that of one.
"""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import armprobe
from armprobe.targets.linux_kernel import KernelTarget
from armprobe.targets.linuxguest import LinuxGuest, start_guest

ROOT = Path(__file__).resolve().parents[1]
DEBIAN = ROOT / ".cache/debian/armhf"
TRACING, OWN = "/sys/kernel/tracing", 200
#: the kernel refuses some, as places of its function tracer
TRIED = 240
#: probes -> seconds to plant and optimize them, and seconds that the guest stands still, at most
BOUNDS = {1000: (2.0, 0.2), 10_000: (10.0, 2.0)}
#: seconds that the guest stands still while armprobe attaches, at most
ATTACHING_STILL = 0.4
#: seconds that the kernel has for its own
PATIENCE = 600
#: addresses in one line for the guest's shell
_PER_LINE = 300


def main() -> int:
    """Print what each number of probes takes, and the ratio to the kernel's own. Status 1 above a bound."""
    numbers = [int(number) for number in sys.argv[1:]] or list(BOUNDS)
    subprocess.run([ROOT / "scripts/fetch-kernel.sh"], check=True)  # noqa: S603
    above = False
    with start_guest(DEBIAN / "kernel/vmlinuz", DEBIAN / "busybox-static/bin/busybox", processors=4) as guest:
        places = good_places(guest, max(TRIED, *numbers))
        attached, still = attach(guest)
        print(f"attached within {attached:.2f} s, in which the guest stood still for {still:.3f}")
        above |= still > ATTACHING_STILL
        gc.freeze()  # what the search for places left is not to be looked through while the guest stands still
        print(f"{'seconds':34}{'planted':>9}{'optimized':>11}{'removed':>9}{'stood still':>13}")
        figures = {}
        for number in numbers:
            figures[number] = ours(guest, places[:number])
            planted, optimized, removed, still = figures[number]
            print(f"armprobe: {number:6} counters{'':9}{planted:9.2f}{optimized:11.2f}{removed:9.2f}{still:13.3f}")
            most, most_still = BOUNDS.get(number, (float("inf"), float("inf")))
            above |= planted + optimized > most or still > most_still
        own = kernels(guest, places)
        print(f"kernel: {OWN:8} kprobe events{'':4}{own[0]:9.2f}{own[1]:11.2f}{own[2]:9.2f}")
        first = numbers[0]
        ratios = [theirs / OWN * first / mine for theirs, mine in zip(own, figures[first], strict=False)]
        print(f"{'ratio, one by one':34}{ratios[0]:9.1f}{ratios[1]:11.1f}{ratios[2]:9.1f}")
        guest.power_off()
    return int(above)


def good_places(guest: LinuxGuest, wanted: int) -> list[int]:
    """First instructions of functions that both take probes at: the kernel's own come first in the list."""
    blacklist = guest.execute("cut -d- -f1 /sys/kernel/debug/kprobes/blacklist")
    refused = {int(line, 16) for line in blacklist.split() if line.startswith("0x")}
    with armprobe.attach_kernel(guest.address) as session:
        # Those of drivers that sleep come first: the kernel's probes trap until they are optimized.
        quiet = [symbol.address for symbol in session.symbols.matching("*_show")]
        others = [symbol.address for symbol in session.symbols.matching("[a-z]*")]
        random.Random(1).shuffle(others)
        found: list[int] = []
        for address in dict.fromkeys([*quiet, *others]):
            if len(found) == wanted:
                break
            if address not in refused and not session.explain(address).refused:
                found.append(address)
    return found


def timed(step: Callable[[], object]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def attach(guest: LinuxGuest) -> tuple[float, float]:
    """Seconds to attach, and that the guest stood still for that."""
    begin = time.perf_counter()
    with armprobe.attach_kernel(guest.address) as session:
        target = session.target
        assert isinstance(target, KernelTarget)
        return time.perf_counter() - begin, target.seconds_stopped


def ours(guest: LinuxGuest, places: list[int]) -> tuple[float, float, float, float]:
    """Seconds to plant, to optimize, to remove, and that the guest stood still for the first two."""
    with armprobe.attach_kernel(guest.address, memory=4 << 20) as session:
        target = session.target
        assert isinstance(target, KernelTarget)
        session.runs_meanwhile = True
        before = target.seconds_stopped
        probes = []
        planted = timed(lambda: probes.extend(session.count_all(places)))
        optimized = timed(session.optimize_now)
        assert {probe.state for probe in probes} == {"branch"}
        still = target.seconds_stopped - before
        removed = timed(lambda: session.unregister_all(probes))
        return planted, optimized, removed, still


def kernels(guest: LinuxGuest, places: list[int]) -> tuple[float, float, float]:
    """Seconds to define, to enable and optimize, and to disable and remove events of the kernel."""
    for start in range(0, TRIED, _PER_LINE):
        part = places[start : min(start + _PER_LINE, TRIED)]
        guest.execute(f"echo {' '.join(f'{place:x}' for place in part)} >> /tmp/places")
    define = (
        f"n=0; for a in $(cat /tmp/places); do [ $n -lt {OWN} ] && "
        f"echo p:e$a 0x$a >> {TRACING}/kprobe_events 2> /dev/null && n=$((n + 1)); done; echo $n"
    )
    begin = time.perf_counter()
    defined = int(guest.execute(define).split()[-1])
    planted = time.perf_counter() - begin
    assert defined == OWN, defined
    begin = time.perf_counter()
    guest.execute(f"echo 1 > {TRACING}/events/kprobes/enable &")
    wait_for(guest, "grep -c OPTIMIZED /sys/kernel/debug/kprobes/list", str(OWN))
    optimized = time.perf_counter() - begin
    begin = time.perf_counter()
    guest.execute(f"(echo 0 > {TRACING}/events/kprobes/enable; echo > {TRACING}/kprobe_events) &")
    wait_for(guest, "grep -c . /sys/kernel/debug/kprobes/list", "0")
    removed = time.perf_counter() - begin
    return planted, optimized, removed


def wait_for(guest: LinuxGuest, command: str, printed: str) -> None:
    """Wait until a command of the guest prints this."""
    begin = time.perf_counter()
    while guest.execute(f"usleep 10000; {command} || true").strip() != printed:
        assert time.perf_counter() < begin + PATIENCE, f"{command} did not come to {printed}"


if __name__ == "__main__":
    sys.exit(main())
