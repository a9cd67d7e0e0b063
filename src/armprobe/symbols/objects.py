"""The symbols of a process: those of its program, and those of the shared objects that it has loaded."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from armprobe.errors import UsageError
from armprobe.symbols.image import Image
from armprobe.symbols.table import ObjectRange, SymbolTable

_PT_DYNAMIC, _DT_TEXTREL, _DT_FLAGS, _DF_TEXTREL = 2, 22, 30, 4

#: Source: Documentation/arm/kernel_user_helpers.rst (Linux). QEMU's user-mode emulator carries its calls out itself.
_KERNEL_PAGE = (0xFFFF0000, 1 << 32, "in the page of the kernel's vectors and helpers, which all processes share")


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """One file in memory: `name` as users say it (libc.so.6), and its image at the addresses where it lies.

    `bias` is what was added to the addresses in the file; `main`: it is the program. `relocates_code`: the dynamic
    linker changes its code when it is loaded (DT_TEXTREL).
    """

    name: str
    image: Image
    bias: int
    main: bool = False
    relocates_code: bool = False


def load_object(name: str, content: bytes | None, *, bias: int, path: Path | None = None) -> LoadedImage | None:
    """Read the content of a shared object's file; None when it has none, as a vDSO, or is no ELF file for ARM.

    `path` is where it lies, if it is on this computer.
    """
    if content is None:
        return None
    file = PurePosixPath(name).name
    try:
        image = Image.parse(content, name=file, path=path).rebased(bias)
        return LoadedImage(file, image, bias, relocates_code=_relocates_code(content))
    except UsageError:
        return None


def _relocates_code(content: bytes) -> bool:
    """Whether the dynamic section says so (gABI, "Dynamic Section"); `content` is a file that was parsed."""
    (table,) = struct.unpack_from("<I", content, 28)
    size, count = struct.unpack_from("<2H", content, 42)
    for header in range(table, table + size * count, size):
        kind, offset, _address, _physical, stored = struct.unpack_from("<5I", content, header)
        if kind == _PT_DYNAMIC:
            entries = struct.iter_unpack("<2I", content[offset : offset + (stored & ~7)])
            return any(tag == _DT_TEXTREL or (tag == _DT_FLAGS and value & _DF_TEXTREL) for tag, value in entries)
    return False


def table_of(objects: Iterable[LoadedImage]) -> SymbolTable:
    """The table of all objects together; names of one can be asked for as `NAME:SYMBOL`."""
    objects = list(objects)
    parts = [(known, part) for known in objects for part in known.image.segments]
    return SymbolTable(
        (symbol for known in objects for symbol in known.image.symbols),
        marks=(mark for known in objects for mark in known.image.marks),
        ranges=((part.address, part.end) for _, part in parts if part.executable),
        refused=[_KERNEL_PAGE],
        debug=(part for known in objects for part in known.image.debug),
        objects=(ObjectRange(known.name, part.address, part.end, known.main, known.bias) for known, part in parts),
    )
