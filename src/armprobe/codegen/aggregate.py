"""Target code of the `hist` trigger: it sums up the fields of an event by key, in maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from armprobe.codegen.fetch import Fetcher
from armprobe.codegen.filters import Filter
from armprobe.codegen.map_key import known_text_words, text_words
from armprobe.codegen.map_layout import KeyPart, MapShape
from armprobe.codegen.map_writer import update_map
from armprobe.codegen.python_emit import emit_log2
from armprobe.codegen.read_value import read_value
from armprobe.codegen.words import Type
from armprobe.events.record import FieldType
from armprobe.events.source import KnownText, Memory, Source


@dataclass(frozen=True, slots=True)
class KeyField:
    """A part of a key: a string, or a field divided by `step` (of 64 bits: a power of two), or its logarithm."""

    source: Source
    type: FieldType
    step: int = 1
    log2: bool = False

    @property
    def is_text(self) -> bool:
        return self.type.name == "string"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Count by `key`, and sum up the fields `sums`, where `filter` holds.

    Its maps are the symbols `map0`, which counts, and `map1`... for the sums, each with `prefix` before it. A hit whose
    fields can't be read, or whose key is no word, counts as overflow.
    """

    key: tuple[KeyField, ...]
    shape: MapShape
    sums: tuple[tuple[Source, FieldType], ...] = ()
    filter: Filter | None = None
    prefix: str = ""
    #: the addresses of its maps: they do not change the code
    maps: tuple[int, ...] = field(default=(), compare=False)

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it reads."""
        return (*(part.source for part in self.key), *(source for source, _ in self.sums))


def aggregate(fetcher: Fetcher, action: Aggregate) -> None:
    """Update the maps of one hit."""
    ir = fetcher.ir
    symbols = [f"{action.prefix}map{number}" for number in range(1 + len(action.sums))]
    base = ir.symbol(symbols[0], f"[{action.shape.bytes} x i8]", 8)
    dropped, end = ir.label(), ir.label()
    sums = []
    for wanted in action.sums:
        value, good = fetcher.operand(*wanted, 64)
        _require(fetcher, good, dropped)
        sums.append(value)
    amounts = list(zip(symbols, ["1", *sums], strict=True))
    if action.shape.key:
        words = [word for part, layout in zip(action.key, action.shape.key, strict=True)
                 for word in _words(fetcher, part, layout, dropped)]  # fmt: skip
        _update(fetcher, amounts, action.shape, words)
    else:
        (part,) = action.key
        _update(fetcher, amounts, action.shape, _number(fetcher, part, dropped))
    ir.jump(end)
    ir.begin(dropped)
    ir.add(base, bits=64)
    ir.jump(end)
    ir.begin(end)


def _update(fetcher: Fetcher, amounts: Iterable[tuple[str, str]], shape: MapShape, key: str | list[str]) -> None:
    for symbol, amount in amounts:
        update_map(fetcher.ir, symbol, shape, key, Type(32, False), amount)


def _words(fetcher: Fetcher, part: KeyField, layout: KeyPart, dropped: str) -> list[str]:
    """The words of a part of a key; go to `dropped` where it can't be read."""
    ir, source = fetcher.ir, part.source
    if isinstance(source, KnownText):
        return known_text_words(ir, read_value(ir, source.address, fetcher.register), source.size, layout.words)
    if part.is_text:
        assert isinstance(source, Memory)
        return text_words(ir, fetcher.address(source, dropped), fetcher.readable, layout.words, dropped)
    return [_number(fetcher, part, dropped)]


def _number(fetcher: Fetcher, part: KeyField, dropped: str) -> str:
    """The word that a part of a key is; go to `dropped` where there is none."""
    ir = fetcher.ir
    bits = 64 if part.type.size == 8 else 32
    key, good = fetcher.operand(part.source, part.type, bits)
    _require(fetcher, good, dropped)
    if part.log2:
        return emit_log2(ir, key, bits, has_clz=fetcher.has_clz)
    if part.step > 1:
        key = ir.value(f"udiv i{bits} {key}, {part.step}")
    if bits == 64:
        _require(fetcher, ir.value(f"icmp ult i64 {key}, {1 << 32}"), dropped)
        key = ir.value(f"trunc i64 {key} to i32")
    return key


def _require(fetcher: Fetcher, good: str | None, dropped: str) -> None:
    """Go on where the condition holds (None: always)."""
    if good is not None:
        onward = fetcher.ir.label()
        fetcher.ir.branch(good, onward, dropped)
        fetcher.ir.begin(onward)
