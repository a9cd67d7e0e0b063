"""Target code of the `hist` trigger: it sums up the fields of an event by key, in maps."""

from __future__ import annotations

from dataclasses import dataclass, field

from armprobe.codegen.fetch import Fetcher
from armprobe.codegen.filters import Filter
from armprobe.codegen.map_layout import MapKind, MapShape
from armprobe.codegen.map_writer import update_map
from armprobe.codegen.python_emit import emit_log2
from armprobe.codegen.words import Type
from armprobe.events.record import FieldType
from armprobe.events.source import Source


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Count by the field `key`, and sum up the fields `sums`, where `filter` holds.

    The key is the field divided by `step`; in a histogram its logarithm. Its maps are the symbols `map0`, which counts,
    and `map1`... for the sums, each with `prefix` before it. A hit whose fields can't be read, or whose key is
    no word, counts as overflow. The `step` of a field of 64 bits is a power of two.
    """

    key: tuple[Source, FieldType]
    shape: MapShape
    step: int = 1
    sums: tuple[tuple[Source, FieldType], ...] = ()
    filter: Filter | None = None
    prefix: str = ""
    #: the addresses of its maps: they do not change the code
    maps: tuple[int, ...] = field(default=(), compare=False)

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it reads."""
        return (self.key[0], *(source for source, _ in self.sums))


def aggregate(fetcher: Fetcher, action: Aggregate) -> None:
    """Update the maps of one hit."""
    ir = fetcher.ir
    symbols = [f"{action.prefix}map{number}" for number in range(1 + len(action.sums))]
    base, end = ir.symbol(symbols[0], f"[{action.shape.bytes} x i8]", 8), ir.label()
    bits = 64 if action.key[1].size == 8 else 32
    fetched = [fetcher.operand(*action.key, bits), *(fetcher.operand(*wanted, 64) for wanted in action.sums)]
    for _, good in fetched:
        if good is not None:
            onward, unread = ir.label(), ir.label()
            ir.branch(good, onward, unread)
            ir.begin(unread)
            ir.add(base, bits=64)
            ir.jump(end)
            ir.begin(onward)
    key, kind = fetched[0][0], Type(bits, False)
    if action.shape.kind is MapKind.HISTOGRAM:
        key, kind = emit_log2(ir, key, bits, has_clz=fetcher.has_clz), Type(32, False)
    elif action.step > 1:
        key = ir.value(f"udiv i{bits} {key}, {action.step}")
    if kind.bits == 64:
        fits, wide = ir.label(), ir.label()
        ir.branch(ir.value(f"icmp ult i64 {key}, {1 << 32}"), fits, wide)
        ir.begin(wide)
        ir.add(base, bits=64)
        ir.jump(end)
        ir.begin(fits)
        key, kind = ir.value(f"trunc i64 {key} to i32"), Type(32, False)
    update_map(ir, symbols[0], action.shape, key, kind, "1")
    for symbol, (value, _) in zip(symbols[1:], fetched[1:], strict=True):
        update_map(ir, symbol, action.shape, key, kind, value)
    ir.jump(end)
    ir.begin(end)
