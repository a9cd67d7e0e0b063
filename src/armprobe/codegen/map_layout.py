"""How maps stand in target memory: one definition, for the code that writes them and for the reader.

    offset 0    overflow: u64, updates that found no place
    offset 8    `cells` values of u64
    then        table only: the keys of the cells, u32; or for each cell a state and the words of its key

A counter is one cell, a histogram one for each bucket. A table has `size` cells whose keys are no zero (a zero key
says that the cell is free) and, last, one for the key 0. The cell of a key is the first, from the one that `first_cell`
gives on and around the end, that holds the key or is free; MAX_STEPS cells are looked at. A key stays where it is.

Where keys are made of parts, numbers and strings, a cell is FREE, or TAKEN by whoever writes the key into it, or
READY. Nobody waits for a key to be written, as it might be an interrupt that waits: who finds a cell taken goes on to
the next. So a key may have several cells, and its number is the sum of theirs.

Where keys can be removed, each cell has a state, a reach and the words of its key: see `armprobe.codegen.map_removal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

CELLS = 8
CELL_BYTES = 8
MAX_STEPS = 64
MAX_CELLS = 1 << 16
#: 2^32 divided by the golden ratio: spreads keys that are close together, as addresses are
HASH = 0x9E3779B1
FREE, TAKEN, READY = 0, 1, 2
#: where keys can be removed, the bits of a state: what the cell is, how many hold it, and a count of what came and went
CLAIMED, TRYING, MEMBER, LEAVING = 1, 2, 4, 5
KIND_BITS, HOLD, TAKE = 7, 1 << 3, 1 << 19
HOLDS = TAKE - HOLD
_WORD = 0xFFFFFFFF


class MapKind(Enum):
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class KeyPart:
    """A part of a key: a number of 32 bits, or a string, of which so many words are kept, and zeros behind its end."""

    words: int = 1
    text: bool = False


@dataclass(frozen=True, slots=True)
class MapShape:
    """What a map is; `size` is the number of buckets, or of keys that are no zero (a counter: 1).

    `key` are the parts of the keys of a table; empty: they are u32. `removable`: keys can be removed.

    The buckets of a histogram that observes values are powers of two where `step` is 0, else of `step` values each,
    from `base` on.
    """

    kind: MapKind
    size: int = 1
    step: int = 0
    base: int = 0
    key: tuple[KeyPart, ...] = ()
    removable: bool = False

    @property
    def has_states(self) -> bool:
        """Whether a cell has a state, and all words are keys."""
        return bool(self.key) or self.removable

    @property
    def cells(self) -> int:
        return self.size + (self.kind is MapKind.TABLE and not self.has_states)

    @property
    def keys(self) -> int:
        """Offset of the keys of a table."""
        return CELLS + CELL_BYTES * self.cells

    @property
    def bytes(self) -> int:
        return self.keys + (self.key_bytes * self.cells if self.kind is MapKind.TABLE else 0)

    @property
    def key_words(self) -> int:
        """The words of a key."""
        return sum(part.words for part in self.key) or 1

    @property
    def key_offset(self) -> int:
        """Where a cell has the words of its key, behind its state."""
        return 8 if self.removable else 4

    @property
    def key_bytes(self) -> int:
        """What a cell has besides its number."""
        return self.key_offset + 4 * self.key_words if self.has_states else 4

    def has_key(self, state: int) -> bool:
        """Whether a cell in that state has a key."""
        return bool(state & MEMBER) if self.removable else state == READY

    @property
    def steps(self) -> int:
        """How many cells are looked at for one key."""
        return min(self.size, MAX_STEPS)


def bucket_of(value: int, shape: MapShape) -> int:
    """The bucket of a value; `shape.size` for one that has none."""
    if not shape.step:
        return min(max(value.bit_length() - 1, 0), shape.size)
    bucket = (value - shape.base) // shape.step
    return bucket if 0 <= bucket < shape.size else shape.size


def first_cell(key: Sequence[int], size: int) -> int:
    """Where the search for a key of a table starts, given its words."""
    mixed = 0
    for word in key:
        mixed = (mixed ^ word) * HASH & _WORD
    return mixed * size >> 32
