"""What probes on a function of the C library cost in a Linux process, next to a breakpoint of the emulator's stub.

    .venv/bin/python benchmarks/process_hit_cost.py

A Lua script calls os.getenv, which calls getenv of libc once. All runs are under qemu-arm on this computer. Times are
processor time, the best of five, and to be compared with each other only.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import armprobe
from armprobe.targets.useremulator import EMULATOR

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("libc6", "lua5.4", "libreadline8", "libtinfo6", "libgcc-s1")
CALLS, QUESTIONS, BREAKPOINTS = 400_000, 20_000, 2_000
RUNS = 5
HANDLER, STOP = "armprobe: host handler", "breakpoint, host handler"


def main() -> int:
    """Print a table: nanoseconds that each way adds to a call, the ratio to the counter, and the stub's."""
    subprocess.run([ROOT / "scripts/fetch-debian.sh", *(f"{name}:armel" for name in PACKAGES)], check=True)  # noqa: S603
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for name in PACKAGES:
            subprocess.run(["cp", "-a", f"{ROOT}/.cache/debian/armel/{name}/.", root], check=True)  # noqa: S603, S607
        plain = best(lambda: run_plain(root, CALLS)) - best(lambda: run_plain(root, 0))
        print(f"one call of getenv by Lua, plain: {plain / CALLS * 1e9:.0f} ns; added by")
        asked, stopped = (plain * calls / CALLS for calls in (QUESTIONS, BREAKPOINTS))
        costs = {
            "armprobe: count": (cost(root, CALLS, lambda s: s.count("getenv")) - plain) / CALLS,
            "armprobe: record": (cost(root, CALLS, lambda s: s.define("p:own getenv a=%r0 b=%lr")) - plain) / CALLS,
            "armprobe: record a string": (
                cost(root, CALLS, lambda s: s.define("p:own getenv name=+0(%r0):string")) - plain
            ) / CALLS,
            HANDLER: (cost(root, QUESTIONS, lambda s: s.probe("getenv", lambda _: None)) - asked) / QUESTIONS,
            STOP: (cost(root, BREAKPOINTS, stop_for_handler) - stopped) / BREAKPOINTS,
        }  # fmt: skip
    for name, seconds in costs.items():
        print(f"{name:28}{seconds * 1e9:12,.0f} ns{seconds / costs['armprobe: count']:12,.1f} times the counter")
    print(f"a stop of the stub costs {costs[STOP] / costs[HANDLER]:.1f} times as much as a question")
    return 0


def stop_for_handler(session: armprobe.Session) -> None:
    """Plant a handler as it would be if threads could not ask."""
    session.target._ours.questions = None  # type: ignore[attr-defined]
    probe = session.probe("getenv", lambda _: None)
    assert probe.state == "trap"


def script(calls: int) -> str:
    return f"local f = os.getenv for i = 1, {calls} do f('HOME') end"


def run_plain(root: Path, calls: int) -> float:
    begin = processor_time()
    subprocess.run([EMULATOR, "-L", root, root / "usr/bin/lua5.4", "-e", script(calls)], check=True)  # noqa: S603
    return processor_time() - begin


def cost(root: Path, calls: int, plant: Callable[[armprobe.Session], object]) -> float:
    """The time of a run with a probe, less that of a script that calls nothing."""
    return best(lambda: run_probed(root, calls, plant)) - best(lambda: run_probed(root, 0, plant))


def run_probed(root: Path, calls: int, plant: Callable[[armprobe.Session], object]) -> float:
    begin = processor_time()
    with armprobe.spawn([root / "usr/bin/lua5.4", "-e", script(calls)], root=root) as session:
        plant(session)
        session.run()
    return processor_time() - begin


def processor_time() -> float:
    """Of this process, and of all that it has started and that have ended."""
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def best(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(RUNS))


if __name__ == "__main__":
    sys.exit(main())
