"""Maps: what target code adds, against the same on the host and a dictionary."""

from __future__ import annotations

import random
import re
import struct
from collections import Counter

import pytest
from tests.codegen.python_functions import BYTES, MAPS, OPEN, PAGE, READ, TEXT, BothSides, define
from tests.codegen.test_handlers import state
from tests.probes.program import END, LOOP, start

from armprobe.codegen.map_layout import CELLS, READY, TAKEN, KeyPart, MapKind, MapShape, first_cell
from armprobe.errors import Refused, UsageError
from armprobe.probes.map_cells import Cells
from armprobe.probes.maps import Map


class Memory:
    """Target memory from MAPS on."""

    def __init__(self) -> None:
        self.data = bytearray(PAGE)

    def read_memory(self, address: int, size: int) -> bytes:
        return bytes(self.data[address - MAPS :][:size])

    def write_memory(self, address: int, data: bytes) -> None:
        self.data[address - MAPS : address - MAPS + len(data)] = data


def make(kind: MapKind, size: int = 1, **options: object) -> Map:
    return Map("sizes", MapShape(kind, size), MAPS, _memory=Memory(), **options)


def laid_out(shapes: dict[str, MapShape]) -> dict[str, Map]:
    """Maps one behind the other."""
    maps, address = {}, MAPS
    for name, shape in shapes.items():
        maps[name] = Map(name, shape, address)
        address += shape.bytes + 7 & ~7
    return maps


def test_a_map_is_read_as_it_was_written():
    histogram = make(MapKind.HISTOGRAM, 8)
    histogram[3] += 1
    histogram[3] += 2
    histogram[7] += 1 << 40
    histogram[8] += 1
    assert (histogram.values(), histogram[3], histogram[0], histogram.overflow) == ({3: 3, 7: 1 << 40}, 3, 0, 1)
    assert histogram.total == 3 + (1 << 40)
    histogram.clear()
    assert (histogram.values(), histogram.overflow) == ({}, 0)


def test_a_counter_wraps_at_64_bits():
    counter = make(MapKind.COUNTER)
    counter.add((1 << 64) - 1)
    counter.add()
    counter.add(5)
    assert counter.total == 5


def test_a_table_takes_as_many_keys_as_it_has_room_for_and_zero():
    table = make(MapKind.TABLE, 20)
    keys = random.Random(1).sample(range(1, 1 << 32), 25)
    for key in [*keys, *keys, 0]:
        table[key] += 1
    assert table.values() == dict.fromkeys(sorted([*keys[:20], 0]), 2) | {0: 1}
    assert table.overflow == 10


def test_a_map_keeps_its_last_numbers_when_its_memory_is_gone():
    with start() as session:
        calls, sizes = session.counter("calls"), session.histogram("sizes", buckets=8)

        @session.probe(LOOP, compiled=True)
        def count(r1):
            calls.add()
            sizes[r1] += 1

        session.run(until=END)
    assert (calls.total, sizes.values(), sizes.overflow) == (100, dict.fromkeys(range(1, 8), 1), 93)
    with pytest.raises(UsageError, match=r"^the map 'calls' can't be changed any more: it was taken, or its session"):
        calls.clear()


def test_what_is_taken_is_what_was_added_since():
    with start() as session:
        calls, sizes = session.counter("calls"), session.histogram("sizes", step=10, buckets=5)
        names, fixed = session.table("names", 64, key=("u32", "u32")), session.table("fixed", 4, removable=True)

        @session.probe(LOOP, compiled=True)
        def count(r1):
            calls.add()
            sizes.observe(r1)
            names[r1 & 1, r1 & 2] += r1

        taken = []
        session.run(until=END, limit=333)
        while True:
            taken.append((calls.take(), sizes.take(), names.take()))
            if session.regs.pc == END:
                break
            session.run(until=END, limit=333)
        assert len(taken) > 3
        for number, known in enumerate((calls, sizes, names)):
            added = Counter()
            for parts in taken:
                added.update(parts[number].values())
            assert (dict(added), sum(parts[number].overflow for parts in taken)) == (known.values(), known.overflow)
        assert all(parts[0].total < 60 for parts in taken)
        assert (str(calls), str(calls.take())) == ("calls: 100", "calls: 0")
        calls.clear()
        calls.add(3)
        assert calls.take().total == 3
        with pytest.raises(UsageError, match=r"^the map 'calls' can't be changed any more: it was taken"):
            taken[0][0].clear()
        with pytest.raises(UsageError, match=r"^keys of 'fixed' may be removed, and what they had would be missing$"):
            fixed.take()


