"""What stands at physical addresses of a machine in QEMU, as its monitor tells it (`info mtree -f`).

The monitor lists views, flat and without overlaps; each is that of one or more address spaces. Devices (i/o) are in
them like memory, and must not be read by somebody who just looks around: reading changes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from armprobe.errors import ProtocolError

COMMAND = "info mtree -f"
#: the space of the machine, and those of its processors: secure and non-secure ones may see other memory
MACHINE = "memory"
_PROCESSOR = re.compile(r"cpu-(secure-)?memory-\d+")
_VIEW = re.compile(r"FlatView #\d+")
_SPACE = re.compile(r' AS "(?P<name>[^"]*)", root: .*')
_ROOT = re.compile(r" Root memory region: .*")
_EMPTY = "  No rendered FlatView"
_PART = re.compile(
    r"  (?P<first>[0-9a-f]{16})-(?P<last>[0-9a-f]{16}) \(prio -?\d+, (nv-)?(?P<kind>i/o|ramd?|romd?)\): (?P<name>.*)"
)
#: ROM that is a device in part (romd) is flash; RAM that is one (ramd) is a device of the host
_KINDS: dict[str, Literal["ram", "rom", "flash", "device"]] = {
    "ram": "ram", "rom": "rom", "romd": "flash", "i/o": "device", "ramd": "device",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """[start, end) of physical memory; `name` is what QEMU calls it."""

    start: int
    end: int
    kind: Literal["ram", "rom", "flash", "device"]
    name: str


def read_tree(text: str) -> dict[str, tuple[Part, ...]]:
    """The parts of each address space, in ascending order. Raises ProtocolError for what QEMU does not print."""
    spaces: dict[str, tuple[Part, ...]] = {}
    names: list[str] = []
    parts: list[Part] = []
    for line in [*text.replace("\r", "").splitlines(), "FlatView #0"]:
        if _VIEW.fullmatch(line):
            spaces |= dict.fromkeys(names, tuple(parts))
            names, parts = [], []
        elif found := _SPACE.fullmatch(line):
            names.append(found["name"])
        elif found := _PART.fullmatch(line):
            part = Part(int(found["first"], 16), int(found["last"], 16) + 1, _KINDS[found["kind"]], found["name"])
            if part.start >= part.end or (parts and part.start < parts[-1].end):
                raise ProtocolError(f"the memory tree of QEMU is not in order: {line.strip()!r}")
            parts.append(part)
        elif line and line != _EMPTY and not _ROOT.fullmatch(line):
            raise ProtocolError(f"the memory tree of QEMU has a line of an unknown kind: {line.strip()!r}")
    return spaces


def views_of_processors(spaces: dict[str, tuple[Part, ...]]) -> list[tuple[Part, ...]]:
    """What each processor sees, in its secure and its non-secure state."""
    views = {parts for name, parts in spaces.items() if _PROCESSOR.fullmatch(name)}
    return list(views) or [spaces.get(MACHINE, ())]


def seen_by_processors(spaces: dict[str, tuple[Part, ...]]) -> tuple[Part, ...]:
    """What is the same to all processors, secure and non-secure; what differs is left out. Empty where none is told."""
    common, *others = views_of_processors(spaces)
    for other in others:
        common = _common(common, other)
    return common


def _common(these: Sequence[Part], those: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(
        replace(part, start=max(part.start, other.start), end=min(part.end, other.end))
        for part in these
        for other in those
        if part.start < other.end and other.start < part.end and (part.kind, part.name) == (other.kind, other.name)
    )
