"""Watching data: a handler on the host runs after each access, whatever code made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from armprobe.errors import Refused, UsageError
from armprobe.probes.dispatch import call_handler
from armprobe.probes.stops import program_place
from armprobe.targets.base import Registers
from armprobe.targets.capabilities import Access

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine

_SIZES = (1, 2, 4, 8)
WatchHandler = Callable[["Accessed"], object]


class Accessed:
    """One access, as a handler sees it: the target stands behind the instruction that made it.

    `regs` are the registers then, `old` is what the data held at the last stop, `value` what it holds now.
    """

    __slots__ = ("_engine", "old", "regs", "value", "watch")

    def __init__(self, engine: Engine, watch: Watch, *, regs: Registers, old: int, value: int) -> None:
        self._engine = engine
        self.watch = watch
        self.regs = regs
        self.old = old
        self.value = value

    @property
    def symbol(self) -> str:
        """The place behind the instruction, as `name+0x10`."""
        return self._engine.program.describe(program_place(self._engine, self.regs.pc))

    def read(self, address: int, size: int) -> bytes:
        """Memory as the program would see it. Raises TargetFault."""
        return self._engine.program.read_memory(address, size)


class Watch:
    """A watchpoint of a session. `hits` counts the accesses; the registers of the target are the program's own."""

    def __init__(self, engine: Engine, address: int, size: int, access: Access, handler: WatchHandler) -> None:
        """Set it. Raises UsageError for an address that is no multiple of `size`, Refused where nothing can watch."""
        if size not in _SIZES or address % size:
            raise UsageError(
                f"1, 2, 4 or 8 bytes at a multiple of their number can be watched, not {size} at 0x{address:08x}"
            )
        if engine.target.watchpoints is None:
            raise Refused(
                f"{engine.target.name} has no watchpoints",
                hint="probe the code that makes the access, or run the program behind a GDB stub",
            )
        self.address, self.size, self.access = address, size, access
        self.hits = 0
        self._engine = engine
        self._handler = handler
        self._last = self._value()
        engine.target.watchpoints.insert(address, size, access, self._on_access)

    def remove(self) -> None:
        """Take it away. Raises TargetError when it stays."""
        assert self._engine.target.watchpoints is not None
        self._engine.target.watchpoints.remove(self.address)

    def _value(self) -> int:
        return int.from_bytes(self._engine.target.read_memory(self.address, self.size), "little")

    def _on_access(self) -> None:
        self.hits += 1
        old, self._last = self._last, self._value()
        regs = self._engine.target.read_registers()
        call_handler(self._handler, Accessed(self._engine, self, regs=regs, old=old, value=self._last))
