"""The shared objects of a Linux process, as its dynamic linker lists them for debuggers (link.h, r_debug)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from armprobe.errors import TargetFault

#: entries of the auxiliary vector (linux/auxvec.h)
AT_PHDR, AT_PHNUM, AT_BASE, AT_ENTRY, AT_PLATFORM, AT_EXECFN, AT_SYSINFO_EHDR = 3, 5, 7, 9, 15, 31, 33
_PT_DYNAMIC, _DT_DEBUG = 2, 21
_HEADER_SIZE = 32
_MOST = 4096
_LONGEST_NAME = 4096
_NAME_PART = 64

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A shared object: the name of its file as the process sees it, and what is added to the addresses in it."""

    name: str
    bias: int


class LoaderState(IntEnum):
    """What the dynamic linker is doing when it calls the function that debuggers stop at (link.h, r_state)."""

    #: the list is complete: what is new is mapped, and neither relocated nor initialized; what is gone is unmapped
    CONSISTENT = 0
    ADD = 1
    #: objects are about to be unmapped; their destructors have run
    DELETE = 2


def read_loader(read: Read, auxiliary: Mapping[int, int], *, bias: int) -> tuple[int, LoaderState] | None:
    """The address of the function that the linker calls before and after it changes its list, and its state.

    None in a program that has no linker, or whose linker does not know its list yet. Raises TargetFault.
    """
    place = _debug_structure(read, auxiliary, bias)
    if not place:
        return None
    _version, _entry, function, state = struct.unpack("<4I", read(place, 16))
    return (function, LoaderState(state)) if function and state in set(LoaderState) else None


def read_link_map(read: Read, auxiliary: Mapping[int, int], *, bias: int) -> list[Loaded]:
    """The objects that are loaded besides the program itself, which was moved by `bias`; none in a static program.

    `read` gives memory of the process, `auxiliary` is its auxiliary vector. Raises TargetFault.
    """
    place = _debug_structure(read, auxiliary, bias)
    if not place:
        return []
    _version, entry = struct.unpack("<II", read(place, 8))
    found: list[Loaded] = []
    seen: set[int] = set()
    while entry and entry not in seen and len(seen) < _MOST:
        seen.add(entry)
        address, name, _dynamic, following = struct.unpack("<IIII", read(entry, 16))
        if len(seen) > 1:  # the first one is the program
            found.append(Loaded(_string(read, name), address))
        entry = following
    return found


def _debug_structure(read: Read, auxiliary: Mapping[int, int], bias: int) -> int:
    """The address of r_debug, which the linker has put into the dynamic section; 0 without one."""
    count = auxiliary.get(AT_PHNUM, 0)
    place = auxiliary.get(AT_PHDR, 0)  # 0 where the program headers are not loaded
    headers = read(place, count * _HEADER_SIZE) if place else b""
    for kind, _offset, address, _physical, _stored, size, _flags, _align in struct.iter_unpack("<8I", headers):
        if kind == _PT_DYNAMIC:
            for tag, value in struct.iter_unpack("<II", read(address + bias & 0xFFFFFFFF, size & ~7)):
                if tag == _DT_DEBUG:
                    return int(value)
    return 0


def _string(read: Read, address: int) -> str:
    data = b""
    while b"\0" not in data and len(data) < _LONGEST_NAME:
        start = address + len(data)
        try:
            data += read(start, _NAME_PART - start % _NAME_PART)
        except TargetFault:
            break
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
