"""A process that runs without its stub: QEMU's can't follow several threads, as they all talk to the debugger at once.

So a program whose probes need no stop is let go before it starts a second thread: it takes the stub's connection away
by itself (dup2 of /dev/null) and goes on. Counters and records are in memory that it shares with us; its end is that of
a child process.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from armprobe.errors import TargetError
from armprobe.targets.base import Stop, StopReason
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.interrupt import heed_interrupt
from armprobe.targets.linuxcalls import DUP2, OPEN, SystemCalls
from armprobe.targets.signals import signal_name
from armprobe.targets.useremulator import SHARED_FILE, UserEmulator

_NOWHERE = b"/dev/null\0"
#: dup2(r0, r1); close(r4); then all registers from the stack, CPSR first; and the name of what r0 is
_CODE = struct.pack(
    "<7I",
    0xEF000000,  # svc   #0
    0xE1A00004,  # mov   r0, r4
    0xE3A07006,  # mov   r7, #6
    0xEF000000,  # svc   #0
    0xE49D0004,  # ldr   r0, [sp], #4
    0xE12CF000,  # msr   cpsr_fs, r0
    0xE8BDDFFF,  # ldm   sp!, {r0-r12, lr, pc}
)
LEAVE_CODE = _CODE + _NOWHERE
_O_RDWR = 2


def let_go(stub: GdbRemoteTarget, calls: SystemCalls, emulator: UserEmulator, *, place: int) -> None:
    """Have the process, when it goes on, take the connection away from its stub. No trap of ours may be left.

    At `place` stands LEAVE_CODE. Raises TargetError when the connection is not found.
    """
    nowhere = calls.call(OPEN, place + len(_CODE), _O_RDWR)
    stub.own_breakpoints.clear()
    registers = stub.read_registers()
    frame = struct.pack("<16I", registers.cpsr, *registers.values[:13], registers.lr, registers.pc)
    start = registers.sp - len(frame)
    stub.write_memory(start, frame)
    registers.values[:2], registers.r4, registers.r7 = [nowhere, _connection(emulator)], nowhere, DUP2
    registers.sp, registers.pc = start, place
    stub.write_registers(registers)


def await_end(
    emulator: UserEmulator,
    stub: GdbRemoteTarget,
    look: Callable[[], object],
    *,
    every: float,
    sleep: Callable[[float], object] | None = None,
) -> Stop:
    """Wait for the end of a process without a stub, and `look` from time to time; Ctrl-C twice ends it.

    `sleep` sleeps for `every` seconds, or less when there is something to look at.
    """
    with heed_interrupt(stub.runner.interrupted):
        while not emulator.process.wait(seconds=every if sleep is None else 0):
            if sleep is not None:
                sleep(every)
            look()
            stub.runner.tell_program()
            if stub.runner.stopping:
                emulator.process.kill()
                return Stop(StopReason.INTERRUPT, 0, gone=True)
    code = emulator.process.returncode or 0
    if code < 0:
        return Stop(StopReason.EXIT, 0, message=f"was ended by {signal_name(-code)}", signal=-code, gone=True)
    return Stop(StopReason.EXIT, 0, exit_code=code, gone=True)


def _connection(emulator: UserEmulator) -> int:
    """The stub's number of its connection: the last of its sockets above all files of the program."""
    files = [file for file in Path(f"/proc/{emulator.process.pid}/fd").iterdir() if int(file.name) > SHARED_FILE]
    found = [int(file.name) for file in files if str(file.readlink()).startswith("socket:")]
    if not found:
        raise TargetError(f"the connection of {emulator.name} to its stub is not found")
    return max(found)
