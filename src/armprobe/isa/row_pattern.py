"""The pattern of a row: tokens that describe every bit of a word (the notation is in `rows`)."""

from __future__ import annotations

import re

from armprobe.errors import TableError

_TOKEN = re.compile(
    r"(?P<name>[A-Za-z_]\w*)(?::(?P<width>\d+)|=(?P<fixed>[01]+))|(?P<bits>(?:[01-]|\([01]\))+)",
)
_BIT = re.compile(r"\([01]\)|[01-]")


def parse_pattern(name: str, pattern: str, width: int = 32) -> tuple[int, int, int, int, dict[str, tuple[int, int]]]:
    """Parse a pattern into (mask, value, should_mask, should_value, fields); raise TableError when it is not exact."""
    mask = value = should_mask = should_value = 0
    fields: dict[str, tuple[int, int]] = {}
    position = width
    for token in pattern.split():
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise TableError(f"{name}: cannot read {token!r} in pattern {pattern!r}")
        if match["name"]:
            size = len(match["fixed"]) if match["fixed"] else int(match["width"])
            position -= size
            if match["name"] in fields:
                raise TableError(f"{name}: field {match['name']!r} stands twice in {pattern!r}")
            if size == 0:
                raise TableError(f"{name}: field {match['name']!r} has no bits in {pattern!r}")
            fields[match["name"]] = (position, (1 << size) - 1)
            if match["fixed"] and position >= 0:
                mask |= (1 << size) - 1 << position
                value |= int(match["fixed"], 2) << position
            continue
        for bit in _BIT.findall(token):
            position -= 1
            if position < 0:
                break
            if bit in "01":
                mask |= 1 << position
                value |= int(bit) << position
            elif bit != "-":
                should_mask |= 1 << position
                should_value |= int(bit[1]) << position
    if position != 0:
        raise TableError(f"{name}: pattern describes {width - position} bits, not {width}: {pattern!r}")
    return mask, value, should_mask, should_value, fields
