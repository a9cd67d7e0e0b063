"""What the stops of a program behind a stub mean: which end a run, and which are only on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from armprobe.errors import TargetLost
from armprobe.targets.base import Stop, StopReason
from armprobe.targets.connection import Connection
from armprobe.targets.processevents import ProcessEvents
from armprobe.targets.remoterun import RemoteRun
from armprobe.targets.remotethreads import RemoteThreads
from armprobe.targets.rsp import StopKind, StopReply
from armprobe.targets.signals import linux_signal

if TYPE_CHECKING:
    from armprobe.targets.processtimer import ProcessTimer

_INTERRUPT_SIGNAL, TRAP_SIGNAL, _FIRST_REAL_TIME = 2, 5, 45
#: signals, in GDB's numbering, that stand for a fault of the program: kind of access, and what happened
_FAULTS = {
    4: ("undefined", "undefined instruction"),
    7: ("", "emulation trap"),
    8: ("", "arithmetic exception"),
    10: ("", "bus error"),
    11: ("", "bad address"),
}


class RemoteStops:
    """Lets the program go on and takes its stops; `process`: it is one of an operating system."""

    def __init__(
        self,
        connection: Connection,
        threads: RemoteThreads,
        runner: RemoteRun,
        *,
        process: bool,
        forget: Callable[[], object],
    ) -> None:
        """`forget` is called before the program goes on: what was known of its memory may change."""
        self._connection = connection
        self._threads = threads
        self._runner = runner
        self._process = process
        self._forget = forget
        #: what the last stop was for, besides its signal
        self.reasons: dict[str, str] = {}
        #: what a server of processes tells besides, once it was asked to
        self.events: ProcessEvents | None = None
        #: what stops a process from time to time
        self.timer: ProcessTimer | None = None
        #: where a process sees a fault at PC
        self.fault_place: Callable[[int], int] = lambda pc: pc
        self._last_fault = (0, 0)
        #: what a process stops with when it is interrupted
        self._stop_signal = _INTERRUPT_SIGNAL

    def go(self, pc: int, *, step: bool, only: bool = False, withholding: bool = False) -> Stop | None:
        """Let the target run, or one thread take a step, and wait; the stop that ends the run for sure, or None.

        `withholding`: the program gets its signals later, but for what may be a fault of its own.
        """
        self._forget()
        while True:
            if self.timer is not None:
                self.timer.attend(heed=not (step or only))
            reply = self._runner.resume(step=step, only=only)
            taken = self.events is not None and self.events.take(reply)
            if isinstance(taken, Stop):
                return taken
            if taken:
                self._runner.signal = 0
                continue
            if reply.kind is not StopKind.STOPPED:
                return self._end(reply, pc)
            self._threads.stopped(reply.thread)
            self._runner.signal = 0
            if self.timer is not None and self.timer.sent(reply.code):
                if self.timer.ending:
                    continue
                if not (step or only):
                    self.timer.slow_down()
                if self._runner.stopping:
                    return None
                continue
            if not self._process:
                # What has stopped already does so no second time; a process gets a signal, which waits.
                self._runner.sent = 0
            if self.timer is not None:
                self.timer.disturbed()
            if reply.code == TRAP_SIGNAL:
                self.reasons = reply.reasons
                return None
            if reply.code == 0 or (reply.code == _INTERRUPT_SIGNAL and not self._process):
                # Ours, or that of somebody who holds the emulator's monitor.
                self._runner.stopping = True
                return None
            if self._process and reply.code == self._stop_signal and self._runner.sent:
                # Signals of real time queue up, others do not.
                self._runner.sent = self._runner.sent - 1 if reply.code >= _FIRST_REAL_TIME else 0
                if self._runner.stopping:
                    return None
                continue
            # The program's own signal: it gets it when it goes on.
            self._runner.signal = reply.code
            if self._process:
                if withholding and reply.code not in _FAULTS:
                    self._runner.withheld.add(self._threads.current, reply.code)
                    self._runner.signal = 0
                elif reply.code in _FAULTS:
                    self._show_fault(reply.code)
                elif reply.code == _INTERRUPT_SIGNAL:
                    self._runner.was_for_program()
                if self.events is not None:
                    self.events.before_signal(reply.code)
                continue
            if reply.code in _FAULTS:
                at = self._threads.read_registers().pc
                access, message = _FAULTS[reply.code]
                return Stop(StopReason.FAULT, at, address=at, access=access, message=message)

    def learn_stop_signal(self, place: int) -> None:
        """Find out which signal an interrupted process stops with. At `place` there is an endless loop."""
        saved = self._threads.read_registers()
        registers = saved.copy()
        registers.pc = place
        self._threads.write_registers(None, registers)
        self._runner.stopping = True
        reply = self._runner.resume(only=True)
        self._runner.stopping = False
        while reply.kind is StopKind.STOPPED and reply.code < _FIRST_REAL_TIME:
            self._runner.signal = reply.code
            reply = self._runner.resume(only=True)
        if reply.kind is not StopKind.STOPPED:
            raise TargetLost(
                f"the target at {self._connection.name} ended before its start: {self._end(reply, place).message}"
            )
        self._runner.signal = self._runner.sent = 0
        self._stop_signal = reply.code
        self._threads.write_registers(None, saved)

    def _show_fault(self, signal: int) -> None:
        """Let the process see its fault where the program would have had it."""
        registers = self._threads.read_registers()
        place = self.fault_place(registers.pc)
        if place != registers.pc:
            registers.pc = place
            self._threads.write_registers(None, registers)
        self._last_fault = signal, place

    def _end(self, reply: StopReply, pc: int) -> Stop:
        self._connection.lose(
            f"the program behind {self._connection.name} ended, and its memory went with it",
            hint="stop before its end: until=..., or --until LOCATION",
        )
        if reply.kind is StopKind.EXITED:
            return Stop(StopReason.EXIT, pc, exit_code=reply.code, gone=True)
        number, name = linux_signal(reply.code)
        if reply.code == self._last_fault[0]:
            pc = self._last_fault[1]
        return Stop(StopReason.EXIT, pc, message=f"was ended by {name}", signal=number, gone=True)
