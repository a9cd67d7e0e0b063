"""SIGTERM and SIGHUP, as `timeout` and closed terminals send them: an end like any other, that restores the target."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: the signals that came in the block at hand
_came: list[int] = []
_noted_only = False


def was_asked() -> bool:
    """Whether one of these signals came."""
    return bool(_came)


@contextmanager
def only_noted() -> Iterator[None]:
    """Where SIGINT is ignored, let the first of these signals raise nothing in the block, which asks `was_asked`."""
    global _noted_only  # noqa: PLW0603 - signals belong to the process
    _noted_only = True
    try:
        yield
    finally:
        _noted_only = False


@contextmanager
def ends_as_interrupt() -> Iterator[list[int]]:
    """Let these signals do what Ctrl-C does within the block; gives the list of those that came.

    What the process ignores, as under `nohup`, or has a handler for stays as it is.
    """
    _came.clear()

    def on_signal(number: int, frame: FrameType | None) -> None:
        _came.append(number)
        if callable(signal.getsignal(signal.SIGINT)):
            signal.raise_signal(signal.SIGINT)
        elif not _noted_only or len(_came) > 1:  # a shell's background job ignores SIGINT
            signal.default_int_handler(number, frame)

    own = []
    if threading.current_thread() is threading.main_thread():
        own = [known for known in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(known) is signal.SIG_DFL]
    for known in own:
        signal.signal(known, on_signal)
    try:
        yield _came
    finally:
        for known in own:
            signal.signal(known, signal.SIG_DFL)
