"""What the commands that record events have in common: their definitions, and the summary at the end."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from armprobe.cli.places import Skipped, read_definitions
from armprobe.cli.running import describe_stop, stop_facts
from armprobe.cli.text import hexadecimal, many, notice, print_table
from armprobe.errors import UsageError
from armprobe.probes.probe import Probe
from armprobe.session import Session
from armprobe.targets.base import Stop


def definition_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command -e and -f; it gets (text, the line of a file it comes from) of each as the argument `wanted`."""

    @click.option(
        "-e", "definitions", metavar="DEFINITION", multiple=True, help="A definition, a location or a pattern."
    )
    @click.option(
        "-f", "files", metavar="FILE", multiple=True, type=click.Path(path_type=Path),
        help="Read definitions from FILE, one a line; # begins a comment.",
    )  # fmt: skip
    @functools.wraps(command)
    def with_definitions(*, definitions: tuple[str, ...], files: tuple[Path, ...], **rest: Any) -> Any:
        wanted = [(text, "") for text in definitions] + [line for file in files for line in read_definitions(file)]
        if not wanted:
            raise UsageError(
                f"there is nothing to {click.get_current_context().info_name}",
                hint="say what with -e DEFINITION or -f FILE",
            )
        return command(wanted=wanted, **rest)

    return with_definitions


def summarize(session: Session, probes: Sequence[Probe], skipped: Sequence[Skipped], stop: Stop) -> dict[str, Any]:
    """Return the JSON object that says what became of the probes, and how the run ended."""
    return {
        "probes": [probe_facts(session, probe) for probe in probes],
        "skipped": [place.facts for place in skipped],
        "stop": stop_facts(session, stop),
    }


def print_summary(session: Session, rows: Sequence[dict[str, Any]], stop: Stop) -> None:
    """Tell people what the summary's `probes` say; a column for reasons is there when one is."""
    columns = [">hits", ">recorded", ">lost", ">missed", "kind", "event", "location"]
    reasons = any(row["reason"] for row in rows)
    print_table(
        [*columns, "reason"] if reasons else columns,
        [
            (
                *(f"{row[name]:,}" for name in ("hits", "recorded", "lost", "missed")),
                row["kind"], row["event"], row["location"], *([row["reason"]] if reasons else []),
            )
            for row in rows
        ],
        err=True,
    )  # fmt: skip
    if session.unfinished:
        notice(
            f"{many(session.unfinished, 'word')} of records could not be read: a thread was killed while it wrote one"
        )
    recorded = sum(row["recorded"] for row in rows)
    notice(f"{many(recorded, 'event')} of {many(len(rows), 'probe')}; {describe_stop(session, stop)}")


def probe_facts(session: Session, probe: Probe) -> dict[str, Any]:
    """Return the JSON object of a probe in a summary."""
    lost = session.lost(probe)
    return {
        "event": probe.name,
        "location": probe.place,
        "address": hexadecimal(probe.address),
        "hits": probe.hits,
        "recorded": probe.hits - lost,
        "lost": lost,
        "missed": probe.missed,
        "kind": probe.state,
        "reason": probe.reason,
    }
