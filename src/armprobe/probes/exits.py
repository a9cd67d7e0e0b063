"""Where a function of the program is left, its cold part included, which compilers put elsewhere."""

from __future__ import annotations

from armprobe.errors import Refused
from armprobe.isa.exits import Exit, find_exits
from armprobe.probes.program import Program
from armprobe.symbols.table import SymbolTable

_COLD = ".cold"


def function_exits(program: Program, symbols: SymbolTable, address: int) -> list[Exit]:
    """Find the instructions with which the function that begins at `address` is left.

    Raises Refused, with the reason, where they are not certain.
    """
    own, bounds = symbols.at(address), symbols.function_bounds(address)
    if own is None or bounds is None or bounds[0] != address:
        raise Refused(f"{symbols.describe(address)} is not known to be the first instruction of a function, "
                      "and calls are measured from there")  # fmt: skip
    name, parts = own[0].name, [bounds]

    def inside(place: int) -> bool:
        if any(start <= place < end for start, end in parts):
            return True
        found, around = symbols.at(place), symbols.function_bounds(place)
        if found is None or around is None or not found[0].name.startswith(name + _COLD):
            return False
        parts.append(around)
        return True

    exits: list[Exit] = []
    try:
        for start, end in parts:  # grows meanwhile
            code = program.read_memory(start, end - start)
            exits += find_exits(code, start, refusal=symbols.refusal, inside=inside)
    except Refused as error:
        raise Refused(f"calls of {name} can't be measured: {error.message}") from None
    if not exits:
        raise Refused(f"calls of {name} can't be measured: no instruction was found with which it is left")
    return exits
