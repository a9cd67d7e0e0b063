"""Spans of memory, as [start, end) pairs."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[int, int]


def without(spans: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """The spans without what others take of them."""
    left = list(spans)
    for low, high in taken:
        left = [
            (start, end)
            for first, last in left
            for start, end in ((first, min(last, low)), (max(first, high), last))
            if start < end
        ]
    return left


def whole_pages(spans: Sequence[Span], page: int = 0x1000) -> list[Span]:
    """The whole pages in the spans; those that touch are one."""
    found: list[Span] = []
    for first, last in sorted(spans):
        start, end = -(-first // page) * page, last // page * page
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        elif start < end:
            found.append((start, end))
    return found