@pytest.mark.parametrize(
    ("shape", "log2", "numbers", "expected"),
    [
        (MapShape(MapKind.COUNTER), False, {0: 5}, "sizes: 5"),
        (MapShape(MapKind.TABLE, 4), False, {}, "sizes: 0"),
        (
            MapShape(MapKind.TABLE, 4), False, {0x8010: 20, 0xFFFF0000: 1},
            ("sizes: 21\n"
            "  0x00008010  20  ########################################\n"
            "  0xffff0000   1  ##"),
        ),
        (
            MapShape(MapKind.HISTOGRAM, 8), True, {0: 1, 1: 2, 3: 4, 9: 1},
            ("sizes: 7, 1 without a place\n"
            "   0 to 1  1  ##########\n"
            "   2 to 3  2  ####################\n"
            "   4 to 7  0\n"
            "  8 to 15  4  ########################################"),
        ),
        (
            MapShape(MapKind.HISTOGRAM, 4), False, {2: 1, 3: 1},
            ("sizes: 2\n"
            "  2  1  ########################################\n"
            "  3  1  ########################################"),
        ),
    ],
)  # fmt: skip
def test_a_map_prints_a_line_for_each_number(shape, log2, numbers, expected):
    known = make(shape.kind, shape.size, log2=log2)
    for key, number in numbers.items():
        known.add(number, key)
    assert str(known) == expected


@pytest.mark.parametrize("size", [0, -1, 65537])
def test_sizes_that_make_no_sense_are_refused(size):
    with start() as session, pytest.raises(UsageError) as caught:
        session.table("t", size)
    assert str(caught.value) == f"a table has 1 to 65536 places, not {size}"


CONFIGURATIONS = [(7, False), (7, True), (6, False), (5, False), (4, False)]
SOURCE = """
def handler(r0, r1):
    counter.add(r1)
    histogram[r0 & 31] += 1
    wide[as_u64(r0) << 4] += r1
    table[r0 & 63] += r1
"""


@pytest.mark.parametrize(("architecture", "atomic"), CONFIGURATIONS)
def test_target_and_host_leave_the_same_bytes(architecture, atomic):
    shapes = {
        "counter": MapShape(MapKind.COUNTER), "histogram": MapShape(MapKind.HISTOGRAM, 20),
        "wide": MapShape(MapKind.HISTOGRAM, 100), "table": MapShape(MapKind.TABLE, 37),
    }  # fmt: skip
    maps = laid_out(shapes)
    both = BothSides(define(SOURCE, **maps), architecture=architecture, atomic=atomic)
    generator = random.Random(architecture)
    for _ in range(300):
        registers = state(generator.getrandbits(20), r0=generator.getrandbits(generator.choice([2, 6, 32])))
        assert both.target(registers) == both.host(registers) == ([], False)
    assert both.target_maps == bytes(both.host_memory)
    assert int.from_bytes(both.target_maps[maps["table"].address - MAPS :][:8], "little"), "the table never overflowed"


READS = """
def handler(r0, r1, r2):
    counter.add(r1)
    numbers[r0 & 15] += 3
    buckets[r0 & 7] += r1
    last[r0 & 3] = numbers[r0 & 15]
    emit(total=counter.total, here=numbers[r0 & 15], other=numbers[r1], none=numbers[r0 | 256], bucket=buckets[r0],
         last=last[r0 & 3] + 1)
"""
READS_OF_PARTS = """
def handler(r0, r1, r2):
    pairs[r0 & 3, string(r2)] += 1
    emit(pair=pairs[r0 & 3, string(r2)], other=pairs[r1, string(r2 + 1)])
"""


