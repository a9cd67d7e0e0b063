"""What the checker of compiled handlers knows at a place in a function."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from armprobe.codegen import python_tree as tree
from armprobe.codegen.helpers import HELPERS
from armprobe.codegen.map_layout import MapShape
from armprobe.codegen.python_source import Source
from armprobe.codegen.words import BOOL, Type, common_type, word_for
from armprobe.errors import UsageError

if TYPE_CHECKING:
    from armprobe.codegen.python_objects import Names
    from armprobe.symbols.data import Object

#: what an expression is checked to: a tree, or a plain number that has yet to be given a type
Value = tree.Expression | int
#: values in one handler, once calls are inlined; and how often one of its lines may run for one hit
MAX_VALUES, MAX_PASSES = 20_000, 1 << 16
#: expressions and `if` within one another, calls inlined
MAX_DEPTH = 100


class PlaceNeededError(Exception):
    """A handler asks for what is known only once it has a place."""


@dataclass(slots=True, eq=False)
class Handler:
    """What all functions of one handler share."""

    shape_of: Callable[[object], MapShape | None]
    check_value: Callable[[Scope, ast.expr], Value]
    check_body: Callable[[Scope], tuple[tree.Statement, ...]]
    #: what debug information knows at the place, and what a handler says of it
    names: Names | None = None
    #: whether it asked for one
    uses_names: bool = False
    #: the maps it uses, in the order of their numbers
    maps: list[Any] = field(default_factory=list)
    #: name -> type of the fields that it emits
    fields: dict[str, Type] | None = None
    #: those of them that are read from memory
    faults: set[str] = field(default_factory=set)
    #: the names of the `Moment`s that it asks for; those that the target does not know, and why
    moment: set[str] = field(default_factory=set)
    lacking: Mapping[str, str] = field(default_factory=dict)
    #: the fields that it emits the name of the task in
    task_names: set[str] = field(default_factory=set)
    #: whether it runs when a function has returned (None: that is not known yet), and what it asks for of the entry
    at_return: bool | None = False
    entry: set[str] = field(default_factory=set)
    #: how many registers of a result it sets, and whether it skips the function
    results: int = 0
    skips: bool = False
    reads: int = 0
    values: int = 0
    depth: int = 0
    scopes: int = 0

    def known_names(self) -> Names:
        """The names of the program at the place. Raises UsageError where no place is known."""
        self.uses_names = True
        if self.names is None:
            raise UsageError("there is no debug information here, which would know names of the program")
        return self.names


@dataclass(slots=True, eq=False)
class Scope:
    """One function: the handler, or a call of another function, which has variables of its own."""

    handler: Handler
    source: Source
    #: the functions that are being inlined, outermost first
    callers: tuple[Scope, ...] = ()
    #: how often the line at hand runs for one hit, at most
    passes: int = 1
    #: variables that are parameters of the handler: registers, or the hit
    parameters: dict[str, Value | None] = field(default_factory=dict)
    #: parameters and variables that are objects of the program: pointers, structures, ...
    objects: dict[str, Object] = field(default_factory=dict)
    #: for the host: the parameters of the handler that are objects
    arguments: dict[str, Object] = field(default_factory=dict)
    #: name -> type of the local variables met so far
    types: dict[str, Type] = field(default_factory=dict)
    #: those that have a value here, whatever way led here
    assigned: set[str] = field(default_factory=set)
    #: every name that the function assigns to
    local_names: frozenset[str] = frozenset()
    reachable: bool = True
    #: the type of `return`; None: nothing was returned so far
    returns: Type | None = None
    returns_nothing: bool = False
    #: it is a condition: what it returns is a truth value
    condition: bool = False
    #: for the host: the type that the result of an operator is reduced to
    wraps: dict[ast.AST, Type] = field(default_factory=dict)
    #: for the host: the functions called, and what names outside of the function mean
    calls: dict[ast.Call, Scope] = field(default_factory=dict)
    #: for the host: how many registers each skip() sets
    skips: dict[ast.Call, int] = field(default_factory=dict)
    outside: dict[str, Any] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        self.number = self.handler.scopes
        self.handler.scopes += 1

    @property
    def in_condition(self) -> bool:
        """Whether it is a condition, or a function that one calls."""
        return (*self.callers, self)[0].condition

    def name(self, variable: str) -> str:
        """The name of a variable in the tree."""
        return f"{variable}.{self.number}"

    def is_helper(self, name: str) -> bool:
        """Whether a name stands for a helper: the helper itself, or nothing that the function knows."""
        if name in self.local_names or name in self.parameters or name in self.objects:
            return False
        try:
            return self.source.lookup(name) is HELPERS.get(name, self)
        except KeyError:
            return True
        except ValueError:
            return False

    def lookup(self, node: ast.Name) -> Any:
        """The value of a name outside of the function."""
        try:
            value = self.source.lookup(node.id)
        except KeyError:
            value = getattr(builtins, node.id, None)
        except ValueError:
            raise self.source.error(
                node, f"{node.id!r} has no value yet", hint="set it before the handler is compiled"
            ) from None
        if value is None:
            raise self.source.error(
                node,
                f"there is no {node.id!r} here",
                hint="a handler knows its parameters and variables, numbers, maps, functions and helpers",
            )
        self.outside[node.id] = value
        return value

    def adapt(self, node: ast.AST, value: Value, kind: Type, *, modulo: bool = False) -> tree.Expression:
        """The value as a type that holds all its numbers; a plain number must fit (with `modulo`: its bits must)."""
        if isinstance(value, int):
            if kind == BOOL:
                raise self.source.error(
                    node, f"{value} is no truth value", hint="write True or False, or compare numbers"
                )
            if not kind.holds(value) and not (modulo and -(1 << kind.bits - 1) <= value < 1 << kind.bits):
                hint = "" if kind.signed else f"as_s{kind.bits}() makes a signed number" if value < 0 else ""
                raise self.source.error(
                    node, f"{value} is no {kind.name}: that is {kind.lowest} to {kind.highest}", hint=hint
                )
            return tree.Constant(kind, kind.wrap(value))
        if value.type == kind:
            return value
        if common_type(value.type, kind) != kind:
            raise self.source.error(
                node,
                f"this is {value.type.name}, where {kind.name} is wanted",
                hint="write VALUE != 0" if kind == BOOL else f"as_{kind.name}() converts",
            )
        return tree.Convert(kind, value, value.type.bits, value.type.signed)

    @contextmanager
    def nested(self, node: ast.AST) -> Iterator[None]:
        """Count one value, and go into it; refuse handlers that grow without measure."""
        self.handler.values += 1
        self.handler.depth += 1
        if self.handler.values > MAX_VALUES:
            raise self.source.error(node, f"with its calls inlined, the handler has more than {MAX_VALUES} values",
                             hint="call fewer functions from one another")  # fmt: skip
        if self.handler.depth > MAX_DEPTH:
            raise self.source.error(node, f"this is nested more than {MAX_DEPTH} deep", hint="use variables")
        yield
        self.handler.depth -= 1


def check_number(scope: Scope, node: ast.expr) -> Value:
    """The value of an expression that is a number; refuses truth values."""
    value = scope.handler.check_value(scope, node)
    if not isinstance(value, int) and value.type == BOOL:
        raise scope.source.error(node, "this is a truth value, where a number is wanted", hint="write 1 if ... else 0")
    return value


def unify(
    scope: Scope, node: ast.AST, *sides: tuple[ast.expr, Value], modulo: bool = False
) -> tuple[tree.Expression, ...]:
    """All sides in the one type that holds them; plain numbers take the type of the others."""
    kind: Type | None = None
    for _, value in sides:
        if not isinstance(value, int):
            joined = value.type if kind is None else common_type(kind, value.type)
            if joined is None:
                assert kind is not None
                numbers = BOOL not in (kind, value.type)
                raise scope.source.error(
                    node,
                    f"{kind.name} and {value.type.name} do not go together"
                    + (f": {max(kind.bits, value.type.bits)} bits cannot hold both" if numbers else ""),
                    hint=f"convert one of them: as_{kind.name}() or as_{value.type.name}()" if numbers else "",
                )
            kind = joined
    if kind is None:
        kind = word_for(*(value for _, value in sides if isinstance(value, int)))
        if kind is None:
            raise scope.source.error(node, "no word holds these numbers", hint="64 bits are the most")
    return tuple(scope.adapt(where, value, kind, modulo=modulo) for where, value in sides)


def typed(scope: Scope, node: ast.AST, value: Value) -> tree.Expression:
    """The value with a type: a plain number gets the first of u32, s32, u64, s64 that holds it."""
    if not isinstance(value, int):
        return value
    kind = word_for(value)
    if kind is None:
        raise scope.source.error(node, f"{value} does not fit in 64 bits")
    return tree.Constant(kind, value)
