"""Let the program of a session that was killed run on for a while, that it may leave what is about to go."""

from __future__ import annotations

import threading

from armprobe.targets.base import StopReason, Target, TrapHandler

_RETRY_SECONDS = 0.02


class ProgramEnded(Exception):
    """The program came to its end, and everything went with it."""


class RecoveryRuns:
    """Runs of one target, all but one of whose traps are gone."""

    def __init__(self, target: Target) -> None:
        self._target = target
        #: threads that have told of a trap in these runs
        self._told: set[int] = set()

    def run(self, seconds: float, *, until: int | None = None, on_trap: TrapHandler = lambda _: False) -> StopReason:
        """Let the program run, unless it can't be stopped without harm. Raises ProgramEnded."""
        target = self._target
        if target.own_faults is not None and not target.own_faults.stops_alone():
            return StopReason.INTERRUPT

        def at_trap(pc: int) -> bool:
            return on_trap(pc) or self._is_old()

        over = threading.Event()

        def stop_after() -> None:
            pause = seconds
            # A stop that is asked for before the run has begun is forgotten.
            while not over.wait(pause):
                target.stop()
                pause = _RETRY_SECONDS

        clock = threading.Thread(target=stop_after, name="armprobe-clock", daemon=True)
        clock.start()
        try:
            stop = target.run(at_trap, until=until)
        finally:
            over.set()
            clock.join()
        if stop.gone:
            raise ProgramEnded
        return stop.reason

    def _is_old(self) -> bool:
        """Whether the stopped thread may have come to this trap in the session that was killed.

        A gdbserver tells whoever comes next what it told before, and the program would be ended by it. Traps that are
        still there are told again.
        """
        if self._target.threads is None:
            return False
        stopped, *_ = self._target.threads.ids()
        new = stopped not in self._told
        self._told.add(stopped)
        return new
