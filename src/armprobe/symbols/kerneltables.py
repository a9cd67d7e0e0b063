"""Tables of a Linux kernel on ARM that have no symbol: which instructions may fault, and which it rewrites itself.

Both are known by what is in them, as their entries are addresses of code (32-bit ARM has them absolute):

- the exception table, sorted pairs of an access and where to go on when that faults (include/asm-generic/extable.h)
- the jump table, triples of a place, where its branch leads, and a key (include/linux/jump_label.h)
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from armprobe.errors import Refused
from armprobe.isa.branch import branch_word, reaches

#: a table with fewer entries is none: chance makes runs of three or so
_FEWEST = 16
#: what stands at a jump label that is off: as it was built, and as the kernel writes it (arch/arm/kernel/jump_label.c)
_NOPS = (0xE320F000, 0xE1A00000)
_WORD = 4
#: all of a kernel lies within so many bytes, so that its branches reach one another
_IMAGE = 32 << 20


@dataclass(frozen=True, slots=True)
class CodeTables:
    """Addresses in the kernel's code, ascending: accesses with a fix-up, and jump labels."""

    accesses: tuple[int, ...]
    jump_labels: tuple[int, ...]


def find_tables(constants: bytes, text: bytes, base: int, *, jump_labels: bool = True) -> CodeTables:
    """Find both tables in the read-only data of a kernel whose code is `text` at `base`.

    `jump_labels`: whether the kernel is built with them. Raises Refused when a table that must be there is not found:
    then nobody knows where a probe would do harm.
    """
    words, code = _words(constants), _words(text)
    accesses = _exceptions(words, base, base + len(text))
    if len(accesses) < _FEWEST:
        raise Refused("the kernel's exception table was not found: nobody knows which of its accesses may fault")
    labels = _jumps(words, code, base) if jump_labels else []
    if jump_labels and len(labels) < _FEWEST:
        raise Refused("the kernel's jump table was not found: nobody knows which of its code it rewrites by itself")
    return CodeTables(tuple(accesses), tuple(sorted(labels)))


def _words(data: bytes) -> array[int]:
    words = array("I", data[: len(data) & -_WORD])
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _exceptions(words: Sequence[int], base: int, end: int) -> list[int]:
    """The places of the longest run of pairs of code addresses whose first ones ascend."""
    longest: list[int] = []
    for run in _runs(words, base, end):
        for start in (0, 1):
            places: list[int] = []
            for place in run[start:-1:2]:
                if places and place <= places[-1]:
                    break
                places.append(place)
            longest = max(longest, places, key=len)
    return longest


def _runs(words: Sequence[int], base: int, end: int) -> Iterator[Sequence[int]]:
    """Runs of words that are all addresses of instructions."""
    start = None
    for index, word in enumerate(words):
        if base <= word < end and not word & 3:
            start = index if start is None else start
        elif start is not None:
            if index - start >= 2 * _FEWEST:
                yield words[start:index]
            start = None
    if start is not None:
        yield words[start:]


def _jumps(words: Sequence[int], code: Sequence[int], base: int) -> list[int]:
    """The places of the longest run of triples; those of code that is gone by now are left out."""
    longest: list[int] = []
    end = base + len(code) * _WORD
    done = 0
    for start in [index for index, word in enumerate(words) if base <= word < end]:
        if start < done:
            continue
        places: list[int] = []
        for entry in range(start, len(words) - 2, 3):
            place, target = words[entry], words[entry + 1]
            if place & 3 or target & 3 or not base <= place < base + _IMAGE:
                break
            if place < end:
                if not _may_be_label(code[(place - base) // _WORD], place, target):
                    break
                places.append(place)
            done = entry
        longest = max(longest, places, key=len)
    return longest


def _may_be_label(word: int, place: int, target: int) -> bool:
    return word in _NOPS or (reaches(place, target) and word == branch_word(place, target))
