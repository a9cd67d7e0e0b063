"""Objects of the program: variables, and what is reached from them by members, elements and pointers."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armprobe.errors import UsageError
from armprobe.symbols.places import Absent, ConstantWord, InMemory, Pair, Place, Value, Word, in_memory, operation
from armprobe.symbols.types import Array, Enumeration, Integer, Opaque, Pointer, Structure, Type, Variable

if TYPE_CHECKING:
    from armprobe.symbols.dwarf.scopes import Scope

_MOST_SHOWN = 12


@dataclass(frozen=True, slots=True, eq=False)
class Object:
    """A part of the program's data: `text` is how its source would name it, `bits` those of a bit-field in it.

    Its methods raise UsageError with the reason for what there is not.
    """

    text: str
    type: Type
    place: Place
    bits: tuple[int, int] | None = None

    @property
    def is_number(self) -> bool:
        """Whether it is one number: not a structure, an array, or of a type that has no values."""
        return isinstance(self.type, Integer | Enumeration | Pointer)

    @property
    def size(self) -> int:
        """Bytes to read: those that a bit-field is in, else those of its type."""
        if self.bits is None:
            return self.type.size
        width, low = self.bits
        return next((size for size in (1, 2, 4, 8) if 8 * size >= width + low), 16)

    def value(self) -> Value:
        """Where the number is, with the bits of a bit-field still in their place."""
        if not self.is_number:
            raise UsageError(f"{self.text} is {self.kind}, no number", hint=self.hint)
        if self.size > 8:
            raise UsageError(f"the bit-field {self.text} lies in nine bytes, which can't be read at once")
        found = self.place.value(self.size)
        if isinstance(found, Absent):
            raise UsageError(f"{self.text} is {found.reason}")
        return found

    @property
    def address(self) -> Word | None:
        """Where it is in memory; None for what is not there as a whole."""
        where = self.place.where
        return where.address if isinstance(where, InMemory) and self.bits is None else None

    @property
    def kind(self) -> str:
        """What it is, for messages: `a struct packet`."""
        if isinstance(self.type, Opaque):
            return self.type.reason
        if isinstance(self.type, Array):
            return f"an array, {self.type.name}"
        return f"{'an' if self.type.name[:1] in 'aeiou' else 'a'} {self.type.name}"

    @property
    def hint(self) -> str:
        """What to name instead."""
        if isinstance(self.type, Structure):
            return f"name a member: {_some(self.type.members)}"
        return f"name an element: {self.text}[0]" if isinstance(self.type, Array) else ""

    def member(self, name: str) -> Object:
        """A member of a structure, or of the one that a pointer points to."""
        holder = self.dereference() if isinstance(self.type, Pointer) else self
        structure = holder.type
        if not isinstance(structure, Structure):
            raise UsageError(f"{holder.text} is {holder.kind}, which has no members")
        found = structure.members.get(name)
        if found is None:
            raise UsageError(f"{structure.name} has no member {name!r}; it has: {_some(structure.members)}",
                             hint=_meant(name, structure.members))  # fmt: skip
        text = f"{self.text}{'->' if holder is not self else '.'}{name}"
        reach = Object(text, found.type, holder.place, found.bits)
        return _settled(Object(text, found.type, holder.place.part(found.offset, reach.size or 1), found.bits))

    def element(self, index: int) -> Object:
        """An element of an array, or what a pointer points to, counted on."""
        text = f"{self.text}[{index}]"
        if isinstance(self.type, Pointer):
            target = self.dereference()
            self._check_size(target)
            return Object(text, target.type, in_memory(plus(self._address_held(), index * target.type.size)))
        if not isinstance(self.type, Array):
            raise UsageError(f"{self.text} is {self.kind}, which has no elements")
        count, element = self.type.count, self.type.element
        if index < 0 or (count and index >= count):
            raise UsageError(f"{self.text} has {count} elements, [0] to [{(count or 1) - 1}], and no [{index}]")
        if isinstance(self.place.where, InMemory):
            # Arrays without a count end structures, whose size does not tell how far they reach.
            return Object(text, element, in_memory(plus(self.place.where.address, index * element.size)))
        return Object(text, element, self.place.part(index * element.size, element.size))

    def dereference(self) -> Object:
        """What a pointer points to."""
        if not isinstance(self.type, Pointer):
            raise UsageError(f"{self.text} is {self.kind}, no pointer")
        return Object(f"*{self.text}", self.type.target, in_memory(self._address_held()))

    def array_base(self) -> tuple[Word, Type, int | None]:
        """(address, type of the elements, how many if that is known) of an array in memory, or behind a pointer."""
        if isinstance(self.type, Pointer):
            target = self.dereference()
            self._check_size(target)
            return self._address_held(), target.type, None
        if not isinstance(self.type, Array):
            raise UsageError(f"{self.text} is {self.kind}, which has no elements")
        if not isinstance(self.place.where, InMemory):
            raise UsageError(f"{self.text} is not in memory: only its elements with plain numbers can be named")
        return self.place.where.address, self.type.element, self.type.count or None

    def _check_size(self, target: Object) -> None:
        if not target.type.size:
            raise UsageError(f"{self.text} points to {target.kind}, whose size is not known")

    def _address_held(self) -> Word:
        value = self.value()
        assert not isinstance(value, Pair)
        return value


def variable_object(variable: Variable) -> Object:
    """A variable as an object; what a reference refers to, for one."""
    return _settled(Object(variable.name, variable.type, variable.place))


def find_argument(scope: Scope, name: str) -> Object:
    """The argument `name` of the function of `scope`. Raises UsageError that names those that there are."""
    variable = scope.parameter(name)
    if variable is None:
        known = [variable.name for variable in scope.parameters]
        there = f"it has: {_some(known)}" if known else "it has none"
        hint = f"{name!r} is a variable there" if scope.find(name) is not None else _meant(name, known)
        raise UsageError(f"{scope.function} has no argument {name!r}; {there}", hint=hint)
    return variable_object(variable)


def find_object(scope: Scope, name: str) -> Object:
    """The variable `name` at the place of `scope`. Raises UsageError that names those that there are."""
    variable = scope.find(name)
    if variable is None:
        known = scope.names
        there = f"it has: {_some(known)}" if known else "it has none"
        raise UsageError(f"{scope.function} has no argument or variable {name!r}; {there}", hint=_meant(name, known))
    return variable_object(variable)


@dataclass(frozen=True, slots=True)
class NamesAt:
    """The names that debug information knows at a place, which messages call `where`.

    `look` finds them, or None where it knows nothing; it is asked when a name is. Each method raises UsageError with
    the reason for what there is not.
    """

    look: Callable[[], Scope | None]
    where: str

    def variable(self, name: str) -> Object:
        """An argument or a variable, the innermost of that name, or one of the source file."""
        return find_object(self._known(f"the name {name!r}"), name)

    def argument(self, name: str) -> Object:
        """An argument of the function."""
        return find_argument(self._known(f"the name {name!r}"), name)

    def type_named(self, name: str) -> Type:
        """A type as its source file calls it: `struct packet *`, `packet_t`."""
        found = self._known(f"the type {name!r}").type_named(name)
        if found is None:
            raise UsageError(f"the source file of {self.where} has no type {name!r}")
        return found

    def _known(self, what: str) -> Scope:
        scope = self.look()
        if scope is None:
            raise UsageError(f"there is no debug information about {self.where}, which would know {what}",
                             hint="build the program with -g")  # fmt: skip
        return scope


def plus(word: Word, number: int) -> Word:
    """`word + number`."""
    return operation("+", word, ConstantWord(number & 0xFFFFFFFF))


def _settled(found: Object) -> Object:
    if isinstance(found.type, Pointer) and found.type.reference:
        held = found.place.value(4)
        if isinstance(held, Absent):
            raise UsageError(f"{found.text} is {held.reason}")
        assert not isinstance(held, Pair)
        return Object(found.text, found.type.target, in_memory(held))
    return found


def _some(names: Iterable[str]) -> str:
    """Names, in a message."""
    listed = list(names)
    more = len(listed) - _MOST_SHOWN
    return ", ".join(listed[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _meant(name: str, known: Iterable[str]) -> str:
    similar = difflib.get_close_matches(name, list(known), n=2)
    return f"did you mean {' or '.join(similar)}?" if similar else ""
