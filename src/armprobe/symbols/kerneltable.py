"""The symbols of a live Linux kernel: its own, and those of the modules that it has loaded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from armprobe.symbols.debuginfo import DebugInfo
from armprobe.symbols.image import Symbol
from armprobe.symbols.kernellimits import IMAGE, OWN_BRANCH, Refusal, outside, without_overlap
from armprobe.symbols.kernelmodules import KernelModule
from armprobe.symbols.modulelimits import ModuleLimits
from armprobe.symbols.table import ObjectRange, SymbolTable

#: stands for the names of all modules that are not known
EVERY_MODULE = "*"
_WORD = 4


@dataclass(frozen=True, slots=True)
class KernelPart:
    """The kernel without its modules: [start, end) is its code, `jump_labels` what it rewrites there."""

    symbols: Sequence[Symbol]
    start: int
    end: int
    refused: Sequence[Refusal]
    jump_labels: Sequence[int] = ()
    debug: Sequence[DebugInfo] = ()


def kernel_table(
    kernel: KernelPart,
    modules: Iterable[tuple[KernelModule, ModuleLimits]] = (),
    *,
    unknown: Mapping[str, str] | None = None,
) -> SymbolTable:
    """The table of a kernel and its modules, whose names can be asked for as `MODULE:SYMBOL`.

    `unknown` are modules of which it is not certain where a probe would do harm, and why.
    """
    known = list(modules)
    ranges = sorted([(kernel.start, kernel.end), *((module.start, module.end) for module, _ in known)])
    refused = [*outside(ranges), *kernel.refused]
    for _, limits in known:
        refused += limits.refused
        refused += [
            (place, place + _WORD, OWN_BRANCH)
            for place, to in limits.leaving
            if not (kernel.start <= to < kernel.start + IMAGE or _lies_in(to, ranges))
        ]
    return SymbolTable(
        [*kernel.symbols, *(symbol for module, _ in known for symbol in module.symbols)],
        marks=[mark for module, _ in known for mark in module.marks],
        ranges=ranges,
        refused=without_overlap(refused),
        changing=[*kernel.jump_labels, *(label for _, limits in known for label in limits.jump_labels)],
        objects=[
            ObjectRange(module.name, module.start, module.end, bias=module.start, module=True) for module, _ in known
        ],
        debug=kernel.debug,
        left_out=unknown,
    )


def _lies_in(address: int, ranges: Sequence[tuple[int, int]]) -> bool:
    index = bisect_right(ranges, (address, 1 << 32)) - 1
    return index >= 0 and address < ranges[index][1]
