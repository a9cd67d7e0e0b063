"""The other side of a compiled handler: the same function, run by Python itself on the host.

Python computes with numbers of any size. Where a word would wrap, the result is reduced to the type that the checker
found; everything else runs as it is written.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Protocol

from armprobe.codegen.helpers import HELPERS
from armprobe.codegen.map_layout import MapShape, bucket_of
from armprobe.codegen.python_calls import positional_parameters
from armprobe.codegen.python_maps import is_map
from armprobe.codegen.python_scope import Scope
from armprobe.codegen.python_subset import Checked
from armprobe.codegen.text_pattern import TextPattern, begins_with, contains, ends_with, exactly
from armprobe.codegen.words import Type, shift_left
from armprobe.symbols.values import State, to_python, value_as

_SIZES = (8, 16, 32, 64)
_WORD = 0xFFFFFFFF


#: of a map: a number, or the parts of it
Key = int | tuple[int | bytes, ...]


class Fault(Exception):
    """A read of memory that may not be read."""


class Ending(Enum):
    """How a handler ended."""

    DONE = "by itself"
    FAULT = "at a read of memory that may not be read"
    SKIP = "by skipping the function"


class _Skip(Exception):
    """The function is not to be executed; the words are for registers from r0 on."""

    def __init__(self, words: Sequence[int]) -> None:
        super().__init__()
        self.words = words


class Surroundings(Protocol):
    """What a handler reaches at one hit."""

    def read(self, address: int, size: int) -> bytes:
        """Raises Fault."""

    def add(self, number: int, key: Key, amount: int) -> None:
        """Add to the map with that number; strings in a key are bytes."""

    def put(self, number: int, key: Key, value: int) -> None:
        """Replace a number of it."""

    def get(self, number: int, key: Key) -> int:
        """Read a number of it."""

    def pop(self, number: int, key: Key) -> int:
        """Remove a key of it: the number that it had."""

    def time(self) -> int: ...

    def cpu(self) -> int: ...

    def task_number(self, name: str) -> int:
        """The `pid` or `tgid`."""

    def task_name(self) -> bytes:
        """With its zero."""

    def record(self, values: Mapping[str, int | bytes | None]) -> None:
        """Keep a record; bytes for strings, None for what could not be read."""

    def skip(self, words: Sequence[int]) -> None:
        """Go back to the caller of the function, with these words in registers from r0 on."""

    @property
    def result(self) -> int:
        """At a return: what the function returned, or what was set instead."""

    def set_result(self, value: int) -> None: ...

    def at_entry(self, name: str) -> int:
        """At a return: a register, or the time, at the entry of the call."""


@dataclass(frozen=True, slots=True)
class _Hit:
    """`hit` as the function sees it."""

    pc: int
    probe: int
    regs: Any
    args: _Named
    vars: _Named
    surroundings: Surroundings

    @property
    def time(self) -> int:
        return self.surroundings.time()

    @property
    def cpu(self) -> int:
        return self.surroundings.cpu()

    @property
    def pid(self) -> int:
        return self.surroundings.task_number("pid")

    @property
    def tgid(self) -> int:
        return self.surroundings.task_number("tgid")

    @property
    def comm(self) -> _String:
        name = self.surroundings.task_name()
        return _String(0, lambda at, size: name[at : at + size])

    @property
    def retval(self) -> int:
        return self.surroundings.result

    @property
    def entry(self) -> _Entry:
        return _Entry(self.surroundings)


@dataclass(frozen=True, slots=True)
class _Entry:
    """`hit.entry`."""

    surroundings: Surroundings

    def __getattr__(self, name: str) -> int:
        return self.surroundings.at_entry(name)


@dataclass(frozen=True, slots=True)
class _Named:
    """`hit.args`, `hit.vars`."""

    scope: Scope
    state: list[State]
    kind: str

    def __getattr__(self, name: str) -> Any:
        return to_python(getattr(self.scope.handler.known_names(), self.kind)(name), self.state[-1])

    def __getitem__(self, name: str) -> Any:
        return self.__getattr__(name)


@dataclass(frozen=True, slots=True)
class _String:
    """The string at an address, read when it is compared or recorded."""

    address: int
    read: Callable[[int, int], bytes]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self._matches(exactly(other.encode()))

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, other: str) -> bool:
        return self._matches(contains(other.encode()))

    def startswith(self, other: str) -> bool:
        return self._matches(begins_with(other.encode()))

    def endswith(self, other: str) -> bool:
        return self._matches(ends_with(other.encode()))

    def _matches(self, pattern: TextPattern) -> bool:
        return pattern.matches(read_text(self.read, self.address, pattern.most))


def read_text(read: Callable[[int, int], bytes], address: int, most: int) -> bytes:
    """The bytes of a string with its zero, or `most` of them. Raises Fault where memory ends before."""
    data = bytearray()
    while len(data) < most and not data.endswith(b"\0"):
        data += read(address + len(data) & 0xFFFFFFFF, 1)
    return bytes(data)


def host_function(checked: Checked) -> Callable[[Surroundings, Any, int], Ending]:
    """Make a function of (surroundings, registers, probe number) that does what the compiled handler does."""
    layout = checked.program.layout
    call = _caller(checked.scope, layout.text if layout is not None else 0)

    def run(surroundings: Surroundings, registers: Any, probe: int) -> Ending:
        try:
            call(surroundings, registers, probe)
        except (Fault, IndexError):
            return Ending.FAULT
        except _Skip as skipped:
            surroundings.skip(skipped.words)
            return Ending.SKIP
        return Ending.DONE

    return run


def host_condition(scope: Scope) -> Callable[[Surroundings, Any], bool]:
    """Make a function of (surroundings, registers) that tells what the condition with that scope does."""
    call = _caller(scope, 0)

    def holds(surroundings: Surroundings, registers: Any) -> bool:
        try:
            return bool(call(surroundings, registers, 0))
        except (Fault, IndexError):
            return False

    return holds


def _caller(scope: Scope, most: int) -> Callable[[Surroundings, Any, int], Any]:
    at_hit: list[Surroundings] = []
    state: list[State] = []
    function = _build(scope, at_hit, state, most)
    parameters = positional_parameters(scope)

    def call(surroundings: Surroundings, registers: Any, probe: int) -> Any:
        arguments, variables = (_Named(scope, state, kind) for kind in ("argument", "variable"))
        hit = _Hit(registers.pc, probe, registers, arguments, variables, surroundings)
        at_hit.append(surroundings)
        state.append(State(lambda name: int(getattr(registers, name)), surroundings.read))
        try:
            return function(*(_parameter(scope, name, hit, state[-1]) for name in parameters))
        finally:
            at_hit.pop()
            state.pop()

    return call


def _parameter(scope: Scope, name: str, hit: _Hit, state: State) -> Any:
    if name == "hit":
        return hit
    found = scope.arguments.get(name)
    return getattr(hit.regs, name) if found is None else to_python(found, state)


def _build(scope: Scope, at_hit: list[Surroundings], state: list[State], most: int) -> Callable[..., Any]:
    """Compile a function and those that it calls."""
    names: dict[str, Any] = {**HELPERS, "__shift_left": shift_left, "cast": partial(_cast, scope, state)}
    for kind in (Type(bits, signed) for bits in _SIZES for signed in (False, True)):
        names[f"__{kind.name}"] = kind
        names[kind.name] = partial(_read, at_hit, kind.bits // 8, kind.signed)
    names["string"] = lambda address: _String(address, at_hit[-1].read)
    names |= scope.outside
    names["__emit"] = partial(_emit, at_hit, most)
    shapes = [shape for shape in map(scope.handler.shape_of, scope.handler.maps) if shape is not None]
    names["__add"], names["__put"] = partial(_add, at_hit, shapes), partial(_put, at_hit, shapes)
    names["__get"], names["__pop"] = partial(_get, at_hit, shapes), partial(_pop, at_hit, shapes)
    names["__skip"], names["__set_result"] = _skip, partial(_set_result, at_hit)
    names["__bucket"] = bucket_of
    names["__shapes"] = shapes
    names |= {f"__{inner.number}": _build(inner, at_hit, state, most) for inner in scope.calls.values()}
    function = _Rewriter(scope).visit(scope.source.tree)
    function.decorator_list, function.returns = [], None
    for argument in (*function.args.posonlyargs, *function.args.args):
        argument.annotation = None
    module = ast.fix_missing_locations(ast.Module([function], []))
    exec(compile(module, scope.source.filename, "exec", dont_inherit=True), names)  # noqa: S102 - it was checked
    return names[scope.source.name]  # type: ignore[no-any-return]


def _read(at_hit: list[Surroundings], size: int, signed: bool, address: int) -> int:
    return int.from_bytes(at_hit[-1].read(address, size), "little", signed=signed)


def _cast(scope: Scope, state: list[State], name: str, address: int) -> Any:
    return value_as(scope.handler.known_names().type_named(name), address, state[-1])


def _add(at_hit: list[Surroundings], shapes: Sequence[MapShape], number: int, key: Any, amount: int) -> None:
    at_hit[-1].add(number, _key(shapes[number], key), amount)


def _get(at_hit: list[Surroundings], shapes: Sequence[MapShape], number: int, key: Any) -> int:
    return at_hit[-1].get(number, _key(shapes[number], key))


def _key(shape: MapShape, key: Any) -> Key:
    if not shape.key:
        return int(key)
    given = key if isinstance(key, tuple) else (key,)
    return tuple(
        read_text(one.read, one.address, 4 * part.words) if part.text else one
        for part, one in zip(shape.key, given, strict=True)
    )


def _pop(at_hit: list[Surroundings], shapes: Sequence[MapShape], number: int, key: Any) -> int:
    return at_hit[-1].pop(number, _key(shapes[number], key))


def _put(at_hit: list[Surroundings], shapes: Sequence[MapShape], number: int, key: Any, value: int) -> None:
    at_hit[-1].put(number, _key(shapes[number], key), value)


def _skip(words: int, value: int = 0) -> None:
    raise _Skip([value >> 32 * number & _WORD for number in range(words)])


def _set_result(at_hit: list[Surroundings], value: int) -> None:
    at_hit[-1].set_result(value & _WORD)


def _emit(at_hit: list[Surroundings], most: int, **fields: Callable[[], int | _String]) -> None:
    """`most`: the bytes that are kept of a string."""
    values: dict[str, int | bytes | None] = {}
    for name, compute in fields.items():
        try:
            value = compute()
            if isinstance(value, _String):
                values[name] = read_text(value.read, value.address, most)
            else:
                values[name] = int(value)
        except (Fault, IndexError):
            values[name] = None
    at_hit[-1].record(values)


class _Rewriter(ast.NodeTransformer):
    """Puts the reduction to words, and the surroundings, into the tree of a checked function."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        return self._wrap(node, self.generic_visit(node))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        return self._wrap(node, self.generic_visit(node))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if isinstance(node.target, ast.Subscript):
            key, amount = self.visit(node.target.slice), self.visit(node.value)
            return ast.copy_location(ast.Expr(self._update("__add", node.target.value, key, amount)), node)
        assert isinstance(node.target, ast.Name)
        result = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, self.visit(node.value))
        return ast.copy_location(ast.Assign([node.target], self._wrap(node, ast.copy_location(result, node))), node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        target = node.targets[0]
        if isinstance(target, ast.Attribute):
            update = ast.Call(ast.Name("__set_result", ast.Load()), [self.visit(node.value)], [])
            return ast.copy_location(ast.Expr(update), node)
        if not isinstance(target, ast.Subscript):
            return self.generic_visit(node)
        key, value = self.visit(target.slice), self.visit(node.value)
        return ast.copy_location(ast.Expr(self._update("__put", target.value, key, value)), node)

    def visit_Delete(self, node: ast.Delete) -> list[ast.stmt]:
        removed: list[ast.stmt] = []
        for target in node.targets:
            assert isinstance(target, ast.Subscript)
            pop = self._update("__pop", target.value, self.visit(target.slice))
            removed.append(ast.copy_location(ast.Expr(pop), node))
        return removed

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if not is_map(self._scope, node.value):
            return self.generic_visit(node)
        return ast.copy_location(self._update("__get", node.value, self.visit(node.slice)), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr != "total" or not is_map(self._scope, node.value):
            return self.generic_visit(node)
        return ast.copy_location(self._update("__get", node.value, ast.Constant(0)), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        inner, skips = self._scope.calls.get(node), self._scope.skips.get(node)
        self.generic_visit(node)
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr == "add":
            amount = node.args[0] if node.args else ast.Constant(1)
            return ast.copy_location(self._update("__add", function.value, ast.Constant(0), amount), node)
        if isinstance(function, ast.Attribute) and function.attr == "pop":
            return ast.copy_location(self._update("__pop", function.value, node.args[0]), node)
        if isinstance(function, ast.Attribute) and function.attr == "observe":
            number = ast.Constant(self._number(function.value))
            shape = ast.Subscript(ast.Name("__shapes", ast.Load()), number, ast.Load())
            key = ast.Call(ast.Name("__bucket", ast.Load()), [node.args[0], shape], [])
            return ast.copy_location(self._update("__add", function.value, key, ast.Constant(1)), node)
        if not isinstance(function, ast.Name):
            return node
        if inner is not None:
            function.id = f"__{inner.number}"
        elif skips is not None:
            function.id, node.args = "__skip", [ast.Constant(skips), *node.args]
        elif function.id == "emit":
            function.id = "__emit"
            for keyword in node.keywords:
                nothing = ast.arguments([], [], None, [], [], None, [])
                keyword.value = ast.copy_location(ast.Lambda(nothing, keyword.value), keyword.value)
        return node

    def _wrap(self, key: ast.AST, node: Any) -> Any:
        kind = self._scope.wraps.get(key)
        if kind is None:
            return node
        word = ast.Name(f"__{kind.name}", ast.Load())
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
            new = ast.Call(ast.Name("__shift_left", ast.Load()), [word, node.left, node.right], [])
        else:
            new = ast.Call(ast.Attribute(word, "wrap", ast.Load()), [node], [])
        return ast.copy_location(new, node)

    def _update(self, how: str, name: ast.expr, key: ast.expr, *amount: ast.expr) -> ast.Call:
        return ast.Call(ast.Name(how, ast.Load()), [ast.Constant(self._number(name)), key, *amount], [])

    def _number(self, name: ast.expr) -> int:
        assert isinstance(name, ast.Name)
        wanted = self._scope.outside[name.id]
        return next(number for number, known in enumerate(self._scope.handler.maps) if known is wanted)
