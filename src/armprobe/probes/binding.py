"""What a definition needs to know of the program: its variables, and where its functions begin."""

from __future__ import annotations

from armprobe.errors import UsageError
from armprobe.probes.definition import ProbeDefinition, parse_definition
from armprobe.probes.filter_parser import point_at
from armprobe.symbols.location import symbol_address
from armprobe.symbols.table import SymbolTable


def read_definition(text: str, table: SymbolTable) -> ProbeDefinition:
    """Parse a definition whose arguments may name the program's variables. Raises UsageError with a caret."""
    return parse_definition(text, symbol_address=lambda name: symbol_address(name, table))


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
