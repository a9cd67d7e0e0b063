"""Real time on a board in QEMU: read by code in the target, and by the host, from the generic timer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.targets.qemu_board import board

from armprobe import Image, Region, Session
from armprobe.symbols.table import SymbolTable
from armprobe.targets.gdbremote import GdbRemoteTarget

pytestmark = pytest.mark.slow
BASE = 0x4010_0000
PASSES = 40
#: calls `work` PASSES times in system mode, then once more in user mode, which has the same stack pointer
WORDS = (
    0xE10F0000,  # mrs r0, cpsr
    0xE380001F,  # orr r0, r0, #0x1f
    0xE121F000,  # msr cpsr_c, r0
    0xE3A0D101,  # mov sp, #0x40000000
    0xE28DD602,  # add sp, sp, #0x200000
    0xE3A01028,  # mov r1, #40
    0xEB000006,  # bl work                       LOOP
    0xE2511001,  # subs r1, r1, #1
    0x1AFFFFFC,  # bne LOOP
    0xE3C0000F,  # bic r0, r0, #0xf
    0xE121F000,  # msr cpsr_c, r0
    0xEB000001,  # bl work
    0xE1A00000,  # nop                           END
    0xEAFFFFFE,  # b .
    0xE3A02064,  # mov r2, #100                  work
    0xE2522001,  # subs r2, r2, #1
    0x1AFFFFFD,  # bne .-4
    0xE12FFF1E,  # bx lr
)
END, WORK = BASE + 0x30, BASE + 0x38
IMAGE = Image.from_words(WORDS, base=BASE)
RAM = Region(0x4000_0000, 0x4800_0000, name="ram")
SLOTS = Region(0x4030_0000, 0x4050_0000, name="slots")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    path = tmp_path / "code.bin"
    path.write_bytes(IMAGE.segments[0].data)
    options = ["-cpu", "cortex-a15", "-smp", "2", "-device", f"loader,file={path},addr={BASE:#x},force-raw=on"]
    options += ["-device", f"loader,addr={BASE:#x},cpu-num=0"]
    with board(*options, machine="virt") as running:
        target = GdbRemoteTarget.connect(running.address)
        with Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS], detach=target.detach) as session:
            yield session


@pytest.mark.parametrize("optimize", [False, True])
def test_events_have_the_time_and_the_processor(session, optimize):
    session.optimization = optimize
    session.define(f"p:work {WORK:#x} left=%r1")
    session.optimize_now()
    session.run(until=END)
    events = list(session.events())
    *privileged, last = events
    assert session.clock is not None
    assert (session.clock.name, session.clock.unit) == ("generic timer, 62.5 MHz", "ns")
    assert len(privileged) == PASSES
    assert all(before.time < after.time for before, after in pairwise(privileged))
    # 100 passes of a loop take more than nothing, and less than a minute.
    assert 0 < privileged[-1].time - privileged[0].time < 60_000_000_000
    # The kernel of nobody has opened the timer to user mode: the probe did not try.
    assert last.time == 0
    assert {event.common["cpu"] for event in events} == {0}
    seconds, rest = divmod(privileged[0].time, 1_000_000_000)
    assert str(privileged[0]).startswith(f"[000] {seconds}.{rest // 1000:06}: work: (")


def test_handlers_on_the_host_read_the_same_clock_as_code_in_the_target(session):
    seen = []
    session.define(f"p:work {WORK:#x} left=%r1")
    session.probe(WORK + 4, lambda hit: seen.append(hit.time) if hit.regs.r2 == 100 else None, when="%r2 == 100")
    session.run(until=END)
    clock = session.clock
    assert clock is not None
    times = [event.time for event in session.events()]
    assert seen[-1] == 0
    merged = [time for pair in zip(times[:-1], map(clock.units, seen[:-1]), strict=True) for time in pair]
    assert merged == sorted(merged)
    assert len(set(merged)) == 2 * PASSES


def test_latency_is_measured_in_nanoseconds(session):
    found = session.latency(WORK)
    session.optimize_now()
    session.run(until=END)
    # In user mode both times are 0.
    assert (found.count, found.missed, found.unit) == (PASSES + 1, 0, "ns")
    assert 0 == found.least < found.mean < found.greatest < 60_000_000_000
    assert found.total == pytest.approx(found.mean * found.count)
