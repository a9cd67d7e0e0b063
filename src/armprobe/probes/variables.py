"""Names of the program in definitions, `len`, `pkt->hdr.type`, `pkt->data[2]`: to sources and types of fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from armprobe.errors import InternalError, UsageError
from armprobe.events.record import DEFAULT_TYPE, MAX_COUNT, NAMED_TYPES, FieldType
from armprobe.events.source import Memory, Number, Operation, Source, Wide
from armprobe.symbols.arguments import result_place
from armprobe.symbols.data import Object, find_object, variable_object
from armprobe.symbols.places import ConstantWord, Load, Pair, RegisterWord, Value, Word, split_sum
from armprobe.symbols.places import Operation as WordOperation
from armprobe.symbols.types import Array, Enumeration, Integer, Pointer, Type

if TYPE_CHECKING:
    from armprobe.symbols.dwarf.scopes import Scope

#: a variable, and what is reached from it; between variables and their members `->` and `.` mean the same
PATH = r"[A-Za-z_]\w*(?:(?:->|\.)[A-Za-z_]\w*|\[(?:0[xX][0-9a-fA-F]+|[0-9]+)\])*"
_STEP = re.compile(r"(?:->|\.)(\w+)|\[(\w+)\]")
_NAME = re.compile(r"\w+")

#: gives the names that are known at the place of a definition; None where there is no debug information
Names = Callable[[], "Scope | None"]


def follow(path: str, start: Object | Scope) -> Object:
    """The object that a path names: from an object on, `->type`, or beginning with a variable of a scope.

    Raises UsageError where the path leads nowhere.
    """
    at = 0
    if isinstance(start, Object):
        found = start
    else:
        head = _NAME.match(path)
        assert head is not None
        found, at = find_object(start, head[0]), head.end()
    while step := _STEP.match(path, at):
        found = found.member(step[1]) if step[1] else found.element(int(step[2], 0))
        at = step.end()
    return found


def last_name(path: str) -> str:
    """What a field is called that a path leads to: the last name in it."""
    return str(re.findall(r"[A-Za-z_]\w*", path)[-1])


def field_of(found: Object, asked: FieldType | None) -> tuple[Source, FieldType]:
    """The source and the type of a field that shows an object; `asked` is the type that the definition names.

    Raises UsageError where it has no value here, or can't be shown so.
    """
    if asked is None:
        return _own_field(found)
    if asked.is_text and not asked.count:
        return _text_source(found), asked
    if asked.count:
        if found.address is None or isinstance(found.type, Pointer):
            what = f"{found.text}[0]:{asked.name}" if isinstance(found.type, Pointer) else ""
            raise UsageError(f"{found.text} is {found.kind}, and an array is in memory",
                             hint=f"write {what}" if what else "")  # fmt: skip
        return Memory(source_of(found.address), 0), asked
    if found.bits is not None:
        raise UsageError(f"{found.text} is a bit-field of {found.bits[0]} bits, which has a type of its own",
                         hint="leave the type out")  # fmt: skip
    if found.address is not None:
        return _at(found.address), asked
    return source_of(found.value()), asked


def all_fields(scope: Scope, *, locals_too: bool) -> list[tuple[str, Source, FieldType]]:
    """(name, source, type) of all arguments, or variables, that have a value here and can be shown as they are."""
    variables = map(scope.find, scope.names) if locals_too else scope.parameters
    fields = []
    for variable in variables:
        if variable is not None and variable.name:
            with suppress(UsageError):
                fields.append((variable.name, *field_of(variable_object(variable), None)))
    return fields


def argument_object(scope: Scope, number: int) -> Object | None:
    """The argument of a function by its number, from 1; None for those that a function takes without declaring them.

    Raises UsageError beyond the last.
    """
    if number <= len(scope.parameters):
        return variable_object(scope.parameters[number - 1])
    if scope.variadic:
        return None
    count = len(scope.parameters)
    raise UsageError(f"{scope.function} has {count} argument{'s' * (count != 1)}, and no $arg{number}")


def result_object(scope: Scope) -> Object:
    """The result of a function, where it is when the function has returned."""
    return Object("$retval", scope.result, result_place(scope.result, hard_float=scope.hard_float))


def source_of(value: Value) -> Source:
    """Where a field's value comes from, in the words of `armprobe.events.source`."""
    match value:
        case RegisterWord(name):
            return name
        case ConstantWord(number):
            return Number(number)
        case Load(address, size):
            return _at(address, size)
        case WordOperation(op, left, right):
            return Operation(op, source_of(left), source_of(right))
        case Pair(low, high):
            return Wide(source_of(low), source_of(high))
    raise InternalError(f"{value!r} is nothing that a field can show")


def _at(address: Word, size: int = 4) -> Memory:
    base, offset = split_sum(address)
    return Memory(source_of(base), offset, min(size, 4))


def _own_field(found: Object) -> tuple[Source, FieldType]:
    """As its own type says."""
    if isinstance(found.type, Array):
        element, count = found.type.element, found.type.count
        if found.address is None or not _is_number(element) or not count or count > MAX_COUNT:
            hint = f"name an element, {found.text}[0], or say how many: {found.text}:u8[4]"
            raise UsageError(f"{found.text} is {found.kind}, which is not shown as a whole", hint=hint)
        kind = _field_type(element)
        return _at(found.address), FieldType(kind.size, kind.style, None, count, kind.labels)
    value = found.value()
    kind = _field_type(found.type)
    if found.bits is not None:
        kind = FieldType(found.size, kind.style, found.bits, labels=kind.labels)
    return source_of(value), kind


def _field_type(kind: Type) -> FieldType:
    match kind:
        case Integer(_, size, signed, character):
            return (
                NAMED_TYPES["char"] if character and size == 1 else NAMED_TYPES[f"{'s' if signed else 'u'}{8 * size}"]
            )
        case Enumeration(_, size, signed, values):
            labels = tuple((number, name) for name, number in values)
            return FieldType(size, "s" if signed else "u", labels=labels)
        case _:
            return DEFAULT_TYPE


def _is_number(kind: Type) -> bool:
    return isinstance(kind, Integer | Enumeration | Pointer)


def _text_source(found: Object) -> Source:
    """A string: the one that a pointer points to, or an array of characters."""
    if isinstance(found.type, Pointer):
        found = found.dereference()
    elif not isinstance(found.type, Array):
        raise UsageError(f"{found.text} is {found.kind}, no string", hint="a string is an array or behind a pointer")
    if found.address is None:
        raise UsageError(f"{found.text} is not in memory, where strings are")
    return _at(found.address)
