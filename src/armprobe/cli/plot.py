"""The picture of `armprobe report --plot`: how often each event came, and a histogram for each argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from armprobe.cli.report import show_bucket
from armprobe.errors import UsageError
from armprobe.events.recording import Argument, Recording
from armprobe.events.statistics import Bucket, Statistics

#: a picture with more can't be read
EVENTS, HISTOGRAMS, COLUMNS = 15, 12, 3
COLOUR = "#3b6ea5"


def plot(path: Path, recording: Recording, numbers: Mapping[int, Statistics]) -> None:
    """Draw the picture. Raises UsageError unless the name ends in .png or .svg, and where nothing was recorded."""
    if path.suffix not in (".png", ".svg"):
        raise UsageError(f"wanted a picture that ends in .png or .svg, got {path.name!r}")
    if not recording.events:
        raise UsageError("there are no events to plot")
    counts = Counter[str]()
    for event, _, count in recording.places:
        counts[event] += count
    drawn = [
        (recording.arguments[index], found.histogram) for index, found in numbers.items() if len(found.histogram) > 1
    ][:HISTOGRAMS]
    rows = -(-len(drawn) // COLUMNS)
    bars = min(len(counts), EVENTS)
    height = 1.2 + 0.3 * bars
    # Fixed salt and no date: the same events make the same file.
    with rc_context({"svg.hashsalt": "armprobe", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, height + 2.6 * rows), layout="constrained")
        grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=[height, *[2.6] * rows])
        _draw_counts(figure.add_subplot(grid[0, :]), counts)
        for place, (argument, histogram) in enumerate(drawn):
            _draw_histogram(figure.add_subplot(grid[1 + place // COLUMNS, place % COLUMNS]), argument, histogram)
        metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {"Software": "armprobe"}
        figure.savefig(path, dpi=120, metadata=metadata)


def _draw_counts(axes: Axes, counts: Counter[str]) -> None:
    shown = counts.most_common(EVENTS)
    names = [event for event, _ in shown]
    bars = axes.barh(range(len(shown)), [count for _, count in shown], color=COLOUR)
    axes.set_yticks(range(len(shown)), names)
    axes.invert_yaxis()
    axes.bar_label(bars, [f"{count:,}" for _, count in shown], padding=3)
    axes.margins(x=0.1)
    axes.xaxis.set_visible(False)  # each bar says its count
    axes.spines.bottom.set_visible(False)
    rest = len(counts) - len(shown)
    axes.set_title(f"{counts.total():,} events" + (f" (the {EVENTS} most frequent; {rest:,} more)" if rest else ""))


def _draw_histogram(axes: Axes, argument: Argument, histogram: tuple[Bucket, ...]) -> None:
    places = range(len(histogram))
    axes.bar(places, [bucket.count for bucket in histogram], width=0.9, color=COLOUR)
    # No more labels than fit.
    step = -(-len(histogram) // 8)
    axes.set_xticks(
        places[::step],
        [" to ".join(show_bucket(argument, bucket)) for bucket in histogram[::step]],
        rotation=45, ha="right", rotation_mode="anchor",
    )  # fmt: skip
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, steps=[1, 2, 5, 10]))
    axes.set_title(f"{argument.event}.{argument.name}")
    axes.set_ylabel("events")