@pytest.mark.parametrize(("architecture", "atomic"), CONFIGURATIONS)
def test_numbers_are_read_as_they_are(architecture, atomic):
    shapes = {
        "counter": MapShape(MapKind.COUNTER), "numbers": MapShape(MapKind.TABLE, 12),
        "buckets": MapShape(MapKind.HISTOGRAM, 6), "last": MapShape(MapKind.TABLE, 4),
    }  # fmt: skip
    maps = laid_out(shapes)
    both = BothSides(define(READS, **maps), architecture=architecture, atomic=atomic)
    stored = Map("numbers", shapes["numbers"], maps["numbers"].address, _memory=both)
    generator, total, numbers, buckets = random.Random(architecture), 0, Counter(), Counter()
    for _ in range(200):
        r0, r1 = generator.getrandbits(generator.choice([2, 4, 9])), generator.choice([0, 1, 1 << 31])
        result = both.target(state(r0=r0, r1=r1))
        assert both.host(state(r0=r0, r1=r1)) == result
        (record,), _ = result
        total, numbers[r0 & 15], buckets[r0 & 7] = total + r1, numbers[r0 & 15] + 3, buckets[r0 & 7] + r1
        assert (record["total"], record["none"]) == (total, 0)
        assert record["here"] in (numbers[r0 & 15], 0)  # there is room for 12 of the 16 keys
        assert (record["here"], record["other"]) == (stored[r0 & 15], stored[r1])
        assert record["bucket"] == (buckets[r0] if r0 < 6 else 0)
        assert record["last"] == record["here"] + 1
    assert both.target_maps == bytes(both.host_memory)
    assert len(stored.values()) == 13  # the key 0 has a place of its own


@pytest.mark.parametrize(("architecture", "atomic"), CONFIGURATIONS)
def test_numbers_by_keys_made_of_parts_are_read_as_they_are(architecture, atomic):
    pairs = Map("pairs", MapShape(MapKind.TABLE, 32, key=(KeyPart(), KeyPart(2, text=True))), MAPS)
    both = BothSides(define(READS_OF_PARTS, pairs=pairs), architecture=architecture, atomic=atomic)
    generator, expected = random.Random(architecture), Counter()
    for _ in range(100):
        r0, r1 = generator.getrandbits(2), generator.choice([0, 1, 1 << 31])
        place = generator.choice([TEXT, TEXT + 1, BYTES])
        expected[r0, place] += 1
        registers = state(r0=r0, r1=r1, r2=place)
        assert both.target(registers) == both.host(registers) == (
            [{"pair": expected[r0, place], "other": expected[r1, place + 1]}], False
        )  # fmt: skip
    assert both.target(state(r2=0)) == both.host(state(r2=0)) == ([], True)
    assert both.target_maps == bytes(both.host_memory)


def test_the_number_of_a_key_with_several_cells_is_their_sum():
    shape = MapShape(MapKind.TABLE, 8, key=(KeyPart(),))
    table = Map("table", shape, MAPS)
    both = BothSides(define("def handler(r0):\n    emit(here=table[r0])\n", table=table), atomic=True)
    first = first_cell([5], 8)
    for step, (taken, key, number) in enumerate([(READY, 5, 7), (TAKEN, 5, 100), (READY, 6, 30), (READY, 5, 1 << 40)]):
        cell = (first + step) % 8
        for at, data in ((8 + 8 * cell, struct.pack("<Q", number)), (72 + 8 * cell, struct.pack("<II", taken, key))):
            both.write_memory(MAPS + at, data)
            both.machine.write(MAPS + at, data)
    assert both.target(state(r0=5)) == both.host(state(r0=5)) == ([{"here": 7 + (1 << 40)}], False)
    assert both.target(state(r0=4)) == both.host(state(r0=4)) == ([{"here": 0}], False)


PARTS = """
def handler(r0, r1, r2):
    names[string(r2)] += r1
    both[r0 & 3, string(r2), r1] += 1
"""


@pytest.mark.parametrize(("architecture", "atomic"), CONFIGURATIONS)
def test_keys_made_of_parts_leave_the_same_bytes(architecture, atomic):
    names = Map("names", MapShape(MapKind.TABLE, 16, key=(KeyPart(2, text=True),)), MAPS)
    shape = MapShape(MapKind.TABLE, 12, key=(KeyPart(), KeyPart(4, text=True), KeyPart()))
    both_parts = Map("both", shape, MAPS + 0x200)
    both = BothSides(define(PARTS, names=names, both=both_parts), architecture=architecture, atomic=atomic)
    generator, model = random.Random(architecture), Counter()
    for _ in range(200):
        place = generator.choice([TEXT, TEXT + 2, BYTES, OPEN, READ + generator.randrange(60), 0])
        registers = state(r0=generator.getrandbits(3), r1=generator.choice([0, 1]), r2=place)
        assert both.target(registers) == both.host(registers)
        model[place] += registers["r1"]
    assert both.target_maps == bytes(both.host_memory)
    found = Map("names", names.shape, MAPS, _memory=both).values()
    assert found["eth0"] == model[TEXT]
    assert "h0" in found
    assert both_parts.shape.key_words == 6
    assert any(key[1] == "eth0" for key in Map("both", shape, MAPS + 0x200, _memory=both).values())


