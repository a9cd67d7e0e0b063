"""Objects of the program in compiled handlers: `pkt.hdr.type`, `pkt.data[i]`, `hit.args.len`, `cast("struct x *", r0)`.

What they are is known when a handler is checked: they become registers, constants and reads of memory in its tree.
"""

from __future__ import annotations

import ast
from typing import Protocol

from armprobe.codegen import python_tree as tree
from armprobe.codegen.python_scope import Scope, check_number
from armprobe.codegen.words import U32, U64, Type
from armprobe.errors import InternalError, UsageError
from armprobe.symbols.data import Object
from armprobe.symbols.places import (
    ConstantWord,
    GivenWord,
    Load,
    Operation,
    Pair,
    RegisterWord,
    Word,
    in_memory,
    in_words,
)
from armprobe.symbols.types import Array, Enumeration, Integer, Pointer, Structure
from armprobe.symbols.types import Type as ObjectType

_BYTES = 8


class Names(Protocol):
    """The names that are known at the place of a handler. Each raises UsageError with the reason for what is not."""

    def variable(self, name: str) -> Object:
        """An argument or a variable, the innermost of that name."""

    def argument(self, name: str) -> Object:
        """An argument of the function."""

    def type_named(self, name: str) -> ObjectType:
        """A type by the name that the source has for it."""


def find_object(scope: Scope, node: ast.expr) -> Object | None:
    """The object of the program that an expression names; None for an expression that names none.

    Raises UsageError where the way leads nowhere.
    """
    try:
        match node:
            case ast.Name(name):
                if name in scope.objects and name in scope.local_names and name not in scope.assigned:
                    raise UsageError(f"{name!r} may have no value here",
                                     hint="give it one on every way that leads here")  # fmt: skip
                return scope.objects.get(name)
            case ast.Attribute(ast.Attribute(base, which), name) if _is_hit(scope, base, which):
                return _of_hit(scope, which, name)
            case ast.Subscript(ast.Attribute(base, which), ast.Constant(str(name))) if _is_hit(scope, base, which):
                return _of_hit(scope, which, name)
            case ast.Attribute(base, name):
                found = find_object(scope, base)
                return None if found is None else found.member(name)
            case ast.Subscript(base, index):
                found = find_object(scope, base)
                return None if found is None else _element(scope, found, index)
            case ast.Call(ast.Name("cast"), arguments, []) if scope.is_helper("cast"):
                return _cast(scope, node, arguments)
        return None
    except UsageError as error:
        if error.evidence:
            raise
        raise scope.source.error(node, error.message, hint=error.hint) from None


def read_object(scope: Scope, node: ast.AST, found: Object) -> tree.Expression:
    """The number that an object is. Raises UsageError for what is none."""
    try:
        value = found.value()
    except UsageError as error:
        raise scope.source.error(node, error.message, hint=error.hint) from None
    signed = isinstance(found.type, Integer | Enumeration) and found.type.signed
    width, low = found.bits or (_BYTES * found.type.size, 0)
    kind = Type(64 if width > 32 else 32, signed)
    if isinstance(value, Load) and found.bits is None:
        return _read(scope, value.address, width, kind)
    held: tree.Expression
    if isinstance(value, Pair):
        upper = tree.Binary(U64, "<<", _widened(_lower(scope, value.high)), tree.Constant(U32, 32))
        held = tree.Binary(U64, "|", _widened(_lower(scope, value.low)), upper)
    elif isinstance(value, Load) and value.size == 8:
        held = _read(scope, value.address, 64, U64)
    else:
        held = _lower(scope, value)
    if low:
        held = tree.Binary(held.type, ">>", held, tree.Constant(U32, low))
    return held if kind == held.type and width == held.type.bits else tree.Convert(kind, held, width, signed)


def variable_of(found: Object, name: str, local: tree.Local) -> Object | None:
    """What a variable that holds a pointer points to; None for other numbers."""
    if not isinstance(found.type, Pointer):
        return None
    return Object(name, found.type, in_words(GivenWord(local)))


def is_same(left: ObjectType, right: ObjectType) -> bool:
    """Whether two pointers point to the same type, by its name and size."""
    if isinstance(left, Pointer) and isinstance(right, Pointer):
        return is_same(left.target, right.target)
    return (left.name, left.size) == (right.name, right.size)


def is_aggregate(found: Object) -> bool:
    """Whether an object has parts but no number of its own."""
    return isinstance(found.type, Structure | Array)


def _is_hit(scope: Scope, base: ast.expr, which: str) -> bool:
    """Whether BASE.WHICH is `hit.args` or `hit.vars`."""
    return which in ("args", "vars") and isinstance(base, ast.Name) and scope.parameters.get(base.id, 0) is None


def _of_hit(scope: Scope, which: str, name: str) -> Object:
    names = scope.handler.known_names()
    return names.argument(name) if which == "args" else names.variable(name)


def _element(scope: Scope, found: Object, node: ast.expr) -> Object:
    index = check_number(scope, node)
    if isinstance(index, int):
        return found.element(index)
    base, element, count = found.array_base()
    if index.type.bits > 32:
        raise scope.source.error(node, f"an index has 32 bits, and this is {index.type.name}", hint="as_u32() converts")
    if index.type.signed:
        index = tree.Convert(U32, index, 32, False)
    if count is not None:
        scope.handler.reads += 1
        index = tree.Bounded(U32, index, count)
    scaled = tree.Binary(U32, "*", index, tree.Constant(U32, element.size))
    address = tree.Binary(U32, "+", _lower(scope, base), scaled)
    return Object(f"{found.text}[...]", element, in_memory(GivenWord(address)))


def _cast(scope: Scope, node: ast.expr, arguments: list[ast.expr]) -> Object:
    if len(arguments) != 2 or not isinstance(arguments[0], ast.Constant) or not isinstance(arguments[0].value, str):
        raise scope.source.error(
            node, "cast() takes the name of a type and an address", hint='cast("struct packet *", r0)'
        )
    name = arguments[0].value
    kind = scope.handler.known_names().type_named(name)
    if not isinstance(kind, Pointer):
        raise scope.source.error(arguments[0], f"{kind.name} is no pointer", hint=f'write cast("{name} *", ...)')
    value = check_number(scope, arguments[1])
    return Object(f"({name})", kind, in_words(GivenWord(scope.adapt(arguments[1], value, U32))))


def _read(scope: Scope, address: Word, bits: int, kind: Type) -> tree.Expression:
    scope.handler.reads += 1
    return tree.Read(kind, _lower(scope, address), bits, kind.signed)


def _lower(scope: Scope, word: Word) -> tree.Expression:
    """A word, u32."""
    match word:
        case GivenWord(expression):
            assert isinstance(expression, tree.Expression)
            return expression
        case RegisterWord(name):
            return tree.Register(U32, name)
        case ConstantWord(value):
            return tree.Constant(U32, value & 0xFFFFFFFF)
        case Load(address, size):
            return _read(scope, address, _BYTES * size, U32)
        case Operation(">>s", left, ConstantWord(distance)):
            signed = tree.Convert(Type(32, True), _lower(scope, left), 32, True)
            shifted = tree.Binary(signed.type, ">>", signed, tree.Constant(U32, distance))
            return tree.Convert(U32, shifted, 32, False)
        case Operation(op, left, right):
            return tree.Binary(U32, op, _lower(scope, left), _lower(scope, right))
    raise InternalError(f"{word!r} is no word of a handler")


def _widened(value: tree.Expression) -> tree.Expression:
    return tree.Convert(U64, value, 32, False)
