"""How results look: tables, notices and progress. rich is imported only where a terminal shows a table.

Standard output is for results alone. What the program prints, notices and errors go to standard error, so that both
can be told apart in a pipe. A Linux program that was started has standard output for itself: then results go to
standard error as well.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import click

Item = TypeVar("Item")

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_PATIENCE_SECONDS = 1.0
_REFRESH_SECONDS = 0.1


def print_output(data: bytes) -> None:
    """Pass on what the program prints."""
    click.echo(data, nl=False, err=True)


def read_number(text: str) -> int | None:
    """The number that `text` is, decimal or hexadecimal with 0x; None when it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text, 16 if text[:2] in ("0x", "0X") else 10)


def notice(text: str) -> None:
    """Tell people something that is no result."""
    click.echo(text, err=True)


def many(number: int, what: str) -> str:
    """`1 probe`, `2 probes`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def title(text: str) -> None:
    """Begin a part of what a demonstration tells."""
    click.echo()
    click.secho(text, bold=True)


def say(text: str) -> None:
    """Tell one thing of that part."""
    click.echo(f"  {text}")


def print_json(value: Any, *, indent: int | None = 1, err: bool = False) -> None:
    """Print one JSON value."""
    click.echo(json.dumps(value, indent=indent), err=err)


def hexadecimal(address: int) -> str:
    """An address as all output shows it."""
    return f"0x{address:08x}"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, err: bool = False) -> None:
    """Print a table; a column whose title begins with `>` stands at the right. Aligned text where no terminal is."""
    rows = [tuple(row) for row in rows]
    stream = sys.stderr if err else sys.stdout
    if stream is not None and stream.isatty():
        _print_rich(columns, rows, stream)
        return
    right = [title.startswith(">") for title in columns]
    cells = [tuple(title.lstrip(">") for title in columns), *rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        padded = (
            text.rjust(width) if at_right else text.ljust(width)
            for text, width, at_right in zip(row, widths, right, strict=True)
        )
        click.echo("  ".join(padded).rstrip(), err=err)


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]], stream: Any) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in columns:
        table.add_column(title.lstrip(">"), justify="right" if title.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    Console(file=stream).print(table)


def progress(items: Collection[Item], what: str) -> Iterator[Item]:
    """Yield the items; tell on a terminal how many are done when it takes longer than a second."""
    shows = sys.stderr is not None and sys.stderr.isatty()
    due = time.monotonic() + _PATIENCE_SECONDS
    width = 0
    for done, item in enumerate(items):
        yield item
        if shows and time.monotonic() >= due:
            line = f"{done + 1:,} of {len(items):,} {what}"
            width = len(line)
            click.echo(f"\r{line}", nl=False, err=True)
            due = time.monotonic() + _REFRESH_SECONDS
    if width:
        click.echo("\r" + " " * width + "\r", nl=False, err=True)
