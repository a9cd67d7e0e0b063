"""Memory of a kernel by its own addresses: translated by its page tables, and read and written by physical ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from armprobe.errors import TargetFault
from armprobe.targets.emulatorcopies import WORTH, EmulatorCopies
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.pagetables import PageTables

_PAGE = 0x1000


class MappedMemory:
    """What `tables` map, behind a `stub` that takes physical addresses.

    `monitor` has the emulator execute a command, which makes copies of what is large.
    """

    def __init__(self, stub: GdbRemoteTarget, tables: PageTables, monitor: Callable[[str], str]) -> None:
        self._stub = stub
        self._tables = tables
        self._copies = EmulatorCopies(monitor, stub.read_many)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read (address, size) ranges. Raises TargetFault."""
        parts = [self._physical("read", address, size) for address, size in ranges]
        copies = {
            part: copy
            for whole in parts
            for part in whole
            if part[1] >= WORTH and (copy := self._copies.read(*part)) is not None
        }
        asked = [part for whole in parts for part in whole if part not in copies]
        found = iter(self._stub.read_many(asked))
        return [b"".join(copies[part] if part in copies else next(found) for part in whole) for whole in parts]

    def read_mapped(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read (address, size) ranges, in which what is not mapped reads as zeros."""
        pages = [
            [(start, min(address + size, (start & -_PAGE) + _PAGE) - start)
             for start in [address, *range((address & -_PAGE) + _PAGE, address + size, _PAGE)]]
            for address, size in ranges
        ]  # fmt: skip
        mapped = [part for whole in pages for part in whole if part[1] and self._tables.translate(part[0]) is not None]
        found = dict(zip(mapped, self.read_many(mapped), strict=True))
        return [b"".join(found.get(part, bytes(part[1])) for part in whole) for whole in pages]

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write (address, data) pairs, also to what is read-only for the kernel. Raises TargetFault."""
        parts: list[tuple[int, bytes]] = []
        for address, data in writes:
            done = 0
            for place, size in self._physical("write", address, len(data)):
                parts.append((place, data[done : done + size]))
                done += size
        self._stub.write_many(parts)

    def _physical(self, access: str, address: int, size: int) -> list[tuple[int, int]]:
        """The (address, size) pieces of physical memory that a range of the kernel's is made of."""
        pieces: list[tuple[int, int]] = []
        place, end = address, address + size
        while place < end:
            physical = self._tables.translate(place)
            if physical is None:
                raise TargetFault(
                    f"cannot {access} {size} bytes at 0x{address:08x}: the kernel has nothing at 0x{place:08x}",
                    address=address,
                    size=size,
                )
            following = min(end, (place & -_PAGE) + _PAGE)
            if pieces and sum(pieces[-1]) == physical:
                pieces[-1] = (pieces[-1][0], pieces[-1][1] + following - place)
            else:
                pieces.append((physical, following - place))
            place = following
        return pieces
