"""What a user types for a place in a program.

`symbol`, `symbol+0x10`, `0xADDRESS`, `pattern_*`; with debug information also a line of a source file, `packet.c:42`, a
line of a function counted from its name, `parse_packet:5`, and the name of a function that was inlined.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from armprobe.errors import Refused, UsageError
from armprobe.symbols.image import Symbol
from armprobe.symbols.table import SymbolTable, demangled

_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]+")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Location:
    """One address of an A32 instruction, and what it is called."""

    address: int
    name: str


def resolve(text: str, table: SymbolTable) -> tuple[Location, ...]:
    """The places `text` stands for, in order of address.

    It is one, or for a shell pattern all functions that match, for a line or an inlined function all copies of it. What
    matches but cannot be probed is left out, unless nothing is left.

    Raises UsageError when there is no such place, or several where one was named; Refused with the reason when no A32
    instruction can be there: data, a literal pool, T32 code, an unaligned address, one outside of the program.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        address = int(text, 0) if text[:2] in ("0x", "0X") else int(text)
        check(address, table, what=f"0x{address:08x}")
        return (Location(address, table.describe(address)),)
    inside = _file_address(text, table)
    if inside is not None:
        check(inside, table, what=text)
        return (Location(inside, table.describe(inside)),)
    exact = table.named(text)
    if is_pattern(text, table):
        return _resolve_pattern(text, table)
    copies = [] if exact else _copies(text, table)
    if copies:
        return _checked(copies, table)
    name, offset = (text, 0) if exact else _split_offset(text)
    symbol = _one_symbol(name, table)
    if symbol.size and offset >= symbol.size:
        raise UsageError(f"{name} is {symbol.size:#x} bytes long: {text} is not in it")
    check(symbol.address + offset, table, what=text, symbol=symbol)
    return (Location(symbol.address + offset, table.describe(symbol.address) + (f"+{offset:#x}" if offset else "")),)


def _file_address(text: str, table: SymbolTable) -> int | None:
    """The address of `libc.so.6:0x1234`, a place by the addresses that objdump and nm show of the file."""
    name, number = table.split_object(text)
    if not name or not _HEXADECIMAL.fullmatch(number):
        return None
    biases = {part.bias for part in table.objects if part.name == name}
    if len(biases) != 1:
        raise UsageError(f"{name!r} stands for {len(biases)} files, and one is wanted here", hint="name one as it is")
    return biases.pop() + int(number, 16) & 0xFFFFFFFF


def is_pattern(text: str, table: SymbolTable) -> bool:
    """Whether a place is named by a shell pattern, not by a symbol that has such characters."""
    return not table.named(text) and any(character in text for character in "*?[")


def symbol_address(name: str, table: SymbolTable) -> int:
    """The address of the symbol, function or variable. Raises UsageError when there is none, or several."""
    return _one_symbol(name, table).address


def variable_span(name: str, table: SymbolTable) -> tuple[int, int]:
    """Start and end of a variable. Raises UsageError when there is none, several, or its size is not known."""
    symbol = _one_symbol(name, table)
    if symbol.function:
        raise UsageError(f"{name} at 0x{symbol.address:08x} is a function, and a variable is wanted here")
    if not symbol.size:
        raise UsageError(f"the symbols do not tell how large {name} at 0x{symbol.address:08x} is")
    return symbol.address, symbol.address + symbol.size


def data_address(text: str, table: SymbolTable) -> int:
    """The address of `SYMBOL`, `SYMBOL+OFFSET` or a number. Raises UsageError when there is none, or several."""
    if _NUMBER.fullmatch(text):
        return int(text, 0)
    name, offset = _split_offset(text)
    return symbol_address(name, table) + offset


def check(address: int, table: SymbolTable, *, what: str, symbol: Symbol | None = None) -> None:
    """Raise Refused with the reason unless an A32 instruction can be at `address`, which messages call `what`."""
    found = table.at(address & ~1)
    symbol = symbol or (found[0] if found else None)
    kind = table.kind_at(address)
    place = what if _NUMBER.fullmatch(what) else f"{what} (0x{address:08x})"
    if (symbol is not None and symbol.thumb) or (kind is not None and kind[0] == "t"):
        raise Refused(f"{place} is Thumb code: T32 is not supported yet", hint="build this function with -marm")
    if symbol is not None and not symbol.function:
        raise Refused(f"{place} is data, not code: {demangled(symbol.name)} is a variable")
    if address % 4:
        raise Refused(f"{place} is between two instructions: A32 instructions are at multiples of 4")
    if table.ranges and not any(start <= address < end for start, end in table.ranges):
        code = ", ".join(f"0x{start:08x}..0x{end:08x}" for start, end in table.ranges)
        raise Refused(f"{place} is outside of the program's code, which is at {code}")
    if kind is not None and kind[0] == "d":
        raise Refused(
            f"{place} is data, not code: a literal pool or a table begins at 0x{kind[1]:08x}",
            evidence=f"mapping symbol $d at 0x{kind[1]:08x}",
        )


