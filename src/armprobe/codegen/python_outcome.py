"""Checks what compiled handlers do to the call: skip the function, and set its result."""

from __future__ import annotations

import ast

from armprobe.codegen import python_tree as tree
from armprobe.codegen.python_scope import PlaceNeededError, Scope, check_number, typed
from armprobe.codegen.words import U32


def check_skip(scope: Scope, call: ast.Call) -> tree.Skip:
    """`skip()` and `skip(VALUE)`: end the handler, and the call before it begins."""
    source, handler = scope.source, scope.handler
    for keyword in call.keywords:
        raise source.error(keyword.value, "skip() takes its argument by position")
    if len(call.args) > 1:
        raise source.error(call, f"skip() takes one argument at most, not {len(call.args)}")
    if scope.condition:
        raise source.error(call, "a condition only looks: it skips nothing", hint="let the handler skip")
    if handler.at_return:
        raise source.error(call, "the function has run: it can't be skipped any more",
                           hint="hit.retval = VALUE changes its result")  # fmt: skip
    value = typed(scope, call.args[0], check_number(scope, call.args[0])) if call.args else None
    words = value.type.bits // 32 if value is not None else 0
    handler.skips = True
    handler.results = max(handler.results, words, 1)
    scope.skips[call] = words
    scope.reachable = False
    return tree.Skip(value)


def check_result(scope: Scope, node: ast.Attribute) -> tree.Result:
    """`hit.retval`, as a value."""
    _need_return(scope, node, hint="")
    return tree.Result(U32)


def check_set_result(scope: Scope, target: ast.Attribute, node: ast.expr) -> tree.SetResult:
    """`hit.retval = VALUE`."""
    _need_return(scope, target, hint="skip(VALUE) leaves a function with a result before it runs")
    value = typed(scope, node, check_number(scope, node))
    if value.type.bits != U32.bits:
        raise scope.source.error(node, f"hit.retval is one word, and this is {value.type.name}",
                                 hint="as_u32() takes the lower half")  # fmt: skip
    scope.handler.results = 1
    return tree.SetResult(value)


def is_result(scope: Scope, node: ast.expr) -> bool:
    """Whether a target of an assignment is `hit.retval`."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "retval"
        and isinstance(node.value, ast.Name)
        and scope.parameters.get(node.value.id, 0) is None
    )


def _need_return(scope: Scope, node: ast.AST, hint: str) -> None:
    if scope.handler.at_return is None:
        raise PlaceNeededError
    if not scope.handler.at_return:
        raise scope.source.error(node, "there is no result before a function has returned", hint=hint)
