"""Patterns of strings, as in filters of the kernel: `*` any characters, `?` one, `[a-z]` and `[!a-z]` one of a set.

A backslash takes the special meaning from the character after it. A string is compared as far as MAX_TEXT bytes; a
pattern that says how it ends matches none that is longer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from armprobe.errors import UsageError
from armprobe.events.record import MAX_TEXT

#: what stands for one byte: ranges, first and last, and whether it is one of these
Item = tuple[tuple[tuple[int, int], ...], bool]
_ANY: Item = ((), False)


@dataclass(frozen=True, slots=True)
class TextPattern:
    """Pieces of bytes with anything between them: the first stands at the start, the last at the end of the string."""

    pieces: tuple[tuple[Item, ...], ...]

    @property
    def shortest(self) -> int:
        """Bytes of the shortest string that matches."""
        return sum(map(len, self.pieces))

    @property
    def most(self) -> int:
        """Bytes that must be looked at, with the zero."""
        if len(self.pieces) == 1:
            return self.shortest + 1
        return max(self.shortest, 1) if len(self.pieces) == 2 and not self.pieces[-1] else MAX_TEXT

    @property
    def literal(self) -> bytes | None:
        """The bytes that a string begins with, its zero among them where it ends there; None for other patterns."""
        first, *rest = self.pieces
        if rest not in ([], [()]) or not all(inside and len(ranges) == 1 and ranges[0][0] == ranges[0][1]
                                             for ranges, inside in first):  # fmt: skip
            return None
        return bytes(ranges[0][0] for ranges, _ in first) + (b"" if rest else b"\0")

    def matches(self, data: bytes) -> bool:
        """Whether a string matches whose first `most` bytes, or all with the zero, are `data`."""
        text, zero, _ = data.partition(b"\0")
        if not zero and (self.pieces[-1] or len(self.pieces) == 1):
            return False
        pieces = [b"".join(map(_expression, piece)) for piece in self.pieces]
        return re.fullmatch(b".*".join(pieces), text, re.DOTALL) is not None


def exactly(text: bytes) -> TextPattern:
    """The pattern that matches `text` alone."""
    return TextPattern((_literal(text),))


def begins_with(text: bytes) -> TextPattern:
    return TextPattern((_literal(text), ()))


def ends_with(text: bytes) -> TextPattern:
    return TextPattern(((), _literal(text)))


def contains(text: bytes) -> TextPattern:
    return TextPattern(((), _literal(text), ()))


def parse_glob(text: bytes) -> TextPattern:
    """Parse a pattern. Raises UsageError for a set that is not closed."""
    pieces: list[list[Item]] = [[]]
    at = 0
    while at < len(text):
        byte = text[at : at + 1]
        at += 1
        if byte == b"*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append([])
        elif byte == b"?":
            pieces[-1].append(_ANY)
        elif byte == b"[":
            item, at = _parse_set(text, at)
            pieces[-1].append(item)
        else:
            if byte == b"\\" and at < len(text):
                byte = text[at : at + 1]
                at += 1
            pieces[-1] += _literal(byte)
    return TextPattern(tuple(map(tuple, pieces)))


def _parse_set(text: bytes, at: int) -> tuple[Item, int]:
    negated = text[at : at + 1] in (b"!", b"^")
    start = at = at + negated
    ranges = []
    while at < len(text) and (at == start or text[at] != ord("]")):
        first = last = text[at]
        if text[at + 1 : at + 2] == b"-" and text[at + 2 : at + 3] not in (b"", b"]"):
            last = text[at + 2]
            at += 2
        ranges.append((first, last))
        at += 1
    if at == len(text):
        raise UsageError("a set in a pattern is not closed", hint="[a-z] is one; \\[ is the character")
    return (tuple(ranges), not negated), at + 1


def _literal(text: bytes) -> tuple[Item, ...]:
    return tuple((((byte, byte),), True) for byte in text)


def _expression(item: Item) -> bytes:
    ranges, inside = item
    if not ranges:
        return b"." if not inside else b"(?!)"
    between = b"".join(b"\\x%02x-\\x%02x" % pair for pair in ranges if pair[0] <= pair[1])
    if not between:
        return b"(?!)" if inside else b"."
    return b"[%s%s]" % (b"" if inside else b"^", between)