def test_a_table_by_strings_is_shown_by_its_numbers_largest_first():
    table = Map("by_name", MapShape(MapKind.TABLE, 8, key=(KeyPart(4, text=True), KeyPart())), MAPS, _memory=Memory())
    table.add(5, ("cat", 88))
    table["sh", 1] += 7
    table["sh", 1] += 3
    table["a name that is longer", 1] = 1
    assert table.values() == {("a name that is l…", 1): 1, ("cat", 88): 5, ("sh", 1): 10}
    assert table["sh", 1] == 10
    assert (table["sh", 2], table.total) == (0, 16)
    assert str(table) == (
        "by_name: 16\n"
        "                 sh 1  10  ########################################\n"
        "               cat 88   5  ####################\n"
        "  a name that is l… 1   1  ####"
    )
    with pytest.raises(UsageError, match=r"^'cat' is no key of this table: that is a string of 16 bytes, a number$"):
        table.add(1, "cat")
    table.clear()
    assert table.values() == {}


def test_a_key_with_no_room_left_overflows():
    table = Map("by_name", MapShape(MapKind.TABLE, 3, key=(KeyPart(4, text=True),)), MAPS, _memory=Memory())
    for name in ("a", "b", "", "c", "a", "d"):
        table.add(1, name)
    assert (table.values(), table.overflow) == ({"": 1, "a": 2, "b": 1}, 2)


@pytest.mark.parametrize("key", ["u16", "char[0]", "char[18]", "char[68]", "string", ("u32", "x"), ()])
def test_keys_that_there_are_not_are_refused(key):
    with start() as session, pytest.raises(UsageError):
        session.table("t", 5, key=key)


@pytest.mark.parametrize(
    ("line", "at", "message"),
    [
        ("names[hit.pc] += 1", "hit.pc", "this part of the key is a string, string(r0) or hit.comm"),
        ("names[string(r0), 5] += 1", "string(r0), 5", "a key of this table has one part, not 2"),
        ("pairs[string(r0), string(r0)] += 1", "string(r0)]", "this part of the key is a number"),
        ("pairs[string(r0), as_u64(r0)] += 1", "as_u64", "a number in a key is u32, and this is u64"),
        ("pairs[string(r0)] += 1", "string", "a key of this table has 2 parts, not 1"),
        ("names[string(r0)] = 1", "names", "a table whose keys are made of parts is added to"),
        ("numbers[string(r0)] += 1", "string", "the keys of this table are u32"),
        ("numbers[r0, r0] += 1", "r0, r0", "the keys of this table are u32"),
    ],
)
def test_what_is_no_key_of_a_table_is_refused_in_a_handler(line, at, message):
    with start() as session:
        maps = {
            "names": session.table("names", 8, key="char[8]"),
            "pairs": session.table("pairs", 8, key=("char[8]", "u32")),
            "numbers": session.table("numbers", 8),
        }
        with pytest.raises(UsageError) as caught:
            session.probe(LOOP, define(f"def handler(hit, r0):\n    {line}\n", **maps), compiled=True)
        assert caught.value.message == message
        *_, shown, caret = caught.value.evidence.splitlines()
        assert shown[caret.index("^") :].startswith(at)


def test_a_key_looks_at_64_places_and_no_more():
    table = Map("table", MapShape(MapKind.TABLE, 100), MAPS)
    crowd = [key for key in range(1, 20_000) if first_cell([key], 100) == 70][:67]
    both = BothSides(define("def handler(r0):\n    table[r0] += 1\n", table=table))
    for key in crowd:
        assert both.target(state(r0=key)) == both.host(state(r0=key))
    assert both.target_maps == bytes(both.host_memory)
    assert Map("table", table.shape, MAPS, _memory=both).values() == dict.fromkeys(crowd[:64], 1)
    assert int.from_bytes(both.target_maps[:8], "little") == 3


