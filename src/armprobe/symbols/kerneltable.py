"""The symbols of a live Linux kernel: its own, and those of the modules that it has loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from armprobe.errors import Refused
from armprobe.symbols.debuginfo import DebugInfo
from armprobe.symbols.image import Symbol
from armprobe.symbols.kernellimits import IMAGE, Refusal, outside, without_overlap
from armprobe.symbols.kernelmodules import KernelModule
from armprobe.symbols.modulelimits import module_refusals
from armprobe.symbols.table import ObjectRange, SymbolTable

#: stands for the names of all modules that are not known
EVERY_MODULE = "*"


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
    kernel: KernelPart, modules: Iterable[KernelModule] = (), *, unknown: Mapping[str, str] | None = None
) -> SymbolTable:
    """The table of a kernel and its modules, whose names can be asked for as `MODULE:SYMBOL`.

    Modules of which it is not certain where a probe would do harm are left out. `unknown` are others, and why.
    """
    left_out = dict(unknown or {})
    modules = list(modules)
    reached = [(kernel.start, kernel.start + IMAGE), *((module.start, module.end) for module in modules)]
    known: list[KernelModule] = []
    refused, labels = [*kernel.refused], [*kernel.jump_labels]
    for module in modules:
        try:
            own, changing = module_refusals(module, reached)
        except Refused as refusal:
            left_out[module.name] = refusal.message
            continue
        known.append(module)
        refused += own
        labels += changing
    ranges = [(kernel.start, kernel.end), *((module.start, module.end) for module in known)]
    return SymbolTable(
        [*kernel.symbols, *(symbol for module in known for symbol in module.symbols)],
        marks=[mark for module in known for mark in module.marks],
        ranges=ranges,
        refused=without_overlap([*outside(ranges), *refused]),
        changing=labels,
        objects=[
            ObjectRange(module.name, module.start, module.end, bias=module.start, module=True) for module in known
        ],
        debug=kernel.debug,
        left_out=left_out,
    )
