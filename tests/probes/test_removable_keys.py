"""Tables whose keys can be removed: target code against the host and a dictionary, and against itself at once."""

from __future__ import annotations

import random

import pytest
from tests.codegen.python_functions import MAPS, PAGE, TEXT, BothSides, define
from tests.codegen.test_handlers import state
from tests.probes.program import END, LOOP, start
from unicorn import UC_HOOK_CODE

from armprobe.codegen.map_layout import FREE, MEMBER, TAKE, KeyPart, MapKind, MapShape
from armprobe.errors import UsageError
from armprobe.probes.map_cells import Cells
from armprobe.probes.maps import Map

CONFIGURATIONS = [(7, False), (7, True), (6, False), (5, False), (4, False)]
SIZE = 8
#: for code that is longer than others
ROOM = 0x0012_0000
#: r0 says what is done with the key r1, and gives r2 to it
SOURCE = """
def handler(r0, r1, r2):
    if r0 == 0:
        table[r1] += r2
    elif r0 == 1:
        table[r1] = r2
    elif r0 == 2:
        del table[r1]
    elif r0 == 3:
        emit(number=table.pop(r1))
    else:
        emit(number=table[r1])
"""


@pytest.mark.parametrize(("architecture", "atomic"), CONFIGURATIONS)
def test_target_and_host_do_the_same_with_keys_that_come_and_go(architecture, atomic):
    shape = MapShape(MapKind.TABLE, SIZE, removable=True)
    table = Map("table", shape, MAPS)
    both = BothSides(define(SOURCE, table=table), architecture=architecture, atomic=atomic)
    both.machine.uc.mem_map(ROOM, 2 * PAGE)
    both.machine.base = ROOM
    stored = Map("table", shape, MAPS, _memory=both)
    generator, model, overflow = random.Random(architecture), {}, 0
    keys = [0, 1, 2, 0xFFFFFFFF, *(generator.getrandbits(32) for _ in range(8))]
    for _ in range(400):
        what, key, number = (
            generator.choice([0, 0, 1, 2, 3, 4]),
            generator.choice(keys),
            generator.choice([1, 2, 1 << 31]),
        )
        registers = state(r0=what, r1=key, r2=number)
        known, room = model.get(key, 0), key in model or len(model) < SIZE
        assert both.target(registers) == both.host(registers) == ([{"number": known}] if what > 2 else [], False)
        if what < 2 and room:
            model[key] = (known if what == 0 else 0) + number
        overflow += what < 2 and not room
        if what in (2, 3):
            model.pop(key, None)
        assert both.target_maps == bytes(both.host_memory)
        assert (stored.values(), stored.overflow) == (dict(sorted(model.items())), overflow)
    assert overflow > 5


PARTS = """
def handler(r0, r1, r2):
    if r0 < 3:
        table[string(r2), r1] += r0
    elif r0 == 3:
        table[string(r2), r1] = 9
    else:
        emit(number=table.pop((string(r2), r1)))
"""


@pytest.mark.parametrize(("architecture", "atomic"), [(7, False), (7, True), (4, False)])
def test_keys_made_of_parts_come_and_go(architecture, atomic):
    shape = MapShape(MapKind.TABLE, SIZE, key=(KeyPart(2, text=True), KeyPart()), removable=True)
    both = BothSides(define(PARTS, table=Map("table", shape, MAPS)), architecture=architecture, atomic=atomic)
    both.machine.uc.mem_map(ROOM, 2 * PAGE)
    both.machine.base = ROOM
    stored = Map("table", shape, MAPS, _memory=both)
    generator, model = random.Random(architecture), {}
    for _ in range(150):
        what, number, place = generator.randrange(1, 6), generator.randrange(3), generator.choice([TEXT, TEXT + 2])
        key = "eth0" if place == TEXT else "h0", number
        registers = state(r0=what, r1=number, r2=place)
        assert both.target(registers) == both.host(registers) == (
            [{"number": model.get(key, 0)}] if what > 3 else [], False
        )  # fmt: skip
        if what <= 3:
            model[key] = 9 if what == 3 else model.get(key, 0) + what
        else:
            model.pop(key, None)
        assert both.target_maps == bytes(both.host_memory)
        assert stored.values() == dict(sorted(model.items()))
    assert both.target(state(r0=5, r2=0)) == both.host(state(r0=5, r2=0)) == ([{"number": None}], False)


