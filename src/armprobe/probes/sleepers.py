"""Tasks that sleep in a slot: an RTOS keeps their PC in memory, and no thread that the target shows has it.

An interrupt may preempt a task in a detour, and an SVC that was copied to a slot may switch to another task. Code that
one of them comes back to has to stay.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from armprobe.probes.quiescence import find_references
from armprobe.probes.word_search import can_search, find_words_in
from armprobe.symbols.image import Image
from armprobe.targets.base import Target
from armprobe.targets.spans import without

log = logging.getLogger(__name__)

#: bytes of memory that are searched at most, where the target does not say how many can be
SEARCHED = 4 << 20
#: An exception may save an address up to two words behind the instruction to go on with (DDI 0406C B1.8.3).
_BEHIND = 8
_WORD = 4


@dataclass(frozen=True, slots=True)
class SlotInUse:
    """[start, end), code of the probe at `site`, may be what a task comes back to: `where` holds an address in it."""

    start: int
    end: int
    site: int
    #: the place, for people: "the word at 0x00200040"
    where: str

    def __str__(self) -> str:
        return (
            f"0x{self.start:08x}..0x{self.end:08x}, code of the probe at 0x{self.site:08x}: {self.where} points there"
        )


@dataclass(frozen=True, slots=True)
class Searched:
    """Memory in which saved PCs may be, as [start, end) spans; `complete`: they are nowhere else."""

    spans: tuple[tuple[int, int], ...] = ()
    complete: bool = False


def writable_memory(target: Target, image: Image | None) -> Searched:
    """The memory in which saved PCs may be, as much as can be searched: first the image's, then the target's.

    What is known beyond that is named in the log.
    """
    program = [] if image is None else [(part.address, part.end) for part in image.segments if part.writable]
    known = [(region.start, region.end) for region in target.regions if region.readable and region.writable]
    spans: list[tuple[int, int]] = []
    beyond: list[tuple[int, int]] = []
    left = SEARCHED if target.bulk is None else target.bulk.searchable
    for start, end in _disjoint([*program, *known]):
        middle = min(end, start + left)
        left -= middle - start
        spans += [(start, middle)] if start < middle else []
        beyond += [(middle, end)] if middle < end else []
    for start, end in beyond:
        log.info("0x%08x..0x%08x is not searched for tasks that sleep in slots", start, end)
    if not known:
        log.info("%s does not say where its memory is: it is not searched for tasks that sleep in slots", target.name)
    return Searched(tuple(spans), complete=can_search(target) and not beyond)


def find_sleepers(
    target: Target,
    slots: Sequence[tuple[int, int, int]],
    spans: Iterable[tuple[int, int]],
    is_own: Callable[[int], bool],
    pads: Collection[int],
    image: Image | None = None,
) -> list[SlotInUse]:
    """Those of the slots, given as (start, end, site), that somebody may come back to.

    Registers, the stacks of threads, and `spans` of memory are searched; words at addresses that are armprobe's own
    (`is_own`) do not count, nor do `pads`: calls in progress have their return addresses back, and those that are over
    leave words behind. Neither does what stands in the `image` already, as texts may look like addresses. Every other
    word does, whether it is an address or not.
    """
    if not slots:
        return []
    ordered = sorted(slots)
    starts = [start for start, _, _ in ordered]
    ranges = [(start, end + _BEHIND) for start, end, _ in ordered]
    where = dict.fromkeys(find_references(target, ranges, but=pads), "a register or a stack")
    wanted = {word for start, end in ranges for word in range(start, end, _WORD)}.difference(pads)
    for address, word in find_words_in(target, spans, wanted):
        if not is_own(address) and not _stands_in(image, address, word):
            where.setdefault(starts[bisect_right(starts, word) - 1], f"the word at 0x{address:08x}")
    return [SlotInUse(start, end, site, where[start]) for start, end, site in ordered if start in where]


def _stands_in(image: Image | None, address: int, word: int) -> bool:
    """Whether the program has this word there from the first: nobody has saved it."""
    parts = () if image is None else image.segments
    part = next((part for part in parts if part.address <= address < part.end), None)
    return part is not None and part.data[address - part.address :][:_WORD] == word.to_bytes(_WORD, "little")


def _disjoint(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same memory without what an earlier span has already."""
    parts: list[tuple[int, int]] = []
    for span in spans:
        parts += without([span], parts)
    return parts
