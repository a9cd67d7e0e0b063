"""How long calls took: numbers that compiled code keeps in target memory, and their look."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from armprobe.codegen.latency import BUCKET_COUNT, BUCKETS, BYTES, GREATEST, LEAST, SUM

if TYPE_CHECKING:
    from armprobe.probes.probe import Probe

_BAR = 40
_WORD = 0xFFFFFFFF


class _Memory(Protocol):
    def read_memory(self, address: int, size: int) -> bytes: ...

    def write_memory(self, address: int, data: bytes) -> None: ...


@dataclass(slots=True, eq=False)
class Latencies:
    """The times that calls of one function took, from its first instruction to its return; made by a session.

    All times are in `unit`: nanoseconds, or instructions in the embedded emulator. Calls in progress, and those that
    were missed, are not in it. After the session's end, the numbers are as they were last.
    """

    name: str
    unit: str
    #: of the unit, for a tick of the clock
    scale: Fraction = field(repr=False)
    address: int = field(repr=False)
    #: the probe that measures
    probe: Probe | None = field(default=None, repr=False)
    _memory: _Memory | None = field(default=None, repr=False)
    _final: bytes = field(default=b"", repr=False)

    @property
    def count(self) -> int:
        """How many calls came back."""
        return sum(self._numbers())

    @property
    def missed(self) -> int:
        """Calls that were not measured, because so many were in progress."""
        return self.probe.missed if self.probe is not None else 0

    @property
    def total(self) -> float:
        """The time of all calls together."""
        return float(self._number(SUM, 8) * self.scale)

    @property
    def mean(self) -> float:
        """The time of a call on the average; 0 where there was none."""
        count = self.count
        return self.total / count if count else 0.0

    @property
    def least(self) -> float:
        """The time of the shortest call; 0 where there was none."""
        return float(self._number(LEAST, 4) * self.scale) if self.count else 0.0

    @property
    def greatest(self) -> float:
        """The time of the longest call, or that of 2^32 - 1 ticks if it took longer; 0 where there was none."""
        return float(self._number(GREATEST, 4) * self.scale)

    def buckets(self) -> list[tuple[float, float, int]]:
        """(from, below, calls) by powers of two of the clock's ticks, from the first to the last that has any.

        The last possible one has all calls of 2^31 ticks and more.
        """
        numbers = self._numbers()
        used = [bucket for bucket, number in enumerate(numbers) if number]
        if not used:
            return []
        return [
            (float((1 << bucket >> 1) * self.scale), float((1 << bucket) * self.scale), numbers[bucket])
            for bucket in range(used[0], used[-1] + 1)
        ]

    def clear(self) -> None:
        """Forget all calls."""
        assert self._memory is not None
        start = bytearray(BYTES)
        start[LEAST : LEAST + 4] = _WORD.to_bytes(4, "little")
        self._memory.write_memory(self.address, bytes(start))

    def freeze(self) -> None:
        """Keep the numbers as they are now: the memory is about to go."""
        self._final, self._memory = self._data(), None

    def __str__(self) -> str:
        """The numbers, and a line of the histogram for each power of two."""
        buckets = self.buckets()
        extremes = f"least {self.least:,.0f}, mean {self.mean:,.1f}, greatest {self.greatest:,.0f}"
        lines = [f"{self.name}: {self.count:,} calls, {self.unit}: {extremes}"]
        labels = [f"{low:,.0f} .. {high:,.0f}" for low, high, _ in buckets]
        most = max((number for *_, number in buckets), default=1)
        for label, (*_, number) in zip(labels, buckets, strict=True):
            bar = "#" * -(-_BAR * number // most)
            lines.append(f"  {label:>{max(map(len, labels))}}  {number:>{len(f'{most:,}')},}  {bar}".rstrip())
        return "\n".join(lines)

    def _numbers(self) -> list[int]:
        data = self._data()
        places = range(BUCKETS, BUCKETS + 8 * BUCKET_COUNT, 8)
        return [int.from_bytes(data[place : place + 8], "little") for place in places]

    def _number(self, offset: int, size: int) -> int:
        return int.from_bytes(self._data()[offset : offset + size], "little")

    def _data(self) -> bytes:
        return self._final if self._memory is None else self._memory.read_memory(self.address, BYTES)
