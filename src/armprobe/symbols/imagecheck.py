"""Whether the program that runs on a target is the image that its symbols come from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from armprobe.symbols.image import Image, Segment
from armprobe.symbols.table import SymbolTable

_WORD = 4
#: blocks of each part of the program that are compared, and their size: little for a slow debug probe, much for luck
_BLOCKS, _BLOCK = 32, 256
#: of so many words one may differ: a program may change some of its own code
_TOLERANCE = 16

#: Reads (address, size) ranges of the program, without what probes changed; None for one that can't be read.
Read = Callable[[Sequence[tuple[int, int]]], Sequence[bytes | None]]


class ImageCheck:
    """Compares code of `image` with what `read` gives. Data and what is not in the file are not compared."""

    def __init__(self, image: Image, read: Read) -> None:
        self._read = read
        self._table = SymbolTable.from_image(image)
        self._parts = sorted((part for part in image.segments if part.executable), key=lambda part: part.address)
        #: without mapping symbols, what the program may write may be data
        self._marked = bool(image.marks)
        #: addresses of parts that were compared and are the image's
        self._alike: set[int] = set()

    def difference(self, address: int, found: bytes) -> str:
        """Say how the program differs from the image around the instruction `found` at `address`; "" when it does not.

        The part of the program around it is compared first, in samples, until it is the image's. What the image does
        not have, or may have as data, is not compared.
        """
        part = self._part(address)
        if part is None or not self._is_code(part, address):
            return ""
        if part.address not in self._alike:
            difference = self._compare(part)
            if difference:
                return difference
            self._alike.add(part.address)
        return "" if found == self._word(part, address) else self._show(part, address, found)

    def _part(self, address: int) -> Segment | None:
        index = bisect_right(self._parts, address, key=lambda part: part.address) - 1
        if index < 0 or address + _WORD > self._parts[index].address + len(self._parts[index].data):
            return None
        return self._parts[index]

    def _is_code(self, part: Segment, address: int) -> bool:
        if self._marked:
            return bool(self._table.is_code(address))
        return not part.writable

    def _compare(self, part: Segment) -> str:
        """Compare samples of a part of the program, from its first to its last block."""
        size = len(part.data) & -_WORD
        last = max(size - _BLOCK, 0)
        starts = sorted({last * number // (_BLOCKS - 1) & -_WORD for number in range(_BLOCKS)})
        ranges = [(part.address + start, min(_BLOCK, size - start)) for start in starts]
        compared, different = 0, []
        for (start, _), found in zip(ranges, self._read(ranges), strict=True):
            for at, word in _words(found or b""):
                if self._is_code(part, start + at):
                    compared += 1
                    if word != self._word(part, start + at):
                        different.append((start + at, word))
        if len(different) * _TOLERANCE <= compared:
            return ""
        return f"{self._show(part, *different[0])}, and {len(different)} of {compared} words compared there differ"

    def _word(self, part: Segment, address: int) -> bytes:
        return part.data[address - part.address :][:_WORD]

    def _show(self, part: Segment, address: int, found: bytes) -> str:
        wanted = self._word(part, address)
        return (
            f"0x{address:08x} holds 0x{int.from_bytes(found, 'little'):08x}, where the image has "
            f"0x{int.from_bytes(wanted, 'little'):08x}"
        )


def _words(data: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(0, len(data) & -_WORD, _WORD):
        yield at, data[at : at + _WORD]
