"""`armprobe demo`: the life of probes on the sample firmware, with real numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.resources import as_file, files

import click

from armprobe.cli.explain import listing
from armprobe.cli.text import many, say, title
from armprobe.errors import InternalError
from armprobe.probes.explain import Explanation
from armprobe.probes.probe import Hit, Probe
from armprobe.session import Event, Session, emulate
from armprobe.symbols.image import Image
from armprobe.targets.base import Stop, StopReason

PACKETS = 150_000
#: what the firmware prints -> the function whose calls it counted itself
GROUND_TRUTH = {
    "parse_packet": "parse_packet",
    "crc32": "crc32",
    "allocations": "malloc",
    "frees": "free",
    "ticks": "scheduler_tick",
    "errors": "fail",
    "drain_ring": "task_drain_ring",
    "watch": "task_watch",
}
_TRACED = "p:packet parse_packet buffer=%r0 length=%r1:u32"
_SHOWN = 3


@dataclass(slots=True)
class _Run:
    """A program that ran to its end."""

    seconds: float
    printed: bytes
    memory: bytes


@click.command
def demo() -> None:
    """Show probes at work on the sample firmware.

    It runs twice in the embedded emulator, unprobed and probed: a packet parser with an allocator, a CRC and a
    scheduler. What the probes count is compared with what the firmware itself prints, and the memory of both runs byte
    by byte.
    """
    with as_file(files("armprobe") / "demo" / "demo.elf") as path:
        image = Image.load(path)
    plain = _run_unprobed(image)
    printed = bytearray()
    with _start(image, printed) as session:
        loaded = _code(session, image)
        # The entry sets up the stack: what a detour saves there would be left where no stack is later.
        functions = [address for address in session.places("*") if address != image.entry]
        title("The program")
        say(f"{image.name}: {many(len(loaded), 'byte')} of A32 code and constants; "
            f"it parses {many(PACKETS, 'packet')}.")  # fmt: skip
        session.optimization = False
        counters = session.count_all(functions)
        events = _Events()
        session.on_event(events.add)
        tracer = session.define(_TRACED)
        _show_traps(session, len(counters))
        _show_optimizing(session)
        _show_site(session.explain("crc32"))
        stop, seconds = _timed(session)
        _show_figures(session, counters, tracer, events, seconds, plain.seconds)
        totals = {session.symbols.describe(probe.address): probe.hits for probe in counters}
    probed = _Run(seconds, bytes(printed), _memory(session))
    agree = _show_truth(totals, probed.printed, stop)
    restored = _code(session, image)
    _show_end(plain, probed, loaded, restored)
    if not agree or restored != loaded or (probed.printed, probed.memory) != (plain.printed, plain.memory):
        raise InternalError("the demo found a difference: a probe is not equivalent to what it displaced")


class _Events:
    """Looks at events as they come, and keeps the first."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.number = 0
        self.longest = 0

    def add(self, event: Event) -> None:
        if self.number < _SHOWN:
            self.first.append(str(event))
        self.number += 1
        self.longest = max(self.longest, event.values["length"])


def _start(image: Image, printed: bytearray) -> Session:
    return emulate(image, arguments=[image.name, str(PACKETS)], output=printed.extend)


def _run_unprobed(image: Image) -> _Run:
    printed = bytearray()
    session = _start(image, printed)
    _, seconds = _timed(session)
    return _Run(seconds, bytes(printed), _memory(session))


def _timed(session: Session) -> tuple[Stop, float]:
    started = time.perf_counter()
    stop = session.run()
    if stop.reason is StopReason.INTERRUPT:
        raise KeyboardInterrupt
    return stop, time.perf_counter() - started


def _code(session: Session, image: Image) -> bytes:
    """What stands where the program's code and constants were loaded."""
    parts = [part for part in image.segments if part.executable]
    return b"".join(session.target.read_memory(part.address, len(part.data)) for part in parts)


def _memory(session: Session) -> bytes:
    """All memory of the program but the part of its stack that it has left, where detours saved registers too."""
    stack_end = session.regs.sp
    (variables_end,) = {symbol.address for symbol in session.symbols.named("bss_end")}
    parts = []
    for region in session.target.regions:
        if stack_end in region:
            parts += [(region.start, variables_end), (stack_end, region.end)]
        else:
            parts.append((region.start, region.end))
    return b"".join(session.target.read_memory(start, end - start) for start, end in parts)


def _show_traps(session: Session, counters: int) -> None:
    title("Traps: every hit stops the program")
    say(f"{many(counters, 'counter')}, one a function, and an event: {_TRACED}")
    say("A Python function on the host looks at the first calls of malloc:")
    seen: list[str] = []

    def handler(hit: Hit) -> None:
        seen.append(f"malloc({hit.regs.r0}) called from {session.symbols.describe(hit.regs.lr)}")
        if len(seen) == _SHOWN:
            session.stop()

    probe = session.probe("malloc", handler)
    session.run()
    for line in seen:
        say(f"  {line}")
    probe.unregister()


def _show_optimizing(session: Session) -> None:
    title("Branches: compiled handlers run in the program, which goes on")
    session.optimization = True
    started = time.perf_counter()
    sites = session.optimize_now()
    milliseconds = (time.perf_counter() - started) * 1000
    say(f"{many(sites, 'trap')} became branches under one stop, in {milliseconds:.1f} ms.")


def _show_site(explanation: Explanation) -> None:
    assert explanation.code is not None
    title(f"One of them: {explanation.symbol}, {explanation.code.added} instructions added to each hit")
    for address, word, text, comment in listing(explanation.code):
        if address > explanation.code.copy + 4:
            break
        say(f"  {address:08x}  {word:08x}  {text:<34}  {comment}".rstrip())


def _show_figures(
    session: Session, counters: list[Probe], tracer: Probe, events: _Events, seconds: float, unprobed: float
) -> None:
    title("Full speed")
    hits = sum(probe.hits for probe in counters) + tracer.hits
    say(f"{many(hits, 'hit')} in {seconds:.2f} s, where the unprobed program takes {unprobed:.2f} s: "
        f"{(seconds - unprobed) / hits * 1e9:,.0f} ns a hit, events included.")  # fmt: skip
    say(f"{many(events.number, 'event')} recorded, {session.lost(tracer)} lost; "
        f"the longest packet has {events.longest} bytes.")  # fmt: skip
    for line in events.first:
        say(f"  {line}")


def _show_truth(totals: dict[str, int], printed: bytes, stop: Stop) -> bool:
    """Compare the counts with the firmware's own; tell whether all agree."""
    own = dict(line.split(" ") for line in printed.decode().splitlines())
    title(f"Ground truth: what the firmware printed before it ended with exit code {stop.exit_code}")
    agree = True
    for name, function in GROUND_TRUTH.items():
        same = int(own[name]) == totals[function]
        agree &= same
        say(f"  {function:<16} {totals[function]:>9,} counted  {int(own[name]):>9,} printed as {name:<13} "
            + ("equal" if same else "DIFFERENT"))  # fmt: skip
    return agree


def _show_end(plain: _Run, probed: _Run, loaded: bytes, restored: bytes) -> None:
    title("Removed without a trace")
    different = sum(a != b for a, b in zip(loaded, restored, strict=True))
    say(f"{many(len(loaded), 'byte')} of code compared with what was loaded: {different or 'none'} differ.")
    same = probed.memory == plain.memory and probed.printed == plain.printed
    say(f"{many(len(probed.memory), 'byte')} of memory, and all output, compared with the unprobed run: "
        + ("all equal." if same else "DIFFERENT."))  # fmt: skip
