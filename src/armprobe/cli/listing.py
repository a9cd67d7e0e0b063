"""`armprobe list`: what could be probed, and how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from armprobe.cli.disassembly import disassemble
from armprobe.cli.names import name_facts
from armprobe.cli.options import ANY, ProgramOptions, open_session, program_options
from armprobe.cli.text import hexadecimal, print_json, print_output, print_table, progress
from armprobe.errors import Refused, UsageError
from armprobe.session import Session
from armprobe.symbols.image import Symbol
from armprobe.symbols.location import check
from armprobe.symbols.table import demangled


@click.command("list")
@program_options
@click.argument("pattern", metavar="[PATTERN]", default=ANY)
@click.option("--instructions", is_flag=True, help="List every instruction of the functions.")
@click.option("--args", is_flag=True, help="List what has a name at each place, and the source lines.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with one object a place.")
def list_(program: ProgramOptions, pattern: str, instructions: bool, args: bool, as_json: bool) -> None:
    """List functions, and how each would be probed.

    A place is probed by a branch to a detour, by a trap (then the reason is shown), or refused with the reason. Nothing
    is planted, and nothing of the program runs unless --after says so.

    With --args, list the arguments of functions, and with --instructions all names that have a value at an instruction,
    as definitions and handlers can name them. The program needs debug information.

    \b
    armprobe list firmware.elf 'uart_*'
    armprobe list firmware.elf --args parse_packet
    """
    with open_session(program, output=print_output) as session:
        functions = session.symbols.matching(pattern)
        if not functions:
            similar = session.symbols.similar(pattern)
            hint = f"did you mean {' or '.join(similar)}?" if similar else ""
            if not session.symbols.symbols:
                hint = "the program has no symbols: `armprobe explain` takes addresses"
            raise UsageError(f"no function matches {pattern!r}", hint=hint)
        places = [place for symbol in functions for place in _places(symbol, instructions)]
        if args:
            _print_names(session, places, instructions=instructions, as_json=as_json)
            return
        rows = [
            _facts(session, symbol, address, 4 if instructions else symbol.size)
            for symbol, address in progress(places, "places")
        ]
    if as_json:
        print_json(rows)
        return
    columns = {
        "address": "address",
        **({} if instructions else {">size": "size"}),
        "kind": "kind",
        "location": "location",
        **({"instruction": "text"} if instructions else {}),
        **({"reason": "reason"} if any(row["reason"] for row in rows) else {}),
    }
    print_table(list(columns), ([str(row[key] or "") for key in columns.values()] for row in rows))


def _print_names(session: Session, places: list[tuple[Symbol, int]], *, instructions: bool, as_json: bool) -> None:
    """Print the names that debug information knows at each place."""
    rows: list[dict[str, Any]] = [
        {"address": hexadecimal(address), "location": _location(session, symbol, address)}
        | name_facts(session, address)
        for symbol, address in progress(places, "places")
    ]
    if not any(row["names"] is not None for row in rows):
        raise UsageError("there is no debug information about these functions", hint="build the program with -g")
    if as_json:
        print_json(rows)
    elif instructions:
        texts = [", ".join(name["name"] for name in row["names"] or () if name["place"]) for row in rows]
        columns = ["address", "source", "location", "names"]
        print_table(columns, [(row["address"], row["source"] or "", row["location"], text)
                              for row, text in zip(rows, texts, strict=True)])  # fmt: skip
    else:
        print_table(["address", "source", "function"], [
            (row["address"], row["source"] or "", row["function"] or row["location"]) for row in rows
        ])  # fmt: skip


def _location(session: Session, symbol: Symbol, address: int) -> str:
    offset = address - symbol.address
    return session.symbols.object_prefix(address) + demangled(symbol.name) + (f"+{offset:#x}" if offset else "")


def _places(symbol: Symbol, instructions: bool) -> Iterator[tuple[Symbol, int]]:
    yield symbol, symbol.address
    if instructions and not symbol.thumb:
        for address in range(symbol.address + 4, symbol.address + symbol.size, 4):
            yield symbol, address


def _facts(session: Session, symbol: Symbol, address: int, size: int) -> dict[str, Any]:
    """The JSON object of one place; `size` is that of the function, or of the instruction."""
    location = _location(session, symbol, address)
    kind, reason, text = "refused", "", None
    try:
        check(address, session.symbols, what=location, symbol=symbol)
    except Refused as refusal:
        reason = refusal.message
    else:
        explanation = session.explain(address)
        kind = explanation.state if not explanation.refused else kind
        reason = explanation.refused or explanation.reason
        text = disassemble(int.from_bytes(explanation.original[:4], "little"), address)
    return {
        "address": hexadecimal(address),
        "location": location,
        "size": size,
        "kind": kind,
        "reason": reason,
        "text": text,
    }
