"""The memory of a Unicorn engine: what is mapped where, room for slots, and when changed code is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from armprobe.errors import TargetFault, UsageError
from armprobe.targets.base import Region
from armprobe.targets.machine import PAGE, Mapping, find_gap


class EmulatedMemory:
    """Memory and devices of `engine`; also its `CodeSync` and its `ExecutableMemory`."""

    def __init__(self, engine: Any, *, error: type[Exception], on_failure: Callable[[BaseException], None]) -> None:
        """`error` is the exception that the engine raises; `on_failure` gets those that devices raise."""
        self._engine = engine
        self._error = error
        self._on_failure = on_failure
        self._regions: list[Region] = []
        self._devices: list[Region] = []

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
        """Map `size` new bytes within [low, high), where there is neither memory nor a device."""
        if size <= 0 or size % PAGE:
            raise UsageError(f"memory for slots comes in multiples of {PAGE} bytes, not {size}")
        address = self.find_gap(size, low=low, high=high)
        self.map(Region(address, address + size, name="slots"))
        return address

    def free(self, address: int, size: int) -> None:
        """Unmap an allocation. Raises UsageError when it is none."""
        region = Region(address, address + size, name="slots")
        if region not in self._regions:
            raise UsageError(f"0x{address:08x}, {size} bytes, is no allocation")
        self.synchronize([(address, address + size)])
        self._engine.mem_unmap(address, size)
        self._regions.remove(region)

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
