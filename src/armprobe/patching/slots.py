"""Memory for the code we make, within branch reach of a site, and for the data that code uses.

Memory comes in chunks, from the regions the user gave and from the target's `executable_memory`. Code and data have
chunks of their own while there is memory: an emulator throws its translation of a page away when the page is written.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from armprobe.errors import ArmprobeError, NoMemory, Refused, TargetError, TargetFault, TargetLost, UsageError
from armprobe.isa.branch import REACH_HIGHEST, REACH_LOWEST, far_jump
from armprobe.targets.base import Region, Target
from armprobe.targets.capabilities import ExecutableMemory
from armprobe.targets.journal import MARK, Memory, make_mark
from armprobe.targets.spans import without

CHUNK = 0x10000
#: smaller pieces of the user's regions, so that a small region still serves both pools
_GIVEN_CHUNK = 0x4000
_PAGE = 0x1000
_ADDRESS_SPACE = 1 << 32
#: UDF #0 (DDI 0406C A8.8.247)
_UNDEFINED = 0xE7F0_00F0.to_bytes(4, "little")


class Pool(Enum):
    """What a slot holds."""

    CODE = "code"
    DATA = "data"
    #: data that a process has for itself, where it shares other data with the host and with its children
    STATE = "state"


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """`size` bytes of target memory that are ours."""

    address: int
    size: int

    @property
    def end(self) -> int:
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Island:
    """Two words within reach of a site that go on to a target beyond it. `code` is what belongs into the slot."""

    slot: Slot
    target: int

    @property
    def code(self) -> bytes:
        return far_jump(self.target)


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """One pool in numbers; all but `slots` and `chunks` in bytes."""

    chunks: int
    reserved: int
    used: int
    slots: int

    @property
    def free(self) -> int:
        return self.reserved - self.used


class _Chunk:
    """A piece of memory and its holes, ascending and never touching one another."""

    __slots__ = ("end", "holes", "largest", "mixed", "original", "pool", "start")

    def __init__(self, start: int, end: int, *, pool: Pool, original: bytes | None) -> None:
        self.start = start
        self.end = end
        self.pool = pool
        #: what a region of the user held before; None: the target's own executable memory
        self.original = original
        #: whether it has slots of other pools, too
        self.mixed = False
        self.holes = [(start, end)]
        #: no hole is larger: what lets a full chunk be passed over without a look at its holes
        self.largest = end - start

    def take(self, size: int, align: int, low: int, high: int) -> int | None:
        """First fit wholly within [low, high)."""
        if size > self.largest or self.start >= high or self.end <= low:
            return None
        largest = 0
        for index, (start, end) in enumerate(self.holes):
            address = -(-max(start, low) // align) * align
            if address + size <= min(end, high):
                rest = [(a, b) for a, b in ((start, address), (address + size, end)) if a < b]
                self.holes[index : index + 1] = rest
                return address
            largest = max(largest, end - start)
        self.largest = largest
        return None

    def give(self, address: int, size: int) -> None:
        """Take a piece back and join it with the holes it touches."""
        start, end = address, address + size
        index = bisect_left(self.holes, (start, end))
        if index < len(self.holes) and self.holes[index][0] == end:
            end = self.holes.pop(index)[1]
        if index > 0 and self.holes[index - 1][1] == start:
            start = self.holes.pop(index - 1)[0]
        insort(self.holes, (start, end))
        self.largest = max(self.largest, end - start)


class SlotAllocator:
    """Hands out slots of one target. `close` gives everything back; until then chunks are kept for the next slot."""

    def __init__(self, target: Target, *, regions: Sequence[Region] = ()) -> None:
        self._target = target
        #: what the user gave: no place to probe, whether it is in use or not
        self.regions = tuple(regions)
        kept = [] if target.journal is None else [part for each in target.journal.left.in_place for part in each.memory]
        #: what of it is free: tasks may sleep in what earlier sessions left in place
        self._given = without(
            [(region.start + 3 & ~3, region.end & ~3) for region in regions], [(start, end) for start, end, *_ in kept]
        )
        self._chunks: list[_Chunk] = []
        self._used: dict[int, tuple[Slot, _Chunk]] = {}
        #: whether any memory of the target was ever ours
        self.touched = False
        #: bytes of each chunk that say whose it is
        self._overhead = 0 if target.journal is None else MARK

    def allocate(self, size: int, *, near: int | None = None, align: int = 4, pool: Pool = Pool.CODE) -> Slot:
        """Return a slot of `size` bytes, rounded up to whole words, at a multiple of `align`.

        With `near`, a branch at that site reaches every word of the slot, and a branch in any word of the slot
        reaches the instruction after the site. Raises NoMemory when there is no such memory.
        """
        if size <= 0 or align < 4 or align & (align - 1):
            raise UsageError(f"a slot has a size above 0 and an alignment of 4, 8, 16, ..., not {size} and {align}")
        size = size + 3 & ~3
        low, high = (0, _ADDRESS_SPACE) if near is None else _within_reach(near)
        own = [chunk for chunk in self._chunks if chunk.pool is pool]
        found = _first_fit(own, size, align, low, high)
        refusal = ""
        if found is None:
            try:
                chunk = self._fresh_chunk(size + align - 4, low, high, pool)
            except Refused as error:
                refusal = error.message
            else:
                found = _first_fit([chunk], size, align, low, high)
        if found is None:
            found = _first_fit([chunk for chunk in self._chunks if chunk.pool is not pool], size, align, low, high)
        if found is None:
            raise self._refused(size, near, low, high, pool, refusal)
        address, chunk = found
        chunk.mixed |= chunk.pool is not pool
        slot = Slot(address, size)
        self._used[address] = (slot, chunk)
        return slot

    def island(self, near: int, target: int) -> Island:
        """Return an island within reach of the site `near`, going on to `target` wherever that is."""
        return Island(self.allocate(8, near=near), target)

    def free(self, slot: Slot) -> None:
        """Take a slot back. The caller knows that no thread can be in it. Raises UsageError for a slot not in use."""
        known = self._used.get(slot.address)
        if known is None or known[0] != slot:
            raise UsageError(f"no slot of {slot.size} bytes at 0x{slot.address:08x} is in use: was it freed before?")
        del self._used[slot.address]
        known[1].give(slot.address, slot.size)

    def __contains__(self, address: int) -> bool:
        """Whether the memory at `address` is ours, in use or not."""
        return any(chunk.start <= address < chunk.end for chunk in self._chunks)

    def statistics(self) -> dict[Pool, PoolStatistics]:
        """Count what is reserved and in use. A slot counts for the pool of the chunk it lies in."""
        numbers = {}
        for pool in Pool:
            chunks = [chunk for chunk in self._chunks if chunk.pool is pool]
            slots = [slot for slot, chunk in self._used.values() if chunk.pool is pool]
            numbers[pool] = PoolStatistics(
                chunks=len(chunks),
                reserved=sum(chunk.end - chunk.start for chunk in chunks),
                used=sum(slot.size for slot in slots),
                slots=len(slots),
            )
        return numbers

    def parts(self, slots: Sequence[tuple[int, int]], *, data: bool) -> list[Memory]:
        """What of our memory has to stay where code in these [start, end) slots may run on, and use its `data`."""
        found = []
        for chunk in self._chunks:
            inside = [(start, end) for start, end in slots if chunk.start <= start < chunk.end]
            if chunk.original is None or (data and (chunk.mixed or chunk.pool is not Pool.CODE)):
                inside = [(chunk.start, chunk.end)] if inside or data else []
            for start, end in inside:
                original = chunk.original and chunk.original[start - chunk.start : end - chunk.start]
                mark = self._target.read_memory(start, min(MARK, end - start))
                found.append(Memory(start, end, original, mark))
        return found

    def close(self, *, but: Sequence[Memory] = ()) -> None:
        """Give all memory back, the user's regions with the bytes they held. No thread can be in any slot.

        What `but` names, parts of ours, stays. Raises TargetError when something could not be given back; `evidence`
        lists it. Raises TargetLost.
        """
        left = []
        while self._chunks:
            chunk = self._chunks[-1]
            try:
                self._give_back(chunk, [(part.start, part.end) for part in but])
            except TargetLost:
                raise
            except ArmprobeError as error:
                left.append(f"0x{chunk.start:08x}..0x{chunk.end:08x}: {error}")
            self._chunks.pop()  # not before: what interrupts this begins again
        self._used.clear()
        if left:
            raise TargetError(f"{len(left)} pieces of slot memory could not be given back", evidence="\n".join(left))

    def _give_back(self, chunk: _Chunk, but: Sequence[tuple[int, int]] = ()) -> None:
        parts = without([(chunk.start, chunk.end)], but)
        if chunk.original is not None:
            for start, end in parts:
                original = chunk.original[start - chunk.start : end - chunk.start]
                try:
                    self._target.write_memory(start, original)
                except TargetFault:
                    # It took no write before either.
                    if self._target.read_memory(start, end - start) != original:
                        raise
            self._given += parts
        elif parts == [(chunk.start, chunk.end)] and (memory := self._memory(chunk.pool)) is not None:
            memory.free(chunk.start, chunk.end - chunk.start)

    def _fresh_chunk(self, size: int, low: int, high: int, pool: Pool) -> _Chunk:
        chunk = None
        if pool is not Pool.CODE:
            # Data may be anywhere: it leaves the regions of the user, which may be near the code, to code.
            with suppress(Refused):
                chunk = self._from_target(size, low, high, pool)
        if chunk is None:
            chunk = self._from_regions(size, low, high, pool) or self._from_target(size, low, high, pool)
        self._chunks.append(chunk)
        if pool is Pool.CODE and self._target.vectors:
            # Who comes here by a copy of a branch of ours, comes no further.
            free = chunk.start + self._overhead
            self._target.write_memory(free, _UNDEFINED * ((chunk.end - free) // len(_UNDEFINED)))
        return chunk

    def _from_regions(self, size: int, low: int, high: int, pool: Pool) -> _Chunk | None:
        for index, (region_start, region_end) in enumerate(self._given):
            start = max(region_start, low)
            end = min(region_end, high, start + max(size + self._overhead, _GIVEN_CHUNK))
            if end - start >= size + self._overhead:
                original = self._target.read_memory(start, end - start)
                rest = [(a, b) for a, b in ((region_start, start), (end, region_end)) if a < b]
                self._given[index : index + 1] = rest
                return self._take(start, end, pool, original)
        return None

    def _from_target(self, size: int, low: int, high: int, pool: Pool) -> _Chunk:
        memory = self._memory(pool)
        if memory is None:
            raise Refused("the target has no memory to give")
        whole = size + self._overhead + _PAGE - 1 & -_PAGE
        if whole < CHUNK:
            try:
                start = memory.allocate(CHUNK, low, high)
            except Refused:
                pass  # a smaller piece may still fit
            else:
                return self._take(start, start + CHUNK, pool, None)
        start = memory.allocate(whole, low, high)
        return self._take(start, start + whole, pool, None)

    def _take(self, start: int, end: int, pool: Pool, original: bytes | None) -> _Chunk:
        """Make memory ours; where there is a journal, it is marked as ours, lest somebody else's is given back."""
        self.touched = True
        chunk = _Chunk(start, end, pool=pool, original=original)
        target = self._target
        if target.journal is None:
            return chunk
        mark = make_mark()
        target.journal.note(Memory(start, end, original, mark))
        try:
            target.write_memory(start, mark)
            if target.read_memory(start, MARK) != mark:
                raise Refused(f"0x{start:08x} holds something else after a write", hint="is it flash, or no memory?")
        except BaseException:
            try:
                self._give_back(chunk)
            except ArmprobeError:
                self._chunks.append(chunk)  # `close` tries again
            raise
        chunk.take(MARK, 4, start, end)
        return chunk

    def _memory(self, pool: Pool) -> ExecutableMemory | None:
        """What of the target's memory is for a pool."""
        shared = self._target.shared_memory if pool is Pool.DATA else None
        return shared or self._target.executable_memory

    def _refused(self, size: int, near: int | None, low: int, high: int, pool: Pool, reason: str) -> NoMemory:
        place = "" if near is None else f" within branch reach of 0x{near:08x} (0x{low:08x} to 0x{high - 1:08x})"
        return NoMemory(
            f"{self._target.name} has no {size} bytes of memory for {pool.value}{place}: {reason}",
            hint="name memory that the program does not use: slots=[Region(start, end)], or --slots START:END"
            + self._stays,
        )

    @property
    def _stays(self) -> str:
        """What to do about memory that earlier sessions left in place."""
        journal = self._target.journal
        if journal is None or not journal.left.in_place:
            return ""
        size = sum(end - start for each in journal.left.in_place for start, end, *_ in each.memory)
        return f"; {size:,} bytes have code of earlier sessions in them: {journal.remedy}"


def _within_reach(site: int) -> tuple[int, int]:
    """The [low, high) whose words a branch at `site` reaches and from whose words one reaches the next instruction."""
    way_there = (site + 8 + REACH_LOWEST, site + 8 + REACH_HIGHEST)
    way_back = (site + 4 - 8 - REACH_HIGHEST, site + 4 - 8 - REACH_LOWEST)
    low = max(0, way_there[0], way_back[0])
    return low, min(_ADDRESS_SPACE, way_there[1] + 4, way_back[1] + 4)


def _first_fit(chunks: Sequence[_Chunk], size: int, align: int, low: int, high: int) -> tuple[int, _Chunk] | None:
    for chunk in chunks:
        address = chunk.take(size, align, low, high)
        if address is not None:
            return address, chunk
    return None
