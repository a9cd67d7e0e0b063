"""What surrounds the emulated processor: models of processors, memory maps, devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from armprobe.errors import Refused, UsageError
from armprobe.targets.base import Region, Registers, Stop

PAGE = 4096
#: a null pointer with an offset shall fault: no memory is added below
LOWEST_FREE = 0x10000


class Segment(Protocol):
    """A part of a program in memory: `data`, and zeros up to `size`."""

    @property
    def address(self) -> int: ...

    @property
    def data(self) -> bytes: ...

    @property
    def size(self) -> int: ...


class Program(Protocol):
    """What a target needs to know of an image; `armprobe.symbols.Image` is one. Bit 0 of `entry` set: T32."""

    @property
    def entry(self) -> int: ...

    @property
    def segments(self) -> Sequence[Segment]: ...


class Device(Protocol):
    """Registers of a device in memory. Offsets and sizes are in bytes."""

    def read(self, offset: int, size: int) -> int: ...

    def write(self, offset: int, size: int, value: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Mapping:
    """A device and where it is; starts and ends at multiples of 4096."""

    region: Region
    device: Device


@dataclass(frozen=True, slots=True)
class Machine:
    """A board: its memory, what is in it before the program is loaded, its devices, its firmware.

    The program starts at address `reset` in the state of the processor after reset, without a stack. `firmware_call`
    serves SMC: it gets the registers and changes them, or returns the Stop that ends the run.
    """

    name: str
    cpu: str
    memory: tuple[Region, ...]
    contents: tuple[tuple[int, bytes], ...] = ()
    devices: tuple[Mapping, ...] = ()
    reset: int = 0
    firmware_call: Callable[[Registers], Stop | None] | None = None


@dataclass(frozen=True, slots=True)
class Cpu:
    """A processor model: Unicorn's name for it, architecture version, whether it has VFP."""

    name: str
    unicorn: str
    architecture: int
    vfp: bool


# fmt: off
CPUS = (
    Cpu("sa1110",      "SA1110",     4, vfp=False),
    Cpu("arm926",      "926",        5, vfp=True),
    Cpu("arm946",      "946",        5, vfp=False),
    Cpu("arm1026",     "1026",       5, vfp=True),
    Cpu("pxa270",      "PXA270",     5, vfp=False),
    Cpu("arm1136",     "1136",       6, vfp=True),
    Cpu("arm1176",     "1176",       6, vfp=True),
    Cpu("arm11mpcore", "11MPCORE",   6, vfp=True),
    Cpu("cortex-r5",   "CORTEX_R5",  7, vfp=False),
    Cpu("cortex-r5f",  "CORTEX_R5F", 7, vfp=True),
    Cpu("cortex-a7",   "CORTEX_A7",  7, vfp=True),
    Cpu("cortex-a8",   "CORTEX_A8",  7, vfp=True),
    Cpu("cortex-a9",   "CORTEX_A9",  7, vfp=True),
    Cpu("cortex-a15",  "CORTEX_A15", 7, vfp=True),
    Cpu("max",         "MAX",        8, vfp=True),
)
# fmt: on


def cpu_named(name: str) -> Cpu:
    """The processor model called `name`. Raises UsageError with the names there are."""
    for cpu in CPUS:
        if cpu.name == name:
            return cpu
    raise UsageError(
        f"unknown processor {name!r}; armprobe emulates " + ", ".join(cpu.name for cpu in CPUS),
        hint="Cortex-M processors run T32 only, which is not supported yet" if name.startswith("cortex-m") else "",
    )


def gaps(taken: Iterable[Region], low: int, high: int) -> list[tuple[int, int]]:
    """The [start, end) ranges of whole pages in [low, high) that no region touches, lowest first."""
    found = []
    start = (low + PAGE - 1) & -PAGE
    for region in sorted(taken, key=lambda region: region.start):
        end = min(region.start, high) & -PAGE
        if start < end:
            found.append((start, end))
        start = max(start, (region.end + PAGE - 1) & -PAGE)
    if start < high & -PAGE:
        found.append((start, high & -PAGE))
    return found


def find_gap(taken: Iterable[Region], size: int, *, low: int = LOWEST_FREE, high: int = 1 << 32) -> int:
    """The lowest address of `size` free bytes in [low, high), in whole pages. Raises Refused when there are none."""
    for start, end in gaps(taken, max(low, LOWEST_FREE), high):
        if end - start >= size:
            return start
    raise Refused(f"no {size} bytes of unused address space in 0x{low:08x}..0x{high:08x}")


def page_ranges(ranges: Iterable[tuple[int, int]], *, unit: int = PAGE) -> list[tuple[int, int]]:
    """The [start, end) ranges rounded to whole pages (of `unit` bytes), in order, with those that touch joined."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted((start & -unit, (end + unit - 1) & -unit) for start, end in ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif start < end:
            joined.append((start, end))
    return joined
