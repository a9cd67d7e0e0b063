"""Where in the memory of a target certain words stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from armprobe.errors import TargetFault
from armprobe.targets.base import Target

_WORD = 4
_CHUNK = 1 << 20
_PAGE = 4096


def can_search(target: Target) -> bool:
    """Whether it is known where all of the target's writable memory is."""
    writable = [region for region in target.regions if region.writable]
    return bool(writable) and all(region.readable for region in writable)


def find_words(target: Target, wanted: Collection[int]) -> Iterator[tuple[int, int]]:
    """Addresses and values of the aligned words of writable memory that are in `wanted`, as far as it can be read."""
    known = [(region.start, region.end) for region in target.regions if region.readable and region.writable]
    return find_words_in(target, known, wanted)


def find_words_in(
    target: Target, spans: Iterable[tuple[int, int]], wanted: Collection[int]
) -> Iterator[tuple[int, int]]:
    """The same for the memory in [start, end) spans."""
    halves = {(word >> 16).to_bytes(2, "little") for word in wanted}
    for first, last in spans:
        for start in range(first & -_WORD, last, _CHUNK):
            for base, data in _read(target, start, min(start + _CHUNK, last)):
                for half in halves:
                    for at in _occurrences(data, half):
                        word = int.from_bytes(data[at - 2 : at + 2], "little")
                        if at % _WORD == 2 and word in wanted:
                            yield base + at - 2, word


def _read(target: Target, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """What can be read of [start, end), in pieces."""
    try:
        yield start, target.read_memory(start, end - start)
    except TargetFault:
        for page in range(start, end, _PAGE):
            with suppress(TargetFault):
                yield page, target.read_memory(page, min(_PAGE, end - page))


def _occurrences(data: bytes, pattern: bytes) -> Iterator[int]:
    at = data.find(pattern)
    while at >= 0:
        yield at
        at = data.find(pattern, at + 1)
