"""The symbols of a process: those of its program, and those of the shared objects that it has loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from armprobe.errors import UsageError
from armprobe.symbols.image import Image
from armprobe.symbols.table import ObjectRange, SymbolTable


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """One file in memory: `name` as users say it (libc.so.6), and its image at the addresses where it lies.

    `bias` is what was added to the addresses in the file; `main`: it is the program.
    """

    name: str
    image: Image
    bias: int
    main: bool = False


def load_object(name: str, content: bytes | None, *, bias: int, path: Path | None = None) -> LoadedImage | None:
    """Read the content of a shared object's file; None when it has none, as a vDSO, or is no ELF file for ARM.

    `path` is where it lies, if it is on this computer.
    """
    if content is None:
        return None
    file = PurePosixPath(name).name
    try:
        return LoadedImage(file, Image.parse(content, name=file, path=path).rebased(bias), bias)
    except UsageError:
        return None


def table_of(objects: Iterable[LoadedImage]) -> SymbolTable:
    """The table of all objects together; names of one can be asked for as `NAME:SYMBOL`."""
    objects = list(objects)
    parts = [(known, part) for known in objects for part in known.image.segments]
    return SymbolTable(
        (symbol for known in objects for symbol in known.image.symbols),
        marks=(mark for known in objects for mark in known.image.marks),
        ranges=((part.address, part.end) for _, part in parts if part.executable),
        debug=(part for known in objects for part in known.image.debug),
        objects=(ObjectRange(known.name, part.address, part.end, known.main, known.bias) for known, part in parts),
    )
