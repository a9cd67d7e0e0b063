import struct

import pytest

from armprobe.errors import TargetError
from armprobe.targets.capabilities import TranslationTables
from armprobe.targets.kernelwindows import high_memory, open_windows
from armprobe.targets.memorytree import COMMAND
from armprobe.targets.pagetables import LongDescriptors, ShortDescriptors

#: what QEMU 7.2 prints, shortened
MTREE = """FlatView #0
 AS "gpex-root", root: bus master container
 Root memory region: (none)
  No rendered FlatView

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-0000000003ffffff (prio 0, romd): virt.flash0
  0000000009000000-0000000009000fff (prio 0, i/o): pl011
  0000000040000000-00000001bfffffff (prio 0, ram): mach-virt.ram

FlatView #2
 AS "cpu-secure-memory-0", root: secure
 Root memory region: secure
  000000000e000000-000000000effffff (prio 0, ram): virt.secure-ram

"""
LINEAR = (0x4000_0000, 0x3000_0000, 0xC000_0000)


def known(*, long=False, linear=(LINEAR,)):
    return TranslationTables(linear, user_end=0xBF00_0000, kernel_table=0xC000_4000, long=long)


@pytest.mark.parametrize(
    ("linear", "beyond"),
    [
        ((LINEAR,), ((0x7000_0000, 0x1_5000_0000),)),
        (((0x4000_0000, 0x1_8000_0000, 0),), ()),
        (((0x4000_0000, 0x10_0000, 0), (0x5000_0000, 0x1_7000_0000, 0)), ((0x4010_0000, 0xFF0_0000),)),
    ],
)
def test_high_memory_is_what_the_emulator_calls_ram_and_the_kernel_does_not_map(linear, beyond):
    asked = []

    def monitor(command):
        asked.append(command)
        return MTREE.replace("\n", "\r\n")

    assert high_memory(monitor, known(linear=linear)) == beyond
    assert asked == [COMMAND]


def test_an_emulator_that_does_not_tell_has_no_high_memory():
    def refuse(_command):
        raise TargetError("the stub takes no commands")

    assert high_memory(refuse, known()) == ()
    assert high_memory(lambda _: "what?", known()) == ()


class Memory:
    """Physical memory with tables for the MiB at 0xbf000000, which map its pages from 0x7a000000 on."""

    def __init__(self, *, long):
        self.data = bytearray(0x10_0000)
        if long:
            self.put("<Q", 0x4000 + 2 * 8, 0x4000_5003)
            self.put("<Q", 0x5000 + (0xBF00_0000 >> 21 & 511) * 8, 0x4000_6003)
            for page in range(256):
                self.put("<Q", 0x6000 + page * 8, 0x7A00_0000 + page * 0x1000 | 0x70F)
        else:
            self.put("<I", 0x4000 + 0xBF0 * 4, 0x4000_9801)
            for page in range(256):
                self.put("<I", 0x9800 + page * 4, 0x7A00_0000 + page * 0x1000 | 0x45E)
                self.put("<I", 0x9000 + page * 4, 0x7A00_0000 + page * 0x1000 | 0x45F)
        self.tables = (LongDescriptors if long else ShortDescriptors)(self.read, 0x4000_4000)

    def put(self, kind, place, value):
        struct.pack_into(kind, self.data, place, value)

    def read(self, address, size):
        return bytes(self.data[address - 0x4000_0000 :][:size])

    def write(self, address, data):
        start = address - 0x4000_0000
        self.data[start : start + len(data)] = data

    def open(self, start, end, *, long, count=2):
        ram = ((0x7000_0000, 0x1000_0000),)
        return open_windows(
            self.tables, (start, end), known(long=long), ram, count=count, read=self.read, write=self.write
        )


@pytest.mark.parametrize(
    ("long", "attributes", "own", "first"),
    [(False, 0x65F, 0x45F, 0x9800 + 4 * 0x10), (True, 1 << 54 | 0x78F, 0, 0x6000 + 8 * 0x10)],
)
def test_windows_are_pages_that_lead_nowhere_and_will_be_for_reading_alone(long, attributes, own, first):
    memory = Memory(long=long)
    windows = memory.open(0xBF01_0000, 0xBF01_4000, long=long)
    assert (windows.address, windows.count, windows.descriptors) == (0xBF01_0000, 2, 0xC000_0000 + first)
    assert (windows.attributes, windows.own, windows.wide) == (attributes, own, long)
    assert [memory.tables.translate(0xBF01_0000 + page * 0x1000) for page in range(3)] == [None, None, 0x7A01_2000]


def test_windows_whose_descriptors_are_apart_are_looked_for_elsewhere():
    """The table of the MiB before is another one, which is not even there."""
    memory = Memory(long=False)
    assert memory.open(0xBEFF_F000, 0xBF00_3000, long=False).address == 0xBF00_1000
    assert memory.open(0xBEFF_F000, 0xBF00_1000, long=False, count=1).address == 0xBF00_0000
    assert memory.open(0xBEFF_E000, 0xBF00_0000, long=False) is None
