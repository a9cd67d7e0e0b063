"""`armprobe stat`: count at full speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from armprobe.cli.awaiting import await_places, awaited_rows, missing, pending_option, set_apart
from armprobe.cli.live import PERIOD, LiveCounts, on_terminal
from armprobe.cli.options import ProgramOptions, open_session, program_options
from armprobe.cli.places import expand, plant, report_skipped
from armprobe.cli.running import describe_stop, end, run_live, run_options, stop_facts
from armprobe.cli.text import hexadecimal, many, notice, print_json, print_output, print_table
from armprobe.errors import UsageError
from armprobe.probes.hist_trigger import parse_trigger
from armprobe.probes.latencies import Latencies
from armprobe.probes.probe import Probe
from armprobe.session import Session

#: so many places without a hit are shown
_MANY = 30


@click.command
@program_options
@click.option(
    "-e", "places", metavar="LOCATION", multiple=True,
    help="What to count: symbol, symbol+0x10, 0xADDRESS or a pattern, perhaps followed by `if FILTER`.",
)  # fmt: skip
@click.option(
    "--trigger", "triggers", metavar="EVENT.hist:keys=FIELD", multiple=True,
    help="Sum up the hits of an event of -e by a field: EVENT.hist:keys=FIELD.log2:vals=hitcount if FILTER.",
)  # fmt: skip
@click.option(
    "--latency", "functions", metavar="FUNCTION", multiple=True, help="Measure how long calls of FUNCTION take."
)
@pending_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@run_options
def stat(
    program: ProgramOptions, places: tuple[str, ...], triggers: tuple[str, ...],
    functions: tuple[str, ...], pending: bool, as_json: bool, until: str | None, limit: int | None,
    arguments: tuple[str, ...],
) -> int:  # fmt: skip
    """Count how often instructions are executed, at full speed.

    The counters stand in the program's own memory: a hit costs a few instructions and never stops it. The table goes
    to standard output, what the program prints to standard error; with --spawn it is the other way round. On a terminal
    counts and rates are shown once a second while the program runs.

    --latency measures how long calls take, from the first instruction of the function to its return, in the unit of the
    target's clock: nanoseconds, or in the embedded emulator the instructions that the program executed.

    \b
    armprobe stat firmware.elf -e malloc -e 'uart_*' -e 'parse+0x20 if %r0 > 64' -- ARGUMENT
    armprobe stat firmware.elf -e 'p:m malloc size=%r0:u32' --trigger 'm.hist:keys=size.log2'
    armprobe stat firmware.elf --latency malloc -- ARGUMENT
    """
    if not places and not functions:
        raise UsageError("there is nothing to count", hint="say what with -e LOCATION or --latency FUNCTION")
    live = LiveCounts() if on_terminal() and not as_json and not program.spawn else None
    output = print_output if live is None else live.print_output
    with open_session(program, output=output, arguments=arguments) as session:
        summed = {parse_trigger(text).event for text in triggers}
        now, later = set_apart(((place, "") for place in places), session, pending=pending)
        wishes, skipped = expand(now, session, record=False, summed=summed)
        probes = plant(session, wishes, skipped, records=False)
        latencies = [session.latency(function) for function in functions]
        histograms = [session.trigger(text) for text in triggers]
        if not as_json:
            report_skipped(skipped)
        told = len(skipped)
        awaited = await_places(later, session, skipped, record=False, summed=summed)
        costs = [_instructions_added(session, probe) for probe in probes]
        if live is None and program.spawn:
            stop = run_live(session, lambda: None, until=until, limit=limit)
        elif live is None:
            stop = session.run(until=until, limit=limit)
        else:
            with live:
                stop = run_live(session, lambda: live.update(probes), until=until, limit=limit, every=PERIOD)
        rows = [_facts(probe, added) for probe, added in zip(probes, costs, strict=True)]
        rows += awaited_rows(awaited, lambda place, probe: _facts(probe, place.added[probe]))
        skipped += missing(awaited, skipped)
        rows.sort(key=lambda row: (-row["hits"], row["address"]))
        if as_json:
            report = {"probes": rows, "skipped": [place.facts for place in skipped], "stop": stop_facts(session, stop)}
            sums = [
                {"trigger": found.trigger.text, "rows": list(map(asdict, found.rows())), "dropped": found.dropped}
                for found in histograms
            ]
            if sums:
                report["histograms"] = sums
            if latencies:
                report["latencies"] = [_latency_facts(found) for found in latencies]
            print_json(report, err=program.spawn)
        else:
            report_skipped(skipped[told:])
            shown = [row for row in rows if row["hits"]] if sum(not row["hits"] for row in rows) > _MANY else rows
            if shown:
                _print(shown, err=program.spawn)
            if len(shown) < len(rows):
                notice(f"{len(rows) - len(shown):,} places without a hit are not shown here; --json tells them")
            for found in histograms:
                click.echo(f"\n{found}", err=program.spawn)
            for index, measured in enumerate(latencies):
                click.echo("\n" * bool(rows or index) + str(measured), err=program.spawn)
                if measured.missed:
                    notice(f"{many(measured.missed, 'call')} of {measured.name} not measured: too many in progress")
            hits = sum(row["hits"] for row in rows) + sum(measured.count for measured in latencies)
            number = many(len(rows) + len(latencies), "probe")
            notice(f"{many(hits, 'hit')} of {number}; {describe_stop(session, stop)}")
        return end(session, stop)


def _instructions_added(session: Session, probe: Probe) -> int:
    code = session.explain(probe.address).code
    assert code is not None
    return code.added


def _facts(probe: Probe, added: int) -> dict[str, Any]:
    return {
        "location": probe.place,
        "address": hexadecimal(probe.address),
        "hits": probe.hits,
        "kind": probe.state,
        "reason": probe.reason,
        "instructions_added": added,
    }


def _latency_facts(found: Latencies) -> dict[str, Any]:
    return {
        "function": found.name,
        "unit": found.unit,
        "calls": found.count,
        "missed": found.missed,
        "least": found.least,
        "mean": found.mean,
        "greatest": found.greatest,
        "buckets": [{"from": low, "below": high, "calls": calls} for low, high, calls in found.buckets()],
    }


def _print(rows: Sequence[dict[str, Any]], *, err: bool) -> None:
    """A column for reasons is there when one is."""
    columns = [">hits", ">added", "kind", "address", "location"]
    reasons = any(row["reason"] for row in rows)
    print_table(
        [*columns, "reason"] if reasons else columns,
        [
            (
                f"{row['hits']:,}", str(row["instructions_added"]), row["kind"], row["address"], row["location"],
                *([row["reason"]] if reasons else []),
            )
            for row in rows
        ],
        err=err,
    )  # fmt: skip
