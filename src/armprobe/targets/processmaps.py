"""The memory of a Linux process, as its kernel lists it in /proc/PID/maps (proc(5))."""

from __future__ import annotations

import re

from armprobe.errors import ProtocolError
from armprobe.targets.base import Region

_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])[ps] [0-9a-f]+ \S+ \d+ *(.*)")


def read_maps(text: str) -> tuple[Region, ...]:
    """Return the mappings, by address; their name is that of the file, or `[stack]` and the like. None lasts for sure.

    Raises ProtocolError for a line that is none.
    """
    regions = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(f"the list of a process's memory has a line {line!r}")
        start, end, *access, name = match.groups()
        readable, writable, executable = (letter != "-" for letter in access)
        regions.append(Region(int(start, 16), int(end, 16), readable, writable, executable, name, lasting=False))
    return tuple(regions)
