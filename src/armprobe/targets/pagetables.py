"""The page tables of a Linux kernel on ARMv7: which physical memory an address stands for, and what may be done there.

Short descriptors only (DDI 0406C B3.5); no large physical addresses. Linux keeps one table that has all of the kernel's
memory, swapper_pg_dir; those of processes get its entries when they need them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

_SECTION = 1 << 20
_PAGE = 1 << 12
_TABLE, _SECTION_BIT, _SUPERSECTION_BIT = 0b01, 0b10, 1 << 18
_LARGE, _SMALL_BIT = 0b01, 0b10
_L2_BYTES = 0x400


@dataclass(frozen=True, slots=True)
class Mapping:
    """[start, end) of virtual memory, contiguous in physical memory from `physical` on."""

    start: int
    end: int
    physical: int
    writable: bool
    executable: bool


class PageTables:
    """The tables whose first level is at the physical address `root`, read by `read(physical, size)`.

    What was read is kept until `forget`: call it when the target has run.
    """

    def __init__(self, read: Callable[[int, int], bytes], root: int, *, lowest: int = 0) -> None:
        """`lowest`: no address below is looked up, a multiple of 1 MiB."""
        self._read = read
        self._root = root
        self._lowest = lowest
        self._first: memoryview[int] | None = None
        self._second: dict[int, memoryview[int]] = {}

    def forget(self) -> None:
        self._first = None
        self._second.clear()

    def translate(self, address: int) -> int | None:
        """The physical address; None where nothing is mapped."""
        found = self._entry(address) if self._lowest <= address < 1 << 32 else None
        return None if found is None else found.physical + address - found.start

    def mappings(self) -> Iterator[Mapping]:
        """All memory that is mapped, in ascending order; neighbours that are alike are one."""
        current: Mapping | None = None
        address = self._lowest
        while address < 1 << 32:
            entry = self._entry(address)
            if entry is None:
                address += _PAGE if self._descriptor(address) & 3 == _TABLE else _SECTION
                continue
            if (
                current is not None
                and current.end == entry.start
                and current.physical + current.end - current.start == entry.physical
                and (current.writable, current.executable) == (entry.writable, entry.executable)
            ):
                current = Mapping(current.start, entry.end, current.physical, entry.writable, entry.executable)
            else:
                if current is not None:
                    yield current
                current = entry
            address = entry.end
        if current is not None:
            yield current

    def _descriptor(self, address: int) -> int:
        if self._first is None:
            offset = (self._lowest >> 20) * 4
            self._first = memoryview(self._read(self._root + offset, 0x4000 - offset)).cast("I")
        return self._first[(address - self._lowest) >> 20]

    def _entry(self, address: int) -> Mapping | None:
        """The section or page that `address` lies in. AP[2] set is read-only, as Linux leaves AP[1:0] to user mode."""
        first = self._descriptor(address)
        if first & _SECTION_BIT:
            size = _SECTION << 4 if first & _SUPERSECTION_BIT else _SECTION
            return _mapping(address, size, first, writable=not first >> 15 & 1, executable=not first >> 4 & 1)
        if first & 3 != _TABLE:
            return None
        place = first & -_L2_BYTES
        if place not in self._second:
            self._second[place] = memoryview(self._read(place, _L2_BYTES)).cast("I")
        second = self._second[place][address >> 12 & 0xFF]
        if second & _SMALL_BIT:
            return _mapping(address, _PAGE, second, writable=not second >> 9 & 1, executable=not second & 1)
        if second & 3 == _LARGE:
            return _mapping(address, _PAGE << 4, second, writable=not second >> 9 & 1, executable=not second >> 15 & 1)
        return None


def _mapping(address: int, size: int, descriptor: int, *, writable: bool, executable: bool) -> Mapping:
    start = address & -size
    return Mapping(start, start + size, descriptor & -size & 0xFFFFFFFF, writable, executable)
