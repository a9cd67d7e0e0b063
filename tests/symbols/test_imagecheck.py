"""A program in memory is the image, or differs from it, and where."""

from __future__ import annotations

import random
from collections.abc import Sequence

from armprobe.symbols.image import Image, Segment
from armprobe.symbols.imagecheck import ImageCheck

BASE = 0x8000
CODE = random.Random(1).randbytes(0x20000)
READ_ONLY = Segment(BASE, CODE, len(CODE), writable=False)


class Memory:
    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.read_bytes = 0
        self.readable = True

    def __call__(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        self.read_bytes += sum(size for _, size in ranges)
        if not self.readable:
            return [None] * len(ranges)
        return [bytes(self.data[address - BASE : address - BASE + size]) for address, size in ranges]

    def difference(self, check: ImageCheck, address: int) -> str:
        return check.difference(address, bytes(self.data[address - BASE :][:4]))


def checking(memory: Memory, *segments: Segment, marks: tuple[tuple[int, str], ...] = ()) -> ImageCheck:
    return ImageCheck(Image("image", BASE, segments or (READ_ONLY,), marks=marks), memory)


def test_the_same_program_is_compared_in_samples_and_only_once():
    memory = Memory(CODE)
    check = checking(memory)
    assert memory.difference(check, BASE) == ""
    compared = memory.read_bytes
    assert 0x1000 <= compared <= 0x2000
    assert memory.difference(check, BASE + 0x1FFFC) == ""
    assert memory.read_bytes == compared


def test_another_program_is_found_out_wherever_it_is_probed():
    other = Memory(bytes(4) + CODE[:-4])
    check = checking(other)
    wanted = int.from_bytes(CODE[:4], "little")
    expected = (
        f"0x00008000 holds 0x00000000, where the image has 0x{wanted:08x}, and 2048 of 2048 words compared there differ"
    )
    assert other.difference(check, BASE + 0x10000) == expected


def test_one_word_that_the_program_changed_matters_only_where_it_is():
    memory = Memory(CODE)
    memory.data[0:4] = b"\1\2\3\4"
    check = checking(memory)
    assert memory.difference(check, BASE + 4) == ""
    wanted = int.from_bytes(CODE[:4], "little")
    assert memory.difference(check, BASE) == f"0x00008000 holds 0x04030201, where the image has 0x{wanted:08x}"


def test_data_is_not_compared_where_symbols_tell_or_the_program_may_write():
    marks = ((BASE, "d"), (BASE + 0x10000, "a"))
    memory = Memory(bytes(0x10000) + CODE[0x10000:])
    check = checking(memory, marks=marks)
    assert memory.difference(check, BASE) == ""
    assert memory.difference(check, BASE + 0x10000) == ""
    memory.data[0x10000:] = bytes(0x10000)
    assert "words compared there differ" in memory.difference(checking(memory, marks=marks), BASE + 0x10000)
    writable = Segment(BASE, CODE, len(CODE))
    assert memory.difference(checking(memory, writable), BASE) == ""


def test_code_that_is_loaded_later_is_the_image_then():
    memory = Memory(bytes(len(CODE)))
    check = checking(memory)
    assert memory.difference(check, BASE) != ""
    memory.data[:] = CODE
    assert memory.difference(check, BASE) == ""


def test_what_cannot_be_read_or_is_not_in_the_image_is_no_difference():
    memory = Memory(CODE)
    memory.readable = False
    check = checking(memory)
    assert memory.difference(check, BASE) == ""
    assert check.difference(BASE - 4, b"none") == ""
    assert check.difference(BASE + len(CODE), b"none") == ""
