"""The cells of a map as they were read from target memory. `armprobe.codegen.map_layout` says what stands where."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from armprobe.codegen.map_layout import (
    CELL_BYTES,
    CELLS,
    CLAIMED,
    FREE,
    HOLDS,
    KIND_BITS,
    LEAVING,
    MEMBER,
    READY,
    TAKE,
    TRYING,
    MapShape,
    first_cell,
)
from armprobe.events.values import decode_text

_WORD, _NUMBER = (1 << 32) - 1, (1 << 64) - 1
#: what is to be written: offsets in the map, and bytes
Writes = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Cells:
    """What a map of that shape holds."""

    shape: MapShape
    data: bytes

    def word(self, offset: int, size: int = 4) -> int:
        return int.from_bytes(self.data[offset : offset + size], "little")

    def number(self, cell: int) -> int:
        return self.word(number_offset(cell), CELL_BYTES)

    def state(self, cell: int) -> int:
        """The state of a cell, where cells have one."""
        return self.word(self._place(cell))

    def words(self, cell: int) -> tuple[int, ...]:
        """The words of the key of a cell."""
        offset = self.shape.key_offset if self.shape.has_states else 0
        return struct.unpack_from(f"<{self.shape.key_words}I", self.data, self._place(cell) + offset)

    def taken(self) -> Iterator[int]:
        """The cells that have a key, of a map whose cells have states."""
        return (cell for cell in range(self.shape.cells) if self.shape.has_key(self.state(cell)))

    def without_changes_since(self, keys: bytes) -> Cells:
        """Without the cells whose key came since all keys were read: their number may be that of the one before."""
        data, before = bytearray(self.data), Cells(self.shape, bytes(self.shape.keys) + keys)
        for cell in range(self.shape.cells):
            if not self._has_same_key(before, cell):
                data[self._place(cell) : self._place(cell) + 4] = bytes(4)
        return Cells(self.shape, bytes(data))

    def since(self, before: Cells) -> Cells:
        """What was added to each number since then."""
        data = bytearray(self.data)
        struct.pack_into("<Q", data, 0, self.word(0, CELL_BYTES) - before.word(0, CELL_BYTES) & _NUMBER)
        for cell in range(self.shape.cells):
            struct.pack_into("<Q", data, number_offset(cell), self.number(cell) - before.number(cell) & _NUMBER)
        return Cells(self.shape, bytes(data))

    def _has_same_key(self, before: Cells, cell: int) -> bool:
        """Whether a cell, of a table whose keys can be removed, kept its key since then."""
        states = (cells.state(cell) & ~HOLDS for cells in (self, before))
        return len(set(states)) == 1 and self.words(cell) == before.words(cell)

    def key(self, cell: int) -> Any:
        """The key of a cell of a table: its parts, or the one that there is."""
        shape, words = self.shape, list(self.words(cell))
        if not shape.key:
            return words[0]
        parts: list[Any] = []
        for part in shape.key:
            held, words = struct.pack(f"<{part.words}I", *words[: part.words]), words[part.words :]
            parts.append(decode_text(held, len(held)) if part.text else int.from_bytes(held, "little"))
        return parts[0] if len(parts) == 1 else tuple(parts)

    def places(self, words: tuple[int, ...]) -> list[int]:
        """The cells of a key of a table, given as its words."""
        shape = self.shape
        if shape.has_states:
            return [
                cell for cell in self._window(words) if shape.has_key(self.state(cell)) and self.words(cell) == words
            ]
        if words == (0,):
            return [shape.size]
        return [cell for cell in self._window(words) if self.words(cell) == words]

    def add(self, words: tuple[int, ...]) -> tuple[int | None, Writes]:
        """A free cell for a new key, None where there is none, and what gives it the key."""
        shape = self.shape
        for step, cell in enumerate(self._window(words)):
            place, key = self._place(cell), struct.pack(f"<{shape.key_words}I", *words)
            if not shape.has_states:
                if self.words(cell) == (0,):
                    return cell, [(place, key)]
            elif shape.removable:
                if not self.state(cell) & KIND_BITS:
                    return cell, self._add_removable(words, key, cell, step)
            elif self.state(cell) == FREE:
                return cell, [(place, struct.pack("<I", READY) + key)]
        return None, []

    def remove(self, cell: int) -> Writes:
        """What takes the key of a cell out of a table whose keys can be removed."""
        state = self.state(cell)
        left = (state & -TAKE) + TAKE & _WORD if not state & HOLDS else state | LEAVING
        return [(number_offset(cell), bytes(CELL_BYTES)), (self._place(cell), struct.pack("<I", left))]

    def _add_removable(self, words: tuple[int, ...], key: bytes, cell: int, step: int) -> Writes:
        """The same, and no thread that stands still while it adds the key will think that it is the first."""
        first = self._place(next(self._window(words))) + 4
        writes = [
            (self._place(rival), struct.pack("<I", self.state(rival) - TRYING + CLAIMED))
            for rival in self._window(words)
            if self.state(rival) & KIND_BITS == TRYING and self.words(rival) == words
        ]
        taken = self.state(cell) + TAKE + MEMBER & _WORD
        return [
            *writes,
            (first, struct.pack("<I", max(self.word(first), step + 1))),
            (self._place(cell) + self.shape.key_offset, key),
            (self._place(cell), struct.pack("<I", taken)),
        ]

    def _window(self, words: tuple[int, ...]) -> Iterator[int]:
        """The cells that are looked at for a key."""
        first = first_cell(words, self.shape.size)
        return ((first + step) % self.shape.size for step in range(self.shape.steps))

    def _place(self, cell: int) -> int:
        """Where a cell of a table has its state, or its key alone."""
        return self.shape.keys + self.shape.key_bytes * cell


def number_offset(cell: int) -> int:
    """Where the number of a cell stands."""
    return CELLS + CELL_BYTES * cell
