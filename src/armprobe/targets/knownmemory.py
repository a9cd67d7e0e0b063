"""What is known of the memory behind a GDB stub, and access to it.

Memory maps come from the stub itself (flash and ROM for sure, RAM not from OpenOCD), from QEMU's monitor, or from the
user, who knows best where neither tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from armprobe.errors import TargetError, TargetFault, TargetLost, UsageError
from armprobe.targets.base import Region
from armprobe.targets.capabilities import AskedProcessor
from armprobe.targets.connection import Connection
from armprobe.targets.emulatorcopies import WORTH, EmulatorCopies
from armprobe.targets.machinememory import NOT_SEEN, MachineMemory
from armprobe.targets.remotememory import RemoteMemory
from armprobe.targets.remotemonitor import execute_command
from armprobe.targets.rspxml import Register
from armprobe.targets.spans import without

#: stands for memory that nobody knows of: compiled handlers read none of it
EVERYWHERE = Region(0, 1 << 32, readable=False, name="unknown")
_WORD = 4
#: bytes that can be searched: 40 s through a debug probe that reads 100 KiB a second; a second where QEMU copies them
_SEARCHED, _SEARCHED_COPIES = 4 << 20, 1 << 30


class KnownMemory:
    """Reads and writes by `memory`; `told` is the stub's own memory map, empty where it has none."""

    def __init__(self, connection: Connection, memory: RemoteMemory, told: Sequence[Region]) -> None:
        self._connection = connection
        self._memory = memory
        self._told = tuple(told)
        self._stated: tuple[Region, ...] = ()
        self._machine: MachineMemory | None = None
        self._copies: EmulatorCopies | None = None
        #: why no memory is known, where none is
        self._unknown = f"the stub at {connection.name} does not say what memory there is"

    def ask_emulator(self, registers: Mapping[str, Register], architecture: int) -> None:
        """Learn from QEMU what memory its machine has, where the stub is that of QEMU and has no map itself."""
        if self._told:
            return
        try:
            self._machine = MachineMemory.find(
                self._connection, registers, architecture=architecture, read=self._memory.read_many
            )
        except TargetLost:
            raise
        except TargetError as error:
            self._unknown = error.message
        if self._machine is not None:
            self._copies = EmulatorCopies(
                lambda command: execute_command(self._connection, command), self._memory.read_many
            )

    def state(self, regions: Sequence[Region]) -> None:
        """Take the user's word for it that these regions are memory, and all the RAM in which the program keeps data.

        Raises UsageError where that makes no sense, can't be read, or contradicts what the stub or QEMU tells.
        """
        for region in regions:
            if region.start % _WORD or region.end % _WORD or not region.start < region.end <= 1 << 32:
                raise UsageError(
                    f"memory {_range(region)} is no START below END, both multiples of 4",
                    hint="for example 0x20000000:0x20020000",
                )
        for before, region in pairwise(sorted(regions, key=lambda each: each.start)):
            if region.start < before.end:
                raise UsageError(f"memory {_range(before)} and {_range(region)} overlap", hint="state each byte once")
        for region in regions:
            self._check_known(region)
            try:
                self.read_many([(region.start, _WORD), (region.end - _WORD, _WORD)])
            except TargetFault as error:
                raise UsageError(
                    f"memory {_range(region)} can't be read as a whole: {error.message}",
                    hint="state memory that is there, and as far as it goes",
                ) from None
        self._stated = tuple(regions)

    def _check_known(self, region: Region) -> None:
        span = (region.start, region.end)
        if self._machine is not None:
            known = self._machine.regions
            memory = [(r.start, r.end) for r in known or () if r.readable and (r.writable or not region.writable)]
            for start, end in without([span], memory) if known is not None else ():
                there = self._machine.at(start)
                raise UsageError(
                    f"memory {_range(region)} is not what QEMU says of 0x{start:08x}..0x{end:08x}: {there} is there",
                    hint="QEMU tells which memory there is: leave it out",
                )
        for told in self._told:
            if (
                region.writable
                and (told.readable, told.writable) == (True, False)
                and without([span], [(told.start, told.end)]) != [span]
            ):
                raise UsageError(
                    f"memory {_range(region)} is not what the stub says: {told.name} is at {_range(told)}",
                    hint=f"say {_range(region)}:ro, or leave it out",
                )

    @property
    def regions(self) -> tuple[Region, ...]:
        """The memory that is known; what nobody knows of is not readable, and called unknown."""
        seen = None if self._machine is None else self._machine.regions
        if seen is not None:
            return seen
        known = [region for region in self._told if region.readable or not self._stated]
        spans = [(region.start, region.end) for region in known]
        known += [
            replace(region, start=start, end=end)
            for region in self._stated
            for start, end in without([(region.start, region.end)], spans)
        ]
        if self._stated and not self._whole:
            rest = without([(EVERYWHERE.start, EVERYWHERE.end)], [(region.start, region.end) for region in known])
            known += [replace(EVERYWHERE, start=start, end=end, writable=False) for start, end in rest]
        return tuple(known) or (EVERYWHERE,)

    @property
    def _whole(self) -> bool:
        """Whether the stub's own map has all that there is: OpenOCD calls everything RAM that is no flash."""
        return bool(self._told) and all(region.readable for region in self._told)

    @property
    def translation(self) -> AskedProcessor | None:
        """How handlers find out what they can read; None where they read what is known, or nothing: `no_memory`."""
        return None if self._machine is None else self._machine.translation

    @property
    def no_memory(self) -> str:
        """Why handlers read no memory; empty where they do."""
        if self._machine is not None:
            return self._machine.no_memory
        if any(region.readable for region in self.regions):
            return ""
        return self._unknown

    @property
    def vectors(self) -> tuple[int, ...]:
        """See `Target.vectors`."""
        return () if self._machine is None else self._machine.vectors

    @property
    def searchable(self) -> int:
        """How many bytes can be searched in a while that people wait."""
        region = max(self.regions, key=lambda each: each.end - each.start if each.readable else 0)
        copied = region.readable and region.end - region.start >= WORTH and self._copy(region.start, WORTH) is not None
        return _SEARCHED_COPIES if copied else _SEARCHED

    def forget(self) -> None:
        """The program ran."""
        if self._machine is not None:
            self._machine.forget()

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read (address, size) ranges. Raises TargetFault."""
        copies = {part: self._copy(*part) for part in ranges if part[1] >= WORTH}
        found = iter(self._memory.read_many([part for part in ranges if copies.get(part) is None]))
        return [copies.get(part) or next(found) for part in ranges]

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write (address, data) pairs. Raises TargetFault; of what takes several packets, what was taken then stays."""
        for address, data in writes:
            if not self._is_mapped(address, len(data)):
                raise TargetFault(
                    f"cannot write {len(data)} bytes at 0x{address:08x}: not all of it is mapped",
                    address=address,
                    size=len(data),
                )
        self._memory.write_many(writes)

    def _is_mapped(self, address: int, size: int) -> bool:
        """Whether that may be written, by the map of the stub or of QEMU, which says so also where nothing is."""
        if self._machine is None:
            return not self._told or _covers(self._told, address, size)
        if _covers(self._machine.seen_last, address, size):
            return True
        seen = self._machine.regions
        return seen is None or _covers(seen, address, size)

    def _copy(self, address: int, size: int) -> bytes | None:
        """What the emulator copied of physical memory; None where it does not, or the memory is not in one piece."""
        if self._machine is None or self._copies is None:
            return None
        physical = self._machine.physical(address, size)
        return None if physical is None else self._copies.read(physical, size, seen_at=address)


def _covers(regions: Sequence[Region], address: int, size: int) -> bool:
    spans = [(region.start, region.end) for region in regions if region.name != NOT_SEEN]
    return not without([(address, address + size)], spans)


def _range(region: Region) -> str:
    return f"0x{region.start:08x}:0x{region.end:08x}"
