"""Variables of the program as memory for slots, by their names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.probes.interrupted import BASE, SITES, WORDS
from tests.targets.stub import Stub

import armprobe
from armprobe import Image, Region
from armprobe.errors import UsageError
from armprobe.symbols.image import Segment, Symbol
from armprobe.targets.fake import FakeTarget

DATA = Region(0x100000, 0x120000, name="data")
IMAGE = replace(
    Image.from_words(WORDS, base=BASE),
    segments=(
        Segment(BASE, b"".join(word.to_bytes(4, "little") for word in WORDS), 256, writable=False),
        Segment(DATA.start, b"", DATA.end - DATA.start, executable=False),
    ),
    symbols=(
        Symbol("loop", BASE, 256),
        Symbol("table", BASE + 0x40, 0x80, function=False),
        Symbol("probe_memory", DATA.start + 0x1000, 0x8000, function=False),
        Symbol("small", DATA.start + 0x100, 16, function=False),
        Symbol("end", DATA.end, 0, function=False),
    ),
)


def attach(stub: Stub, name: str) -> armprobe.Session:
    return armprobe.attach_gdb(stub.address, IMAGE, slots=[name])


@pytest.fixture
def stub():
    fake = FakeTarget(WORDS, base=BASE)
    fake.map_memory(DATA)
    with Stub(fake, packet_size=0x1000) as stub:
        yield stub


def test_slots_are_in_the_variable_and_it_is_as_before_afterwards(stub):
    registers = stub.target.read_registers()
    registers.pc = BASE + 8
    stub.target.write_registers(registers)
    before = stub.target.read_memory(DATA.start, DATA.end - DATA.start)
    with attach(stub, "probe_memory") as session:
        session.count(SITES[4])
        session.optimize_now()
        assert session.explain(SITES[4]).code.base in range(DATA.start + 0x1000, DATA.start + 0x9000)
    assert stub.target.read_memory(DATA.start, DATA.end - DATA.start) == before


def test_a_variable_that_the_start_of_the_program_clears_is_refused_before_that(stub):
    with pytest.raises(UsageError) as error:
        attach(stub, "probe_memory")
    assert error.value.message == (
        "the program has not begun yet (pc is 0x00008000), and its start may clear probe_memory, memory for slots"
    )
    assert error.value.hint == "let it run past its start first: --after main"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loop", "loop at 0x00008000 is a function, and a variable is wanted here"),
        ("table", "table at 0x00008040..0x000080c0 is no memory for slots: the program can't write it"),
        ("small", "small has 16 bytes, and memory for slots takes 128 or more"),
        ("end", "the symbols do not tell how large end at 0x00120000 is"),
        ("probe_mem", "no symbol is called 'probe_mem'"),
    ],
)
def test_what_is_no_variable_to_take_is_refused_before_the_target_is_asked_anything(stub, name, message):
    with pytest.raises(UsageError) as error:
        attach(stub, name)
    assert error.value.message == message
    assert stub.requests == []
