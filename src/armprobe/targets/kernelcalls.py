"""Calls of a kernel's own functions from outside: with the registers of a task that stands where it may sleep."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from armprobe.errors import Refused, TargetError, TargetLost
from armprobe.targets.base import StopReason, TrapHandler
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.journal import Call, CallEnded, note

#: where a task of Linux on ARM has interrupts enabled and holds no lock: the end of a system call, and the start of a
#: job that each kernel does once a second (arch/arm/kernel/entry-common.S, mm/vmstat.c)
SAFE_POINTS = ("ret_fast_syscall", "vmstat_shepherd")
#: where called functions return to: a breakpoint stops there, and a kernel that is well does not come there
RETURN = "panic"
_SUPERVISOR, _MODE, _INTERRUPTS_OFF = 0x13, 0x1F, 0x80
_IN_REGISTERS = 4
#: seconds to wait for a safe point, or for the end of a call; an emulator may be slow
PATIENCE = 30.0
_TRIES = 4


@dataclass(frozen=True, slots=True)
class KernelFunctions:
    """Functions of the kernel behind `stub`, by name."""

    stub: GdbRemoteTarget
    addresses: Mapping[str, int]

    def __contains__(self, name: str) -> bool:
        return name in self.addresses

    def call(self, name: str, arguments: Sequence[int] = (), *, on_trap: TrapHandler = lambda _pc: False) -> int:
        """Run the kernel to a safe point, call a function there, and return its r0; the task goes on as it was.

        All processors run meanwhile, and `on_trap` handles the traps they come to; what it raises is raised when the
        task is back. Raises Refused when the kernel has no such function, TargetError when it comes to no safe point,
        TargetLost when the function does not return.
        """
        assert len(arguments) <= _IN_REGISTERS
        function, back = self._address(name), self._address(RETURN)
        stub = self.stub
        raised: list[BaseException] = []

        def at_trap(pc: int) -> bool:
            try:
                return on_trap(pc)
            except BaseException as error:  # noqa: BLE001
                # A task that stands in the call cannot be left there.
                raised.append(error)
                return len(raised) < _TRIES

        places = [self.addresses[place] for place in SAFE_POINTS if place in self.addresses]
        if not places or not self._run_to(places, at_trap):
            raise TargetError(
                f"{stub.name} came to none of {', '.join(SAFE_POINTS)} in {PATIENCE:.0f} seconds, and "
                f"{name} can be called nowhere else",
                hint="let a program of the guest make a system call",
            )
        saved = stub.read_registers()
        if saved.cpsr & (_MODE | _INTERRUPTS_OFF) != _SUPERVISOR:
            raise TargetError(f"{name} cannot be called at 0x{saved.pc:08x}: interrupts are off (cpsr {saved.cpsr:#x})")
        registers = saved.copy()
        registers.values[: len(arguments)] = arguments
        registers.sp, registers.lr, registers.pc = saved.sp & ~7, back, function
        note(stub.journal, Call(function, tuple(saved.values), saved.cpsr, registers.sp, back))
        stub.write_registers(registers)
        if not any(self._run_to([back], at_trap) for _ in range(_TRIES)):
            raise TargetLost(
                f"{name} did not return, and a task of {stub.name} is left in it",
                hint="restart the guest",
            )
        after = stub.read_registers()
        if after.sp != registers.sp:
            raise TargetLost(f"{stub.name} came to {RETURN} by itself", hint="restart the guest")
        # The task may have slept, and be on another processor now.
        stub.write_registers(saved)
        stub.push_registers()
        note(stub.journal, CallEnded(after.r0))
        if raised:
            raise raised[0]
        return after.r0

    def _address(self, name: str) -> int:
        try:
            return self.addresses[name]
        except KeyError:
            raise Refused(f"{self.stub.name} has no kernel function {name}") from None

    def _run_to(self, addresses: Sequence[int], on_trap: TrapHandler) -> bool:
        """Run until one of the addresses is reached; False when that takes too long, or somebody stops it."""
        breakpoints = self.stub.breakpoints
        if breakpoints is None:
            raise Refused(f"the stub of {self.stub.name} sets no breakpoints")
        owner = object()
        clock = threading.Timer(PATIENCE, self.stub.stop)
        breakpoints.insert(addresses, owner=owner)
        clock.start()
        try:
            stop = self.stub.run(lambda pc: pc not in addresses and on_trap(pc))
        finally:
            clock.cancel()
            clock.join()
        if stop.gone:
            raise TargetLost(f"{self.stub.name} ended")
        breakpoints.remove(addresses, owner=owner)
        return stop.reason is StopReason.TRAP and stop.pc in addresses
