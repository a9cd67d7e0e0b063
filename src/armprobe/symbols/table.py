"""Names to addresses and back."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property

from armprobe.symbols.image import Image, Symbol


class SymbolTable:
    """The symbols of a program at the addresses where it runs.

    `marks` say what the bytes from an address on are (see Image), `ranges` where the code is that can be executed:
    [start, end), sorted. Both may be empty: then nothing is known. `refused` are places that take no probe: [start,
    end) without overlap, and the reason, which completes "ADDRESS is ...". `changing` are instructions that the program
    rewrites while it runs.
    """

    def __init__(
        self,
        symbols: Iterable[Symbol],
        *,
        marks: Iterable[tuple[int, str]] = (),
        ranges: Iterable[tuple[int, int]] = (),
        refused: Iterable[tuple[int, int, str]] = (),
        changing: Iterable[int] = (),
    ) -> None:
        # Of several names for one address the last is shown: functions, with a size, not reserved for the library.
        self.symbols = sorted(
            symbols, key=lambda s: (s.address, s.function, s.size > 0, not s.name.startswith("_"), s.name)
        )
        self.marks = sorted(marks)
        self.ranges = sorted(ranges)
        self.refused = sorted(refused)
        self.changing = frozenset(changing)
        self._addresses = [symbol.address for symbol in self.symbols]
        self._mark_addresses = [address for address, _ in self.marks]

    @classmethod
    def from_image(cls, image: Image) -> SymbolTable:
        """The table of `image`, at the addresses the image has."""
        ranges = [(part.address, part.end) for part in image.segments if part.executable]
        return cls(image.symbols, marks=image.marks, ranges=ranges)

    def rebased(self, bias: int) -> SymbolTable:
        """The same table for a program that runs `bias` bytes above where it was linked: it relocated itself."""
        return SymbolTable(
            (replace(symbol, address=symbol.address + bias & 0xFFFFFFFF) for symbol in self.symbols),
            marks=((address + bias & 0xFFFFFFFF, kind) for address, kind in self.marks),
            ranges=((start + bias, end + bias) for start, end in self.ranges),
            refused=((start + bias, end + bias, reason) for start, end, reason in self.refused),
            changing=(address + bias for address in self.changing),
        )

    def at(self, address: int) -> tuple[Symbol, int] | None:
        """The symbol that `address` belongs to, and the offset in it; None if it belongs to none."""
        index = bisect_right(self._addresses, address) - 1
        if index < 0:
            return None
        symbol = self.symbols[index]
        offset = address - symbol.address
        return (symbol, offset) if offset < symbol.size or not symbol.size else None

    def describe(self, address: int) -> str:
        """`name+0x10` in readable form, the bare address where nothing is known."""
        found = self.at(address)
        if found is None:
            return f"0x{address:08x}"
        symbol, offset = found
        return f"{demangled(symbol.name)}+{offset:#x}" if offset else demangled(symbol.name)

    def place(self, address: int) -> str:
        """`name+0x10/0x40`, with the size of the symbol, as the kernel prints the place of an event."""
        found = self.at(address)
        if found is None:
            return f"0x{address:08x}"
        symbol, offset = found
        return f"{demangled(symbol.name)}+{offset:#x}/{symbol.size:#x}"

    def named(self, name: str) -> list[Symbol]:
        """All symbols called `name`: as in the file, demangled, or demangled without parameters."""
        return self._by_name.get(name) or self._by_readable_name.get(name, [])

    def matching(self, pattern: str) -> list[Symbol]:
        """The functions whose name, plain or demangled, matches the shell pattern; one symbol for each address."""
        plain = (name for name in self._by_name if fnmatch.fnmatchcase(name, pattern))
        readable = (name for name in self._by_readable_name if fnmatch.fnmatchcase(name, pattern))
        found = {symbol.address: symbol for name in plain for symbol in self._by_name[name] if symbol.function}
        for name in readable:
            for symbol in self._by_readable_name[name]:
                if symbol.function:
                    found.setdefault(symbol.address, symbol)
        return [found[address] for address in sorted(found)]

    def similar(self, name: str) -> list[str]:
        """Up to three names that `name` may have been meant to be."""
        return difflib.get_close_matches(name, [*self._by_name, *self._by_readable_name], n=3)

    def kind_at(self, address: int) -> tuple[str, int] | None:
        """What the bytes at `address` are, "a", "t" or "d", and where that begins; None: not known."""
        index = bisect_right(self._mark_addresses, address) - 1
        if index < 0:
            return None
        start, kind = self.marks[index]
        for low, high in self.ranges:
            if low <= address < high and not low <= start < high:
                return None  # the mark belongs to another part of the program
        return kind, start

    def function_bounds(self, address: int) -> tuple[int, int] | None:
        """The [start, end) of the function that `address` lies in, where the symbols give its size."""
        found = self.at(address)
        if found is None or not found[0].function or not found[0].size:
            return None
        return found[0].address, found[0].address + found[0].size

    def refusal(self, address: int) -> str:
        """Why the place takes no probe; "" when nothing is known against it."""
        index = bisect_right(self.refused, address, key=lambda part: part[0]) - 1
        return self.refused[index][2] if index >= 0 and address < self.refused[index][1] else ""

    def may_change(self, address: int) -> bool:
        """Whether the program rewrites the instruction at `address` while it runs, so that it stands for several."""
        return address in self.changing

    def is_code(self, address: int) -> bool | None:
        """Whether the mapping symbols say that A32 code is at `address`; None when they say nothing."""
        kind = self.kind_at(address)
        return kind[0] == "a" if kind is not None else None

    @cached_property
    def _by_name(self) -> dict[str, list[Symbol]]:
        index: dict[str, list[Symbol]] = {}
        for symbol in self.symbols:
            index.setdefault(symbol.name, []).append(symbol)
        return index

    @cached_property
    def _by_readable_name(self) -> dict[str, list[Symbol]]:
        index: dict[str, list[Symbol]] = {}
        for symbol in self.symbols:
            readable = demangled(symbol.name)
            if readable != symbol.name:
                index.setdefault(readable, []).append(symbol)
                short = _without_parameters(readable)
                if short != readable:
                    index.setdefault(short, []).append(symbol)
        return index


def demangled(name: str) -> str:
    """The name as the C++ or Rust programmer wrote it; unchanged if it is plain, or pycxxfilt is not installed."""
    if not name.startswith(("_Z", "_R")):
        return name
    function = _demangler()
    return (function(name) if function else None) or name


def _demangler() -> Callable[[str], str | None] | None:
    try:
        return importlib.import_module("pycxxfilt").demangle  # type: ignore[no-any-return]
    except ImportError:
        return None


def _without_parameters(readable: str) -> str:
    """`ns::f(int (*)(char)) const` -> `ns::f`: cut at the parenthesis that matches the last one."""
    end = readable.rfind(")")
    depth = 0
    for position in range(end, 0, -1):
        depth += {")": 1, "(": -1}.get(readable[position], 0)
        if depth == 0:
            return readable[:position]
    return readable
