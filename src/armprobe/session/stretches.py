"""A run in stretches: the target stops shortly from time to time, so that what it recorded is seen while it runs."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from armprobe.targets.base import Stop, StopReason

#: seconds between two looks, where nobody says otherwise
STRETCH_SECONDS = 0.2


def can_stretch() -> bool:
    """Whether stops can be told apart: a program that handles SIGINT itself may raise whatever it likes."""
    return threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) in (
        signal.default_int_handler, signal.SIG_IGN,
    )  # fmt: skip


def run_in_stretches(
    run: Callable[[], Stop],
    stop: Callable[[], None],
    between: Callable[[], object],
    *,
    every: float,
    ended: Callable[[], bool],
    may_stop: Callable[[], bool],
) -> Stop:
    """Call `run` again and again, `between` after each, until it ends by itself, or is to end.

    `stop` is called from a thread when a stretch has lasted so many seconds, and ends it, if it `may_stop`: the target
    has that time however long stops and looks take. `ended` says whether somebody else asked for a stop. `between` ends
    the run by returning True. Ctrl-C ends it, too; a second one raises KeyboardInterrupt.
    """
    over, interrupted = threading.Event(), threading.Event()
    began: float | None = None

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            signal.default_int_handler(number, frame)
        interrupted.set()
        stop()

    def stop_from_time_to_time() -> None:
        left = every
        while not over.wait(left):
            start = began
            left = every if start is None else start + every - time.monotonic()
            if left <= 0:
                left = every
                if may_stop():
                    stop()

    clock = threading.Thread(target=stop_from_time_to_time, name="armprobe-clock", daemon=True)
    heeds = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if heeds:
        signal.signal(signal.SIGINT, on_interrupt)
    clock.start()
    try:
        while True:
            began = time.monotonic()
            stopped = run()
            began = None
            wanted = between() is True
            if stopped.reason is not StopReason.INTERRUPT or interrupted.is_set() or ended() or wanted:
                return stopped
    finally:
        over.set()
        clock.join()
        if heeds:
            signal.signal(signal.SIGINT, signal.default_int_handler)
