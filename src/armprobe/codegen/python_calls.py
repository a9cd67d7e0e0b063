"""Checks the calls in compiled handlers: helpers, and other functions, which are inlined."""

from __future__ import annotations

import ast
import re
from types import FunctionType

from armprobe.codegen import python_tree as tree
from armprobe.codegen.python_objects import find_object, is_aggregate, variable_of
from armprobe.codegen.python_scope import Scope, Value, check_number, typed, unify
from armprobe.codegen.python_source import read_source
from armprobe.codegen.words import BOOL, U32, Type
from armprobe.errors import UsageError

MAX_DEPTH = 16
_CONVERSION = re.compile(r"as_([us])(8|16|32|64)")
_READ = re.compile(r"([us])(8|16|32|64)")
HELPERS = "helpers are log2, min, max, as_u8 to as_s64, u8 to s64, string, cast, emit, and skip"


def check_call(scope: Scope, node: ast.Call) -> Value:
    """The value of a call; that of a function without a value is an Inline without a result."""
    if not isinstance(node.func, ast.Name):
        raise scope.source.error(node, "only functions and helpers are called in a compiled handler", hint=HELPERS)
    name = node.func.id
    if name in ("emit", "skip") and scope.is_helper(name):
        raise scope.source.error(node, f"{name}() has no value", hint="write it on a line of its own")
    for argument in (*node.args, *node.keywords):
        if isinstance(argument, ast.Starred | ast.keyword):
            raise scope.source.error(
                argument if isinstance(argument, ast.Starred) else argument.value,
                f"{name}() takes arguments by position here",
            )
    if scope.is_helper(name):
        helper = _check_helper(scope, node, name)
        if helper is not None:
            return helper
    if name in scope.local_names or name in scope.parameters:
        raise scope.source.error(node, f"{name!r} is a variable, no function", hint=HELPERS)
    function = scope.lookup(node.func)
    if not isinstance(function, FunctionType):
        raise scope.source.error(node, f"{name}() can't be called in a compiled handler",
                          hint=f"functions written in Python can; {HELPERS}")  # fmt: skip
    return _inline(scope, node, function)


def _check_helper(scope: Scope, node: ast.Call, name: str) -> Value | None:
    if name in ("min", "max"):
        if len(node.args) < 2:
            raise scope.source.error(node, f"{name}() takes two or more numbers")
        values = [(argument, check_number(scope, argument)) for argument in node.args]
        return _extreme(scope, node, name, values)
    match = _CONVERSION.fullmatch(name) or _READ.fullmatch(name)
    if name != "log2" and match is None:
        return None
    if len(node.args) != 1:
        raise scope.source.error(node, f"{name}() takes one argument, not {len(node.args)}")
    argument = node.args[0]
    if match is None:
        return _check_log2(scope, argument)
    bits, signed = int(match[2]), match[1] == "s"
    kind = Type(max(bits, 32), signed)
    if match.re is _READ:
        scope.handler.reads += 1
        value = check_number(scope, argument)
        if not isinstance(value, int) and value.type != U32:
            raise scope.source.error(
                argument, f"an address is u32, and this is {value.type.name}", hint="as_u32() converts"
            )
        return tree.Read(kind, scope.adapt(argument, value, U32), bits, signed)
    value = scope.handler.check_value(scope, argument)
    if isinstance(value, int):
        return tree.Constant(kind, Type(bits, signed).wrap(value))
    if value.type == BOOL:
        value = tree.Choice(U32, value, tree.Constant(U32, 1), tree.Constant(U32, 0))
    if bits > value.type.bits:
        return tree.Convert(kind, value, value.type.bits, value.type.signed)
    return tree.Convert(kind, value, bits, signed)


def _check_log2(scope: Scope, argument: ast.expr) -> Value:
    value = check_number(scope, argument)
    if isinstance(value, int):
        if value < 0:
            raise scope.source.error(argument, f"{value} has no logarithm")
        return tree.Constant(U32, max(value.bit_length() - 1, 0))
    if value.type.signed:
        raise scope.source.error(argument, f"log2() takes an unsigned number, and this is {value.type.name}",
                          hint=f"as_u{value.type.bits}() converts")  # fmt: skip
    return tree.Log2(U32, value)


def _extreme(scope: Scope, node: ast.Call, name: str, values: list[tuple[ast.expr, Value]]) -> Value:
    numbers = [value for _, value in values if isinstance(value, int)]
    if len(numbers) == len(values):
        return min(numbers) if name == "min" else max(numbers)
    result, *others = unify(scope, node, *values)
    for other in others:
        result = tree.Binary(result.type, name, result, other)
    return result


def _inline(scope: Scope, node: ast.Call, function: FunctionType) -> Value:
    name = function.__name__
    chain = (*scope.callers, scope)
    if any(caller.source.function is function for caller in chain):
        raise scope.source.error(node, f"{name}() calls itself, and might never end")
    if len(chain) > MAX_DEPTH:
        raise scope.source.error(node, f"calls are nested more than {MAX_DEPTH} deep")
    try:
        source = read_source(function)
    except UsageError as error:
        raise scope.source.error(node, f"{name}() can't be inlined: {error.message}", hint=error.hint) from None
    inner = Scope(scope.handler, source, callers=chain, passes=scope.passes)
    parameters = positional_parameters(inner)
    if len(parameters) != len(node.args):
        raise scope.source.error(node, f"{name}() takes {len(parameters)} arguments, not {len(node.args)}")
    inner.local_names = assigned_names(source.tree)
    body: list[tree.Statement] = []
    for parameter, argument in zip(parameters, node.args, strict=True):
        found = find_object(scope, argument)
        if found is not None and is_aggregate(found):
            if parameter in inner.local_names:
                raise source.error(source.tree, f"{parameter!r} is {found.kind}, and is not assigned to")
            inner.objects[parameter] = found
            continue
        value = scope.handler.check_value(scope, argument)
        if isinstance(value, int) and parameter not in inner.local_names:
            inner.parameters[parameter] = value
            continue
        inner.local_names |= {parameter}
        if isinstance(value, int):
            value = typed(scope, argument, value)
        inner.types[parameter] = value.type
        inner.assigned.add(parameter)
        body.append(tree.Assign(inner.name(parameter), value))
        pointer = None if found is None else variable_of(found, parameter, tree.Local(U32, inner.name(parameter)))
        if pointer is not None:
            inner.objects[parameter] = pointer
    scope.calls[node] = inner
    body += scope.handler.check_body(inner)
    if inner.returns is None:
        return tree.Inline(BOOL, tuple(body), None)
    if inner.reachable or inner.returns_nothing:
        raise source.error(source.tree, f"{name}() returns a value on some ways, and none on others")
    return tree.Inline(inner.returns, tuple(body), inner.name("return"))


def positional_parameters(scope: Scope) -> list[str]:
    """The names of the parameters; refuses all but plain positional ones."""
    arguments = scope.source.tree.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
        raise scope.source.error(
            scope.source.tree, f"{scope.source.name}() has parameters with * or default values", hint="use plain ones"
        )
    return [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]


def assigned_names(function: ast.FunctionDef) -> frozenset[str]:
    """Every name that the function assigns to."""
    return frozenset(
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
