"""A target that is nothing but memory, for tests of what patches it.

It models the one thing that patching can get wrong and that an emulator hides: instruction fetch sees what was written
only after it was synchronised. It executes B (always) and the trap; every other word passes as an instruction without
effect, except words whose bits 27:20 are 0x7f, which fault as undefined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from armprobe.errors import TargetFault, UsageError
from armprobe.targets.base import Region, Registers, Stop, StopReason, TrapHandler
from armprobe.targets.machine import PAGE, find_gap

TRAP = 0xE1200070  # BKPT #0


class FakeTarget:
    """Memory and one set of registers: a `Target` with code_sync and executable_memory."""

    name = "fake"
    architecture = 7
    trap = TRAP
    concurrent = False
    own_faults = shared_memory = mailbox = None
    no_mailbox = ""
    threads = None
    breakpoints = None
    watchpoints = None
    bulk = None
    journal = None
    clock = None
    no_clock = "it is nothing but memory"
    processors = None
    task = None
    no_task = "it is nothing but memory"
    translation = None
    no_memory = ""
    vectors = ()

    def __init__(self, words: Iterable[int] = (), *, base: int = 0x8000) -> None:
        """Make one region with these words at `base`, a multiple of 4096, visible to fetch; pc is at the first."""
        content = b"".join(word.to_bytes(4, "little") for word in words)
        self._data: dict[Region, bytearray] = {}
        self._fetched: dict[Region, bytearray] = {}
        self._registers = Registers([0] * 15 + [base], 0x13)
        self._stopping = False
        self.map_memory(Region(base, base + (len(content) + PAGE) // PAGE * PAGE))
        self.write_memory(base, content)
        self.synchronize([(base, base + len(content))])

    def map_memory(self, region: Region) -> None:
        """Add zeroed memory."""
        self._data[region] = bytearray(region.end - region.start)
        self._fetched[region] = bytearray(region.end - region.start)

    @property
    def regions(self) -> Sequence[Region]:
        return sorted(self._data, key=lambda region: region.start)

    def read_memory(self, address: int, size: int) -> bytes:
        region = self._region("read", address, size)
        return bytes(self._data[region][address - region.start :][:size])

    def write_memory(self, address: int, data: bytes) -> None:
        region = self._region("write", address, len(data))
        start = address - region.start
        self._data[region][start : start + len(data)] = data

    def fetch(self, address: int) -> int:
        """The word that instruction fetch sees at `address`."""
        region = self._region("fetch", address, 4)
        return int.from_bytes(self._fetched[region][address - region.start :][:4], "little")

    def read_registers(self) -> Registers:
        return self._registers.copy()

    def write_registers(self, registers: Registers) -> None:
        self._registers = registers.copy()

    def run(self, on_trap: TrapHandler, *, until: int | None = None, limit: int | None = None) -> Stop:
        self._stopping = False
        executed = 0
        while not self._stopping:
            pc = self._registers.pc
            if pc == until:
                return Stop(StopReason.ADDRESS, pc)
            if limit is not None and executed == limit:
                return Stop(StopReason.LIMIT, pc)
            executed += 1
            try:
                word = self.fetch(pc)
            except TargetFault as fault:
                return Stop(StopReason.FAULT, pc, address=pc, access="fetch", message=fault.message)
            if word == TRAP:
                if not on_trap(pc):
                    return Stop(StopReason.TRAP, pc)
            elif word >> 24 == 0xEA:
                self._registers.pc = pc + 8 + (((word & 0xFFFFFF) ^ 0x800000) - 0x800000) * 4
            elif word >> 20 & 0xFF == 0x7F:
                return Stop(StopReason.FAULT, pc, address=pc, access="undefined", message="undefined instruction")
            else:
                self._registers.pc = pc + 4
        return Stop(StopReason.INTERRUPT, self._registers.pc)

    def stop(self) -> None:
        self._stopping = True

    @property
    def code_sync(self) -> FakeTarget:
        return self

    def synchronize(self, ranges: Sequence[tuple[int, int]]) -> None:
        for start, end in ranges:
            region = self._region("fetch", start, end - start)
            first, last = start - region.start, end - region.start
            self._fetched[region][first:last] = self._data[region][first:last]

    @property
    def executable_memory(self) -> FakeTarget:
        return self

    def allocate(self, size: int, low: int, high: int) -> int:
        if size <= 0 or size % PAGE:
            raise UsageError(f"memory for slots comes in multiples of {PAGE} bytes, not {size}")
        address = find_gap(self._data, size, low=low, high=high)
        self.map_memory(Region(address, address + size, name="slots"))
        return address

    def free(self, address: int, size: int) -> None:
        region = Region(address, address + size, name="slots")
        if region not in self._data:
            raise UsageError(f"0x{address:08x}, {size} bytes, is no allocation")
        del self._data[region], self._fetched[region]

    def _region(self, access: str, address: int, size: int) -> Region:
        for region in self._data:
            if region.start <= address and address + size <= region.end:
                return region
        raise TargetFault(
            f"cannot {access} {size} bytes at 0x{address:08x}: not all of it is mapped", address=address, size=size
        )
