"""Memory that a kernel or a process gave for our code and data, handed out in pieces without asking it again."""

from __future__ import annotations

from bisect import insort

from armprobe.errors import Refused
from armprobe.targets.base import Region


class ReservedMemory:
    """`size` bytes at `start`, both multiples of 4096, from `giver`, for messages: an `ExecutableMemory`."""

    def __init__(self, start: int, size: int, *, giver: str = "the kernel") -> None:
        self._giver = giver
        self.region = Region(start, start + size, name="slots")
        self._holes = [(start, start + size)]

    @property
    def in_use(self) -> bool:
        return self._holes != [(self.region.start, self.region.end)]

    @property
    def used(self) -> list[tuple[int, int]]:
        """The [start, end) ranges that were handed out and not given back."""
        edges = [self.region.start, *(edge for hole in self._holes for edge in hole), self.region.end]
        return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]

    def allocate(self, size: int, low: int, high: int) -> int:
        for index, (start, end) in enumerate(self._holes):
            address = -(-max(start, low) // 4096) * 4096
            if address + size <= min(end, high):
                rest = [(a, b) for a, b in ((start, address), (address + size, end)) if a < b]
                self._holes[index : index + 1] = rest
                return address
        left = sum(end - start for start, end in self._holes)
        raise Refused(
            f"of the {self.region.end - self.region.start:,} bytes that were taken from {self._giver}, {left:,} are "
            f"left, and no {size:,} of them between 0x{low:08x} and 0x{high:08x}",
            hint="take more when attaching (memory=...)",
        )

    def free(self, address: int, size: int) -> None:
        insort(self._holes, (address, address + size))
        joined = [self._holes[0]]
        for start, end in self._holes[1:]:
            if start == joined[-1][1]:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        self._holes = joined
