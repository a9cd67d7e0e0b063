"""What many values have in common: extremes, quantiles, a histogram by powers of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many values lie from `low` to `high`, both included."""

    low: int
    high: int
    count: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of integers. A quantile is one of the values: the least that so many do not exceed (50 %, 90 %, 99 %)."""

    count: int
    least: int
    greatest: int
    mean: float
    quantiles: tuple[int, ...]
    histogram: tuple[Bucket, ...]


def statistics(values: NDArray[Any]) -> Statistics:
    """Of one integer or more."""
    ordered = np.sort(values)
    count = len(ordered)
    return Statistics(
        count,
        int(ordered[0]),
        int(ordered[-1]),
        float(np.mean(ordered, dtype=np.float64)),
        tuple(int(ordered[max(0, -int(-quantile * count // 1) - 1)]) for quantile in QUANTILES),
        log2_histogram(ordered),
    )


def log2_histogram(values: NDArray[Any]) -> tuple[Bucket, ...]:
    """Buckets 0, 1, 2 to 3, 4 to 7 and so on, the same below zero; from the first that is not empty to the last."""
    if not len(values):
        return ()
    # Numbers of bits, without a detour by floating point, where 2**63 - 1 is 2**63.
    magnitudes = np.where(values < 0, ~values, values).astype(np.uint64) + (values < 0).astype(np.uint64)
    powers = np.uint64(1) << np.arange(64, dtype=np.uint64)
    bits = np.searchsorted(powers, magnitudes, side="right")
    keys, counts = np.unique(np.where(values < 0, -bits, bits), return_counts=True)
    found = dict(zip(keys.tolist(), counts.tolist(), strict=True))
    return tuple(_bucket(key, found.get(key, 0)) for key in range(min(found), max(found) + 1))


def _bucket(key: int, count: int) -> Bucket:
    """The bucket of the numbers of `key` bits; negative keys are those of negative numbers."""
    if not key:
        return Bucket(0, 0, count)
    low, high = 1 << abs(key) - 1, (1 << abs(key)) - 1
    return Bucket(low, high, count) if key > 0 else Bucket(-high, -low, count)
