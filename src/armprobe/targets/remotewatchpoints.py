"""Watchpoints that a GDB stub sets by itself: Z2, Z3, Z4.

On ARM a stop is in front of the access, with the watchpoint in the way of it (GDB: `have_nonsteppable_watchpoint` in
arm-tdep.c; QEMU: `gdb_stop_before_watchpoint`). So it is taken away for one step of the thread that stopped; all others
stand still meanwhile, and no access is missed. Where an interrupt is taken instead of the step, the access is still to
come: the program goes on, with the watchpoint in its way again. Where one comes each time, it waits for the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from armprobe.errors import UsageError
from armprobe.targets.base import CPSR_T, Stop
from armprobe.targets.capabilities import Access
from armprobe.targets.remotebreakpoints import RemoteBreakpoints
from armprobe.targets.remotethreads import RemoteThreads
from armprobe.targets.stepping import mask_interrupts, unmask_interrupts, was_executed

_KINDS = {Access.WRITE: b"2", Access.READ: b"3", Access.ANY: b"4"}
#: what a stop reply names them (GDB manual, "Stop Reply Packets")
_REASONS = ("watch", "rwatch", "awatch")


class _Watched(NamedTuple):
    address: int
    size: int
    kind: bytes
    handler: Callable[[], object]


class RemoteWatchpoints:
    """The watchpoints at one stub: a `Watchpoints`."""

    def __init__(
        self,
        breakpoints: RemoteBreakpoints,
        threads: RemoteThreads,
        read_memory: Callable[[int, int], bytes],
        *,
        masks: bool,
    ) -> None:
        """`masks`: whether interrupts may be masked by CPSR, which is not for processes."""
        self._breakpoints = breakpoints
        self._threads = threads
        self._read_memory = read_memory
        self._masks = masks
        #: where an access was not made as something else came, the last time
        self._put_off: int | None = None
        self._watched: dict[int, _Watched] = {}

    def insert(self, address: int, size: int, access: Access, handler: Callable[[], object]) -> None:
        if address in self._breakpoints:
            raise UsageError(f"0x{address:08x} is watched already, or has a breakpoint")
        watched = _Watched(address, size, _KINDS[access], handler)
        self._breakpoints.watch(address, size, watched.kind)
        self._watched[address] = watched

    def remove(self, address: int) -> None:
        self._breakpoints.remove([address])
        self._watched.pop(address, None)

    def find(self, reasons: Mapping[str, str]) -> _Watched | None:
        """The watchpoint of ours that a stop reply names."""
        place = next((reasons[name] for name in _REASONS if name in reasons), "")
        try:
            accessed = int(place, 16)
        except ValueError:
            return None
        return next(
            (each for each in self._watched.values() if each.address <= accessed < each.address + each.size), None
        )

    def take(self, watched: _Watched, step: Callable[[], Stop | None]) -> Stop | None:
        """Let the access be made, by `step`, and call the handler; a stop that ends the run comes instead.

        The handler is not called when something came instead of the access, which is to be met once more then.
        """
        before = self._threads.read_registers()
        word = None if before.cpsr & CPSR_T else int.from_bytes(self._read_memory(before.pc, 4), "little")
        masked = self._masks and self._put_off == before.pc and mask_interrupts(waiting := before.copy(), word)
        if masked:
            self._threads.write_registers(None, waiting)
        self._breakpoints.remove([watched.address])
        stop = step()
        if stop is not None and stop.gone:
            return stop
        self._breakpoints.watch(watched.address, watched.size, watched.kind)
        after = self._threads.read_registers()
        if masked:
            unmask_interrupts(before, after, word)
            self._threads.write_registers(None, after)
        if stop is not None:
            return stop
        executed = was_executed(before, after, word)
        self._put_off = None if executed else before.pc
        if executed:
            watched.handler()
        return None
