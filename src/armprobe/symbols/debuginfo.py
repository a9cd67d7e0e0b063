"""What debug information tells of a program: names and types at an instruction, source lines.

It is read, and the library that reads it imported, when something is asked for. Addresses are those where the program
runs.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armprobe.errors import UsageError

if TYPE_CHECKING:
    from armprobe.symbols.dwarf.lines import Lines, SourceLine
    from armprobe.symbols.dwarf.reader import Reader
    from armprobe.symbols.dwarf.scopes import Scope
    from armprobe.symbols.dwarf.units import Units
    from armprobe.symbols.image import Symbol

_EF_ARM_ABI_FLOAT_HARD = 0x400
_WORD = 0xFFFFFFFF
_MOST_SHOWN = 3


@dataclass(frozen=True, eq=False)
class DebugInfo:
    """The debug information of an ELF file, `data`.

    `symbols` are its own, `spans` the [start, end) of its code, both before it was moved by `bias`. Where it has no
    debug information, a debug file is looked for that belongs to the file at `path`.
    """

    name: str
    data: bytes
    symbols: tuple[Symbol, ...]
    spans: tuple[tuple[int, int], ...]
    bias: int = 0
    path: Path | None = None

    def rebased(self, bias: int) -> DebugInfo:
        """The same for a program that runs `bias` bytes further up."""
        return self if not bias else replace(self, bias=self.bias + bias)

    def covers(self, address: int) -> bool:
        """Whether the file has code at the address."""
        return any(start <= address - self.bias < end for start, end in self.spans)

    @property
    def present(self) -> bool:
        """Whether there is any."""
        return self._debug_file is not None

    def scope(self, address: int) -> Scope | None:
        """The names that are known at an instruction; None where nothing is known of it."""
        if not self.present:
            return None
        known = self._scopes.get(address)
        if known is not None:
            return known
        from armprobe.symbols.dwarf.scopes import Scope

        with self._reading():
            linked = address - self.bias
            die = self._units.function_at(linked)
            if die is None:
                return None
            entry = self._units.entry_address(die)
            return self._scopes.setdefault(address, Scope(self._reader, die, entry if entry is not None else 0, linked))

    def line(self, address: int) -> SourceLine | None:
        """The source line that an instruction comes from."""
        if not self.present:
            return None
        with self._reading():
            return self._lines.at(address - self.bias)

    def line_addresses(self, file: str, line: int) -> list[int] | None:
        """Where the code of a line begins: once for each function, inlined ones too, that the line is in.

        `file` is the end of its path; None where no code comes from such a file. Raises UsageError where the line has
        no code.
        """
        if not self.present:
            return None
        with self._reading():
            units = self._lines.named(file)
            if not units:
                return None
            rows = [row for unit, numbers in units for row in self._lines.statements(unit, numbers)]
        return self._begins(f"{file}:{line}", line, rows)

    def function_line(self, function: int, number: int, name: str) -> list[int]:
        """Where the code of line `number` of the function at an address begins; line 0 is that of its name."""
        with self._reading():
            die = self._units.function_at(function - self.bias) if self.present else None
            if die is None:
                raise UsageError(f"there is no debug information about {name}, which knows source lines")
            from armprobe.symbols.dwarf.units import holder

            owner = holder(die, "DW_AT_decl_line")
            if owner is None:
                raise UsageError(f"the debug information does not say where {name} is defined")
            path = self._lines.path(owner.cu, owner.attributes["DW_AT_decl_file"].value)
            files = self._lines.file_number(die.cu, path)
            ranges = self._units.ranges(die)
            line = owner.attributes["DW_AT_decl_line"].value + number
            rows = [
                (row, address)
                for row, address in self._lines.statements(die.cu, files)
                if any(low <= address < high for low, high in ranges)
            ]
        return self._begins(f"{name}:{number}", line, rows, origin=line - number)

    def inlined(self, name: str) -> list[int]:
        """Where the copies of an inlined function begin."""
        if not self.present:
            return []
        from armprobe.symbols.dwarf.inlined import inlined_copies

        with self._reading():
            return [address + self.bias & _WORD for address in inlined_copies(self._reader, name)]

    def _begins(self, text: str, line: int, rows: list[tuple[int, int]], *, origin: int = 0) -> list[int]:
        """The lowest address of the line in each copy of each function."""
        lowest: dict[int, int] = {}
        for row, linked in rows:
            scope = self.scope(linked + self.bias) if row == line else None
            if scope is not None:
                lowest[scope.innermost] = min(lowest.get(scope.innermost, linked), linked)
        if not lowest:
            lines = sorted({row for row, _ in rows}, key=lambda row: (abs(row - line), row))[:_MOST_SHOWN]
            near = ", ".join(str(row - origin) for row in sorted(lines))
            raise UsageError(f"there is no code for {text}", hint=f"there is for line {near}" if near else "")
        return sorted(address + self.bias & _WORD for address in lowest.values())

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what the library raises for damaged debug information into an error of ours."""
        from elftools.common.exceptions import DWARFError, ELFError
        from elftools.construct.core import ConstructError

        kinds = (DWARFError, ELFError, ConstructError, struct.error, LookupError, ValueError, TypeError, AttributeError,
                 AssertionError, NotImplementedError, RecursionError)  # fmt: skip
        try:
            yield
        except kinds as error:
            raise UsageError(
                f"the debug information of {self.name} is damaged, or of a kind that is not read: "
                f"{str(error) or type(error).__name__}"
            ) from error

    @cached_property
    def _file(self) -> Any:
        from elftools.elf.elffile import ELFFile

        return ELFFile(io.BytesIO(self.data))

    @cached_property
    def _debug_file(self) -> Any | None:
        """The file that has the debug information: this one, or one of its own."""
        from elftools.elf.elffile import ELFFile

        from armprobe.symbols.debugfile import find_debug_file, has_debug_information

        with self._reading():
            if has_debug_information(self._file):
                return self._file
            data = find_debug_file(self._file, self.path) if self.path is not None else None
            return ELFFile(io.BytesIO(data)) if data is not None else None

    @cached_property
    def _dwarf(self) -> Any:
        assert self._debug_file is not None
        return self._debug_file.get_dwarf_info(follow_links=False)

    @cached_property
    def _units(self) -> Units:
        from armprobe.symbols.dwarf.units import Units

        return Units(self._dwarf)

    @cached_property
    def _lines(self) -> Lines:
        from armprobe.symbols.dwarf.lines import Lines

        return Lines(self._dwarf, self._units)

    @cached_property
    def _scopes(self) -> dict[int, Scope]:
        return {}

    @cached_property
    def _reader(self) -> Reader:
        from armprobe.symbols.dwarf.frames import Frames
        from armprobe.symbols.dwarf.reader import Reader
        from armprobe.symbols.dwarf.typereader import TypeReader

        names: dict[int, tuple[str, ...]] = {}
        addresses: dict[str, int] = {}
        for symbol in self.symbols:
            names[symbol.address] = (*names.get(symbol.address, ()), symbol.name)
            addresses.setdefault(symbol.name, symbol.address)
        return Reader(
            dwarf=self._dwarf,
            units=self._units,
            types=TypeReader(),
            frames=Frames(self._dwarf),
            code=self._code,
            names=lambda address: names.get(address, ()),
            address=addresses.get,
            hard_float=bool(self._file["e_flags"] & _EF_ARM_ABI_FLOAT_HARD),
            bias=self.bias,
        )

    @cached_property
    def _parts(self) -> list[tuple[int, bytes]]:
        return [(part["p_vaddr"], part.data()) for part in self._file.iter_segments("PT_LOAD")]

    def _code(self, address: int, size: int) -> bytes:
        """The bytes of the file that are at a linked address."""
        for start, data in self._parts:
            if start <= address < start + len(data):
                return data[address - start : address - start + size]
        return b""
