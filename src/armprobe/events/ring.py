"""The ring that records arrive in, in target memory, and its reader.

    word 0      write: words ever reserved (modulo 2^32); only target code changes it
    word 1      read: words ever consumed; only the reader changes it
    word 2      lost: records that found the ring full; only target code changes it
    word 3      mask: capacity in words, a power of two, minus one
    word 4...   `capacity` words of buffer, then a tail as long as the longest record

A record starts at the word `write & mask` of the buffer and may run on into the tail, so it is always contiguous; the
next one starts at `(write + its words) & mask`. Target code checks that there is room (`write - read + words <=
capacity`), moves `write`, fills the fields, and writes the header last. Free words are zero, so a zero header is a
record still being written: the reader stops before it. It clears what it has consumed before it moves `read`.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from armprobe.errors import TargetError, UsageError
from armprobe.events.batch import Batch, join
from armprobe.events.record import MAX_WORDS

WRITE, READ, LOST, MASK, BUFFER = 0, 4, 8, 12, 16
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Ring:
    """A ring at `address` (a multiple of 8) with `capacity` words (a power of two, four times `longest` or more).

    `longest` is the size in words of the longest record. Raises UsageError for other sizes.
    """

    address: int
    capacity: int
    longest: int = MAX_WORDS

    def __post_init__(self) -> None:
        if self.address % 8:
            raise UsageError(f"a ring starts at a multiple of 8, not at 0x{self.address:08x}")
        if self.capacity & (self.capacity - 1) or self.capacity < 4 * self.longest:
            raise UsageError(
                f"a ring for records of up to {self.longest} words holds a power of two of words, "
                f"{4 * self.longest} or more, not {self.capacity}"
            )

    @property
    def size(self) -> int:
        """Bytes of target memory it takes."""
        return BUFFER + 4 * (self.capacity + self.longest)


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain found: whole records (header and fields), oldest first; and how many were lost since the start.

    `pending` is how many words are left, from the first record on that is still being written.
    """

    records: Batch
    lost: int
    pending: int


def initialize(ring: Ring, write: Callable[[int, bytes], object]) -> None:
    """Write an empty ring to target memory."""
    write(ring.address, struct.pack("<4I", 0, 0, 0, ring.capacity - 1) + bytes(ring.size - BUFFER))


def drain(ring: Ring, read: Callable[[int, int], bytes], write: Callable[[int, bytes], object]) -> Drained:
    """Take all complete records out of the ring; safe while the target runs.

    `read(address, size)` and `write(address, data)` reach target memory. Raises TargetError when the ring is not as
    target code leaves it: something else wrote there.
    """
    reserved, consumed, lost, mask = struct.unpack("<4I", read(ring.address, BUFFER))
    pending = reserved - consumed & _WORD
    if mask != ring.capacity - 1 or pending > ring.capacity:
        raise _overwritten(ring, f"write={reserved:#x} read={consumed:#x} mask={mask:#x}")
    records = Batch()
    while pending:
        # One pass takes the records that start between here and the end of the buffer; the last may run into the tail.
        start = consumed & mask
        span = min(pending, ring.capacity - start + ring.longest)
        data = read(ring.address + BUFFER + 4 * start, 4 * span)
        starts = array("I")
        position = 0
        while position < span and start + position < ring.capacity:
            words = data[4 * position]
            if not words:
                break
            if words > min(span - position, ring.longest):
                header = int.from_bytes(data[4 * position : 4 * position + 4], "little")
                raise _overwritten(ring, f"header {header:#010x} at word {start + position}, {pending} words pending")
            starts.append(4 * position)
            position += words
        if not position:
            break
        found = Batch(data[: 4 * position], starts)
        records = join(records, found) if records else found
        write(ring.address + BUFFER + 4 * start, bytes(4 * position))
        consumed = consumed + position & _WORD
        write(ring.address + READ, struct.pack("<I", consumed))
        pending -= position
        if start + position < ring.capacity:
            break
    return Drained(records, lost, pending)


def skip(ring: Ring, read: Callable[[int, int], bytes], write: Callable[[int, bytes], object]) -> int:
    """Give up what is in the ring, behind a record whose writer is gone; return how many words that is.

    Nobody may be writing there: neither the first record nor those behind it.
    """
    reserved, consumed = struct.unpack("<2I", read(ring.address, 8))
    pending: int = reserved - consumed & _WORD
    start = consumed & ring.capacity - 1
    first = min(pending, ring.capacity + ring.longest - start)
    write(ring.address + BUFFER + 4 * start, bytes(4 * first))
    write(ring.address + BUFFER, bytes(4 * max(0, start + pending - ring.capacity)))
    write(ring.address + READ, struct.pack("<I", reserved))
    return pending


def _overwritten(ring: Ring, evidence: str) -> TargetError:
    return TargetError(
        f"the ring at 0x{ring.address:08x} does not hold what compiled handlers write",
        evidence=evidence,
        hint="the program wrote there: give armprobe memory that the program does not use",
    )
