"""`armprobe trace`: events as they happen."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import click

from armprobe.cli.awaiting import await_places, awaited_rows, missing, pending_option, set_apart
from armprobe.cli.events import definition_options, print_summary, probe_facts, summarize
from armprobe.cli.options import ProgramOptions, open_session, program_options
from armprobe.cli.places import expand, plant, report_skipped
from armprobe.cli.running import end, run_live, run_options
from armprobe.events.files import event_line
from armprobe.session import Event, Session


@click.command
@program_options
@definition_options
@click.option(
    "-o", "path", metavar="FILE", type=click.Path(path_type=Path),
    help="Write events to FILE as NDJSON; standard output is the program's then.",
)  # fmt: skip
@pending_option
@click.option("--json", "as_json", is_flag=True, help="Print NDJSON: one object an event, and a summary.")
@run_options
def trace(
    program: ProgramOptions, wanted: list[tuple[str, str]], path: Path | None, pending: bool, as_json: bool,
    until: str | None, limit: int | None, arguments: tuple[str, ...],
) -> int:  # fmt: skip
    """Record events, in the language of the kernel's kprobe_events.

    A DEFINITION is `p[:[GROUP/]EVENT] LOCATION [[NAME=]FETCH[:TYPE] ...] [if FILTER]`, where FETCH is %REGISTER,
    @ADDRESS, @SYMBOL, +OFFSET(FETCH), $stackN, $argN, or a name of the source such as pkt->len; a location or a
    pattern alone records that it was reached. Events go to standard output, in the form of the kernel's trace file;
    what the program prints and the summary go to standard error, so that events can be piped. With --spawn, standard
    output is the program's, and events go to standard error.

    \b
    armprobe trace firmware.elf -e 'p:packet parse_packet len=%r1:u32 if len > 64' -e 'uart_*' -- ARGUMENT
    """
    with ExitStack() as stack:
        out = _open(path, stack, sys.stderr if program.spawn else sys.stdout)
        printer = _Printer(out, _json_line if as_json or path is not None else str, to_file=path is not None)
        session = stack.enter_context(open_session(program, output=printer.print_output, arguments=arguments))
        printer.session = session
        now, later = set_apart(wanted, session, pending=pending)
        wishes, skipped = expand(now, session, record=True)
        probes = plant(session, wishes, skipped)
        if not as_json:
            report_skipped(skipped)
        told = len(skipped)
        awaited = await_places(later, session, skipped, record=True)
        session.on_event(printer.print_event)
        stop = run_live(session, printer.catch_up, until=until, limit=limit)
        skipped += missing(awaited, skipped)
        summary = summarize(session, probes, skipped, stop)
        summary["probes"] += awaited_rows(awaited, lambda _place, probe: probe_facts(session, probe))
        if as_json or path is not None:
            out.write(json.dumps({"summary": summary}) + "\n")
            out.flush()
        if not as_json:
            report_skipped(skipped[told:])
            print_summary(session, summary["probes"], stop)
        return end(session, stop)


def _open(path: Path | None, stack: ExitStack, stream: TextIO | None) -> TextIO:
    if path is None and stream is not None:
        return stream
    return stack.enter_context((path or Path(os.devnull)).open("w", encoding="utf-8"))


class _Printer:
    """Prints events, and what the program prints, in the order in which both happened."""

    def __init__(self, out: TextIO, show: Callable[[Event], str], *, to_file: bool) -> None:
        self.session: Session | None = None
        self._out = out
        self._show = show
        self._to_file = to_file
        #: the program has begun a line on the terminal that also shows events
        self._in_line = False

    def print_output(self, data: bytes) -> None:
        self.catch_up()
        click.echo(data, nl=False, err=not self._to_file)
        self._in_line = self._out.isatty() and not data.endswith(b"\n")

    def print_event(self, event: Event) -> None:
        if self._in_line:
            self._out.write("\n")
            self._in_line = False
        self._out.write(self._show(event) + "\n")

    def catch_up(self) -> None:
        """Print the events that still wait in the target's memory."""
        if self.session is not None:
            for event in self.session.events():
                self.print_event(event)
        self._out.flush()


def _json_line(event: Event) -> str:
    probe = event.probe
    assert probe.definition is not None
    return event_line(
        group=probe.definition.group, event=probe.definition.event, number=event.number, address=probe.address,
        place=event.place, common=event.common, values=event.values,
    )  # fmt: skip
