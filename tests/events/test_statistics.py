"""Extremes, quantiles and histograms of many values, against plain Python."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armprobe.events.statistics import QUANTILES, Bucket, log2_histogram, statistics

EDGES = sorted({sign * (2**power + step) for power in range(64) for step in (-1, 0, 1) for sign in (-1, 1)} | {0})
KINDS = {
    kind: st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    | st.sampled_from([edge for edge in EDGES if np.iinfo(kind).min <= edge <= np.iinfo(kind).max])
    for kind in ("u1", "i1", "u4", "i4", "u8", "i8")
}


@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(KINDS[kind], min_size=1))))
def test_statistics_are_those_of_plain_python(case):
    kind, values = case
    found = statistics(np.array(values, kind))
    assert (found.count, found.least, found.greatest) == (len(values), min(values), max(values))
    assert found.mean == pytest.approx(sum(values) / len(values), rel=1e-9, abs=abs(max(values, key=abs)) * 1e-9)
    for quantile, value in zip(QUANTILES, found.quantiles, strict=True):
        at_most = sum(other <= value for other in values)
        below = sum(other < value for other in values)
        assert value in values
        assert at_most >= quantile * len(values) > below


@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(KINDS[kind]))))
def test_each_value_is_in_the_one_bucket_whose_ends_enclose_it(case):
    kind, values = case
    buckets = log2_histogram(np.array(values, kind))
    assert [sum(bucket.low <= value <= bucket.high for value in values) for bucket in buckets] == [
        bucket.count for bucket in buckets
    ]
    assert sum(bucket.count for bucket in buckets) == len(values)
    assert all(before.high + 1 == after.low for before, after in pairwise(buckets))
    assert not values or (buckets[0].count and buckets[-1].count)


def test_buckets_are_powers_of_two_on_both_sides_of_zero():
    assert log2_histogram(np.array([-4, -1, 0, 1, 2, 3, 3, 8])) == (
        Bucket(-7, -4, 1), Bucket(-3, -2, 0), Bucket(-1, -1, 1), Bucket(0, 0, 1), Bucket(1, 1, 1), Bucket(2, 3, 3),
        Bucket(4, 7, 0), Bucket(8, 15, 1),
    )  # fmt: skip
