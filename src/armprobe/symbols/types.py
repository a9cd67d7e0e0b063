"""Types of a program's variables, and variables, whatever debug information they come from.

What refers to other types asks for them when it is looked at: types may contain themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from armprobe.symbols.places import Place


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number, a truth value or a character of `size` bytes."""

    name: str
    size: int
    signed: bool
    #: a `char`, of C's three the plain one
    character: bool = False


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Whole numbers with names; `values` are (name, number) in the order of the source."""

    name: str
    size: int
    signed: bool
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Opaque:
    """A type whose values can't be used; `reason` completes "it is ...": `a float`, `a function`."""

    name: str
    size: int
    reason: str


@dataclass(frozen=True, eq=False)
class Pointer:
    """An address; `reference`: one of C++, which stands for what is there."""

    load: Callable[[], Type] = field(repr=False)
    reference: bool = False
    size: int = 4

    @cached_property
    def target(self) -> Type:
        """What it points to."""
        return self.load()

    @property
    def name(self) -> str:
        return f"{self.target.name} {'&' if self.reference else '*'}"


@dataclass(frozen=True, eq=False)
class Array:
    """Elements one after the other; `count` is None where the type does not say how many."""

    load: Callable[[], Type] = field(repr=False)
    count: int | None

    @cached_property
    def element(self) -> Type:
        return self.load()

    @property
    def size(self) -> int:
        return (self.count or 0) * self.element.size

    @property
    def name(self) -> str:
        inner, dimensions = self.element, f"[{'' if self.count is None else self.count}]"
        while isinstance(inner, Array):
            dimensions += f"[{'' if inner.count is None else inner.count}]"
            inner = inner.element
        return f"{inner.name} {dimensions}"


@dataclass(frozen=True, slots=True)
class Member:
    """A part of a structure, at `offset` bytes; a bit-field has `bits`, (width, lowest bit counted from `offset`)."""

    name: str
    type: Type
    offset: int
    bits: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Structure:
    """A structure, union or class. Parts without a name (of C11, and bases of C++) give their members to it."""

    name: str
    size: int
    load: Callable[[], tuple[Member, ...]] = field(repr=False)

    @cached_property
    def members(self) -> dict[str, Member]:
        """All members that can be named, by name."""
        found: dict[str, Member] = {}
        for member in self.load():
            if member.name:
                found.setdefault(member.name, member)
            elif isinstance(member.type, Structure):
                for inner in member.type.members.values():
                    at = Member(inner.name, inner.type, member.offset + inner.offset, inner.bits)
                    found.setdefault(inner.name, at)
        return found


Type = Integer | Enumeration | Opaque | Pointer | Array | Structure


def pointer_to(kind: Type) -> Pointer:
    """The type of pointers to a type."""
    return Pointer(lambda: kind)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable at one place of the code: what it is, and where its value is there."""

    name: str
    type: Type = field(compare=False)
    place: Place = field(compare=False)
    parameter: bool = False
