"""Ctrl-C while control is in C code, which does not return to Python by itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_RETRY_SECONDS = 0.02
_MOMENT_SECONDS = 0.001
_PATIENCE_SECONDS = 5.0
#: no signal has this number
_SETTLE = b"\xff"


class _Watcher:
    """A thread, started once, that hears of signals through a pipe even while the main thread is in C code."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.write_end, False)
        self.stop: Callable[[], None] | None = None
        self.over = threading.Event()
        #: signals that were heard of since the block was entered
        self.heard = 0
        self._settled = threading.Event()
        threading.Thread(target=self._watch, name="armprobe-interrupt", daemon=True).start()

    def _watch(self) -> None:
        while byte := os.read(self.read_end, 1):
            if byte == _SETTLE:
                self._settled.set()
                continue
            self.heard += 1
            # The request is lost if it comes just before the C code starts: repeat it until the run is over.
            while (stop := self.stop) is not None:
                stop()
                if self.over.wait(_RETRY_SECONDS):
                    break

    def settle(self, handled: int) -> None:
        """Return when no signal is left of those that were `handled`: what is late must not stop the next run.

        The system may have any thread take a signal, and that one may tell of it long after Python's handler ran.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self._settled.clear()
            with suppress(BlockingIOError):
                os.write(self.write_end, _SETTLE)
            if self._settled.wait(left) and self.heard >= handled:
                return
            time.sleep(_MOMENT_SECONDS)


_watcher: _Watcher | None = None


def _forget_watcher() -> None:
    """A forked child has no threads but its own: it starts a new one when it needs it."""
    global _watcher  # noqa: PLW0603 - one thread serves the whole process
    _watcher = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_watcher)


@contextmanager
def hold_interrupt(patience: int | None = 1) -> Iterator[None]:
    """Let Ctrl-C wait until the block is left, which must not be done by half.

    More than `patience` of them do not wait; None: all do. Does nothing outside of the main thread.
    """
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield
        return
    waiting: list[FrameType | None] = []

    def let_in() -> None:
        while waiting:
            previous(signal.SIGINT, waiting.pop())

    def on_signal(_number: int, frame: FrameType | None) -> None:
        waiting.append(frame)
        if patience is not None and len(waiting) > patience:
            let_in()

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        let_in()


@contextmanager
def heed_interrupt(heed: Callable[[], object]) -> Iterator[None]:
    """Call `heed` at each Ctrl-C within the block, which waits in Python; nothing else happens then.

    Does nothing outside of the main thread, or where the program handles SIGINT itself.
    """
    on_main = threading.current_thread() is threading.main_thread()
    if not on_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda _number, _frame: heed())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stop_on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` when Ctrl-C comes within the block; a second Ctrl-C raises KeyboardInterrupt as usual.

    `stop` may be called from another thread, and more than once. Does nothing outside of the main thread, or where the
    program handles SIGINT itself.
    """
    global _watcher  # noqa: PLW0603 - one thread serves the whole process
    on_main = threading.current_thread() is threading.main_thread()
    if not on_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    if _watcher is None:
        _watcher = _Watcher()
    came = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came > 1:
            signal.default_int_handler(number, frame)
        stop()

    _watcher.over.clear()
    _watcher.heard = 0
    _watcher.stop = stop
    previous = signal.set_wakeup_fd(_watcher.write_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(previous)
        _watcher.stop = None
        _watcher.over.set()
        if came:
            _watcher.settle(came)
