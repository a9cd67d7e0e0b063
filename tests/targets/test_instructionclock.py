"""The emulator's clock, compared with what is known of code, and with the emulator's own count."""

from __future__ import annotations

import random
import threading
from importlib.resources import as_file, files
from itertools import pairwise

import pytest

from armprobe import Image, Session, StopReason, emulate
from armprobe.targets import instructionclock
from armprobe.targets.base import Region
from armprobe.targets.unicorn import UnicornTarget

BASE = 0x8000
LOOP = (
    0xE3A05064,  # mov r5, #100
    0xEB000002,  # again: bl function
    0xE2555001,  # subs r5, r5, #1
    0x1AFFFFFC,  # bne again
    0xE1A00000,  # nop                    END
    0xE0802001,  # function: add r2, r0, r1
    0xE0403001,  # sub r3, r0, r1
    0xE12FFF1E,  # bx lr
)
END, FUNCTION = BASE + 0x10, BASE + 0x14
EXECUTED = 1 + 100 * 6


def executed(session: Session) -> int:
    clock = session.target.clock
    assert clock is not None
    session.run(until=END)
    now = clock.now(returned=True)
    assert now is not None
    return int(now * clock.ns_per_tick)


def start(words=LOOP, **options) -> Session:
    return emulate(Image.from_words(words, base=BASE), **options)


def test_each_instruction_is_one_tick_of_the_unit():
    with start() as session:
        assert executed(session) == EXECUTED


@pytest.mark.parametrize("cpu", ["arm926", "arm1176", "cortex-a8", "cortex-a15", "max"])
def test_every_processor_model_has_the_clock(cpu):
    with start(cpu=cpu) as session:
        assert executed(session) == EXECUTED


def test_what_probes_execute_does_not_count():
    with start() as session:
        session.count(FUNCTION)
        session.retprobe(FUNCTION, lambda hit: None)
        session.probe(FUNCTION + 4, lambda hit: None)
        session.optimize_now()
        assert executed(session) == EXECUTED


def test_slots_in_memory_of_the_program_do_not_count():
    with start(slots=[Region(BASE + 0x40, BASE + 0x800)]) as session:
        probe = session.count(FUNCTION)
        session.optimize_now()
        assert executed(session) == EXECUTED
        assert BASE + 0x40 <= session.explain(FUNCTION).code.base < BASE + 0x800
        assert probe.hits == 100


def test_t32_instructions_of_16_bits_are_half_of_one():
    halves = (
        0xE28F0001,  # add r0, pc, #1
        0xE12FFF10,  # bx r0
        0x46C046C0,  # nop; nop
        0x46C04778,  # bx pc; nop
        0xE1A00000,  # nop
    )
    with start(halves) as session:
        # Two of A32, and three of T32: what stands behind `bx pc` is not executed.
        assert executed(session) == 2 + 3 // 2


def test_a_clock_that_starts_in_the_middle_of_a_run_counts_from_there():
    seen = []
    with start() as session:
        session.probe(FUNCTION, lambda hit: seen.append(session.target.clock.now(returned=False)))
        session.run(until=END)
    # What was translated already, when the clock started at the first hit, is translated again.
    assert [after - before for before, after in pairwise(seen[1:])] == [6] * 98


def test_the_firmware_takes_as_long_in_every_run():
    def run() -> int:
        with as_file(files("armprobe") / "demo" / "demo.elf") as elf, emulate(elf, output=lambda data: None) as session:
            clock = session.target.clock
            assert clock is not None
            session.run()
            now = clock.now(returned=True)
            assert now is not None
            return now

    assert run() == run() > 1_000_000


def test_without_llvm_there_is_no_clock_and_the_target_says_why(monkeypatch):
    monkeypatch.setattr(instructionclock, "find_spec", lambda name: None)
    target = UnicornTarget.from_image(Image.from_words(LOOP, base=BASE))
    assert target.clock is None
    assert target.no_clock == instructionclock.NO_CLOCK


def test_a_run_that_is_stopped_anywhere_loses_no_count():
    with start() as session:
        session.count(FUNCTION)
        session.optimize_now()
        clock = session.target.clock
        assert clock is not None
        rng = random.Random(5)
        while session.run(until=END, limit=rng.randrange(1, 40)).reason is not StopReason.ADDRESS:
            pass
        assert clock.now(returned=True) == EXECUTED


def test_a_loop_of_one_block_that_is_interrupted_at_any_time_keeps_the_count():
    words = (0xE2800001, 0xE2911001, 0xE2A22000, 0xEAFFFFFB)  # add r0, r0, #1; adds r1, r1, #1; adc r2, r2, #0; b .-12
    with start(words) as session:
        clock = session.target.clock
        assert clock is not None
        for delay in range(30):
            over = threading.Event()
            thread = threading.Thread(target=stop_until, args=(session, over, delay / 10_000))
            thread.start()
            stop = session.run()
            over.set()
            thread.join()
            assert stop.reason is StopReason.INTERRUPT
            assert clock.now(returned=True) == 4 * session.regs.r0 + (session.regs.pc - BASE) // 4


def stop_until(session: Session, over: threading.Event, delay: float) -> None:
    """Ask a session to stop, again and again: a request that comes before the run begins is none."""
    while not over.wait(delay):
        session.stop()
