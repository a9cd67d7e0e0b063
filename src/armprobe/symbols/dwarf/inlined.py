"""Copies of inlined functions, found by name in the whole file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from armprobe.symbols.dwarf.reader import Reader
from armprobe.symbols.dwarf.units import name_of, origin


def inlined_copies(reader: Reader, name: str) -> list[int]:
    """Where control enters each copy of the inlined function `name`, at linked addresses."""
    found = set()
    for unit in reader.units.naming(name):
        for _, _, function in reader.units.functions(unit):
            for die in _inlined(function):
                source = origin(die)
                if name_of(source) == name:
                    address = reader.units.entry_address(die)
                    if address is not None:
                        found.add(address)
    return sorted(found)


def _inlined(parent: Any) -> Iterator[Any]:
    for die in parent.iter_children():
        if die.tag == "DW_TAG_inlined_subroutine":
            yield die
        if die.has_children:
            yield from _inlined(die)
