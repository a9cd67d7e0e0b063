import struct

from armprobe.targets.pagetables import LongDescriptors, Mapping, ShortDescriptors

ROOT = 0x40004000
L2 = 0x40008400
#: sections and supersections: AP[2] is bit 15, XN bit 4; small pages: bits 9 and 0; large pages: bits 9 and 15
SECTION, READ_ONLY, NEVER = 0b10, 1 << 15, 1 << 4
SMALL, LARGE = 0b10, 0b01


def tables(first, second=None, *, lowest=0):
    """Page tables with first-level entries by number of MiB, and second-level entries by number of page."""

    def read(address, size):
        base, entries, count = (L2, second or {}, 256) if address == L2 else (ROOT, first, 4096)
        data = b"".join(struct.pack("<I", entries.get(number, 0)) for number in range(count))
        return data[address - base : address - base + size]

    made = ShortDescriptors(read, ROOT)
    made.lowest = lowest
    return made


def test_section_gives_the_twenty_low_bits():
    assert tables({0xC03: 0x40300000 | SECTION}).translate(0xC0345678) == 0x40345678


def test_supersection_gives_the_twenty_four_low_bits():
    entry = 0x41000000 | 1 << 18 | SECTION
    assert tables(dict.fromkeys(range(0xC00, 0xC10), entry)).translate(0xC0345678) == 0x41345678


def test_small_and_large_pages_are_looked_up_in_the_second_level():
    second = {0: 0x50001000 | SMALL, **dict.fromkeys(range(16, 32), 0x50010000 | LARGE)}
    found = tables({0xBF0: L2 | 1}, second)
    assert found.translate(0xBF000123) == 0x50001123
    assert found.translate(0xBF01F123) == 0x5001F123
    assert found.translate(0xBF001000) is None


def test_nothing_mapped_and_nothing_below_the_lowest_address():
    found = tables({0x100: 0x40000000 | SECTION, 0xC00: 0x40000000 | SECTION}, lowest=0xBF000000)
    assert found.translate(0xC0000000) == 0x40000000
    assert found.translate(0xC0100000) is None
    assert found.translate(0x10000000) is None
    assert found.translate(1 << 32) is None


def test_mappings_join_neighbours_with_equal_rights():
    first = {
        0xC00: 0x40000000 | SECTION | NEVER,
        0xC01: 0x40100000 | SECTION | NEVER,
        0xC02: 0x40200000 | SECTION | READ_ONLY,
        0xC03: 0x40300000 | SECTION | READ_ONLY | NEVER,
        0xC04: 0x70000000 | SECTION | READ_ONLY | NEVER,
    }
    assert list(tables(first).mappings()) == [
        Mapping(0xC0000000, 0xC0200000, 0x40000000, True, False),
        Mapping(0xC0200000, 0xC0300000, 0x40200000, False, True),
        Mapping(0xC0300000, 0xC0400000, 0x40300000, False, False),
        Mapping(0xC0400000, 0xC0500000, 0x70000000, False, False),
    ]


def test_mappings_of_pages_follow_their_own_rights():
    second = {1: 0x50001000 | SMALL | 1, 2: 0x50002000 | SMALL | 1, 3: 0x50003000 | SMALL | 1 << 9}
    assert list(tables({0xBF0: L2 | 1}, second).mappings()) == [
        Mapping(0xBF001000, 0xBF003000, 0x50001000, True, False),
        Mapping(0xBF003000, 0xBF004000, 0x50003000, False, True),
    ]


def test_tables_are_read_again_only_after_forget():
    first = {0xC00: 0x40000000 | SECTION}
    found = tables(first)
    assert found.translate(0xC0000000) == 0x40000000
    first[0xC00] = 0x50000000 | SECTION
    assert found.translate(0xC0000000) == 0x40000000
    found.forget()
    assert found.translate(0xC0000000) == 0x50000000


#: long descriptors: AP[2] is bit 7, PXN bit 53, XN bit 54; a table names pages anywhere in 40 bits
VALID, LONG_TABLE, ACCESSED = 0b01, 0b11, 1 << 10
LONG_READ_ONLY, PRIVILEGED_NEVER, LONG_NEVER = 1 << 7, 1 << 53, 1 << 54
LEVEL2, LEVEL3 = 0x1_2345_6000, 0xFF_0000_1000


def long_tables(second, third=None):
    """Page tables for the last GiB, with entries of the second level by MiB / 2, and of the third by page."""
    contents = {ROOT: {3: LEVEL2 | LONG_TABLE}, LEVEL2: second, LEVEL3: third or {}}

    def read(address, size):
        return b"".join(struct.pack("<Q", contents[address].get(number, 0)) for number in range(size // 8))

    return LongDescriptors(read, ROOT)


def test_long_descriptors_have_blocks_of_2_mib_and_pages_of_4_kib_with_40_bits_of_address():
    found = long_tables(
        {1: 0x12_0020_0000 | ACCESSED | VALID, 2: LEVEL3 | LONG_TABLE}, {3: 0xAB_CDEF_0000 | LONG_TABLE}
    )
    assert found.translate(0xC0212345) == 0x12_0021_2345
    assert found.translate(0xC0403123) == 0xAB_CDEF_0123
    assert [found.translate(address) for address in (0xC0000000, 0xC0404000, 0x10000, 0xFFFFF000)] == [None] * 4


def test_long_block_descriptor_where_pages_belong_is_no_page():
    assert long_tables({2: LEVEL3 | LONG_TABLE}, {3: 0x4000_0000 | VALID}).translate(0xC0403000) is None


def test_long_descriptors_say_what_may_be_written_and_executed():
    base, block = 0x4000_0000, 1 << 21
    rights = [LONG_NEVER, LONG_NEVER, LONG_READ_ONLY, LONG_READ_ONLY | LONG_NEVER, PRIVILEGED_NEVER]
    entries = {index: base + block * index | VALID | bits for index, bits in enumerate(rights)}
    start = 0xC000_0000
    assert list(long_tables(entries).mappings()) == [
        Mapping(start, start + 2 * block, base, True, False),
        Mapping(start + 2 * block, start + 3 * block, base + 2 * block, False, True),
        Mapping(start + 3 * block, start + 4 * block, base + 3 * block, False, False),
        Mapping(start + 4 * block, start + 5 * block, base + 4 * block, True, False),
    ]
