"""`armprobe record`: events to a file, for other programs and for `armprobe report`."""

from __future__ import annotations

from pathlib import Path

import click

from armprobe.cli.awaiting import await_places, awaited_rows, missing, pending_option, set_apart
from armprobe.cli.events import definition_options, print_summary, probe_facts, summarize
from armprobe.cli.options import ProgramOptions, open_session, program_options
from armprobe.cli.places import expand, plant, report_skipped
from armprobe.cli.running import end, run_live, run_options
from armprobe.events.files import EventFile, create
from armprobe.events.spooled import SpooledFile


@click.command
@program_options
@definition_options
@click.option(
    "-o", "path", metavar="FILE", required=True, type=click.Path(path_type=Path),
    help="Write to FILE: .parquet, .arrow, .csv, .ndjson, or .pftrace for ui.perfetto.dev.",
)  # fmt: skip
@pending_option
@run_options
def record(
    program: ProgramOptions, wanted: list[tuple[str, str]], path: Path, pending: bool, until: str | None,
    limit: int | None, arguments: tuple[str, ...],
) -> int:  # fmt: skip
    """Record events to a file: Parquet, Arrow, CSV, NDJSON or Perfetto.

    The ending of its name says which. Definitions are those of `armprobe trace`. Standard output is the program's; the
    summary goes to standard error, and into the file where its format has a place for it. `armprobe report FILE` shows
    what was recorded. Where places are pending, the file is written at the end of the run.

    \b
    armprobe record firmware.elf -e 'p:packet parse_packet len=%r1:u32' -e malloc -o run.parquet -- ARGUMENT
    """
    with open_session(program, output=lambda data: click.echo(data, nl=False), arguments=arguments) as session:
        now, later = set_apart(wanted, session, pending=pending)
        wishes, skipped = expand(now, session, record=True)
        probes = plant(session, wishes, skipped)
        report_skipped(skipped)
        told = len(skipped)
        awaited = await_places(later, session, skipped, record=True)

        def create_file() -> EventFile:
            return create(path, session.origins(), describe=session.symbols.place, timebase=session.clock)

        file = SpooledFile(path, create_file) if awaited else create_file()
        summary = {}
        try:
            stop = run_live(session, lambda: file.write(*session.take_records()), until=until, limit=limit)
            skipped += missing(awaited, skipped)
            summary = summarize(session, probes, skipped, stop)
            summary["probes"] += awaited_rows(awaited, lambda _place, probe: probe_facts(session, probe))
        finally:
            # A run that a fault or Ctrl-C ends has events as well.
            file.write(*session.take_records())
            file.close(summary)
        report_skipped(skipped[told:])
        print_summary(session, summary["probes"], stop)
        return end(session, stop)
