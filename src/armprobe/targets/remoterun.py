"""Letting what is behind a GDB stub run, and waiting for the stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from armprobe.errors import TargetError, TargetLost
from armprobe.targets.connection import Connection
from armprobe.targets.remotethreads import RemoteThreads
from armprobe.targets.rsp import Output, StopKind, StopReply, error_of, stop_reply
from armprobe.targets.withheldsignals import WithheldSignals

_POLL_SECONDS = 0.2
#: how long a program may take to learn of a Ctrl-C by itself; and in which time a second one is for us
_MOMENT, _AGAIN = 0.3, 2.0


class RemoteRun:
    """Lets the threads of one target run. `stopping`: somebody asked for a stop, since that was last set to False."""

    def __init__(
        self,
        connection: Connection,
        threads: RemoteThreads,
        *,
        vcont: bool,
        output: Callable[[bytes], object],
        interrupt: Callable[[], object] | None = None,
        tell: Callable[[], object] | None = None,
    ) -> None:
        """`vcont`: the stub takes vCont. `interrupt` stops a target that runs (default: the stub's way).

        `tell` passes a Ctrl-C on to the program; without it, the target stops.
        """
        self._connection = connection
        self._threads = threads
        self._vcont = vcont
        self._output = output
        self._interrupt = interrupt or connection.interrupt
        self._running = False
        #: how it was let run last
        self._step = self._only = False
        #: a signal handler and another thread may ask for the same stop at once
        self._asking = threading.RLock()
        #: when Ctrl-C came last, and whether the program does not know of it yet
        self._interrupted, self._untold = -_AGAIN, False
        self._tell = tell or self.stop
        #: how many handlers of the user's are under way: they do not come back for a stop, so that Ctrl-C leaves them
        self.handling = 0
        #: whether the program has ended while a handler runs, which hears nothing of that
        self.has_ended: Callable[[], bool] = lambda: False
        self.stopping = False
        #: whether the stub can stop the target when it is asked to; gdbserver answers with an error where it can't
        self.can_interrupt = True
        #: interrupts that were sent, and have not stopped the target yet
        self.sent = 0
        #: the signal that the stopped thread gets when it goes on, in GDB's numbering
        self.signal = 0
        #: those that threads get when all go on
        self.withheld = WithheldSignals()
        self._stood = 0.0
        self._stopped_at = time.monotonic()
        #: called every `poll` seconds while the target runs
        self.idle: Callable[[], object] = lambda: None
        self.poll = _POLL_SECONDS
        #: sleeps for so many seconds, or less, and tells whether something has come from the stub; None: nothing else
        #: is waited for
        self.sleep: Callable[[float], bool] | None = None

    @property
    def seconds_stopped(self) -> float:
        """How long the target stood still since it was attached to."""
        return self._stood if self._running else self._stood + time.monotonic() - self._stopped_at

    def stop(self) -> None:
        """Ask for a stop; may be called from another thread or a signal handler."""
        self.stopping = True
        # A second one would come when the first was dealt with, and pass for the program's own signal.
        with self._asking:
            asks = self._running and not self.sent and self.can_interrupt
            self.sent += asks
        if asks:
            with suppress(TargetLost):  # whoever waits for the stop hears of it
                self._interrupt()

    def interrupted(self) -> None:
        """Ctrl-C came. It is the program's, which gets it by itself if it shares a terminal; a second one stops it.

        Raises KeyboardInterrupt, in a signal handler, where a handler of the user's has to be left for that.
        """
        now = time.monotonic()
        again = now < self._interrupted + _AGAIN
        self._interrupted, self._untold = now, True
        if again or (self.handling and self.has_ended()):
            self.stop()
            if self.handling:
                raise KeyboardInterrupt

    def was_for_program(self) -> None:
        """The program has got a Ctrl-C."""
        self._untold = False

    def tell_program(self) -> None:
        """Pass a Ctrl-C on that the program did not get by itself within a moment."""
        if self._untold and time.monotonic() > self._interrupted + _MOMENT:
            self._untold = False
            self._tell()

    def resume(self, *, step: bool = False, only: bool = False) -> StopReply:
        """Let the target run, or the stopped thread take a step (`only`: run while others stand), up to the next stop.

        Ctrl-C, and an error of the user's own functions, stop the target before they are passed on.
        """
        self._start(step=step, only=only)
        if self.stopping:
            self.stop()
        try:
            return self._await_stop()
        except TargetError:
            raise
        except BaseException as error:
            # The user's output may have failed, or a second Ctrl-C come: nothing can be asked of a target that runs.
            self.idle = lambda: None
            self.stop()
            reply = self._await_stop()
            if isinstance(error, KeyboardInterrupt):
                return reply
            raise
        finally:
            self._running = False
            self._stopped_at = time.monotonic()

    def go(self) -> None:
        """Let the target run, up to the next request to the stub, which stops it first, or `halt`.

        A trap that it comes to stops it as well, and again when it goes on.
        """
        self._start(step=False, only=False)
        self._connection.before = self.halt

    def halt(self) -> None:
        """Stop a target that `go` let run. Raises TargetLost when its program has ended."""
        self._connection.before = None
        if not self._running:
            return
        wanted, self.stopping = self.stopping, True
        try:
            self._interrupt()
            reply = self._await_stop()
        finally:
            self._running, self.stopping = False, wanted
            self._stopped_at = time.monotonic()
        if reply.kind is not StopKind.STOPPED:
            raise self._connection.lose(f"the program behind {self._connection.name} ended")
        self._threads.stopped(reply.thread)

    def _start(self, *, step: bool, only: bool) -> None:
        self._step, self._only = step, only
        ahead = self._threads.flush()
        self._threads.forget()
        action = self.action(step=step, only=only)
        self._stood += time.monotonic() - self._stopped_at
        replies = self._connection.start(action, first=ahead)
        for request, answer in zip(ahead, replies, strict=True):
            if answer != b"OK":
                raise self._connection.lose(f"the stub answers {answer!r} to {request[:40]!r}, and the target may run")
        self._running = True
        if self.withheld and not (step or only) and self.can_interrupt:
            # A thread gets one signal when it goes on: for the next one, it has to stop again.
            with self._asking:
                self.sent += 1
            self._interrupt()

    def _go_on(self) -> None:
        """Let the target run again that was halted by what looks at it while it runs."""
        self._start(step=self._step, only=self._only)
        if self.stopping:
            self.stop()

    def action(self, *, step: bool = False, only: bool = False) -> bytes:
        """The request that lets the target run, its threads with the signals that they are to get."""
        letter = b"s" if step else b"c"
        current = self._threads.current
        if not self._vcont or step or only:
            letter = _with_signal(letter, self.signal)
            if not self._vcont:
                return letter
            return b"vCont;" + letter + (b"" if current is None else b":" + str(current).encode())
        if self.withheld and self.signal:
            self.withheld.add(current, self.signal)
        signals = self.withheld.take() if self.withheld else {current: self.signal}
        letters = {thread: _with_signal(letter, signal) for thread, signal in signals.items()}
        if self._threads.held:
            others = [thread for thread in self._threads.followed() if thread not in self._threads.held]
            return b"vCont;" + b";".join(b"%b:%b" % (letters.get(each, letter), str(each).encode()) for each in others)
        named = [
            b"%b:%b" % (letters[thread], str(thread).encode())
            for thread, signal in signals.items()
            if signal and thread is not None
        ]
        return b";".join([b"vCont", *named, letters.get(None, letter)])

    def _await_stop(self) -> StopReply:
        patience = self._connection.timeout
        poll = min(self.poll, patience)
        while True:
            since = time.monotonic()
            if self.sleep is None:
                answer = self._connection.wait(timeout=poll)
            elif self._connection.has_more or self.sleep(poll):
                answer = self._connection.wait(timeout=0)
            else:
                answer = None
            if answer is None:
                patience -= time.monotonic() - since if self.stopping else 0
                if patience <= 0:
                    raise self._connection.lose(
                        f"the stub at {self._connection.name} does not stop the target",
                        hint="QEMU's user-mode stub can't, nor gdbserver a process that leads no group: say where to "
                        "stop, with until= or --until",
                    )
                self.tell_program()
                self.idle()
                if not self._running:
                    self._go_on()
                continue
            if error := error_of(answer):
                raise TargetError(f"the target at {self._connection.name} does not run: the stub answers {error}")
            reply = stop_reply(answer)
            if isinstance(reply, Output):
                self._output(reply.data)
            else:
                return reply


def _with_signal(letter: bytes, signal: int) -> bytes:
    return b"%c%02x" % (letter.upper(), signal) if signal else letter
