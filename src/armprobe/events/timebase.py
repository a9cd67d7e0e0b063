"""What the time in records means: from ticks to nanoseconds, or to what the clock counts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_MOST = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class TimeBase:
    """A clock: what it counts, for people; the unit that times are given in, `ns` or what stands for a nanosecond.

    Times count from the tick `start` on.
    """

    name: str
    unit: str
    ns_per_tick: Fraction
    start: int = 0

    def units(self, ticks: Any) -> Any:
        """Ticks in the unit, rounded down: an int, or a NumPy array of uint64."""
        ticks = ticks - self.start & _MOST
        numerator, denominator = self.ns_per_tick.numerator, self.ns_per_tick.denominator
        if denominator == 1:
            return ticks if numerator == 1 else ticks * numerator
        # In two steps, so that the product fits in 64 bits.
        return ticks // denominator * numerator + ticks % denominator * numerator // denominator

    def show(self, ticks: int) -> str:
        """The time as the kernel's trace file shows it: seconds to the microsecond, or a plain number."""
        units = int(self.units(ticks))
        if self.unit != "ns":
            return str(units)
        seconds, rest = divmod(units, 1_000_000_000)
        return f"{seconds}.{rest // 1000:06}"
