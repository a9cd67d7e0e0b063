"""Memory for slots that the user names: what is wrong with it, and what to name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from armprobe.cli.text import hexadecimal
from armprobe.errors import UsageError
from armprobe.symbols.image import Image
from armprobe.targets.base import Region

_REACH = 32 << 20
_EXAMPLE = 0x10000


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


def missing_slots(image: Image, regions: Sequence[Region]) -> UsageError:
    """The error for a program on a target that gives no memory: it says where the program is, and what else there is.

    `regions` is the memory of the target, as far as it tells.
    """
    parts = sorted({(part.address, part.end) for part in image.segments})
    memory = [region for region in regions if region.readable]
    lines = [f"the program is at {', '.join(_range(*part, '..') for part in parts)}"]
    told = ", ".join(f"{region.name or 'memory'} at {_range(region.start, region.end, '..')}" for region in memory)
    lines.append(f"the stub tells of {told}" if told else "the stub does not tell what memory there is")
    lines.append("a branch reaches 32 MiB: memory further away costs more at each hit, and may leave traps")
    start, end = parts[-1]
    # Linker scripts name the ends of heap and stack.
    named = [symbol.address for symbol in image.symbols if start <= symbol.address < start + _REACH]
    end = -(-max([end, *named]) // _EXAMPLE) * _EXAMPLE
    room = [region for region in memory if region.writable and region.start <= end and end + _EXAMPLE <= region.end]
    example = f"--slots {_range(end, end + _EXAMPLE)}"
    if memory and not room:
        free = next((region for region in memory if region.writable and _is_free(region, parts)), None)
        example = f"--slots {_range(free.start, free.end)}" if free is not None else "--slots START:END"
    return UsageError(
        "a program behind --gdb needs --slots: memory that it does not use, for the code and data of probes",
        evidence="\n".join(lines),
        hint=f"for example {example}, if neither its heap nor its stack come there",
    )


def _is_free(region: Region, parts: Iterable[tuple[int, int]]) -> bool:
    return not any(region.start < end and start < region.end for start, end in parts)


def _range(start: int, end: int, between: str = ":") -> str:
    return f"{hexadecimal(start)}{between}{hexadecimal(end)}"
