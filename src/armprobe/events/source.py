"""Where the value of a field comes from: registers, memory, symbols, constants, what is made of these. Values only.

A register is its name: `r0` to `r12`, `sp`, `lr`, `pc`, `cpsr`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

from armprobe.isa.reading import Reading


@dataclass(frozen=True, slots=True)
class Memory:
    """What is in memory at the address `base + offset`; `base` is a word.

    As a part of another source it is a word itself: `size` bytes (1, 2 or 4) of it, and zeros above.
    """

    base: Source
    offset: int
    size: int = 4


@dataclass(frozen=True, slots=True)
class Number:
    """A constant, -2**31 to 2**32 - 1."""

    value: int


@dataclass(frozen=True, slots=True)
class SymbolAddress:
    """The address of a symbol, plus an offset. It becomes a Number before anything is compiled."""

    symbol: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """A constant string."""

    text: str


@dataclass(frozen=True, slots=True)
class Computed:
    """What a handler written in Python computed; `reads`: from memory too."""

    reads: bool


@dataclass(frozen=True, slots=True)
class Read:
    """What code reads without any doubt that it is there; `privileged`: 0 in user mode, which may not read it."""

    reading: Reading
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class KnownText:
    """A string, with its zero, within `size` bytes that are there without any doubt, whole words from `address` on."""

    address: Reading
    size: int


@dataclass(frozen=True, slots=True)
class Operation:
    """`left op right` of words, modulo 2^32; `op` is + - * & | ^ << >> (>>s with the sign), shifts are constant."""

    op: str
    left: Source
    right: Source


@dataclass(frozen=True, slots=True)
class Wide:
    """A number of 64 bits in two words."""

    low: Source
    high: Source


@dataclass(frozen=True, slots=True)
class AtEntry:
    """At a return: what a register, or the time, was at the entry of the call that came back."""

    source: str | Read


Source = str | Memory | Operation | Wide | Number | SymbolAddress | Text | Computed | Read | KnownText | AtEntry


def reads_memory(source: Source) -> bool:
    """Whether fetching it may fail: memory need not be there."""
    match source:
        case Operation(_, left, right) | Wide(left, right):
            return reads_memory(left) or reads_memory(right)
        case Computed(reads):
            return reads
        case _:
            return isinstance(source, Memory)


def entries(*values: object) -> Iterator[AtEntry]:
    """What is needed of the entries of calls, anywhere in sources and in what is made of them."""
    for value in values:
        if isinstance(value, AtEntry):
            yield value
        elif isinstance(value, tuple):
            yield from entries(*value)
        elif is_dataclass(value) and not isinstance(value, type):
            yield from entries(*(getattr(value, field.name) for field in fields(value)))


def is_constant(source: Source) -> bool:
    """Whether the reader knows the value without the target."""
    return isinstance(source, Number | Text)
