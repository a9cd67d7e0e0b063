"""Events as Arrow tables."""

from __future__ import annotations

import random
from itertools import chain

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tests.events.samples import FIELDS, IN_MEMORY, batch_of, layout_of, record

from armprobe.events.arrow import Converter
from armprobe.events.batch import Batch, Origin
from armprobe.events.record import FieldType, make_layout
from armprobe.events.values import unpack


def describe(address: int) -> str:
    return f"symbol+0x{address % 64:x}"


def origin(event: str, *fields: int, group: str = "kprobes", address: int = 0x8000) -> Origin:
    """An event with the fields of these indices in FIELDS."""
    return Origin(group, event, address, f"{event}+0x0/0x10", layout_of(FIELDS[index] for index in fields))


@given(
    chosen=st.lists(st.lists(st.integers(0, len(FIELDS) - 1), max_size=5), min_size=1, max_size=4),
    order=st.lists(st.lists(st.integers(0, 3), max_size=8), max_size=3),
    seed=st.integers(0, 2**32),
)
def test_a_table_holds_what_unpack_gives_record_by_record(chosen, order, seed):
    rng = random.Random(seed)
    origins = {number: origin(f"e{number}", *fields, address=number * 16) for number, fields in enumerate(chosen, 5)}
    numbers = [[5 + choice % len(chosen) for choice in batch] for batch in order]
    batches = [[record(origins[number].layout, number, rng) for number in batch] for batch in numbers]
    table = Converter(origins, describe=describe).table(map(batch_of, batches), 100)
    table.validate(full=True)
    rows = table.to_pylist()
    flat = list(zip(chain(*numbers), chain(*batches), strict=True))
    assert len(rows) == len(flat)
    for index, (row, (number, data)) in enumerate(zip(rows, flat, strict=True)):
        of = origins[number]
        wanted = {
            "number": 100 + index,
            "group": "kprobes",
            "event": of.event,
            "address": of.address,
            "symbol": of.place,
        }
        wanted |= {other.event: None for other in origins.values() if other.layout.fields}
        if of.layout.fields:
            wanted[of.event] = unpack(of.layout, data, describe=describe)
        assert row == wanted


def test_the_schema_says_the_type_of_each_argument():
    types = (4, FieldType(4, "x")), (1, FieldType(1, "u", count=6)), (8, FieldType(8, "s"))
    layout = layout_of([("r0", types[0][1]), (IN_MEMORY, types[1][1]), (IN_MEMORY, types[2][1])])
    schema = Converter({1: Origin("g", "e", 0, "e", layout)}, describe=describe).schema
    assert str(schema.field("e").type) == "struct<f0: uint32, f1: list<item: uint8>, f2: int64>"
    assert [field.metadata for field in schema.field("e").type] == [
        {b"armprobe.type": b"x32"},
        {b"armprobe.type": b"u8[6]"},
        {b"armprobe.type": b"s64"},
    ]


def test_probes_that_record_the_same_under_one_name_share_a_column_and_others_get_one_of_their_own():
    elsewhere = make_layout([("f0", IN_MEMORY, FIELDS[0][1])])  # the same name and type from memory: other offsets
    origins = {
        1: origin("read", 0, address=0x8000),
        2: origin("read", 0, address=0x9000, group="other"),
        3: Origin("kprobes", "read", 0xA000, "read+0x0/0x10", elsewhere),
        4: origin("read", 1),
        5: origin("number", 0),
        6: origin("bare"),
    }
    converter = Converter(origins, describe=describe)
    assert converter.schema.names[5:] == ["read", "read_2", "number_2"]
    rng = random.Random(1)
    records = [record(origins[number].layout, number, rng) for number in origins for _ in range(9)]
    rng.shuffle(records)
    column = {1: "read", 2: "read", 3: "read", 4: "read_2", 5: "number_2"}
    for row, data in zip(converter.table([batch_of(records)], 0).to_pylist(), records, strict=True):
        of = origins[data[1]]
        assert (row["event"], row["group"], row["address"]) == (of.event, of.group, of.address)
        wanted = dict.fromkeys(converter.schema.names[5:])
        if data[1] in column:
            wanted[column[data[1]]] = unpack(of.layout, data, describe=describe)
        assert {name: row[name] for name in wanted} == wanted


def test_a_session_without_definitions_has_an_empty_table():
    table = Converter({}, describe=describe).table([], 0)
    assert (table.num_rows, table.schema.names) == (0, ["number", "group", "event", "address", "symbol"])
    assert isinstance(table, pa.Table)


def test_an_empty_batch_is_no_rows():
    assert Converter({1: origin("e", 0)}, describe=describe).record_batch(Batch(), 7).num_rows == 0
