"""The program as it would be without probes: its memory, its names, its functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from armprobe.errors import Refused, TargetError, TargetFault, UsageError
from armprobe.patching.slots import Slot, SlotAllocator
from armprobe.probes.site import Site
from armprobe.targets.base import StopReason, Target, TrapHandler, read_all
from armprobe.targets.journal import Call, CallEnded, note

if TYPE_CHECKING:
    from armprobe.symbols.dwarf.scopes import Scope

_IN_REGISTERS = 4  # arguments of a function, in words (AAPCS 6.4)


class CodeMap(Protocol):
    """What symbols tell about addresses. `armprobe.symbols` has one."""

    def describe(self, address: int) -> str:
        """`name+0x10`, or the address."""

    def function_bounds(self, address: int) -> tuple[int, int] | None:
        """The [start, end) of the function around `address`, if that is known."""

    def scope(self, address: int) -> Scope | None:
        """The names that debug information knows at an instruction; None where it knows nothing of it."""

    def is_code(self, address: int) -> bool | None:
        """Whether mapping symbols say that there is A32 code; None when they say nothing."""

    def may_change(self, address: int) -> bool:
        """Whether the program rewrites the instruction there while it runs."""

    def refusal(self, address: int) -> str:
        """Why the place takes no probe, to complete "ADDRESS is ..."; "" when nothing is known against it."""


class Program:
    """The program that runs on `target`, seen past the probes of `sites`."""

    def __init__(
        self, target: Target, sites: Mapping[int, Site], slots: SlotAllocator, code_map: CodeMap | None
    ) -> None:
        self._target = target
        self._sites = sites
        self._slots = slots
        self._code_map = code_map
        #: how many functions have been called
        self.calls = 0
        #: where called functions return to; nothing is executed there
        self._return_slot: Slot | None = None

    def describe(self, address: int) -> str:
        """`name+0x10`, or the address where there is no symbol."""
        return self._code_map.describe(address) if self._code_map is not None else f"0x{address:08x}"

    def scope(self, address: int) -> Scope | None:
        """The names that debug information knows at an instruction; None where it knows nothing of it."""
        return self._code_map.scope(address) if self._code_map is not None else None

    def read_memory(self, address: int, size: int) -> bytes:
        """Memory without what probes changed. Raises TargetFault."""
        return self._without_probes(address, self._target.read_memory(address, size))

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read (address, size) ranges, together where the target can. Raises TargetFault when any can't be read."""
        found = read_all(self._target, ranges)
        return [self._without_probes(address, data) for (address, _), data in zip(ranges, found, strict=True)]

    def read_possible(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Read ranges; None stands for one that can't be read."""
        try:
            return list(self.read_many(ranges))
        except TargetFault:
            if len(ranges) == 1:
                return [None]
            return [found for part in ranges for found in self.read_possible([part])]

    def _without_probes(self, address: int, found: bytes) -> bytes:
        data = bytearray(found)
        for site in self._sites_in(address, len(data)):
            for offset, byte in enumerate(site.original):
                if 0 <= site.address + offset - address < len(data):
                    data[site.address + offset - address] = byte
        return bytes(data)

    def write_memory(self, address: int, data: bytes) -> None:
        """Write data or code, and make code visible to fetch. Raises Refused where armprobe keeps or changed code."""
        span = f"0x{address:08x} to 0x{address + len(data) - 1:08x}"
        for site in self._sites_in(address, len(data)):
            raise Refused(
                f"{span} holds a probe at {self.describe(site.address)}",
                hint="unregister it before you change the code under it",
            )
        if address in self._slots or address + len(data) - 1 in self._slots:
            raise Refused(f"{span} holds a slot of armprobe")
        self._target.write_memory(address, data)
        if self._target.code_sync is not None:
            self._target.code_sync.synchronize([(address, address + len(data))])

    def call(
        self, function: int, arguments: Sequence[int], on_trap: TrapHandler, *, returns_to: int | None = None
    ) -> int:
        """Call a function with up to four words and return its r0; registers are as before.

        `returns_to` is where it comes back to; None: to memory where there is no code. Raises TargetError when the call
        does not come back.
        """
        if len(arguments) > _IN_REGISTERS:
            raise UsageError(f"a function is called with at most 4 words in registers, not {len(arguments)}")
        if returns_to is None:
            self._return_slot = self._return_slot or self._slots.allocate(4)
            returns_to = self._return_slot.address
        self.calls += 1
        saved = self._target.read_registers()
        regs = saved.copy()
        regs.values[: len(arguments)] = [argument & 0xFFFFFFFF for argument in arguments]
        regs.sp = saved.sp & ~7
        regs.lr = returns_to
        regs.pc = function
        note(self._target.journal, Call(function, tuple(saved.values), saved.cpsr, regs.sp, regs.lr))
        result = 0
        self._target.write_registers(regs)
        try:
            stop = self._target.run(on_trap, until=returns_to)
            if stop.reason is not StopReason.ADDRESS:
                raise TargetError(f"the call of {self.describe(function)} did not come back: {stop.reason.value}")
            result = self._target.read_registers().r0
            return result
        finally:
            self._target.write_registers(saved)
            note(self._target.journal, CallEnded(result))

    def _sites_in(self, address: int, size: int) -> list[Site]:
        if size > 4 * len(self._sites):
            return [site for site in self._sites.values() if address - 8 < site.address < address + size]
        found = (self._sites.get(place) for place in range((address & ~3) - 4, address + size, 4))
        return [site for site in found if site is not None and site.address + len(site.original) > address]
