"""Memory that the user names, for slots or to be read: what is wrong with it, and what to name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from armprobe.cli.text import hexadecimal, read_number
from armprobe.errors import UsageError
from armprobe.probes.spare_memory import why_not_spare
from armprobe.symbols.image import Image
from armprobe.targets.base import Region, Target

_REACH = 32 << 20
_READ_ONLY = "ro"
#: bytes that are proposed; and of how many places it is said why not
_PROPOSED, _REASONS = 0x10000, 3
#: how many places behind the program are tried: where memory is known, and where it is not
_TRIED, _TRIED_BLINDLY = 16, 4


def to_slots(_context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[Region | str, ...]:
    """Read memory for slots: START:END, or the name of a variable."""
    return tuple(_to_slot(option.opts[0], value) for value in values)


def _to_slot(option: str, value: str) -> Region | str:
    first, colon, last = value.partition(":")
    if not colon and first and not first[0].isdigit():
        return first
    start, end = read_number(first), read_number(last)
    if start is None or end is None or not start < end <= 1 << 32:
        raise UsageError(
            f"wanted START:END for {option}, with START below END, or the name of a variable, got {value!r}",
            hint="for example 0x46000000:0x46100000",
        )
    return Region(start, end, name="slots")


def to_memory(_context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[Region, ...]:
    """Read memory that is there: START:END, or START:END:ro where the program only reads."""
    return tuple(_to_memory(option.opts[0], value) for value in values)


def _to_memory(option: str, value: str) -> Region:
    parts = value.split(":")
    read_only = len(parts) == 3 and parts[2] == _READ_ONLY
    start, end = (read_number(part) for part in parts[:2]) if len(parts) == 2 or read_only else (None, None)
    if start is None or end is None or not start < end <= 1 << 32:
        raise UsageError(
            f"wanted START:END[:{_READ_ONLY}] for {option}, with START below END, got {value!r}",
            hint="for example 0x20000000:0x20020000, or 0x08000000:0x08080000:ro for flash",
        )
    return Region(start, end, writable=not read_only, name="rom" if read_only else "ram")


def check_slots(slots: Sequence[Region], image: Image) -> None:
    """Raise UsageError where memory for slots is the program's own, its variables included."""
    for region in slots:
        for part in image.segments:
            if region.start < part.end and part.address < region.end:
                raise UsageError(
                    f"--slots {_range(region.start, region.end)} overlaps the program, which is at "
                    f"{_range(part.address, part.end, '..')}",
                    hint="name memory that the program, its heap and its stack do not use; the emulator finds some",
                )


def missing_slots(image: Image, target: Target) -> UsageError:
    """The error for a program on a target that gives no memory: it says where the program is, and what else there is.

    It proposes memory that the program does not seem to use, as far as that can be told.
    """
    parts = sorted({(part.address, part.end) for part in image.segments})
    memory = [region for region in target.regions if region.readable]
    lines = [f"the program is at {', '.join(_range(*part, '..') for part in parts)}"]
    told = ", ".join(f"{region.name or 'memory'} at {_range(region.start, region.end, '..')}" for region in memory)
    lines.append(f"the stub tells of {told}" if told else "the stub does not tell what memory there is")
    lines.append("a branch reaches 32 MiB: memory further away costs more at each hit, and may leave traps")
    reason = "no memory was tried"
    for region in _candidates(image, memory):
        reason = why_not_spare(target, image, region)
        if not reason:
            lines.append(
                f"{_range(region.start, region.end, '..')} takes writes, holds one value, and nothing points there"
            )
            return _missing(lines, f"--slots {_range(region.start, region.end)}, if neither heap nor stack come there")
        lines.append(f"{_range(region.start, region.end, '..')} is not to be had: {reason}")
    return _missing(lines[: 3 + _REASONS], "--slots START:END, or --slots NAME of a variable that is set aside")


def _missing(lines: Sequence[str], slots: str) -> UsageError:
    return UsageError(
        "a program behind --gdb needs --slots: memory that it does not use, for the code and data of probes",
        evidence="\n".join(lines),
        hint=f"for example {slots}",
    )


def _candidates(image: Image, memory: Sequence[Region]) -> Iterator[Region]:
    """Memory behind the program, and behind what linker scripts name the ends of heap and stack; then elsewhere."""
    parts = sorted({(part.address, part.end) for part in image.segments})
    start, end = parts[-1]
    named = [symbol.address for symbol in image.symbols if start <= symbol.address < start + _REACH]
    end = -(-max([end, *named]) // _PROPOSED) * _PROPOSED
    tried = _TRIED if memory else _TRIED_BLINDLY
    for first in range(end, end + tried * _PROPOSED, _PROPOSED):
        region = Region(first, first + _PROPOSED, name="slots")
        if not memory or any(_holds(known, region) for known in memory):
            yield region
    for known in memory:
        region = Region(known.start, min(known.end, known.start + _PROPOSED), name="slots")
        if known.writable and not any(region.start < last and first < region.end for first, last in parts):
            yield region


def _holds(known: Region, region: Region) -> bool:
    return known.writable and known.start <= region.start and region.end <= known.end


def _range(start: int, end: int, between: str = ":") -> str:
    return f"{hexadecimal(start)}{between}{hexadecimal(end)}"
