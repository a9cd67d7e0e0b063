"""Records as they were drained, many at a time."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st
from tests.events.samples import batch_of

from armprobe.events import batch as module
from armprobe.events.batch import Batch, Store, join, single
from armprobe.events.record import make_header


def simple(number: int, words: int = 2) -> bytes:
    return make_header(number, words).to_bytes(4, "little") + bytes([number & 0xFF]) * (4 * words - 4)


def test_a_batch_is_its_records_in_order():
    records = [simple(7, 1), simple(300, 3), simple(7, 2)]
    batch = batch_of(records)
    assert len(batch) == 3
    assert list(map(bytes, batch)) == records
    assert bytes(batch[1]) == records[1]


def test_a_batch_of_nothing_is_false():
    assert not Batch()
    assert list(Batch()) == []
    assert Batch().count() == {}


def test_records_are_counted_by_the_number_of_their_probe():
    assert batch_of([simple(7, 1), simple(0xABCDEF, 3), simple(7, 2)]).count() == {7: 2, 0xABCDEF: 1}


def test_a_single_record_is_a_batch():
    assert list(map(bytes, single(simple(3)))) == [simple(3)]


def test_joined_batches_are_the_records_of_both():
    first, second = [simple(1), simple(2, 5)], [simple(3, 1), simple(4)]
    assert list(map(bytes, join(batch_of(first), batch_of(second)))) == first + second


@given(steps=st.lists(st.one_of(st.integers(0, 9), st.sampled_from(["all", "look"]), st.integers(-4, -1)), max_size=30))
def test_a_store_gives_back_each_record_once_in_order_with_its_number(steps):
    """A number adds so many records, a negative one takes some one by one, `all` takes all."""
    store = Store()
    waiting: list[tuple[int, bytes]] = []
    added = 0
    for step in steps:
        if step == "all":
            first = store.first
            got = [bytes(one) for batch in store.take() for one in batch]
            assert list(enumerate(got, first)) == waiting
            waiting = []
        elif step == "look":
            assert [bytes(one) for batch in store.batches for one in batch] == [data for _, data in waiting]
        elif step >= 0:
            new = [simple(added + index) for index in range(step)]
            waiting += enumerate(new, added)
            added += step
            store.add(batch_of(new))
        else:
            got = [(number, bytes(one)) for _, (number, one) in zip(range(-step), store.take_each(), strict=False)]
            assert got == waiting[:-step]
            waiting = waiting[-step:]
        assert store.first == added - len(waiting)


def test_small_batches_are_joined_and_big_ones_are_not(monkeypatch):
    monkeypatch.setattr(module, "_JOINED_BYTES", 40)
    store = Store()
    for number in range(6):
        store.add(single(simple(number, 4)))
    assert [len(batch) for batch in store.batches] == [2, 2, 2]


def test_an_event_with_two_words_takes_a_few_bytes_more_than_its_record():
    store = Store()
    for number in range(10):
        store.add(batch_of([simple(number, 3)] * 10_000))
    taken = sum(sys.getsizeof(batch.data) + sys.getsizeof(batch.starts) for batch in store.batches)
    assert taken < 100_000 * (12 + 5)
