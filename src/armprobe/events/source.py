"""Where the value of a field comes from: registers, memory, symbols, constants. Values only: others fetch and read.

A register is its name: `r0` to `r12`, `sp`, `lr`, `pc`, `cpsr`.
"""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.isa.reading import Reading


@dataclass(frozen=True, slots=True)
class Memory:
    """What is in memory at the address `base + offset`; `base` is a word."""

    base: Source
    offset: int


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


Source = str | Memory | Number | SymbolAddress | Text | Computed | Read


def reads_memory(source: Source) -> bool:
    """Whether fetching it may fail: memory need not be there."""
    return isinstance(source, Memory) or (isinstance(source, Computed) and source.reads)


def is_constant(source: Source) -> bool:
    """Whether the reader knows the value without the target."""
    return isinstance(source, Number | Text)
