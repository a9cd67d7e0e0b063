"""Records as they were drained, many at a time, and what they stand for.

A batch keeps the bytes that came from the target and where each record begins in them: some 16 bytes a record, where
an object for each would take hundreds.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from armprobe.events.record import Layout

#: batches are joined up to this size, so that many small drains do not become many small batches
_JOINED_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Origin:
    """What the records of one probe stand for: an event at an address. `place` is `symbol+0x0/0xsize`.

    `at_return`: the event is that the function at the address returned.
    """

    group: str
    event: str
    address: int
    place: str
    layout: Layout
    at_return: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole records, oldest first: `starts` are the bytes of `data` at which they begin."""

    data: bytes = b""
    starts: array[int] = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[memoryview]:
        return map(self.__getitem__, range(len(self.starts)))

    def __getitem__(self, index: int) -> memoryview:
        start = self.starts[index]
        return memoryview(self.data)[start : start + 4 * self.data[start]]

    def count(self) -> dict[int, int]:
        """How many records there are of each probe number."""
        data = self.data
        # Bytes 1 to 3 of a header are the number of the probe.
        numbers = Counter([data[start + 1 : start + 4] for start in self.starts])
        return {int.from_bytes(number, "little"): count for number, count in numbers.items()}


def single(record: bytes) -> Batch:
    """A batch of one record."""
    return Batch(record, array("I", [0]))


def join(first: Batch, second: Batch) -> Batch:
    """One batch of the records of both."""
    base = len(first.data)
    return Batch(first.data + second.data, first.starts + array("I", [base + start for start in second.starts]))


class Store:
    """Records that nobody has taken yet. `first` is the number of the oldest, counting all that were ever added."""

    def __init__(self) -> None:
        self.first = 0
        self._batches: deque[Batch] = deque()
        #: records of the oldest batch that were taken
        self._taken = 0

    def add(self, batch: Batch) -> None:
        if self._batches and len(self._batches[-1].data) + len(batch.data) <= _JOINED_BYTES:
            self._batches[-1] = join(self._batches[-1], batch)
        elif batch:
            self._batches.append(batch)

    @property
    def batches(self) -> list[Batch]:
        """All records, which stay."""
        return [
            Batch(batch.data, batch.starts[self._taken :]) if self._taken and not index else batch
            for index, batch in enumerate(self._batches)
        ]

    def take(self) -> list[Batch]:
        """Take all records."""
        batches = self.batches
        self._batches.clear()
        self._taken = 0
        self.first += sum(map(len, batches))
        return batches

    def take_each(self) -> Iterator[tuple[int, memoryview]]:
        """Take one record after another, each with its number; what was not asked for stays."""
        while self._batches:
            if self._taken == len(self._batches[0]):
                self._batches.popleft()
                self._taken = 0
                continue
            record = self._batches[0][self._taken]
            number = self.first
            self._taken += 1
            self.first += 1
            yield number, record
