"""Maps: counters, histograms and tables in target memory, which compiled handlers add to."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from armprobe.codegen.map_layout import CELL_BYTES, MAX_CELLS, KeyPart, MapKind, MapShape, bucket_of
from armprobe.errors import UsageError
from armprobe.probes.map_cells import Cells, number_offset

_CELL = (1 << 64) - 1
_BAR = 40
_PART = re.compile(r"u32|char\[([1-9][0-9]?)\]", re.ASCII)
_MOST_TEXT = 64


class _Memory(Protocol):
    def read_memory(self, address: int, size: int) -> bytes: ...

    def write_memory(self, address: int, data: bytes) -> None: ...


@dataclass(slots=True, eq=False)
class Map:
    """Numbers of 64 bits by key, in target memory; made by a session. After its end, they are as they were last.

    A compiled handler adds to it, `counter.add(N)`, `table[KEY] += N`, `histogram.observe(VALUE)`, or replaces
    a number, `table[KEY] = N`. An update without a place (a bucket that is not there, a new key for a full table) is
    counted in `overflow`.
    """

    name: str
    shape: MapShape
    address: int = field(repr=False)
    #: whether the buckets are powers of two: bucket n has the numbers from 2**n on, bucket 0 the 0 as well
    log2: bool = False
    #: whether the target may run while it is read
    live: bool = field(default=False, repr=False)
    _memory: _Memory | None = field(default=None, repr=False)
    _final: bytes = field(default=b"", repr=False)
    #: what it was at the last `take`
    _taken: Cells | None = field(default=None, repr=False)

    def values(self) -> dict[Any, int]:
        """The numbers that are not zero, by key in ascending order; the key of a counter is 0.

        A key that is made of parts is a string, or a tuple where there are several.
        """
        cells, shape = self._cells(), self.shape
        found: dict[Any, int] = {}
        for cell in cells.taken() if shape.has_states else range(shape.cells):
            key = cells.key(cell) if shape.kind is MapKind.TABLE else cell
            if number := cells.number(cell):
                found[key] = found.get(key, 0) + number & _CELL
        return {key: found[key] for key in sorted(found) if found[key]}

    @property
    def total(self) -> int:
        """The sum of all numbers: the value of a counter."""
        return sum(self.values().values())

    @property
    def overflow(self) -> int:
        """Updates that found no place."""
        return self._cells().word(0, CELL_BYTES)

    def __getitem__(self, key: Any) -> int:
        """The number of a key; 0 for one that is not there."""
        return self.values().get(key, 0)

    def get(self, key: Any) -> int:
        """The same as target code does it: the strings in a key are those in memory, also as bytes."""
        cells = self._cells()
        return sum(map(cells.number, self._places(cells, key))) & _CELL

    def __setitem__(self, key: Any, number: int) -> None:
        """Set a number, as `put`; `map[key] += 1` in a host handler."""
        self.put(key, number)

    def put(self, key: Any, number: int) -> None:
        """Set a number, modulo 2**64. A key without a place counts as overflow."""
        places = self._places(self._cells(), key)
        if len(places) == 1:
            self._write(number_offset(places[0]), (number & _CELL).to_bytes(CELL_BYTES, "little"))
        else:
            self.add(number - self.get(key), key)  # a key may have several cells

    def __delitem__(self, key: Any) -> None:
        """Remove a key, as `pop`."""
        self.pop(key)

    def pop(self, key: Any) -> int:
        """Remove a key from a table that was made with `removable`: the number that it had, 0 without one.

        Raises UsageError for other maps.
        """
        if not self.shape.removable:
            raise UsageError(f"the keys of {self.name!r} are there for good",
                             hint="make it with session.table(..., removable=True)")  # fmt: skip
        cells = self._cells()
        number = 0
        for cell in self._places(cells, key):
            number = cells.number(cell)
            for offset, data in cells.remove(cell):
                self._write(offset, data)
        return number

    def observe(self, value: int) -> None:
        """Add 1 to the bucket of a value, in a histogram."""
        self.add(1, bucket_of(value, self.shape))

    def add(self, amount: int = 1, key: Any = 0) -> None:
        """Add as target code does, modulo 2**64."""
        offset = self._place(key)
        self._add(0 if offset is None else offset, 1 if offset is None else amount)

    def take(self) -> Map:
        """What was added since the last time, or since the map was made or cleared: a map that stays as it is.

        Nothing is written, so that no update is lost or in two of them, whatever runs meanwhile. Numbers that handlers
        replace say nothing this way. Raises UsageError for a table whose keys can be removed.
        """
        if self.shape.removable:
            raise UsageError(f"keys of {self.name!r} may be removed, and what they had would be missing",
                             hint="add the same to a table without removable=True, and take that")  # fmt: skip
        now = self._cells()
        since = now.since(self._taken) if self._taken is not None else now
        self._taken = now
        return Map(self.name, self.shape, self.address, self.log2, _final=since.data)

    def clear(self) -> None:
        """Set everything to zero; a table forgets its keys. What is added at that moment may be lost: see `take`."""
        self._write(0, bytes(self.shape.bytes))
        self._taken = None

    def freeze(self) -> None:
        """Keep the numbers as they are now: the memory is about to go."""
        self._final, self._memory = self._data(), None

    def __str__(self) -> str:
        """The map as text: a line for each number."""
        numbers, most = self.values(), max(self.values().values(), default=1)
        lines = [f"{self.name}: {self.total}" + (f", {self.overflow} without a place" if self.overflow else "")]
        if self.shape.kind is MapKind.COUNTER or not numbers:
            return lines[0]
        if self.shape.kind is MapKind.HISTOGRAM:
            numbers = {key: numbers.get(key, 0) for key in range(min(numbers), max(numbers) + 1)}
        labels = {key: self._label(key) for key in numbers}
        width, digits = max(map(len, labels.values())), len(str(most))
        if self.shape.key:
            numbers = dict(sorted(numbers.items(), key=lambda item: -item[1]))
        for key, number in numbers.items():
            bar = "#" * -(-_BAR * number // most)
            lines.append(f"  {labels[key]:>{width}}  {number:>{digits}}  {bar}".rstrip())
        return "\n".join(lines)

    def _label(self, key: Any) -> str:
        if self.shape.key:
            return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
        if self.shape.kind is MapKind.TABLE:
            return f"0x{key:08x}"
        if self.shape.step:
            first = self.shape.base + key * self.shape.step
            return f"{first} to {first + self.shape.step - 1}"
        return f"{1 << key if key else 0} to {(2 << key) - 1}" if self.log2 else str(key)

    def _places(self, cells: Cells, key: Any) -> list[int]:
        """The cells of a key: those that there are."""
        shape = self.shape
        if shape.kind is MapKind.TABLE:
            return cells.places(key_words(shape, key))
        return [key] if 0 <= key < shape.size else []

    def _place(self, key: Any) -> int | None:
        """The offset of the number of a key; a new key gets a free cell. None where there is no place."""
        cells, shape = self._cells(), self.shape
        places = self._places(cells, key)
        if not places and shape.kind is MapKind.TABLE:
            cell, writes = cells.add(key_words(shape, key))
            for offset, data in writes:
                self._write(offset, data)
            return None if cell is None else number_offset(cell)
        return number_offset(places[0]) if places else None

    def _add(self, offset: int, amount: int) -> None:
        value = self._cells().word(offset, CELL_BYTES) + amount & _CELL
        self._write(offset, value.to_bytes(CELL_BYTES, "little"))

    def _cells(self) -> Cells:
        shape = self.shape
        if not self.live or not shape.removable or self._memory is None:
            return Cells(shape, self._data())
        keys = self._memory.read_memory(self.address + shape.keys, shape.bytes - shape.keys)
        return Cells(shape, self._data()).without_changes_since(keys)

    def _data(self) -> bytes:
        return self._final if self._memory is None else self._memory.read_memory(self.address, self.shape.bytes)

    def _write(self, offset: int, data: bytes) -> None:
        if self._memory is None:
            raise UsageError(f"the map {self.name!r} can't be changed any more: it was taken, or its session is closed")
        self._memory.write_memory(self.address + offset, data)


def key_words(shape: MapShape, key: Any) -> tuple[int, ...]:
    """The words of a key: numbers, and strings as str or bytes. Raises UsageError for what is no key."""
    wanted = shape.key or (KeyPart(),)
    given = key if isinstance(key, tuple) else (key,)
    words: list[int] = []
    for part, one in zip(wanted, given, strict=False):
        if isinstance(one, int):
            words.append(one & 0xFFFFFFFF)
        if isinstance(one, str | bytes):
            text = (one.encode() if isinstance(one, str) else one).partition(b"\0")[0]
            words += struct.unpack(f"<{part.words}I", text[: 4 * part.words].ljust(4 * part.words, b"\0"))
    if len(given) != len(wanted) or len(words) != shape.key_words:
        parts = ", ".join(f"a string of {4 * part.words} bytes" if part.text else "a number" for part in wanted)
        raise UsageError(f"{key!r} is no key of this table: that is {parts}")
    return tuple(words)


def key_parts(key: str | Sequence[str]) -> tuple[KeyPart, ...]:
    """The parts that keys are made of, as `session.table` takes them; none for plain numbers. Raises UsageError."""
    names = [key] if isinstance(key, str) else list(key)
    parts = []
    for name in names:
        match = _PART.fullmatch(name)
        size = int(match[1] or 0) if match else -1
        if size % 4 or size > _MOST_TEXT:
            raise UsageError(f'a part of a key is "u32", or "char[N]" with N = 4, 8, ... {_MOST_TEXT}, not {name!r}')
        parts.append(KeyPart(size // 4, text=True) if size else KeyPart())
    if not parts:
        raise UsageError("a key has a part", hint='key="char[16]", key=("char[16]", "u32")')
    return () if names == ["u32"] else tuple(parts)


def map_shape(
    kind: MapKind, size: int, *, step: int = 0, base: int = 0, key: tuple[KeyPart, ...] = (), removable: bool = False
) -> MapShape:
    """The shape of a map with `size` buckets or keys. Raises UsageError for sizes that make no sense."""
    if not 0 <= step < 1 << 32 or not 0 <= base < 1 << 32:
        raise UsageError(f"buckets are of 1 to 2**32 - 1 values, from 0 to 2**32 - 1 on, not of {step} from {base} on")
    if base and not step:
        raise UsageError("buckets that begin at a base have a step", hint="histogram(NAME, step=16, base=64)")
    if not 1 <= size <= MAX_CELLS:
        raise UsageError(f"a {kind.value} has 1 to {MAX_CELLS} places, not {size}")
    return MapShape(kind, size, step, base, key, removable)


def shape_of(value: object) -> MapShape | None:
    """The shape of a map, None for anything else."""
    return value.shape if isinstance(value, Map) else None
