"""Many records to arrays: the same values as one record at a time."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events.samples import FIELDS, IN_MEMORY, batch_of, layout_of, record

from armprobe.events.batch import Batch
from armprobe.events.decode import decode
from armprobe.events.record import FieldType
from armprobe.events.values import unpack


def describe(address: int) -> str:
    return f"symbol+0x{address % 64:x}"


@given(
    chosen=st.lists(st.sampled_from(FIELDS), max_size=7),
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
)
def test_arrays_hold_what_unpack_gives_record_by_record(chosen, sizes, seed):
    """Over every kind of field, records of another probe between, and several batches."""
    rng = random.Random(seed)
    layout, other = layout_of(chosen), layout_of(rng.sample(FIELDS, 3))
    batches, expected = [], []
    for size in sizes:
        records = []
        for _ in range(size):
            records += [record(other, 8, rng) for _ in range(rng.randrange(2))]
            records.append(record(layout, 7, rng))
            expected.append(unpack(layout, records[-1], describe=describe))
        batches.append(batch_of(records))
    found = decode(layout, batches, 7, describe=describe)
    assert len(found) == len(expected)
    for name in (field.name for field in layout.fields):
        column = found[name].tolist()
        wanted = [values[name] for values in expected]
        if isinstance(found[name], np.ma.MaskedArray) and found[name].ndim == 2:
            column = [
                None if all(row) else values for values, row in zip(column, found[name].mask.tolist(), strict=True)
            ]
        assert column == wanted, name


@pytest.mark.parametrize("batches", [[], [Batch()]])
def test_no_records_are_an_empty_array_of_the_same_type(batches):
    layout = layout_of([("r0", FieldType(1, "u")), ("r1", FieldType(2, "s"))])
    found = decode(layout, batches, 7)
    assert found.tolist() == []
    assert found.dtype == np.dtype([("f0", "u1"), ("f1", "i2")])


def test_an_array_is_masked_only_where_memory_may_be_unreadable():
    rng = random.Random(1)
    registers, memory = layout_of([("r0", FieldType(4, "x"))]), layout_of([(IN_MEMORY, FieldType(4, "x"))])
    batch = batch_of([record(registers, 1, rng), record(memory, 2, rng)])
    assert not isinstance(decode(registers, [batch], 1), np.ma.MaskedArray)
    assert isinstance(decode(memory, [batch], 2), np.ma.MaskedArray)


def test_an_event_without_arguments_is_a_row_without_fields():
    layout = layout_of([])
    found = decode(layout, [batch_of([record(layout, 1, random.Random(1))] * 3)], 1)
    assert found.shape == (3,)
    assert found.dtype.names is None or found.dtype.names == ()
