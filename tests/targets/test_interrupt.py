"""Ctrl-C waits while it must, and not longer than its sender wants."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import nullcontext

import pytest

from armprobe.targets.interrupt import hold_interrupt, stop_on_interrupt


def interrupt(times: int, *, patience: int | None, each_held: bool = False) -> tuple[int, bool]:
    """How many Ctrl-C of a block came to pass before one of them ended it, and whether it was left by its end."""
    sent, ended = 0, False
    with pytest.raises(KeyboardInterrupt), hold_interrupt(patience):  # noqa: PT012  the block is what is tested
        for _ in range(times):
            with hold_interrupt(None) if each_held else nullcontext():
                signal.raise_signal(signal.SIGINT)
                sent += 1
        ended = True
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return sent, ended


def test_ctrl_c_waits_until_the_block_is_left():
    assert interrupt(1, patience=1) == (1, True)


def test_a_second_ctrl_c_does_not_wait_unless_it_must():
    assert interrupt(2, patience=1) == (1, False)
    assert interrupt(3, patience=None) == (3, True)


def test_a_step_that_must_be_finished_is_before_a_second_ctrl_c_ends_the_rest():
    assert interrupt(3, patience=1, each_held=True) == (2, False)


def test_a_handler_of_the_program_is_called_when_the_block_is_left():
    came: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        with hold_interrupt():
            signal.raise_signal(signal.SIGINT)
            assert came == []
        assert came == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_ctrl_c_whose_thread_tells_of_it_late_stops_no_later_run():
    stops: list[str] = []
    taken, far = os.pipe()
    os.set_blocking(far, False)
    with stop_on_interrupt(lambda: stops.append("first")):
        own = signal.set_wakeup_fd(far)
        signal.raise_signal(signal.SIGINT)
        signal.set_wakeup_fd(own)
        # The thread that took the signal was not let on until now.
        late = threading.Timer(0.05, os.write, [own, os.read(taken, 1)])
        late.start()
    with stop_on_interrupt(lambda: stops.append("second")):
        late.join()
    with stop_on_interrupt(lambda: stops.append("third")):
        pass
    os.close(taken)
    os.close(far)
    assert stops == ["first"]