OUTER = """
def handler(r0, r1):
    if r0 == 0:
        table[r1] += 1
    else:
        taken.add(table.pop(r1))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("what", "inner", "key"), [(0, 0, 9), (0, 0, 33), (0, 1, 9), (0, 1, 33), (1, 0, 9), (1, 1, 9)])
def test_books_are_exact_when_the_handler_is_interrupted_anywhere(what, inner, key):
    """9 is there; the interrupt runs the same body, with its key and with another, between any two instructions."""
    shape = MapShape(MapKind.TABLE, 4, removable=True)
    maps = {"table": Map("table", shape, MAPS), "taken": Map("taken", MapShape(MapKind.COUNTER), MAPS + 0x200)}
    at = last = 0
    while not last:
        at += 1
        both = BothSides(define(OUTER, **maps), atomic=True)
        machine, body = both.machine, both.body
        symbols = {"hits": MAPS + 0x300} | {f"map{number}": known.address for number, known in enumerate(maps.values())}
        end = machine.base + 4 * len(body.words)
        added = 1 + (what == 0) + (inner == 0) * 2
        machine.run(body, state(r0=0, r1=9), symbols)
        machine.enter(body, state(r0=what, r1=key), symbols)
        machine.uc.emu_start(machine.base, end, count=at)
        before = machine.registers()
        for other in (key, 77):
            machine.run(body, state(r0=inner, r1=other, sp=before["sp"] - 64), symbols)
        machine.set_registers(before)
        if before["pc"] == end:
            last = at
        else:
            machine.uc.emu_start(before["pc"], end, count=2000)
        reader = _Reader(machine)
        table, taken = (Map(known.name, known.shape, known.address, _memory=reader) for known in maps.values())
        assert (table.total + taken.total, table.overflow) == (added, 0), f"interrupted after {at} instructions"
        cells = Cells(shape, reader.read_memory(MAPS, shape.bytes))
        assert all(cells.state(cell) % TAKE in (FREE, MEMBER) for cell in range(4)), (
            f"interrupted after {at} instructions"
        )
        assert len([*cells.taken()]) == len(table.values()), f"interrupted after {at} instructions"
    assert last > 30


class _Reader:
    def __init__(self, machine) -> None:
        self.read_memory, self.write_memory = machine.read, machine.write


@pytest.mark.parametrize(
    ("removable", "atomic", "new", "known"),
    [(False, False, 26, 23), (True, False, 37, 34), (False, True, 42, 31), (True, True, 116, 76)],
)
def test_an_update_takes_as_many_instructions_as_documented(removable, atomic, new, known):
    table = Map("table", MapShape(MapKind.TABLE, 64, removable=removable), MAPS)
    both = BothSides(define("def handler(r0, r1):\n    table[r0] += r1\n", table=table), atomic=atomic)
    executed = []
    both.machine.uc.hook_add(UC_HOOK_CODE, lambda _uc, address, *_: executed.append(address))
    taken = []
    for _ in range(2):
        executed.clear()
        both.target(state(r0=5, r1=7))
        taken.append(len(executed))
    assert taken == [new, known]


class _Changing:
    """Memory that a thread changes after the first look at it: the cell of 5 becomes one of 6."""

    def __init__(self, shape: MapShape) -> None:
        self.data, self.shape, self.looks = bytearray(shape.bytes), shape, 0

    def read_memory(self, address: int, size: int) -> bytes:
        found = bytes(self.data[address - MAPS :][:size])
        self.looks += 1
        if self.looks == 1:
            table = Map("table", self.shape, MAPS, _memory=self)
            del table[5]
            table[6] = 99
        return found

    def write_memory(self, address: int, data: bytes) -> None:
        self.data[address - MAPS : address - MAPS + len(data)] = data


def test_a_key_that_comes_while_the_host_looks_is_not_shown_with_the_number_of_another():
    shape = MapShape(MapKind.TABLE, 2, removable=True)
    memory = _Changing(shape)
    memory.looks = 1
    table = Map("table", shape, MAPS, live=True, _memory=memory)
    table[5], table[7] = 1, 2
    memory.looks = 0
    assert table.values() == {7: 2}
    assert table.values() == {6: 99, 7: 2}


def test_keys_are_removed_on_the_host_where_the_table_is_made_for_it():
    with start() as session:
        table, fixed = session.table("table", 4, removable=True), session.table("fixed", 4)
        table[3] += 5
        table[0] = 7
        assert (table.pop(3), table.pop(3), table.values()) == (5, 0, {0: 7})
        del table[0]
        assert (table.values(), table.total, str(table)) == ({}, 0, "table: 0")
        with pytest.raises(UsageError, match=r"^the keys of 'fixed' are there for good$"):
            del fixed[3]


def test_blocks_that_come_and_go_never_fill_a_table():
    with start() as session:
        table, taken = session.table("table", 4, removable=True), session.counter("taken")

        @session.probe(LOOP, compiled=True)
        def keep(r1):
            table[r1] = r1
            taken.add(table.pop(r1 + 2))

        session.run(until=END)
        assert (sorted(table.values()), table.overflow, taken.total) == ([1, 2], 0, sum(range(3, 101)))


@pytest.mark.parametrize(
    ("line", "at", "message"),
    [
        ("del fixed[r0]", "fixed[r0]", "the keys of this table are there for good"),
        ("emit(a=fixed.pop(r0))", "fixed.pop(r0)", "the keys of this table are there for good"),
        ("del sizes[r0]", "sizes[r0]", "a histogram has no keys that could be removed"),
        ("table.pop()", "table.pop()", "pop() takes one key"),
        ("del table[as_u64(r0)]", "as_u64(r0)]", "the keys of a table are u32, and this is u64"),
        ("del r0", "r0", "keys of tables are removed, and nothing else"),
    ],
)
def test_what_is_not_removed_is_refused(line, at, message):
    with start() as session:
        maps = {
            "table": session.table("table", 8, removable=True), "fixed": session.table("fixed", 8),
            "sizes": session.histogram("sizes"),
        }  # fmt: skip
        with pytest.raises(UsageError) as caught:
            session.probe(LOOP, define(f"def handler(r0):\n    {line}\n", **maps), compiled=True)
        assert caught.value.message == message
        *_, shown, caret = caught.value.evidence.splitlines()
        assert shown[caret.index("^") :].startswith(at)
