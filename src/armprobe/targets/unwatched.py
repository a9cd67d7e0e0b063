"""A process that runs without its stub: QEMU's can't follow several threads, as they all talk to the debugger at once.

So a program whose probes need no stop is let go before it starts a second thread: the stub, which waits for a request,
finds the connection at its end, and lets the program run for good. Counters and records are in memory that it shares
with us; its end is that of a child process.
"""

from __future__ import annotations

from collections.abc import Callable

from armprobe.targets.base import Stop, StopReason
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.interrupt import heed_interrupt
from armprobe.targets.signals import signal_name
from armprobe.targets.useremulator import UserEmulator


def let_go(stub: GdbRemoteTarget, emulator: UserEmulator) -> None:
    """Let the process run on without its stub, from its registers as they are now. No trap of ours is left.

    All of the stub's ends here, while it stands still: at a signal later, it would take that for answered.
    """
    stub.own_breakpoints.clear()
    stub.push_registers()
    emulator.connection.hang_up()


def await_end(
    emulator: UserEmulator,
    stub: GdbRemoteTarget,
    look: Callable[[], bool],
    *,
    every: float,
    sleep: Callable[[float], object] | None = None,
) -> Stop | None:
    """Wait for the end of a process without a stub, and `look` from time to time; Ctrl-C twice ends it.

    `sleep` sleeps for `every` seconds, or less when there is something to look at. None: the run ends, as `look` says
    by True, and the process goes on.
    """
    with heed_interrupt(stub.runner.interrupted):
        while not emulator.process.wait(seconds=every if sleep is None else 0):
            if sleep is not None:
                sleep(every)
            if look():
                return None
            stub.runner.tell_program()
            if stub.runner.stopping:
                emulator.process.kill()
                return Stop(StopReason.INTERRUPT, 0, gone=True)
    code = emulator.process.returncode or 0
    if code < 0:
        return Stop(StopReason.EXIT, 0, message=f"was ended by {signal_name(-code)}", signal=-code, gone=True)
    return Stop(StopReason.EXIT, 0, exit_code=code, gone=True)
