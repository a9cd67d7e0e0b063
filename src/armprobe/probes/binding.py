"""What a definition needs to know of the program: its symbols and variables, and where its functions begin."""

from __future__ import annotations

from armprobe.codegen.filters import Filter
from armprobe.errors import UsageError
from armprobe.probes.definition import ProbeDefinition, parse_definition
from armprobe.probes.fetch_parser import register_name
from armprobe.probes.filter_parser import parse_filter, point_at
from armprobe.probes.hit_fields import HitFields
from armprobe.symbols.dwarf.scopes import Scope
from armprobe.symbols.location import resolve, symbol_address
from armprobe.symbols.table import SymbolTable


def read_definition(text: str, table: SymbolTable, hit: HitFields, *, address: int | None = None) -> ProbeDefinition:
    """Parse a definition whose arguments may name symbols, and variables where debug information knows them.

    `hit` is what the target knows of every hit. Variables are the ones at `address`, if it is given in place of the
    definition's own location. Raises UsageError with a caret.
    """

    def names(location: str) -> Scope | None:
        return table.scope(resolve(location, table)[0].address if address is None else address)

    return parse_definition(text, symbol_address=lambda name: symbol_address(name, table), names=names, hit=hit)


def pointing_at(error: UsageError, text: str, location: str) -> UsageError:
    """The error of a location that a definition names, with a caret under it unless it stands alone."""
    if text.strip() == location:
        return error
    return UsageError(error.message, evidence=error.evidence or point_at(text, text.find(location)), hint=error.hint)


def read_condition(text: str, table: SymbolTable, hit: HitFields, address: int) -> Filter:
    """Parse a filter over registers, what is known of every hit, and variables that are known at `address`."""
    return parse_filter(text, 0, fields={}, register_name=register_name, names=lambda: table.scope(address), hit=hit)


def check_entry(definition: ProbeDefinition, address: int, table: SymbolTable) -> None:
    """Raise UsageError, with a caret, for `$argN` anywhere but at the first instruction of a function."""
    argument = next((argument for argument in definition.arguments if argument.entry), None)
    if argument is None:
        return
    found = table.at(address)
    if found is None or found[1] or not found[0].function:
        raise UsageError(
            f"{table.describe(address)} is not known to be the first instruction of a function, and arguments ($argN) "
            "are in their places only there",
            evidence=point_at(definition.text, argument.column),
            hint="name registers and memory that you know: %r0, +8(%sp)",
        )
