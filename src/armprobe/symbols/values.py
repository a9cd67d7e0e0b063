"""Objects of the program as values of Python, read when they are looked at.

Names that end in an underscore, `string_()`, `type_`, `address_`, are ours; all others are those of members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from armprobe.errors import InternalError, UsageError
from armprobe.symbols.data import Object
from armprobe.symbols.places import ConstantWord, Load, Operation, Pair, RegisterWord, Value, compute, in_words
from armprobe.symbols.types import Array, Enumeration, Integer, Pointer, Structure, Type

#: bytes of a string that is looked at, at most
MAX_STRING = 256


@dataclass(frozen=True, slots=True)
class State:
    """The stopped program: its registers by name, and its memory, (address, size) to bytes."""

    register: Callable[[str], int]
    read: Callable[[int, int], bytes]


def compute_value(value: Value, state: State) -> int:
    """The number that stands at a place, without a sign."""
    match value:
        case RegisterWord(name):
            return state.register(name)
        case ConstantWord(number):
            return number & 0xFFFFFFFF
        case Load(address, size):
            return int.from_bytes(state.read(compute_value(address, state), size), "little")
        case Operation(op, left, right):
            return compute(op, compute_value(left, state), compute_value(right, state))
        case Pair(low, high):
            return compute_value(high, state) << 32 | compute_value(low, state) & 0xFFFFFFFF
    raise InternalError(f"{value!r} has no value here")


def to_python(found: Object, state: State) -> Any:
    """A number as an int, all else as something that knows its members or elements.

    Raises AttributeError with the reason for an object that has no value here.
    """
    try:
        if isinstance(found.type, Structure):
            return StructureValue(found, state)
        if isinstance(found.type, Array):
            return ArrayValue(found, state)
        number = _number(found, state)
    except UsageError as error:
        raise AttributeError(error.message) from None
    if isinstance(found.type, Pointer):
        return PointerValue(number, found, state)
    if isinstance(found.type, Enumeration):
        return EnumerationValue(number, found.type)
    return number


def value_as(kind: Type, address: int, state: State) -> Any:
    """An address as a value of a type, which is that of pointers."""
    return to_python(Object(f"({kind.name})", kind, in_words(ConstantWord(int(address)))), state)


def _number(found: Object, state: State) -> int:
    number = compute_value(found.value(), state)
    width, low = found.bits or (8 * found.type.size, 0)
    number = number >> low & (1 << width) - 1
    signed = isinstance(found.type, Integer | Enumeration) and found.type.signed
    return number - (1 << width) if signed and number >> width - 1 else number


class EnumerationValue(int):
    """A number that an enumeration may have a name for."""

    type_: str

    def __new__(cls, number: int, kind: Enumeration) -> Self:
        self = super().__new__(cls, number)
        self.type_ = kind.name
        self._names = {value: name for name, value in kind.values}
        return self

    _names: dict[int, str]

    @property
    def name(self) -> str:
        """The name of the number, "" for one that has none."""
        return self._names.get(int(self), "")

    def __repr__(self) -> str:
        return self.name or int.__repr__(self)

    __str__ = __repr__


class PointerValue(int):
    """An address; attributes are the members of what is there, `[N]` are elements."""

    _object: Object
    _state: State

    def __new__(cls, number: int, found: Object, state: State) -> Self:
        self = super().__new__(cls, number)
        self._object = found
        self._state = state
        return self

    def __getattribute__(self, name: str) -> Any:
        # Members first: an int has attributes of its own, such as `real`.
        if name.startswith("_") or name.endswith("_"):
            return super().__getattribute__(name)
        return _member(self._object, name, self._state)

    def __getitem__(self, index: int) -> Any:
        return _element(self._object, index, self._state)

    def string_(self, limit: int = MAX_STRING) -> str:
        """The string there, as far as its zero or `limit` bytes."""
        return read_string(self._state.read, int(self), limit)

    @property
    def type_(self) -> str:
        return self._object.type.name

    def __repr__(self) -> str:
        return f"({self.type_})0x{int(self):x}"

    __str__ = __repr__


class _Composite:
    """What has parts. Names of its own end in `_`, which members do not."""

    __slots__ = ("_object", "_state")

    def __init__(self, found: Object, state: State) -> None:
        self._object = found
        self._state = state

    @property
    def address_(self) -> int | None:
        """Where it is in memory; None for one in registers."""
        return _address(self._object, self._state)

    @property
    def type_(self) -> str:
        return self._object.type.name


class StructureValue(_Composite):
    """A structure, union or class; attributes are its members."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return _member(self._object, name, self._state)

    def __repr__(self) -> str:
        assert isinstance(self._object.type, Structure)
        members = (f"{name}={_shown(self._object, name, self._state)}" for name in self._object.type.members)
        return f"({self.type_}){{{', '.join(members)}}}"


class ArrayValue(_Composite):
    """An array; `[N]` are its elements."""

    __slots__ = ()

    def __getitem__(self, index: int) -> Any:
        return _element(self._object, index, self._state)

    def __len__(self) -> int:
        assert isinstance(self._object.type, Array)
        return self._object.type.count or 0

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def string_(self, limit: int | None = None) -> str:
        """The characters up to a zero, or all."""
        most = limit if limit is not None else len(self) or MAX_STRING
        place = _address(self._object, self._state)
        if place is None:
            data = bytes(int(self[index]) & 0xFF for index in range(most))
            return data.split(b"\0")[0].decode("utf-8", "backslashreplace")
        return read_string(self._state.read, place, most)

    def __repr__(self) -> str:
        return f"({self.type_}){list(self)!r}"


def _member(found: Object, name: str, state: State) -> Any:
    try:
        inner = found.member(name)
    except UsageError as error:
        raise AttributeError(f"{error.message}{'; ' if error.hint else ''}{error.hint}") from None
    return to_python(inner, state)


def _element(found: Object, index: int, state: State) -> Any:
    try:
        inner = found.element(int(index))
    except UsageError as error:
        raise IndexError(error.message) from None
    return to_python(inner, state)


def _address(found: Object, state: State) -> int | None:
    return None if found.address is None else compute_value(found.address, state)


def _shown(found: Object, name: str, state: State) -> str:
    try:
        return repr(_member(found, name, state))
    except AttributeError:
        return "?"


def read_string(read: Callable[[int, int], bytes], address: int, limit: int = MAX_STRING) -> str:
    """The string at an address, as far as its zero or `limit` bytes; bytes that are no UTF-8 as `\\xNN`."""
    data = bytearray()
    while len(data) < limit and 0 not in data:
        # Never across a page: the next one may not be there.
        data += read(address + len(data), min(limit - len(data), 4096 - (address + len(data)) % 4096, 64))
    return bytes(data).split(b"\0")[0].decode("utf-8", "backslashreplace")
