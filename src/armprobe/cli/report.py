"""`armprobe report`: what is in a file of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armprobe.cli.text import many, notice, print_json, print_table
from armprobe.events.optional import needed_for

if TYPE_CHECKING:
    from armprobe.events.recording import Argument, Recording
    from armprobe.events.statistics import Bucket, Statistics

TOP_PLACES, TOP_TEXTS = 20, 5
BAR = 40


@click.command
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--plot", "picture", metavar="PICTURE", type=click.Path(path_type=Path),
    help="Draw the counts and the histograms: .png or .svg.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def report(file: Path, picture: Path | None, as_json: bool) -> None:
    """Summarize a file of recorded events: counts, quantiles, histograms.

    FILE ends in .parquet, .arrow, .csv or .ndjson. Shows which events came how often, what was lost, and for each
    argument its extremes, mean, quantiles (values that 50, 90 and 99 % do not exceed) and a histogram by powers of two;
    of strings the most frequent.

    \b
    armprobe record firmware.elf -e 'p:packet parse_packet len=%r1:u32' -o run.parquet
    armprobe report run.parquet --plot run.png
    """
    with needed_for("armprobe report", extra="events"):
        from armprobe.events.recording import load
        from armprobe.events.statistics import statistics
    recording = load(file)
    numbers = {
        index: statistics(argument.values)
        for index, argument in enumerate(recording.arguments)
        if len(argument.values) and argument.values.dtype != object
    }
    if as_json:
        print_json(_facts(recording, numbers))
    else:
        _print_places(file, recording)
        _print_numbers(recording.arguments, numbers)
        for index, argument in enumerate(recording.arguments):
            if index in numbers:
                _print_histogram(argument, numbers[index].histogram)
            elif len(argument.values):
                _print_texts(argument)
    if picture is not None:
        with needed_for("--plot", extra="plot"):
            from armprobe.cli.plot import plot
        plot(picture, recording, numbers)
        notice(f"wrote {picture}")


def _facts(recording: Recording, numbers: Mapping[int, Statistics]) -> dict[str, Any]:
    arguments = []
    for index, argument in enumerate(recording.arguments):
        facts = {
            "event": argument.event,
            "name": argument.name,
            "type": argument.kind,
            "values": len(argument.values),
            "unreadable": argument.unreadable,
        }
        if index in numbers:
            facts |= {key: value for key, value in asdict(numbers[index]).items() if key != "count"}
        else:
            facts["most_common"] = Counter(argument.values.tolist()).most_common(TOP_TEXTS)
        arguments.append(facts)
    places = [{"event": event, "symbol": symbol, "events": count} for event, symbol, count in recording.places]
    return {"events": recording.events, "places": places, "arguments": arguments, "summary": recording.summary}


def _print_places(file: Path, recording: Recording) -> None:
    names = {event for event, _, _ in recording.places}
    parts = [f"{file}: {many(recording.events, 'event')} of {many(len(names), 'name')}"]
    if "probes" in recording.summary and "stop" in recording.summary:
        lost = sum(probe["lost"] for probe in recording.summary["probes"])
        parts += [f"{lost:,} lost", recording.summary["stop"]["message"]]
    click.echo(", ".join(parts))
    if recording.places:
        click.echo()
        print_table(
            [">events", ">share", "event", "symbol"],
            [
                (f"{count:,}", f"{count / recording.events:.1%}", event, symbol)
                for event, symbol, count in recording.places[:TOP_PLACES]
            ],
        )
    if len(recording.places) > TOP_PLACES:
        click.echo(f"and {many(len(recording.places) - TOP_PLACES, 'place')} more")


def _print_numbers(arguments: Sequence[Argument], numbers: Mapping[int, Statistics]) -> None:
    if not numbers:
        return
    faults = any(arguments[index].unreadable for index in numbers)
    rows = []
    for index, found in numbers.items():
        argument = arguments[index]
        values = (found.least, *found.quantiles, found.greatest)
        rows.append((
            f"{argument.event}.{argument.name}", argument.kind, f"{found.count:,}",
            *([f"{argument.unreadable:,}"] if faults else []),
            *(show_number(argument, value) for value in values),
            # The mean of addresses means nothing.
            "" if _is_hexadecimal(argument) else f"{found.mean:,.1f}",
        ))  # fmt: skip
    unreadable = [">unreadable"] if faults else []
    click.echo()
    print_table(
        ["argument", "type", ">values", *unreadable, ">least", ">50 %", ">90 %", ">99 %", ">greatest", ">mean"], rows
    )


def show_number(argument: Argument, value: int) -> str:
    """A value as its type is shown: addresses and masks in hexadecimal."""
    return f"0x{value:x}" if _is_hexadecimal(argument) else f"{value:,}"


def _is_hexadecimal(argument: Argument) -> bool:
    return argument.kind.startswith(("x", "symbol"))


def show_bucket(argument: Argument, bucket: Bucket) -> list[str]:
    """The ends of a bucket, or the one number in it."""
    ends = dict.fromkeys((bucket.low, bucket.high))
    return [show_number(argument, end) for end in ends]


def _print_histogram(argument: Argument, histogram: Sequence[Bucket]) -> None:
    if len(histogram) < 2:
        return  # the extremes say as much
    labels = [" .. ".join(show_bucket(argument, bucket)) for bucket in histogram]
    longest = max(map(len, labels))
    greatest = max(bucket.count for bucket in histogram)
    width = len(f"{greatest:,}")
    click.echo(f"\n{argument.event}.{argument.name}")
    for label, bucket in zip(labels, histogram, strict=True):
        bar = "#" * -(-bucket.count * BAR // greatest)
        click.echo(f"{label:>{longest}}  {bucket.count:>{width},}  {bar}".rstrip())


def _print_texts(argument: Argument) -> None:
    click.echo(f"\n{argument.event}.{argument.name}: the most frequent of {many(len(argument.values), 'value')}")
    found = Counter(argument.values.tolist()).most_common(TOP_TEXTS)
    width = len(f"{found[0][1]:,}")
    for text, count in found:
        click.echo(f"{count:>{width},}  {text!r}")
