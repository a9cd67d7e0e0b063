"""`armprobe stat`: count at full speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from armprobe.cli.live import PERIOD, LiveCounts, on_terminal
from armprobe.cli.options import ProgramOptions, open_session, program_options
from armprobe.cli.places import expand, plant, report_skipped
from armprobe.cli.running import describe_stop, end, run_live, run_options, stop_facts
from armprobe.cli.text import hexadecimal, many, notice, print_json, print_output, print_table
from armprobe.probes.probe import Probe
from armprobe.session import Session


@click.command
@program_options
@click.option(
    "-e", "places", metavar="LOCATION", multiple=True, required=True,
    help="What to count: symbol, symbol+0x10, 0xADDRESS or a pattern, perhaps followed by `if FILTER`.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@run_options
def stat(
    program: ProgramOptions, places: tuple[str, ...], as_json: bool, until: str | None, limit: int | None,
    arguments: tuple[str, ...],
) -> int:  # fmt: skip
    """Count how often instructions are executed, at full speed.

    The counters stand in the program's own memory: a hit costs a few instructions and never stops it. The table goes
    to standard output, what the program prints to standard error; with --spawn it is the other way round. On a terminal
    counts and rates are shown once a second while the program runs.

    \b
    armprobe stat firmware.elf -e malloc -e 'uart_*' -e 'parse+0x20 if %r0 > 64' -- ARGUMENT
    """
    live = LiveCounts() if on_terminal() and not as_json and not program.spawn else None
    output = print_output if live is None else live.print_output
    with open_session(program, output=output, arguments=arguments) as session:
        wishes, skipped = expand(((place, "") for place in places), session.symbols, record=False)
        probes = plant(session, wishes, skipped)
        if not as_json:
            report_skipped(skipped)
        costs = [_instructions_added(session, probe) for probe in probes]
        if live is None:
            stop = session.run(until=until, limit=limit)
        else:
            with live:
                stop = run_live(session, lambda: live.update(session, probes), until=until, limit=limit, every=PERIOD)
        rows = [_facts(session, probe, added) for probe, added in zip(probes, costs, strict=True)]
        rows.sort(key=lambda row: (-row["hits"], row["address"]))
        if as_json:
            print_json(
                {"probes": rows, "skipped": [place.facts for place in skipped], "stop": stop_facts(session, stop)},
                err=program.spawn,
            )
        else:
            _print(rows, err=program.spawn)
            hits = sum(row["hits"] for row in rows)
            notice(f"{many(hits, 'hit')} of {many(len(rows), 'probe')}; {describe_stop(session, stop)}")
        return end(session, stop, process=program.spawn)


def _instructions_added(session: Session, probe: Probe) -> int:
    code = session.explain(probe.address).code
    assert code is not None
    return code.added


def _facts(session: Session, probe: Probe, added: int) -> dict[str, Any]:
    return {
        "location": session.symbols.describe(probe.address),
        "address": hexadecimal(probe.address),
        "hits": probe.hits,
        "kind": probe.state,
        "reason": probe.reason,
        "instructions_added": added,
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
