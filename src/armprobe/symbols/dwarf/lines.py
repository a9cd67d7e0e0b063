"""Source lines: of an address, and the addresses of a line."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from armprobe.symbols.dwarf.units import Units

#: the number of the file of a row that ends a sequence
_END = -1


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a source file, as the compiler was given its path."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{PurePosixPath(self.path).name}:{self.line}"


class Row(NamedTuple):
    """From `address` on, up to the next row, the code is of a line; `file` _END: it is of none."""

    address: int
    file: int
    line: int
    #: a good place to stop for the line
    statement: bool


class Lines:
    """The line tables of the units, each read when it is asked for."""

    def __init__(self, dwarf: Any, units: Units) -> None:
        self._dwarf = dwarf
        self._units = units
        self._rows: dict[int, list[Row]] = {}
        self._paths: dict[int, dict[int, str]] = {}

    def at(self, address: int) -> SourceLine | None:
        """The line that an instruction comes from."""
        unit = self._units.at(address)
        if unit is None:
            return None
        rows = self._table(unit)
        index = bisect_right(rows, address, key=lambda row: row.address) - 1
        if index < 0 or rows[index].file == _END or rows[index].line == 0:
            return None
        # Of several rows for one address, the last that is a statement.
        for other in range(index, -1, -1):
            if rows[other].address != rows[index].address:
                break
            if rows[other].statement:
                index = other
                break
        return SourceLine(self._files(unit).get(rows[index].file, "?"), rows[index].line)

    def named(self, name: str) -> list[tuple[Any, list[int]]]:
        """The units that have code of the files whose path ends in `name`, with the numbers of these files."""
        wanted = PurePosixPath(name).parts
        found: list[tuple[Any, list[int]]] = []
        if not wanted:
            return found
        for unit in self._units.with_source(wanted[-1]):
            numbers = [
                n for n, path in self._files(unit).items() if PurePosixPath(path).parts[-len(wanted) :] == wanted
            ]
            if numbers:
                found.append((unit, numbers))
        return found

    def file_number(self, unit: Any, path: str) -> list[int]:
        """The numbers that a unit has for a path."""
        return [number for number, known in self._files(unit).items() if known == path]

    def path(self, unit: Any, number: int) -> str:
        """The path of a file by its number in a unit."""
        return self._files(unit).get(number, "?")

    def statements(self, unit: Any, files: list[int]) -> Iterator[tuple[int, int]]:
        """(line, address) of the rows of files that are good places to stop."""
        for row in self._table(unit):
            if row.file in files and row.statement and row.line:
                yield row.line, row.address

    def _table(self, unit: Any) -> list[Row]:
        known = self._rows.get(unit.cu_offset)
        if known is None:
            known = self._rows[unit.cu_offset] = sorted(
                # One sequence may end where another begins.
                self._read(unit),
                key=lambda row: (row.address, row.file != _END),
            )
        return known

    def _read(self, unit: Any) -> Iterator[Row]:
        program = self._dwarf.line_program_for_CU(unit)
        for entry in program.get_entries() if program is not None else ():
            state = entry.state
            if state is not None:
                file = _END if state.end_sequence else state.file
                yield Row(state.address, file, state.line, bool(state.is_stmt) and not state.end_sequence)

    def _files(self, unit: Any) -> dict[int, str]:
        """Paths by the numbers that line tables use."""
        known = self._paths.get(unit.cu_offset)
        if known is not None:
            return known
        program = self._dwarf.line_program_for_CU(unit)
        found: dict[int, str] = {}
        if program is not None:
            header = program.header
            # Up to DWARF 4, files count from 1, and directory 0 is that of the compilation.
            first = 0 if header["version"] >= 5 else 1
            for number, entry in enumerate(header["file_entry"], first):
                place = entry["dir_index"] - first
                folders = header["include_directory"]
                folder = folders[place] if 0 <= place < len(folders) else b""
                found[number] = str(PurePosixPath(_text(folder)) / _text(entry["name"]))
        self._paths[unit.cu_offset] = found
        return found


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
