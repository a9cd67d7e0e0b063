"""The memory of a Unicorn engine: what is mapped where, room for slots, and when changed code is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from armprobe.errors import TargetFault, UsageError
from armprobe.targets.base import Region
from armprobe.targets.instructionclock import InstructionClock
from armprobe.targets.machine import PAGE, Mapping, find_gap

#: the most that an allocation takes with what lies before it, and the steps in which offsets are tried, in bytes
_FARTHEST, _STRIDE = 16 << 20, 1 << 16
#: from how many bytes in use on more is mapped than is asked for, and how much more at most
_MUCH, _MOST_MORE = 1 << 18, 1 << 21


class EmulatedMemory:
    """Memory and devices of `engine`; also its `CodeSync` and its `ExecutableMemory`."""

    def __init__(self, engine: Any, *, error: type[Exception], on_failure: Callable[[BaseException], None]) -> None:
        """`error` is the exception that the engine raises; `on_failure` gets those that devices raise."""
        self._engine = engine
        self._error = error
        self._on_failure = on_failure
        self._regions: list[Region] = []
        self._devices: list[Region] = []
        #: (address, size) of what was allocated -> the region that it is in
        self._allocations: dict[tuple[int, int], Region] = {}
        #: regions that have more than was asked for -> where that begins
        self._more: dict[Region, int] = {}
        self._given: tuple[tuple[int, int], ...] = ()
        #: the clock, once there is one
        self.clock: InstructionClock | None = None

    @property
    def regions(self) -> Sequence[Region]:
        """The memory, without devices, in order of address."""
        return sorted(self._regions, key=lambda region: region.start)

    def map(self, region: Region) -> None:
        """Add zeroed memory. Raises UsageError unless it is whole pages where nothing is yet."""
        self._check_free(region)
        permissions = region.readable | region.writable << 1 | region.executable << 2
        self._engine.mem_map(region.start, region.end - region.start, permissions)
        self._regions.append(region)

    def map_device(self, mapping: Mapping) -> None:
        """Add a device. Raises UsageError as `map` does."""
        region, device = mapping.region, mapping.device
        self._check_free(region)

        def read(_uc: object, offset: int, size: int, _data: object) -> int:
            try:
                return device.read(offset, size)
            except BaseException as error:  # noqa: BLE001 - must not get lost in C code
                self._on_failure(error)
                return 0

        def write(_uc: object, offset: int, size: int, value: int, _data: object) -> None:
            try:
                device.write(offset, size, value)
            except BaseException as error:  # noqa: BLE001 - must not get lost in C code
                self._on_failure(error)

        self._engine.mmio_map(region.start, region.end - region.start, read, None, write, None)
        self._devices.append(region)

    def read(self, address: int, size: int) -> bytes:
        """Raises TargetFault for what is not memory: reading a device would change it."""
        if not self._device_at(address, size):
            try:
                return bytes(self._engine.mem_read(address, size))
            except self._error:
                pass
        raise self._fault("read", address, size)

    def write(self, address: int, data: bytes) -> None:
        """Raises TargetFault for what is not memory; then nothing is written."""
        if not self._device_at(address, len(data)):
            try:
                self._engine.mem_write(address, bytes(data))
            except self._error:
                pass
            else:
                return
        raise self._fault("write", address, len(data))

    def synchronize(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Forget the translations of [start, end) ranges; until then the engine runs what it translated before."""
        for start, end in ranges:
            if start < end:  # Unicorn refuses an empty range
                self._engine.ctl_remove_cache(start, end)

    def allocate(self, size: int, low: int, high: int) -> int:
        """Map `size` new bytes within [low, high), where there is neither memory nor a device.

        Unicorn (2.1.4) knows a page of code by its offset in its region: a store throws away what was translated at the
        same offset of every other region, which makes a loop over both a hundred times slower. So the allocation is
        the end of a larger region, at an offset that no other memory in use has. As each of these regions is larger
        than all before, many of them would soon fill the address space: where much is in use, one has room for more.
        """
        if size <= 0 or size % PAGE:
            raise UsageError(f"memory for slots comes in multiples of {PAGE} bytes, not {size}")
        for region, begin in self._more.items():
            if low <= begin and begin + size <= min(region.end, high):
                self._more[region] = begin + size
                self._allocations[begin, size] = region
                return begin
        start = self.find_gap(size, low=low, high=high)
        offset = next((offset for offset in self._quiet_offsets(size) if self._fits(start, offset + size, high)), 0)
        used = sum(known for _, known in self._allocations)
        more = min(used, _MOST_MORE) & -PAGE if used >= _MUCH else 0
        if not self._fits(start, offset + size + more, high):
            more = 0
        place = start + offset
        region = Region(start, place + size + more, name="slots")
        self.map(region)
        self._allocations[place, size] = region
        if more:
            self._more[region] = place + size
        self._tell_clock()
        return place

    def _quiet_offsets(self, size: int) -> Iterator[int]:
        """Offsets beyond all regions, or else where no region holds anything yet, nearest first."""
        beyond = max((region.end - region.start for region in self._regions), default=0)
        yield beyond
        for offset in range(0, min(beyond, _FARTHEST), _STRIDE):
            parts = [(region.start + offset, min(region.start + offset + size, region.end)) for region in self._regions]
            if not any(self._engine.mem_read(start, end - start).strip(b"\0") for start, end in parts if start < end):
                yield offset

    def _fits(self, start: int, size: int, high: int) -> bool:
        """Whether `size` bytes from `start` on are free, below `high`, and not more than is mapped lightly."""
        end = start + size
        if size > _FARTHEST or end > high & -PAGE:
            return False
        return not any(start < region.end and region.start < end for region in (*self._regions, *self._devices))

    def free(self, address: int, size: int) -> None:
        """Unmap an allocation, with the last one in its region. Raises UsageError when it is none."""
        region = self._allocations.pop((address, size), None)
        if region is None:
            raise UsageError(f"0x{address:08x}, {size} bytes, is no allocation")
        self.synchronize([(address, address + size)])
        if region in self._allocations.values():
            return
        self._more.pop(region, None)
        self._engine.mem_unmap(region.start, region.end - region.start)
        self._regions.remove(region)
        self._tell_clock()

    def give(self, regions: Iterable[Region]) -> None:
        """Take it that these regions hold slots, though they are the program's memory."""
        self._given = tuple((region.start, region.end) for region in regions)

    def start_clock(self, binding: Any, *, at_site: bool) -> InstructionClock:
        """Count instructions from now on, but for those in slots. See `InstructionClock`."""
        address = self.find_gap(PAGE, low=0)
        self.clock = InstructionClock(self._engine, binding, address=address, at_site=at_site)
        self._devices.append(Region(address, address + PAGE, writable=False, executable=False, name="clock"))
        self._tell_clock()
        return self.clock

    def _tell_clock(self) -> None:
        if self.clock is not None:
            allocated = {(region.start, region.end) for region in self._allocations.values()}
            self.clock.leave_out([*self._given, *sorted(allocated)])

    def find_gap(self, size: int, *, low: int, high: int = 1 << 32) -> int:
        """The lowest address of `size` bytes within [low, high) where nothing is. Raises Refused."""
        return find_gap([*self._regions, *self._devices], size, low=low, high=high)

    def _check_free(self, region: Region) -> None:
        span = f"0x{region.start:08x}..0x{region.end:08x}"
        if region.start % PAGE or region.end % PAGE or not 0 <= region.start < region.end <= 1 << 32:
            raise UsageError(f"memory comes in pages of {PAGE} bytes within 32 bits, which {span} is not")
        for other in (*self._regions, *self._devices):
            if region.start < other.end and other.start < region.end:
                name = other.name or "memory"
                raise UsageError(f"{span} overlaps {name} at 0x{other.start:08x}..0x{other.end:08x}")

    def _device_at(self, address: int, size: int) -> Region | None:
        for region in self._devices:
            if address < region.end and region.start < address + size:
                return region
        return None

    def _fault(self, access: str, address: int, size: int) -> TargetFault:
        device = self._device_at(address, size)
        why = f"that is a device, {device.name}" if device else "not all of it is mapped"
        return TargetFault(f"cannot {access} {size} bytes at 0x{address:08x}: {why}", address=address, size=size)