def _resolve_pattern(pattern: str, table: SymbolTable) -> tuple[Location, ...]:
    matches = table.matching(pattern)
    if not matches:
        _check_left_out(pattern, table)
        raise UsageError(f"no function matches {pattern!r}", hint=_not_loaded(pattern, table))
    places, refusals = [], []
    for symbol in matches:
        try:
            check(symbol.address, table, what=demangled(symbol.name), symbol=symbol)
        except Refused as refusal:
            refusals.append(refusal)
        else:
            places.append(Location(symbol.address, table.describe(symbol.address)))
    if not places:
        raise refusals[0]
    return tuple(places)


def _copies(text: str, table: SymbolTable) -> list[int]:
    """The addresses of a source line, or of the copies of an inlined function; none for other text."""
    name, colon, line = text.rpartition(":")
    if not colon:
        return [] if "+" in text else [address for debug in table.debug for address in debug.inlined(text)]
    if not name or name.endswith(":") or not _NUMBER.fullmatch(line):
        return []
    if table.named(name) or not ("." in name or "/" in name):
        function = _one_symbol(name, table).address
        debug = table.debug_at(function)
        if debug is None or not debug.present:
            raise UsageError(f"there is no debug information about {name}, which would know its lines")
        return debug.function_line(function, int(line), name)
    found = [debug.line_addresses(name, int(line)) for debug in table.debug]
    if not any(debug.present for debug in table.debug):
        raise UsageError(f"the program has no debug information, which would know the line {text}",
                         hint="build it with -g, or give a symbol or an address")  # fmt: skip
    if not any(addresses is not None for addresses in found):
        raise UsageError(f"no code comes from a file {name!r}")
    return sorted(address for addresses in found for address in addresses or ())


def _checked(addresses: list[int], table: SymbolTable) -> tuple[Location, ...]:
    """The places of these addresses, without those where no A32 instruction can be, unless none is left."""
    places, refusals = [], []
    for address in addresses:
        try:
            check(address, table, what=table.describe(address))
        except Refused as refusal:
            refusals.append(refusal)
        else:
            places.append(Location(address, table.describe(address)))
    if not places:
        raise refusals[0]
    return tuple(places)


def _split_offset(text: str) -> tuple[str, int]:
    name, plus, offset = text.rpartition("+")
    if not plus:
        return text, 0
    if not name or not _NUMBER.fullmatch(offset.strip()):
        raise UsageError(
            f"cannot read {text!r}: wanted SYMBOL, SYMBOL+OFFSET, FILE.c:LINE, 0xADDRESS or a pattern such as 'uart_*'"
        )
    return name.strip(), int(offset, 0) if "x" in offset.lower() else int(offset)


def _one_symbol(name: str, table: SymbolTable) -> Symbol:
    symbols = table.named(name)
    if not symbols:
        similar = table.similar(name)
        hint = f"did you mean {' or '.join(similar)}?" if similar else ""
        if not table.symbols:
            hint = "the program has no symbols: give an address"
        _check_left_out(name, table)
        raise UsageError(f"no symbol is called {name!r}", hint=_not_loaded(name, table) or hint)
    if len({symbol.address for symbol in symbols}) > 1:
        places = [
            f"{table.object_prefix(symbol.address)}{demangled(symbol.name)} at 0x{symbol.address:08x}"
            for symbol in symbols
        ]
        more = len(places) - _MOST_SHOWN
        shown = ", ".join(places[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
        raise UsageError(f"{name!r} is ambiguous: {shown}", hint=_how_to_choose(symbols, table))
    return next((symbol for symbol in symbols if symbol.function), symbols[0])


def _check_left_out(text: str, table: SymbolTable) -> None:
    """Raise Refused, with the reason, where a file is named of which nothing is known."""
    file, colon, _ = text.partition(":")
    for pattern, reason in table.left_out.items():
        if colon and fnmatchcase(file, pattern):
            raise Refused(f"{text} can't be probed: {reason}")


def _not_loaded(text: str, table: SymbolTable) -> str:
    """A hint for a place in a file that is not loaded; "" where that is not why there is no such place."""
    file, colon, _ = text.partition(":")
    modules = any(part.module for part in table.objects)
    if not (table.objects and colon and ("." in file or modules)) or table.split_object(text)[0]:
        return ""
    return f"{file} is not loaded yet, or under another name: --pending waits for what is loaded later"


def _how_to_choose(symbols: Sequence[Symbol], table: SymbolTable) -> str:
    files = [found.name for symbol in symbols if (found := table.object_at(symbol.address)) is not None]
    if len(set(files)) == len(symbols):
        return "name the file as well: " + " or ".join(f"{name}:{demangled(symbols[0].name)}" for name in files[:2])
    return "give the address"
