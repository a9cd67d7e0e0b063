"""Call frame information: where the frame of a function is, at any of its instructions (DWARF 5, 6.4)."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import Any

from armprobe.isa.insn import REGISTER_NAMES
from armprobe.symbols.dwarf.expressions import NoValue
from armprobe.symbols.places import ConstantWord, RegisterWord, Word, operation


class Frames:
    """The canonical frame address (CFA): what SP was before the call of the function."""

    def __init__(self, dwarf: Any) -> None:
        self._dwarf = dwarf
        self._rows: dict[int, list[tuple[int, Any]]] = {}

    def rule(self, address: int) -> tuple[str, int]:
        """(register, N) where the CFA is register + N at an instruction. Raises NoValue where it is not known."""
        index = bisect_right(self._starts, address) - 1
        entry = self._entries[index][1] if index >= 0 else None
        if entry is None or address >= entry["initial_location"] + entry["address_range"]:
            raise NoValue("on the stack, and there is no call frame information for this code")
        rows = self._rows.get(index)
        if rows is None:
            rows = self._rows[index] = [(row["pc"], row["cfa"]) for row in entry.get_decoded().table]
        found = [rule for start, rule in rows if start <= address]
        if not found or found[-1].reg is None or not 0 <= found[-1].reg < 16:
            raise NoValue("on the stack, in a frame whose address is computed in a way that is not followed")
        return REGISTER_NAMES[found[-1].reg], found[-1].offset

    def cfa(self, address: int) -> Word:
        """The CFA at an instruction. Raises NoValue."""
        register, offset = self.rule(address)
        return operation("+", RegisterWord(register), ConstantWord(offset & 0xFFFFFFFF))

    @cached_property
    def _entries(self) -> list[tuple[int, Any]]:
        """The entries of functions, by their first address."""
        entries: list[Any] = []
        if self._dwarf.has_CFI():
            entries += self._dwarf.CFI_entries()
        if self._dwarf.has_EH_CFI():
            entries += self._dwarf.EH_CFI_entries()
        found: dict[int, Any] = {}
        for entry in entries:
            if type(entry).__name__ == "FDE":
                found.setdefault(entry["initial_location"], entry)
        return sorted(found.items())

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _ in self._entries]
