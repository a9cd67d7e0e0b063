"""What all functions of a file share when their variables are looked for: units, types, frames, code, symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from armprobe.symbols.dwarf.expressions import NoValue, Surroundings, evaluate
from armprobe.symbols.dwarf.frames import Frames
from armprobe.symbols.dwarf.typereader import TypeReader
from armprobe.symbols.dwarf.units import Units, attribute, holder
from armprobe.symbols.places import ConstantWord, Place, Word, absent, in_memory, in_words

_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Located:
    """A location expression, and the [start, end) of the code that it holds for; None: all of a function."""

    code: list[int]
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """What all functions of a file share."""

    dwarf: Any
    units: Units
    types: TypeReader
    frames: Frames
    #: the bytes of the program
    code: Callable[[int, int], bytes]
    #: names of symbols by address, addresses of symbols by name
    names: Callable[[int], tuple[str, ...]]
    address: Callable[[str], int | None]
    hard_float: bool
    #: how far the program was moved; all other addresses are those it is linked for
    bias: int

    def parse(self, unit: Any) -> Callable[[Iterable[int]], list[Any]]:
        """What takes the expressions of a unit apart."""
        from elftools.dwarf.dwarf_expr import DWARFExprParser

        parser = DWARFExprParser(unit.structs)
        return parser.parse_expr

    def expression(self, die: Any, name: str, address: int | None) -> list[int] | None:
        """The expression of an attribute that holds at an address; None where there is none."""
        found = self.location(die, name, address)
        return None if found is None else found.code

    def location(self, die: Any, name: str, address: int | None, *, entering: bool = False) -> Located | None:
        """The expression of an attribute that holds at an address, and the code for which it does.

        Where a compiler has moved statements together, one address may have several, one after the other. The last is
        the state there, but the first is what a function is `entering` with; it may be said to hold for no code at all.
        """
        from elftools.dwarf.locationlists import BaseAddressEntry, LocationEntry, LocationExpr, LocationParser

        owner = holder(die, name)
        if owner is None:
            return None
        found = owner.attributes[name]
        parser = LocationParser(self.dwarf.location_lists())
        parsed = parser.parse_from_attribute(found, owner.cu["version"], owner)
        if isinstance(parsed, LocationExpr):
            return Located(list(parsed.loc_expr))
        base, otherwise = self.units.base_address(owner.cu), None
        for entry in parsed:
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
            elif not isinstance(entry, LocationEntry):
                continue
            elif entry.begin_offset == -1:
                otherwise = Located(list(entry.loc_expr))
            elif address is not None:
                start = 0 if entry.is_absolute else base
                low, high = start + entry.begin_offset, start + entry.end_offset
                if low <= address < high or (entering and low == address):
                    return Located(list(entry.loc_expr), (low, high))
        return otherwise

    def global_place(self, die: Any, name: str) -> Place:
        """The place of a variable of a source file."""
        owner = holder(die, "DW_AT_location")
        if owner is None:
            address = self.address(name)
            if address is not None:
                return in_memory(ConstantWord(address + self.bias & _MASK))
            return constant_place(die) or absent("not in this program")
        return evaluate(self.expression(die, "DW_AT_location", None) or (), self._static(owner.cu))

    def _static(self, unit: Any) -> Surroundings:
        def unknown() -> Word:
            raise NoValue("on the stack")

        return Surroundings(self.parse(unit), unknown, unknown, self.bias)


def constant_place(die: Any) -> Place | None:
    """The place of a variable that is a constant."""
    found = attribute(die, "DW_AT_const_value")
    if found is None:
        return None
    if isinstance(found.value, int):
        number = found.value & (1 << 64) - 1
        return in_words(ConstantWord(number & _MASK), ConstantWord(number >> 32))
    data = bytes(found.value)
    return in_words(*(ConstantWord(int.from_bytes(data[at : at + 4], "little")) for at in range(0, len(data), 4)))
