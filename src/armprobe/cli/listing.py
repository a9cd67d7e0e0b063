"""`armprobe list`: what could be probed, and how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from armprobe.cli.disassembly import disassemble
from armprobe.cli.options import ProgramOptions, open_session, program_options
from armprobe.cli.text import hexadecimal, print_json, print_output, print_table, progress
from armprobe.errors import Refused, UsageError
from armprobe.session import Session
from armprobe.symbols.image import Symbol
from armprobe.symbols.location import check
from armprobe.symbols.table import demangled


@click.command("list")
@program_options
@click.argument("pattern", metavar="[PATTERN]", default="*")
@click.option("--instructions", is_flag=True, help="List every instruction of the functions.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with one object a place.")
def list_(program: ProgramOptions, pattern: str, instructions: bool, as_json: bool) -> None:
    """List functions, and how each would be probed.

    A place is probed by a branch to a detour, by a trap (then the reason is shown), or refused with the reason. Nothing
    is planted, and nothing of the program runs unless --after says so.

    \b
    armprobe list firmware.elf 'uart_*'
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


def _places(symbol: Symbol, instructions: bool) -> Iterator[tuple[Symbol, int]]:
    yield symbol, symbol.address
    if instructions and not symbol.thumb:
        for address in range(symbol.address + 4, symbol.address + symbol.size, 4):
            yield symbol, address


def _facts(session: Session, symbol: Symbol, address: int, size: int) -> dict[str, Any]:
    """The JSON object of one place; `size` is that of the function, or of the instruction."""
    offset = address - symbol.address
    location = session.symbols.object_prefix(address) + demangled(symbol.name) + (f"+{offset:#x}" if offset else "")
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