def test_maps_add_exactly_when_the_handler_is_interrupted_anywhere():
    """The interrupt runs the same body twice, with a new key, between any two instructions of the interrupted one."""
    table = Map("table", MapShape(MapKind.TABLE, 3), MAPS)
    counter = Map("counter", MapShape(MapKind.COUNTER), MAPS + 0x100)
    source = "def handler(r0, r1):\n    table[r0] += r1\n    counter.add(r1)\n"
    expected = {9: 1 << 32, 77: 1 << 31}, 3 << 31

    def look(reader: _Reader) -> tuple[dict[int, int], int]:
        return (
            Map("table", table.shape, MAPS, _memory=reader).values(),
            Map("counter", counter.shape, MAPS + 0x100, _memory=reader).total,
        )

    assert _interrupt_anywhere(source, {"table": table, "counter": counter}, look, expected) > 20


def test_keys_made_of_parts_are_added_to_exactly_when_the_handler_is_interrupted_anywhere():
    """Where it is interrupted while it writes a key, there are two cells of that key, and their sum is what counts."""
    table = Map("table", MapShape(MapKind.TABLE, 4, key=(KeyPart(2, text=True), KeyPart())), MAPS)
    source = f"def handler(r0, r1):\n    table[string({TEXT}), r0] += r1\n"
    cells = set()

    def look(reader: _Reader) -> dict[tuple[str, int], int]:
        found = Map("table", table.shape, MAPS, _memory=reader)
        cells.add(len([*Cells(table.shape, reader.read_memory(MAPS, table.shape.bytes)).taken()]))
        assert found.overflow == 0
        return found.values()

    _interrupt_anywhere(source, {"table": table}, look, {("eth0", 9): 1 << 32, ("eth0", 77): 1 << 31})
    assert cells == {2, 3}


def _interrupt_anywhere(source, maps, look, expected) -> int:
    """Interrupt a handler after 1, 2, ... instructions; the interrupt runs it twice, with its key and with another.

    Returns how many instructions it has.
    """
    at = interrupted = 0
    while not interrupted or at < interrupted:
        at += 1
        both = BothSides(define(source, **maps), atomic=True)
        machine, body = both.machine, both.body
        symbols = {"hits": MAPS + 0x200, "faults": MAPS + 0x204} | {
            f"map{number}": known.address for number, known in enumerate(maps.values())
        }
        end = machine.base + 4 * len(body.words)
        machine.enter(body, state(r0=9, r1=1 << 31), symbols)
        machine.uc.emu_start(machine.base, end, count=at)
        before = machine.registers()
        for key in (9, 77):
            machine.run(body, state(r0=key, r1=1 << 31, sp=before["sp"] - 64), symbols)
        machine.set_registers(before)
        if before["pc"] == end:
            interrupted = at
        else:
            machine.uc.emu_start(before["pc"], end, count=1000)
        assert look(_Reader(machine)) == expected, f"interrupted after {at} instructions"
    return at


class _Reader:
    def __init__(self, machine) -> None:
        self.read_memory = machine.read
        self.write_memory = machine.write


def test_maps_need_load_exclusive_of_two_words_where_several_cpus_add():
    counter = Map("counter", MapShape(MapKind.COUNTER), MAPS)
    with pytest.raises(Refused) as caught:
        BothSides(define("def handler():\n    counter.add()\n", counter=counter), architecture=6, atomic=True)
    assert str(caught.value) == (
        "using a map exactly on several CPUs or in interrupts needs load-exclusive of two words, which every "
        "processor has from architecture 7 on; this target has architecture 6"
    )


def test_the_layout_is_as_documented():
    table = MapShape(MapKind.TABLE, 3)
    assert (CELLS, table.cells, table.keys, table.bytes, table.steps) == (8, 4, 40, 56, 3)
    assert MapShape(MapKind.HISTOGRAM, 64).bytes == 8 + 64 * 8
    assert MapShape(MapKind.TABLE, 1000).steps == 64


def test_a_histogram_by_steps_names_its_buckets():
    with start() as session:
        sizes = session.histogram("sizes", step=10, base=5, buckets=3)
        for value in (4, 5, 14, 15, 34, 35):
            sizes.observe(value)
        assert (sizes.values(), sizes.overflow) == ({0: 2, 1: 1, 2: 1}, 2)
        assert str(sizes).splitlines() == [
            "sizes: 4, 2 without a place",
            "   5 to 14  2  ########################################",
            "  15 to 24  1  ####################",
            "  25 to 34  1  ####################",
        ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": -1}, "buckets are of 1 to 2**32 - 1 values, from 0 to 2**32 - 1 on, not of -1 from 0 on"),
        ({"base": 5}, "buckets that begin at a base have a step"),
    ],
)
def test_buckets_that_make_no_sense_are_refused(arguments, message):
    with start() as session, pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        session.histogram("sizes", **arguments)
