"""The list of shared objects, read from the memory of a process."""

from __future__ import annotations

import struct

from armprobe.errors import TargetFault
from armprobe.targets.linkmap import AT_PHDR, AT_PHNUM, Loaded, LoaderState, Read, read_link_map, read_loader

BIAS = 0x40000000
#: what the linker calls when its list changes
FUNCTION = 0x60003C00
HEADERS, DYNAMIC, DEBUG, FIRST, NAMES = BIAS + 0x34, BIAS + 0x2000, 0x50000000, 0x50000100, 0x50000FF0


def process(*names: str, tail: bytes = b"", again: bool = False) -> dict[int, bytes]:
    """Memory by its start: a program whose linker has loaded the objects, each 0x1000 above the one before."""
    headers = struct.pack("<8I", 1, 0, 0, 0, 0x100, 0x100, 5, 0x1000)
    headers += struct.pack("<8I", 2, 0x2000, 0x2000, 0x2000, 24, 24, 6, 4)
    dynamic = struct.pack("<6I", 1, 0, 21, DEBUG, 0, 0)
    places = [FIRST + 20 * index for index in range(len(names) + 1)]
    entries, strings = b"", b"\0"
    for index, place in enumerate(places):
        following = places[index + 1] if index + 1 < len(places) else FIRST if again else 0
        address = 0x60000000 + 0x1000 * index if index else BIAS
        entries += struct.pack("<5I", address, NAMES + (len(strings) if index else 0), 0, following, 0)
        assert place == FIRST + len(entries) - 20
        if index:
            strings += names[index - 1].encode() + b"\0"
    return {
        HEADERS: headers, DYNAMIC: dynamic, DEBUG: struct.pack("<4I", 1, FIRST, FUNCTION, 2), FIRST: entries,
        NAMES: strings + tail,
    }  # fmt: skip


def reading(memory: dict[int, bytes]) -> Read:
    def read(address: int, size: int) -> bytes:
        for start, data in memory.items():
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        raise TargetFault(f"nothing at 0x{address:08x}", address=address, size=size)

    return read


def loaded(memory: dict[int, bytes]) -> list[Loaded]:
    return read_link_map(reading(memory), {AT_PHDR: HEADERS, AT_PHNUM: 2}, bias=BIAS)


def loader(memory: dict[int, bytes]) -> tuple[int, LoaderState] | None:
    return read_loader(reading(memory), {AT_PHDR: HEADERS, AT_PHNUM: 2}, bias=BIAS)


def test_the_linker_says_where_it_tells_and_what_it_is_doing():
    memory = process("a")
    assert loader(memory) == (FUNCTION, LoaderState.DELETE)
    for function, state in ((0, 0), (FUNCTION, 3)):
        memory[DEBUG] = struct.pack("<4I", 1, FIRST, function, state)
        assert loader(memory) is None
    del memory[DYNAMIC]
    memory[HEADERS] = bytes(64)
    assert loader(memory) is None


def test_objects_are_listed_without_the_program_itself():
    memory = process("/lib/libc.so.6", "", "/lib/ld-linux.so.3", tail=bytes(64))
    assert loaded(memory) == [
        Loaded("/lib/libc.so.6", 0x60001000), Loaded("", 0x60002000), Loaded("/lib/ld-linux.so.3", 0x60003000),
    ]  # fmt: skip


def test_a_list_that_never_ends_is_read_once():
    assert len(loaded(process("a", "b", tail=bytes(64), again=True))) == 2


def test_a_name_at_the_end_of_a_page_is_read_without_the_next_one():
    assert loaded(process("liba.so", tail=bytes(7))) == [Loaded("liba.so", 0x60001000)]


def test_a_program_without_a_linker_has_none():
    memory = process("a")
    assert read_link_map(lambda _address, _size: bytes(_size), {}, bias=0) == []
    memory[DYNAMIC] = struct.pack("<6I", 1, 0, 21, 0, 0, 0)
    assert loaded(memory) == []
