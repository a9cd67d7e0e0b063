"""Memory for slots as users name it: regions, and variables that a program's author has set aside for it."""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.errors import UsageError
from armprobe.symbols.image import Image
from armprobe.symbols.location import variable_span
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Region, Target

#: code for one probe and a counter
_LEAST = 128


def slot_regions(slots: Sequence[Region | str], symbols: SymbolTable, image: Image) -> tuple[Region, ...]:
    """The regions, with variables in the place of their names.

    Raises UsageError for a name that is no variable of known size, or one that the program can't write.
    """
    return tuple(_variable(slot, symbols, image) if isinstance(slot, str) else slot for slot in slots)


def check_started(target: Target, image: Image, slots: Sequence[Region | str], regions: Sequence[Region]) -> None:
    """Raise UsageError where the start of the program is still to come, which clears a variable that is for slots."""
    pc = target.read_registers().pc
    if pc != image.entry and any(part.address <= pc < part.end for part in image.segments):
        return
    for slot, region in zip(slots, regions, strict=True):
        cleared = any(part.address + len(part.data) < region.end <= part.end for part in image.segments)
        if isinstance(slot, str) and cleared:
            raise UsageError(
                f"the program has not begun yet (pc is 0x{pc:08x}), and its start may clear {slot}, memory for slots",
                hint="let it run past its start first: --after main",
            )


def _variable(name: str, symbols: SymbolTable, image: Image) -> Region:
    start, end = variable_span(name, symbols)
    if not any(part.address <= start and end <= part.end and part.writable for part in image.segments):
        raise UsageError(f"{name} at 0x{start:08x}..0x{end:08x} is no memory for slots: the program can't write it")
    if end - start < _LEAST:
        raise UsageError(
            f"{name} has {end - start} bytes, and memory for slots takes {_LEAST} or more",
            hint=f"for example `static unsigned char {name}[65536];`",
        )
    return Region(start, end, name="slots")
