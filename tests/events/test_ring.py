"""The ring's reader against a model of the code that writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armprobe.errors import TargetError, UsageError
from armprobe.events.record import make_header, split_header
from armprobe.events.ring import BUFFER, LOST, READ, WRITE, Ring, drain, initialize, skip

BASE = 0x1000


class Memory:
    """Target memory, and the rules that target code follows when it writes a record."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.bytes = bytearray(ring.size)
        initialize(ring, self.write)

    def read(self, address: int, size: int) -> bytes:
        assert BASE <= address <= address + size <= BASE + self.ring.size
        return bytes(self.bytes[address - BASE : address - BASE + size])

    def write(self, address: int, data: bytes) -> None:
        assert BASE <= address <= address + len(data) <= BASE + self.ring.size
        self.bytes[address - BASE : address - BASE + len(data)] = data

    def word(self, offset: int) -> int:
        return int.from_bytes(self.read(BASE + offset, 4), "little")

    def set_word(self, offset: int, value: int) -> None:
        self.write(BASE + offset, (value & 0xFFFFFFFF).to_bytes(4, "little"))

    def reserve(self, words: int) -> int | None:
        """The offset of the record, or None when it is lost."""
        write = self.word(WRITE)
        if (write - self.word(READ) + words) % 2**32 > self.ring.capacity:
            self.set_word(LOST, self.word(LOST) + 1)
            return None
        self.set_word(WRITE, write + words)
        return BUFFER + 4 * (write % self.ring.capacity)

    def commit(self, offset: int, probe: int, fields: list[int]) -> None:
        for number, value in enumerate(fields, 1):
            assert self.word(offset + 4 * number) == 0, "the reader left something in a free word"
            self.set_word(offset + 4 * number, value)
        assert self.word(offset) == 0, "the reader left something in a free header"
        self.set_word(offset, make_header(probe, 1 + len(fields)))


def parse(record: memoryview) -> tuple[int, list[int]]:
    words = [int.from_bytes(record[at : at + 4], "little") for at in range(0, len(record), 4)]
    probe, size = split_header(words[0])
    assert size == len(words)
    return probe, words[1:]


@given(
    start=st.sampled_from([0, 1, 31, 2**32 - 1, 2**32 - 7]),
    steps=st.lists(st.one_of(st.just(None), st.lists(st.integers(1, 2**32 - 1), max_size=4)), max_size=60),
)
def test_records_arrive_once_whole_and_in_order_and_the_rest_is_counted_as_lost(start, steps):
    memory = Memory(Ring(BASE, 32, 5))
    memory.set_word(WRITE, start)
    memory.set_word(READ, start)
    expected, received, lost = [], [], 0
    for probe, fields in enumerate([*steps, None]):
        if fields is None:
            drained = drain(memory.ring, memory.read, memory.write)
            received += [parse(record) for record in drained.records]
            assert received == expected
            assert drained.lost == lost
        elif (offset := memory.reserve(1 + len(fields))) is None:
            lost += 1
        else:
            memory.commit(offset, probe, fields)
            expected.append((probe, fields))


@pytest.mark.parametrize("start", [0, 20, 2**32 - 7])
def test_what_is_behind_a_record_that_nobody_finishes_can_be_given_up(start):
    memory = Memory(Ring(BASE, 32, 5))
    memory.set_word(WRITE, start)
    memory.set_word(READ, start)
    offsets = [memory.reserve(5) for _ in range(5)]
    memory.commit(offsets[0], 7, [1, 2, 3, 4])
    memory.commit(offsets[4], 9, [5, 6, 7, 8])
    drained = drain(memory.ring, memory.read, memory.write)
    assert ([parse(record) for record in drained.records], drained.pending) == ([(7, [1, 2, 3, 4])], 20)
    assert skip(memory.ring, memory.read, memory.write) == 20
    assert skip(memory.ring, memory.read, memory.write) == 0
    for probe in range(12):
        memory.commit(memory.reserve(4), probe, [probe] * 3)
        drained = drain(memory.ring, memory.read, memory.write)
        assert ([parse(record) for record in drained.records], drained.pending) == ([(probe, [probe] * 3)], 0)


def test_a_record_being_written_holds_back_itself_and_those_after_it():
    memory = Memory(Ring(BASE, 32, 5))
    offsets = [memory.reserve(3) for _ in range(3)]
    memory.commit(offsets[0], 7, [1, 2])
    memory.commit(offsets[2], 9, [5, 6])
    assert [parse(record) for record in drain(memory.ring, memory.read, memory.write).records] == [(7, [1, 2])]
    assert list(drain(memory.ring, memory.read, memory.write).records) == []
    memory.commit(offsets[1], 8, [3, 4])
    records = drain(memory.ring, memory.read, memory.write).records
    assert [parse(record) for record in records] == [(8, [3, 4]), (9, [5, 6])]
    assert memory.word(WRITE) == memory.word(READ) == 9


@pytest.mark.parametrize(
    ("offset", "value", "evidence"),
    [
        (WRITE, 99, "write=0x63 read=0x0 mask=0x1f"),
        (READ, 1, "write=0x0 read=0x1 mask=0x1f"),
        (12, 0, "write=0x0 read=0x0 mask=0x0"),
    ],
)
def test_a_ring_header_that_something_overwrote_is_an_error(offset, value, evidence):
    memory = Memory(Ring(BASE, 32, 5))
    memory.set_word(offset, value)
    with pytest.raises(
        TargetError, match=r"^the ring at 0x00001000 does not hold what compiled handlers write$"
    ) as error:
        drain(memory.ring, memory.read, memory.write)
    assert error.value.evidence == evidence


def test_a_record_longer_than_what_was_reserved_is_an_error():
    memory = Memory(Ring(BASE, 32, 5))
    memory.commit(memory.reserve(2), 1, [1])
    memory.set_word(BUFFER, 0x103)
    with pytest.raises(TargetError) as error:
        drain(memory.ring, memory.read, memory.write)
    assert error.value.evidence == "header 0x00000103 at word 0, 2 words pending"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0x1004, 32, 5), "a ring starts at a multiple of 8, not at 0x00001004"),
        (
            (0x1000, 24, 5),
            "a ring for records of up to 5 words holds a power of two of words, 20 or more, not 24",
        ),
        (
            (0x1000, 16, 5),
            "a ring for records of up to 5 words holds a power of two of words, 20 or more, not 16",
        ),
    ],
)
def test_a_ring_of_a_wrong_shape_is_refused(arguments, message):
    with pytest.raises(UsageError) as error:
        Ring(*arguments)
    assert str(error.value) == message
