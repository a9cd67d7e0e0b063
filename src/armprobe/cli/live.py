"""Counts on a terminal while the program runs: once a second, with rates. rich is imported only then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from armprobe.cli.text import many, print_output
from armprobe.probes.probe import Probe

if TYPE_CHECKING:
    from rich.console import Group

#: seconds between two looks at the counters
PERIOD = 1.0
#: lines of the terminal that the table leaves to others
_ROOM = 8


def on_terminal() -> bool:
    """Whether standard output is one."""
    return sys.stdout is not None and sys.stdout.isatty()


class LiveCounts:
    """A table of counts on the terminal. What the program prints meanwhile goes above it, through `print_output`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self._clock = clock
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._line = b""
        self._seen: dict[Probe, int] = {}
        self._since = 0.0
        self._start = 0.0
        self.running = False

    def __enter__(self) -> Self:
        self._start = self._since = self._clock()
        self._live.start()
        self.running = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running = False
        self._live.stop()
        print_output(self._line)
        self._line = b""

    def print_output(self, data: bytes) -> None:
        """Pass on what the program prints, by lines while the table is shown."""
        if not self.running or not (sys.stderr is not None and sys.stderr.isatty()):
            print_output(data)
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._console.out(line.decode("utf-8", "replace"), highlight=False)

    def update(self, probes: Sequence[Probe], *, last: bool = False) -> None:
        """Show the counts, unless they were shown less than PERIOD ago."""
        now = self._clock()
        elapsed = now - self._since
        if elapsed < PERIOD and not last:
            return
        hits = {probe: probe.hits for probe in probes}
        rates = {probe: (count - self._seen.get(probe, 0)) / max(elapsed, 1e-9) for probe, count in hits.items()}
        self._seen, self._since = hits, now
        self._live.update(self._table(hits, rates), refresh=True)

    def _table(self, hits: dict[Probe, int], rates: dict[Probe, float]) -> Group:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in ("hits", "hits/s"):
            table.add_column(title, justify="right")
        for title in ("kind", "location"):
            table.add_column(title)
        shown = sorted(hits, key=lambda probe: (-rates[probe], -hits[probe], probe.address))
        most = max(self._console.height - _ROOM, 1)
        for probe in shown[:most]:
            table.add_row(f"{hits[probe]:,}", f"{rates[probe]:,.0f}", probe.state, Text(probe.place))
        left = f", {len(shown) - most:,} not shown" if len(shown) > most else ""
        seconds = f"{self._clock() - self._start:.0f} s"
        summary = f"{many(sum(hits.values()), 'hit')} of {many(len(hits), 'probe')} in {seconds}{left}; Ctrl-C ends"
        return Group(table, Text(summary, style="dim"))
