"""What a system call costs a Linux program: alone, behind gdbserver, and with armprobe there.

    .venv/bin/python benchmarks/gdbserver_call_cost.py

The program calls a function and makes a system call (getppid), again and again, in a guest of two processors under
QEMU, and times that itself. All runs are in the same guest, the best of three, to be compared with each other only.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import armprobe
from armprobe.targets import heldfile
from armprobe.targets.gdbremote import GdbRemoteTarget

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the guest is that of the tests
from tests.integration.gdbserver_guest import GdbserverGuest, gdbserver_guest  # noqa: E402
from tests.integration.linux_programs import calling_program  # noqa: E402

CALLS, FEW = 100_000, 200
RUNS = 3
#: a number that stands for no system call, as that of memfd_create does for kernels before 3.17
NO_CALL = 9999


def main() -> int:
    """Print a table: microseconds a call, and the ratio to gdbserver alone."""
    for script in ("fetch-kernel.sh", "fetch-debian.sh"):
        subprocess.run([ROOT / "scripts" / script], check=True)  # noqa: S603
    with TemporaryDirectory() as folder:
        programs = {name: calling_program(Path(folder), calls=calls, name=name) for name, calls in (
            ("calls", CALLS), ("few", FEW))}  # fmt: skip
        with gdbserver_guest({f"bin/{name}": path.read_bytes() for name, path in programs.items()}) as guest:
            plain = best(lambda: int(guest.run("/bin/calls"), 16)) / CALLS
            alone = best(lambda: behind_gdbserver(guest)) / CALLS
            counted = best(lambda: probed(guest, programs["calls"], CALLS)) / CALLS
            heldfile.MEMFD_CREATE = NO_CALL
            stopped = best(lambda: probed(guest, programs["few"], FEW)) / FEW
    for name, cost in {
        "the program alone": plain,
        "behind gdbserver": alone,
        "armprobe counts a function that is called as often": counted,
        "the same on a kernel without memfd_create": stopped,
    }.items():
        print(f"{name:52}{cost:12,.1f} us{cost / alone:10,.1f} times gdbserver alone")
    return 0


def behind_gdbserver(guest: GdbserverGuest) -> int:
    """Run the program behind gdbserver, whose client only lets it go on."""
    target = GdbRemoteTarget.connect(guest.serve("/bin/calls"))
    target.run(lambda _: False)
    target.detach()
    return int(guest.finish(), 16)


def probed(guest: GdbserverGuest, program: Path, calls: int) -> int:
    with armprobe.attach_gdb(guest.serve(f"/bin/{program.name}"), program) as session:
        counted = session.count("work")
        session.run()
    assert counted.hits == calls
    return int(guest.finish(), 16)


def best(measure: Callable[[], int]) -> int:
    return min(measure() for _ in range(RUNS))


if __name__ == "__main__":
    sys.exit(main())
