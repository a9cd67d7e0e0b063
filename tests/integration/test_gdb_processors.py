"""Two processors in one program, on a board in QEMU: counts are exact, and none is left in code that goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.targets.contract import BASE
from tests.targets.qemu_board import SLOTS, board

from armprobe import Hit, Image, Session, StopReason
from armprobe.symbols.table import SymbolTable
from armprobe.targets.gdbremote import GdbRemoteTarget

BOARD = "realview-pbx-a9"
PASSES = 50_000
#: both processors call `work` PASSES times; the first waits for the flag of the second
WORDS = (
    0xEE105FB0,  # 8000 mrc p15, 0, r5, c0, c0, 5   MPIDR
    0xE2055003,  # 8004 and r5, r5, #3
    0xE3A0D803,  # 8008 mov sp, #0x30000
    0xE04DD605,  # 800c sub sp, sp, r5, lsl #12
    0xE30C1350,  # 8010 movw r1, #50000
    0xEB00000A,  # 8014 bl work                     LOOP
    0xE2511001,  # 8018 subs r1, r1, #1
    0x1AFFFFFC,  # 801c bne LOOP
    0xE3A02A09,  # 8020 mov r2, #0x9000
    0xE3A03001,  # 8024 mov r3, #1
    0xE7823105,  # 8028 str r3, [r2, r5, lsl #2]
    0xE3550000,  # 802c cmp r5, #0
    0x1AFFFFFE,  # 8030 bne .
    0xE5920004,  # 8034 ldr r0, [r2, #4]            WAIT
    0xE3500000,  # 8038 cmp r0, #0
    0x0AFFFFFC,  # 803c beq WAIT
    0xEAFFFFFE,  # 8040 b .                         DONE
    0xE2800001,  # 8044 add r0, r0, #1              work
    0xE12FFF1E,  # 8048 bx lr
)
LOOP, WAIT, DONE, WORK = BASE + 0x14, BASE + 0x34, BASE + 0x40, BASE + 0x44
IMAGE = Image.from_words(WORDS, base=BASE)
pytestmark = pytest.mark.slow


@pytest.fixture
def target(tmp_path: Path) -> Iterator[GdbRemoteTarget]:
    path = tmp_path / "code.bin"
    path.write_bytes(IMAGE.segments[0].data)
    options = ["-smp", "2", "-device", f"loader,file={path},addr={BASE:#x},force-raw=on"]
    for processor in range(2):
        options += ["-device", f"loader,addr={BASE:#x},cpu-num={processor}"]
    with board(*options, machine=BOARD) as running:
        target = GdbRemoteTarget.connect(running.address)
        yield target
        target.detach()


def start(target: GdbRemoteTarget) -> Session:
    return Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS])


def test_both_processors_are_seen(target: GdbRemoteTarget):
    assert len(target.threads.ids()) == 2
    first, second = target.threads.ids()
    registers = target.threads.read_registers(second)
    registers.r7 = 0x77
    target.threads.write_registers(second, registers)
    assert target.threads.read_registers(second).r7 == 0x77
    assert target.threads.read_registers(first).r7 == 0
    target.threads.select(second)
    assert target.read_registers().r7 == 0x77
    assert target.threads.ids() == [second, first]


def test_counts_of_two_processors_are_exact(target: GdbRemoteTarget):
    with start(target) as session:
        counters = session.count_all([LOOP, WORK])
        session.optimize_now()
        assert session.run(until=DONE).reason is StopReason.ADDRESS
        assert [probe.hits for probe in counters] == [2 * PASSES] * 2


def test_traps_of_two_processors_are_counted_exactly(target: GdbRemoteTarget):
    hits: list[int] = []
    with start(target) as session:
        session.optimization = False
        session.probe(WORK, lambda hit: hits.append(hit.regs.r5))
        session.probe(BASE + 0x18, shorten)
        assert session.run(until=DONE).reason is StopReason.ADDRESS
    assert {processor: hits.count(processor) for processor in (0, 1)} == {0: 100, 1: 100}


def shorten(hit: Hit) -> None:
    """End the loop after 100 passes."""
    hit.regs.r1 = min(hit.regs.r1, 100)


def change(target: GdbRemoteTarget, thread: int, **values: int) -> None:
    registers = target.threads.read_registers(thread)
    for name, value in values.items():
        setattr(registers, name, value)
    target.threads.write_registers(thread, registers)


def stop_at_hit(session: Session) -> Callable[[Hit], None]:
    return lambda _: session.stop()


def test_no_processor_is_left_in_a_slot(target: GdbRemoteTarget):
    """The first processor stops in its loop again and again; the second is in the midst of a detour then."""
    code = target.read_memory(BASE, 4 * len(WORDS))
    slots = target.read_memory(SLOTS.start, 0x10000)
    first, second = target.threads.ids()
    change(target, first, pc=WAIT, r2=0x9000)
    change(target, second, pc=LOOP, r1=0x7FFFFFFF, r5=1, sp=0x2F000)
    for depth in range(8):
        with start(target) as session:
            session.count_all([LOOP, WORK, WORK + 4, LOOP + 4, LOOP + 8])
            session.optimize_now()
            session.probe(WAIT, stop_at_hit(session))
            assert session.run().reason is StopReason.INTERRUPT
            target.threads.select(second)
            while target.read_registers().pc not in SLOTS:
                target.run(lambda _: False, limit=1)
            if depth:
                target.run(lambda _: False, limit=depth)
            target.threads.select(first)
        assert target.read_memory(BASE, 4 * len(WORDS)) == code
        assert target.read_memory(SLOTS.start, 0x10000) == slots
        for thread in (first, second):
            assert target.threads.read_registers(thread).pc in range(BASE, BASE + 4 * len(WORDS))
    change(target, second, r1=1)
    assert target.run(lambda _: False, until=DONE).reason is StopReason.ADDRESS
