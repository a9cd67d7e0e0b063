"""The page tables of a Linux kernel on ARMv7: which physical memory an address stands for, and what may be done there.

They are of either format (DDI 0406C B3.5, B3.6): short descriptors, or long ones where the kernel is built for large
physical addresses (LPAE). Linux keeps one table that has all of the kernel's memory, swapper_pg_dir; those of processes
get its entries when they need them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

_PAGE = 1 << 12
_END = 1 << 32
#: the address bits of a long descriptor: physical addresses have 40 bits
_LONG_ADDRESS = (1 << 40) - 1


@dataclass(frozen=True, slots=True)
class Mapping:
    """[start, end) of virtual memory, contiguous in physical memory from `physical` on."""

    start: int
    end: int
    physical: int
    writable: bool
    executable: bool


class PageTables(ABC):
    """Tables that `read(physical, size)` reads; the first level is at the physical address `root`.

    What was read is kept until `forget`: call it when the target has run.
    """

    def __init__(self, read: Callable[[int, int], bytes], root: int) -> None:
        self._read = read
        self.root = root
        #: no address below is looked up
        self.lowest = 0
        self._tables: dict[int, memoryview[int]] = {}

    def forget(self) -> None:
        self._tables.clear()

    def translate(self, address: int) -> int | None:
        """The physical address; None where nothing is mapped."""
        found = self._entry(address) if self.lowest <= address < _END else None
        return found.physical + address - found.start if isinstance(found, Mapping) else None

    def mappings(self) -> Iterator[Mapping]:
        """All memory that is mapped, in ascending order; neighbours that are alike are one."""
        current: Mapping | None = None
        address = self.lowest
        while address < _END:
            entry = self._entry(address)
            if isinstance(entry, int):
                address = entry
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

    @abstractmethod
    def descriptor(self, address: int) -> int | None:
        """The physical address of the descriptor of the page at `address`; None where no page of 4 KiB is mapped."""

    @abstractmethod
    def _entry(self, address: int) -> Mapping | int:
        """The page or block that `address` lies in; where nothing is mapped, the address where to go on."""

    def _table(self, place: int, size: int, kind: Literal["I", "Q"]) -> memoryview[int]:
        if place not in self._tables:
            self._tables[place] = memoryview(self._read(place, size)).cast(kind)
        return self._tables[place]


class ShortDescriptors(PageTables):
    """Two levels of 32-bit descriptors (DDI 0406C B3.5). AP[2] set is read-only: Linux leaves AP[1:0] to user mode."""

    _SECTION = 1 << 20
    _TABLE, _SECTION_BIT, _SUPERSECTION_BIT = 0b01, 0b10, 1 << 18
    _LARGE, _SMALL_BIT = 0b01, 0b10
    _L2_BYTES = 0x400

    def descriptor(self, address: int) -> int | None:
        first = self._table(self.root, 0x4000, "I")[address >> 20]
        place = (first & -self._L2_BYTES) + (address >> 12 & 0xFF) * 4
        entry = self._entry(address) if first & 3 == self._TABLE else address
        return place if isinstance(entry, Mapping) and entry.end - entry.start == _PAGE else None

    def _entry(self, address: int) -> Mapping | int:
        first = self._table(self.root, 0x4000, "I")[address >> 20]
        if first & self._SECTION_BIT:
            size = self._SECTION << 4 if first & self._SUPERSECTION_BIT else self._SECTION
            return _mapping(address, size, first, writable=not first >> 15 & 1, executable=not first >> 4 & 1)
        if first & 3 != self._TABLE:
            return _behind(address, self._SECTION)
        second = self._table(first & -self._L2_BYTES, self._L2_BYTES, "I")[address >> 12 & 0xFF]
        if second & self._SMALL_BIT:
            return _mapping(address, _PAGE, second, writable=not second >> 9 & 1, executable=not second & 1)
        if second & 3 == self._LARGE:
            size = _PAGE << 4
            return _mapping(address, size, second, writable=not second >> 9 & 1, executable=not second >> 15 & 1)
        return _behind(address, _PAGE)


class LongDescriptors(PageTables):
    """Three levels of 64-bit descriptors (DDI 0406C B3.6); the first has an entry for each GiB."""

    _VALID, _TABLE_BIT = 0b01, 0b10
    _READ_ONLY, _PRIVILEGED_NEVER, _NEVER = 7, 53, 54
    #: entry sizes by level, and how many entries a table has
    _LEVELS = ((30, 4), (21, 512), (12, 512))

    def descriptor(self, address: int) -> int | None:
        place = self.root
        for shift, count in self._LEVELS:
            index = address >> shift & (count - 1)
            descriptor = self._table(place, count * 8, "Q")[index]
            if descriptor & (self._VALID | self._TABLE_BIT) != self._VALID | self._TABLE_BIT:
                return None
            if shift == self._LEVELS[-1][0]:
                return place + index * 8
            place = descriptor & _LONG_ADDRESS & -_PAGE
        raise AssertionError("the last level has no tables")

    def _entry(self, address: int) -> Mapping | int:
        place = self.root
        for shift, count in self._LEVELS:
            descriptor = self._table(place, count * 8, "Q")[address >> shift & (count - 1)]
            if not descriptor & self._VALID:
                return _behind(address, 1 << shift)
            is_page = shift == self._LEVELS[-1][0]
            if bool(descriptor & self._TABLE_BIT) == is_page:
                never = descriptor >> self._PRIVILEGED_NEVER & 1 or descriptor >> self._NEVER & 1
                writable = not descriptor >> self._READ_ONLY & 1
                return _mapping(
                    address, 1 << shift, descriptor & _LONG_ADDRESS, writable=writable, executable=not never
                )
            if is_page:
                return _behind(address, _PAGE)
            place = descriptor & _LONG_ADDRESS & -_PAGE
        raise AssertionError("the last level has no tables")


def _mapping(address: int, size: int, descriptor: int, *, writable: bool, executable: bool) -> Mapping:
    start = address & -size
    return Mapping(start, start + size, descriptor & -size, writable, executable)


def _behind(address: int, size: int) -> int:
    return (address & -size) + size
