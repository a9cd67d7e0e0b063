import pytest

from armprobe.errors import Refused
from armprobe.targets.reservedmemory import ReservedMemory


def test_pieces_do_not_overlap_and_come_back():
    memory = ReservedMemory(0xBF000000, 0x4000)
    pieces = [memory.allocate(0x1000, 0, 1 << 32) for _ in range(4)]
    assert pieces == [0xBF000000, 0xBF001000, 0xBF002000, 0xBF003000]
    for piece in (pieces[2], pieces[0], pieces[3], pieces[1]):
        memory.free(piece, 0x1000)
    assert memory.allocate(0x4000, 0, 1 << 32) == 0xBF000000


def test_bounds_are_kept():
    memory = ReservedMemory(0xBF000000, 0x4000)
    assert memory.allocate(0x1000, 0xBF001800, 0xBF003000) == 0xBF002000


def test_no_memory_left_says_what_to_do():
    memory = ReservedMemory(0xBF000000, 0x2000)
    memory.allocate(0x1000, 0, 1 << 32)
    with pytest.raises(
        Refused,
        match=r"^of the 8,192 bytes that were taken from the kernel, 4,096 are left, and no 8,192 of them between "
        r"0x00000000 and 0x100000000$",
    ) as refused:
        memory.allocate(0x2000, 0, 1 << 32)
    assert refused.value.hint == "take more when attaching (memory=...)"
