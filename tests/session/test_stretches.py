"""Runs that stop from time to time, so that what was recorded and counted is seen while the target runs."""

from __future__ import annotations

import signal
import threading

import pytest

from armprobe import Image, Session, StopReason, emulate

BASE = 0x8000
#: counts in r0, and never ends
ENDLESS = (0xE3A00000, 0xE2800001, 0xEAFFFFFD)  # mov r0, #0; add r0, r0, #1; b .-4
LOOP = BASE + 4
SOON = 0.001


def start() -> Session:
    return emulate(Image.from_words(ENDLESS, base=BASE))


def test_between_sees_what_was_counted_so_far_and_ends_the_run():
    with start() as session:
        counted, seen = session.count(LOOP), []
        session.optimize_now()

        def look() -> bool:
            seen.append(counted.hits)
            return len(seen) == 5

        stop = session.run(between=look, every=SOON)
        assert stop.reason is StopReason.INTERRUPT
        assert len(seen) == 5
        assert seen == sorted(seen)
        assert seen[-1] > seen[0]
        assert session.regs.r0 - counted.hits in (0, 1)


def test_events_are_handed_over_while_the_target_runs():
    with start() as session:
        events = []
        session.define(f"p:first {LOOP:#x} value=%r0 if %r0 == 7")

        def take(event) -> None:
            events.append(event.values["value"])
            session.stop()

        session.on_event(take)
        assert session.run(every=SOON).reason is StopReason.INTERRUPT
        assert events == [7]


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN, lambda number, frame: None])
def test_a_stop_that_somebody_asks_for_ends_it_whoever_handles_sigint(handler):
    previous = signal.signal(signal.SIGINT, handler)
    try:
        with start() as session:
            session.define(f"p:first {LOOP:#x} if %r0 == 7")
            session.on_event(lambda event: None)
            threading.Timer(0.05, session.stop).start()
            assert session.run(every=SOON).reason is StopReason.INTERRUPT
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, previous)


def test_ctrl_c_ends_it():
    with start() as session:
        session.count(LOOP)
        looks = []

        def look() -> None:
            looks.append(1)
            if len(looks) == 3:
                signal.raise_signal(signal.SIGINT)

        assert session.run(between=look, every=SOON).reason is StopReason.INTERRUPT
        assert len(looks) == 3
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_in_between_is_passed_on_and_the_clock_stops():
    with start() as session:
        probe = session.count(LOOP)
        with pytest.raises(ZeroDivisionError):
            session.run(between=lambda: 1 // 0, every=SOON)
        assert not [thread for thread in threading.enumerate() if thread.name == "armprobe-clock"]
        assert session.run(limit=9).reason is StopReason.LIMIT
        assert probe.hits > 0


def test_with_a_limit_it_looks_at_the_end_alone():
    with start() as session:
        looks = []
        assert session.run(limit=100_000, between=lambda: looks.append(1), every=SOON).reason is StopReason.LIMIT
        assert looks == [1]
