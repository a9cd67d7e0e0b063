"""A machine whose memory is reached by translation tables only, of either format, and in part through windows only."""

from __future__ import annotations

import struct
from collections import defaultdict

from tests.codegen.test_handlers import CODE
from tests.probes.definition_model import REGIONS, STACK
from tests.probes.fetch_machine import FetchMachine
from unicorn import UC_HOOK_MEM_READ, UC_PROT_READ, arm_const

from armprobe.codegen.page_walk import make_routines
from armprobe.targets.capabilities import TranslationTables, Windows

PAGE = 0x1000
#: memory as that of windows, and of another kind: bits of small pages, of Linux's own descriptors, of long descriptors
ALIKE, OWN_ALIKE, LONG_ALIKE, OTHER = 0x44C, 0x41C, 0x30C, 0
MASKED = 0xC0
_WINDOW, _WINDOWS, _DESCRIPTORS = 0xB000_0000, 2, 0xF00


class WalkedMachine(FetchMachine):
    """There is no memory at the addresses of the regions, and the stack is a part of the linear map by itself.

    The rest of the linear map holds the first levels of the tables, and, scattered, the pages. With `high` memory, all
    pages and the other tables are where only windows lead to; the first window is always another processor's.
    """

    LINEAR, PHYSICAL, SIZE, STACK_PHYSICAL = 0xA100_0000, 0x6000_0000, 0x40_0000, 0x7654_3000
    USER_END = 0x3000_0000
    #: (physical address, size) of high memory
    HIGH = 0x9000_0000, 0x100_0000
    TAKEN = 0x1234_5000
    TTBR0 = arm_const.UC_ARM_REG_CP_REG

    def __init__(self, *, long: bool = False, high: bool = False) -> None:
        self.long, self.high = long, high
        self.pages_of_ram: defaultdict[int, bytearray] = defaultdict(lambda: bytearray(PAGE))
        self.places: dict[int, int] = {}
        self.ram = (self.HIGH[0] | (0x12_0000_0000 if long else 0), self.HIGH[1])
        super().__init__()
        for region in REGIONS:
            self.uc.mem_unmap(region.start, region.end - region.start)
        self.uc.mem_map(self.LINEAR, self.SIZE)
        self.memory = self.ram[0] if high else self.PHYSICAL
        self.next_table = self.memory + 0x8000
        pages = [address for region in REGIONS for address in range(region.start, region.end, PAGE)]
        for number, address in enumerate(pages):
            self.places[address] = self.memory + 0x10_0000 + PAGE * (7 * number % 16)
            self.map(address, self.places[address])
        # What must not be read: memory that is not RAM, and a page that no user may read.
        self.map(REGIONS[1].end, 0x5000_0000)
        self.map(REGIONS[0].end, self.PHYSICAL, user=False)
        self.map(REGIONS[4].start - PAGE, self.PHYSICAL + self.SIZE)
        if high:
            self.map(REGIONS[3].end, self.ram[0], kind=OTHER)
        # TTBR0; its low bits are attributes.
        if long:
            self.uc.reg_write(self.TTBR0, (15, 1, 0, 0, 2, 0, 0, self.PHYSICAL + 0x20 | 0x12 << 48))
        else:
            self.uc.reg_write(self.TTBR0, (15, 0, 0, 2, 0, 0, 0, self.PHYSICAL + 0x4000 | 0x6A))
        linear = (self.PHYSICAL, self.SIZE, self.LINEAR), (self.STACK_PHYSICAL, PAGE, STACK.start)
        windows = self._make_windows() if high else None
        tables = TranslationTables(linear, user_end=self.USER_END, kernel_table=self.LINEAR, long=long, windows=windows)
        self.routines: dict[str, int] = {}
        at = CODE + 0xE000
        for name, words in make_routines(tables, architecture=7).items():
            self.uc.mem_write(at, b"".join(word.to_bytes(4, "little") for word in words))
            self.routines[name] = at
            at += 4 * len(words)

    def _make_windows(self) -> Windows:
        self.size = 8 if self.long else 4
        self.descriptors = self.LINEAR + self.SIZE - PAGE + _DESCRIPTORS
        self.attributes = LONG_ALIKE | 1 << 54 | 0x483 if self.long else ALIKE | 0x203
        self.uc.mem_write(self.descriptors, self.TAKEN.to_bytes(self.size, "little"))
        self.uc.mem_map(_WINDOW, _WINDOWS * PAGE, UC_PROT_READ)
        self.uc.hook_add(UC_HOOK_MEM_READ, self._look, begin=_WINDOW, end=_WINDOW + _WINDOWS * PAGE - 1)
        self.looked = 0
        return Windows(_WINDOW, _WINDOWS, self.descriptors, self.long, self.attributes, OWN_ALIKE, (self.ram,))

    def _look(self, uc, _access, address, _size, _value, _data) -> None:
        """Show through a window what its descriptor says, as the processor would."""
        number = (address - _WINDOW) // PAGE
        place = self.descriptors + number * self.size
        descriptor = int.from_bytes(uc.mem_read(place, self.size), "little")
        page = descriptor & 0xFF_FFFF_F000
        assert (number, descriptor) == (1, page | self.attributes)
        assert self.ram[0] <= page < sum(self.ram)
        assert uc.reg_read(arm_const.UC_ARM_REG_CPSR) & MASKED == MASKED
        uc.mem_write(_WINDOW + number * PAGE, bytes(self.pages_of_ram[page]))
        self.looked += 1

    def check(self, where: str) -> None:
        if self.high:
            left = bytes(self.uc.mem_read(self.descriptors, _WINDOWS * self.size))
            assert left == self.TAKEN.to_bytes(self.size, "little") + bytes(self.size), where

    def map(self, address: int, physical: int, *, user: bool = True, kind: int | None = None) -> None:
        """Map a page in the table of users or of the kernel."""
        if self.long:
            attributes = (LONG_ALIKE if kind is None else kind) | 0x403 | (0x40 if user else 0)
            first = self.PHYSICAL + (0x20 if address < self.USER_END else 0) + (address >> 30) * 8
            second = self._table(first, "<Q", 3, PAGE) + (address >> 21 & 511) * 8
            third = self._table(second, "<Q", 3, PAGE) + (address >> 12 & 511) * 8
            self.store(third, struct.pack("<Q", physical | attributes))
        else:
            attributes = (ALIKE if kind is None else kind) | 0x12 | (0x20 if user else 0)
            first = self.PHYSICAL + (0x4000 if address < self.USER_END else 0) + (address >> 20) * 4
            second = self._table(first, "<I", 1, 0x400) + (address >> 12 & 0xFF) * 4
            self.store(second, struct.pack("<I", physical | attributes))

    def _table(self, entry: int, kind: str, type_: int, size: int) -> int:
        """The physical address of the table that an entry leads to, which is made where there is none."""
        (found,) = struct.unpack(kind, self.load(entry, struct.calcsize(kind)))
        if not found:
            found = self.next_table | type_
            self.next_table += size
            self.store(entry, struct.pack(kind, found))
        return found & ~(size - 1) & 0xFF_FFFF_FFFF

    def store(self, physical: int, data: bytes) -> None:
        """Write to physical memory, within a page."""
        if self.PHYSICAL <= physical < self.PHYSICAL + self.SIZE:
            self.uc.mem_write(self.LINEAR + physical - self.PHYSICAL, data)
        else:
            offset = physical % PAGE
            self.pages_of_ram[physical - offset][offset : offset + len(data)] = data

    def load(self, physical: int, size: int) -> bytes:
        if self.PHYSICAL <= physical < self.PHYSICAL + self.SIZE:
            return bytes(self.uc.mem_read(self.LINEAR + physical - self.PHYSICAL, size))
        offset = physical % PAGE
        return bytes(self.pages_of_ram[physical - offset][offset : offset + size])

    def write(self, address: int, data: bytes) -> None:
        while data:
            page, offset = address & -PAGE, address % PAGE
            size = min(len(data), PAGE - offset)
            if page in self.places:
                self.store(self.places[page] + offset, data[:size])
            else:
                self.uc.mem_write(address, data[:size])
            address, data = address + size, data[size:]
