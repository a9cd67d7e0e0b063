"""Run the image in QEMU, and read what its processors saw."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from armprobe.errors import TargetError
from armprobe.patching import Write, plan_patch
from armprobe.probes.engine import Engine
from armprobe.probes.site import Site
from armprobe.probes.state import SiteState, next_state
from armprobe.session import Session
from armprobe.symbols.image import Image
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import TRAP, Region, StopReason
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.qemu import start_qemu
from armprobe.verification.patchmodel.plans import Situation, Stub, protocol_of
from armprobe.verification.patchmodel.vocabulary import Protocol
from armprobe.verification.stress.table import steps_of

PROCESSORS = 4
#: every change that may be made to a branch, or to a breakpoint, while processors run, and back to the first state
VERBS = ("park", "unpark", "unoptimize", "optimize", "park", "unpark")
_HITS = (SiteState.OPTIMIZED, SiteState.ARMED)
_SLOTS = Region(0x40200000, 0x40300000, name="slots")
#: of each processor (start.S)
_STACK_BYTES = 4096
_WORKER = struct.Struct("<10I24x")
#: by the numbers of image.c
_FAILURES = (
    "",
    "it hit more than once",
    "it did not hit, though every pass was promised to",
    "it hit, though no pass was promised to",
    "the displaced instruction was not executed once",
    "a register changed",
    "a flag changed",
)
_COMPILER = "arm-none-eabi-gcc"


@dataclass(frozen=True, slots=True)
class Worker:
    """What one processor saw: passes, those that hit, and under which promise they were made."""

    passes: int
    hits: int
    promised_hit: int
    promised_no_hit: int
    unpromised: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run. `counted` are the probes' own counts, one for each worker; `awake[n]`: stores while n ran."""

    toggles: int
    workers: tuple[Worker, ...]
    counted: tuple[int, ...]
    awake: tuple[int, ...]
    problems: tuple[str, ...]


def build(folder: Path) -> Path:
    """Compile the image. Raises subprocess.CalledProcessError, FileNotFoundError without the compiler."""
    result = folder / "stress.elf"
    with as_file(files(__package__)) as sources:
        subprocess.run(  # noqa: S603
            [
                _COMPILER, "-O2", "-marm", "-mcpu=cortex-a15", "-mgeneral-regs-only", "-ffreestanding", "-nostdlib",
                "-Wall", "-Wextra", "-Werror", "-T", sources / "image.ld", sources / "start.S", sources / "image.c",
                "-o", result,
            ],
            check=True,
        )  # fmt: skip
    return result


def run(
    toggles: int, *, seed: int = 1, protocols: Callable[[Engine, Site], Sequence[Protocol]] | None = None
) -> Outcome:
    """Toggle a site `toggles` times while three processors pass it.

    `seed` chooses the delays between toggles. `protocols` are the changes, one after another, that lead from a branch
    to a branch again; by default `engine_protocols`. Raises what `start_qemu` and `build` do.
    """
    with tempfile.TemporaryDirectory() as folder:
        image = build(Path(folder))
        options = [
            "-M", "virt", "-cpu", "cortex-a15", "-smp", str(PROCESSORS), "-m", "128", "-S",
            "-accel", "tcg,thread=multi", "-device", f"loader,file={image},cpu-num=0",
        ]  # fmt: skip
        with start_qemu(options) as qemu:
            target = GdbRemoteTarget.connect(qemu.address)
            symbols = SymbolTable.from_image(Image.load(image))
            with Session(target, symbols=symbols, slots=[_SLOTS], detach=target.detach) as session:
                return _toggle(session, toggles, seed, protocols or engine_protocols)


def engine_protocols(engine: Engine, site: Site) -> list[Protocol]:
    """What the engine plans for each of `VERBS`, where traps are words in memory: carried out live, in turn."""
    state, protocols = SiteState.OPTIMIZED, []
    for verb in VERBS:
        after = next_state(state, verb)
        old, new = _planted(engine, site, state), _planted(engine, site, after)
        stub = Stub(site.slot.address, site.slot.end, True, site.code.entry, site.code.copy)
        situation = Situation(
            site.address, site.original, old, TRAP, (stub,), (state in _HITS, after in _HITS), armed=0
        )  # fmt: skip
        plan = plan_patch([Write(site.address, old, new, verb)])
        protocols.append(protocol_of(plan, situation, name=verb, running=True))
        state = after
    return protocols


def _planted(engine: Engine, site: Site, state: SiteState) -> bytes:
    return TRAP.to_bytes(4, "little") if state is SiteState.ARMED else engine.planted(site, state)


def _toggle(
    session: Session, toggles: int, seed: int, protocols: Callable[[Engine, Site], Sequence[Protocol]]
) -> Outcome:
    engine, address = session._engine, session.locate("site")
    # Each worker has its number in r5, and a counter of its own.
    probes = session.define_all([f"site if %r5 == {number}" for number in range(1, PROCESSORS)])
    session.optimize_now()
    site = engine.sites[address]
    if site.state is not SiteState.OPTIMIZED:
        raise TargetError(f"the site is no branch: {site.reason}")

    def write(name: str, *values: int, offset: int = 0) -> None:
        session.write_memory(symbol(name) + offset, struct.pack(f"<{len(values)}I", *values))

    def read(name: str, count: int = 1) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", session.read_memory(symbol(name), 4 * count))

    def symbol(name: str) -> int:
        (found,) = session.symbols.named(name)
        return found.address

    write("toggles", toggles)
    write("delay_seed", seed)
    write("trap_site", address)
    assert site.code.entry is not None
    write("trap_entry", site.code.entry)
    write("counters", *(engine.instruments.counter(probe) for probe in probes), offset=4)
    session.write_memory(symbol("steps"), steps_of(protocols(engine, site), address))
    stop = session.run(until="finished")
    problems = [] if stop.reason is StopReason.ADDRESS else [f"the image did not come to its end: {stop}"]
    data = session.read_memory(symbol("workers"), _WORKER.size * PROCESSORS)
    workers = [_worker(fields) for fields in list(_WORKER.iter_unpack(data))[1:]]
    counted = tuple(probe.hits for probe in probes)
    for number, (worker, hits) in enumerate(zip(workers, counted, strict=True), 1):
        if worker.failure:
            problems.append(f"processor {number}: {worker.failure}")
        if worker.hits != hits:
            problems.append(f"processor {number} saw {worker.hits} hits, and its probe counted {hits}")
    if read("bad_claims")[0]:
        problems.append(f"{read('bad_claims')[0]} times the site held something else than was written")
    if read("unexpected_exceptions")[0]:
        problems.append("an exception that is none of ours")
    if session.target.read_memory(address, 4) != site.planted:
        problems.append("the protocols do not end where they began")
        session.target.write_memory(address, site.planted)
    awake = read("awake_at_store", PROCESSORS)
    # What is left of interrupts in a detour, and of the table, looks like somebody who will come back to it.
    write("trap_entry", 0)
    session.target.write_memory(symbol("stacks"), bytes(_STACK_BYTES * PROCESSORS))
    return Outcome(read("done_toggles")[0], tuple(workers), counted, awake, tuple(problems))


def _worker(fields: tuple[int, ...]) -> Worker:
    passes, hits, promised_hit, promised_no_hit, unpromised, failures, failure, before, after, delta = fields
    seen = f"promises 0x{before:x} and 0x{after:x}, {delta} hits, the first of {failures}"
    text = f"{_FAILURES[failure]} ({seen})" if failure else ""
    return Worker(passes, hits, promised_hit, promised_no_hit, unpromised, text)
