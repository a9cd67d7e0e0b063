"""Names to addresses and back."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING

from armprobe.symbols.image import Image, Symbol

if TYPE_CHECKING:
    from armprobe.symbols.debuginfo import DebugInfo
    from armprobe.symbols.dwarf.lines import SourceLine
    from armprobe.symbols.dwarf.scopes import Scope


@dataclass(frozen=True, slots=True, order=True)
class ObjectRange:
    """A part, [start, end), of a file in memory: `main` is the program itself, others are shared objects.

    `bias` is what was added to the addresses in the file. `module`: it is a module of a Linux kernel.
    """

    name: str
    start: int
    end: int
    main: bool = False
    bias: int = 0
    module: bool = False


class SymbolTable:
    """The symbols of a program at the addresses where it runs.

    `marks` say what the bytes from an address on are (see Image), `ranges` where the code is that can be executed:
    [start, end), sorted. Both may be empty: then nothing is known. `refused` are places that take no probe: [start,
    end) without overlap, and the reason, which completes "ADDRESS is ...". `changing` are instructions that the program
    rewrites while it runs. `objects` are the files that a process has in memory: a name in one of them is
    `libc.so.6:malloc`, for which the name alone will do where only one has it. `left_out` are such files of which
    nothing is known, by a shell pattern for their name, and why.
    """

    def __init__(
        self,
        symbols: Iterable[Symbol],
        *,
        marks: Iterable[tuple[int, str]] = (),
        ranges: Iterable[tuple[int, int]] = (),
        refused: Iterable[tuple[int, int, str]] = (),
        changing: Iterable[int] = (),
        objects: Iterable[ObjectRange] = (),
        debug: Iterable[DebugInfo] = (),
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        # Of several names for one address the last is shown: functions, with a size, not reserved for the library.
        self.symbols = sorted(
            symbols, key=lambda s: (s.address, s.function, s.size > 0, not s.name.startswith("_"), s.name)
        )
        self.marks = sorted(marks)
        self.ranges = sorted(ranges)
        self.refused = sorted(refused)
        self.changing = frozenset(changing)
        self.objects = sorted(objects, key=attrgetter("start"))
        self.debug = tuple(debug)
        self.left_out = dict(left_out or {})
        self._addresses = [symbol.address for symbol in self.symbols]
        self._mark_addresses = [address for address, _ in self.marks]

    @classmethod
    def from_image(cls, image: Image) -> SymbolTable:
        """The table of `image`, at the addresses the image has."""
        ranges = [(part.address, part.end) for part in image.segments if part.executable]
        return cls(image.symbols, marks=image.marks, ranges=ranges, debug=image.debug)

    def become(self, other: SymbolTable) -> None:
        """Know what another table knows, and no more: the program has loaded or unloaded files."""
        known = dict(vars(other))
        vars(self).clear()
        vars(self).update(known)

    def rebased(self, bias: int) -> SymbolTable:
        """The same table for a program that runs `bias` bytes above where it was linked: it relocated itself."""
        return SymbolTable(
            (replace(symbol, address=symbol.address + bias & 0xFFFFFFFF) for symbol in self.symbols),
            marks=((address + bias & 0xFFFFFFFF, kind) for address, kind in self.marks),
            ranges=((start + bias, end + bias) for start, end in self.ranges),
            refused=((start + bias, end + bias, reason) for start, end, reason in self.refused),
            changing=(address + bias for address in self.changing),
            left_out=self.left_out,
            objects=(
                replace(part, start=part.start + bias, end=part.end + bias, bias=part.bias + bias)
                for part in self.objects
            ),
            debug=(part.rebased(bias) for part in self.debug),
        )

    def at(self, address: int) -> tuple[Symbol, int] | None:
        """The symbol that `address` belongs to, and the offset in it; None if it belongs to none."""
        index = bisect_right(self._addresses, address) - 1
        if index < 0:
            return None
        symbol = self.symbols[index]
        offset = address - symbol.address
        # A symbol without a size may be that of all that follows it in its file.
        open_end = not symbol.size and (not offset or not self.objects or self.object_at(address) is not None)
        return (symbol, offset) if offset < symbol.size or open_end else None

    def describe(self, address: int) -> str:
        """`name+0x10` in readable form, the bare address where nothing is known."""
        found = self.at(address)
        if found is None:
            return self._in_file(address)
        symbol, offset = found
        name = self.object_prefix(address) + demangled(symbol.name)
        return f"{name}+{offset:#x}" if offset else name

    def place(self, address: int) -> str:
        """`name+0x10/0x40 [module]`, with the size of the symbol, as the kernel prints the place of an event."""
        found = self.at(address)
        if found is None:
            return self._in_file(address)
        symbol, offset = found
        part = self.object_at(address)
        if part is not None and part.module:
            return f"{symbol.name}+{offset:#x}/{symbol.size:#x} [{part.name}]"
        return f"{self.object_prefix(address)}{demangled(symbol.name)}+{offset:#x}/{symbol.size:#x}"

    def _in_file(self, address: int) -> str:
        """An address that has no name: `libc.so.6:0x1234` where the file's addresses are others."""
        found = self.object_at(address)
        return f"{found.name}:0x{address - found.bias:x}" if found is not None and found.bias else f"0x{address:08x}"

    def object_at(self, address: int) -> ObjectRange | None:
        """The file that the address belongs to, where files are known."""
        index = bisect_right(self.objects, address, key=attrgetter("start")) - 1
        return self.objects[index] if index >= 0 and address < self.objects[index].end else None

    def _in_module(self, symbol: Symbol) -> bool:
        part = self.object_at(symbol.address)
        return part is not None and part.module

    def object_prefix(self, address: int) -> str:
        """`libc.so.6:` for what lies in a shared object, "" for the program itself."""
        found = self.object_at(address)
        return "" if found is None or found.main else f"{found.name}:"

    def split_object(self, text: str) -> tuple[str, str]:
        """The shell pattern for a file and the rest, of `libc.so.6:malloc`; "" where no file is named."""
        name, colon, rest = text.partition(":")
        name = name.rpartition("/")[2]
        named = any(fnmatch.fnmatchcase(part.name, name) for part in self.objects)
        return (name, rest) if colon and named and not rest.startswith(":") else ("", text)

    def named(self, name: str) -> list[Symbol]:
        """All symbols called `name`: as in the file, demangled, or demangled without parameters."""
        place, name = self.split_object(name)
        found = self._within(place, self._by_name.get(name) or self._by_readable_name.get(name, []))
        # As for the kernel's own probes, a name alone is the kernel's before it is that of a module.
        return [symbol for symbol in found if place or not self._in_module(symbol)] or found

    def matching(self, pattern: str) -> list[Symbol]:
        """The functions whose name, plain or demangled, matches the shell pattern; one symbol for each address."""
        place, pattern = self.split_object(pattern)
        plain = (name for name in self._by_name if fnmatch.fnmatchcase(name, pattern))
        readable = (name for name in self._by_readable_name if fnmatch.fnmatchcase(name, pattern))
        found = {symbol.address: symbol for name in plain for symbol in self._by_name[name] if symbol.function}
        for name in readable:
            for symbol in self._by_readable_name[name]:
                if symbol.function:
                    found.setdefault(symbol.address, symbol)
        return self._within(place, [found[address] for address in sorted(found)])

    def _within(self, pattern: str, symbols: list[Symbol]) -> list[Symbol]:
        """Those of the symbols that lie in files of that name."""
        if not pattern:
            return symbols
        found = ((symbol, self.object_at(symbol.address)) for symbol in symbols)
        return [symbol for symbol, part in found if part is not None and fnmatch.fnmatchcase(part.name, pattern)]

    def similar(self, name: str) -> list[str]:
        """Up to three names that `name` may have been meant to be."""
        place, name = self.split_object(name)
        prefix = f"{place}:" if place else ""
        return [prefix + found for found in difflib.get_close_matches(name, self._known_names(place), n=3)]

    def _known_names(self, place: str) -> list[str]:
        if not place:
            return [*self._by_name, *self._by_readable_name]
        return [symbol.name for symbol in self._within(place, self.symbols)]

    def kind_at(self, address: int) -> tuple[str, int] | None:
        """What the bytes at `address` are, "a", "t" or "d", and where that begins; None: not known."""
        index = bisect_right(self._mark_addresses, address) - 1
        if index < 0:
            return None
        start, kind = self.marks[index]
        part = bisect_right(self.ranges, (address, 1 << 32)) - 1
        if part >= 0 and start < self.ranges[part][0] and address < self.ranges[part][1]:
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

    def scope(self, address: int) -> Scope | None:
        """The names that debug information knows at an instruction; None where it knows nothing of it."""
        debug = self.debug_at(address)
        return None if debug is None else debug.scope(address)

    def source_line(self, address: int) -> SourceLine | None:
        """The line of the program's source that an instruction comes from, where debug information knows it."""
        debug = self.debug_at(address)
        return None if debug is None else debug.line(address)

    def debug_at(self, address: int) -> DebugInfo | None:
        """The debug information of the file that has code at the address."""
        return next((part for part in self.debug if part.covers(address)), None)

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
