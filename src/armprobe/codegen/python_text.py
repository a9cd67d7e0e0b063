"""Checks what compiled handlers do with strings, `string(address)` and `hit.comm`: they compare and record them."""

from __future__ import annotations

import ast
from collections.abc import Callable

from armprobe.codegen import python_tree as tree
from armprobe.codegen.python_moments import check_moment, is_task_name
from armprobe.codegen.python_scope import Scope
from armprobe.codegen.text_pattern import TextPattern, begins_with, contains, ends_with, exactly
from armprobe.codegen.words import BOOL, TEXT, U32

MAX_TEXT = 64
_METHODS: dict[str, Callable[[bytes], TextPattern]] = {"startswith": begins_with, "endswith": ends_with}
_HINT = 'compare it, string(r0) == "eth0", or write emit(name=string(r0))'


def is_text(scope: Scope, node: ast.expr) -> bool:
    """Whether an expression is a call of string(), or the name of the task."""
    return is_task_name(scope, node) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "string"
        and scope.is_helper("string")
    )  # fmt: skip


def check_text(scope: Scope, node: ast.expr) -> tree.ReadText:
    """The string that a call of string() reads, or the name of the task."""
    if isinstance(node, ast.Attribute):
        return tree.ReadText(TEXT, check_moment(scope, node))
    assert isinstance(node, ast.Call)
    if len(node.args) != 1 or node.keywords:
        raise scope.source.error(node, "string() takes one argument, the address")
    argument = node.args[0]
    scope.handler.reads += 1
    value = scope.handler.check_value(scope, argument)
    if not isinstance(value, int) and value.type != U32:
        raise scope.source.error(
            argument, f"an address is u32, and this is {value.type.name}", hint="as_u32() converts"
        )
    return tree.ReadText(TEXT, scope.adapt(argument, value, U32))


def check_text_comparison(scope: Scope, node: ast.Compare) -> tree.Expression | None:
    """A comparison of a string; None for one of anything else."""
    operands = [node.left, *node.comparators]
    if not any(is_text(scope, operand) for operand in operands):
        return None
    (left, right), op = (operands[0], operands[1]), node.ops[0]
    if isinstance(op, ast.In | ast.NotIn) and len(operands) == 2 and is_text(scope, right):
        pattern = contains(_plain(scope, left))
        return tree.MatchText(BOOL, check_text(scope, right).address, pattern, isinstance(op, ast.In))
    if len(operands) != 2 or not isinstance(op, ast.Eq | ast.NotEq):
        raise scope.source.error(node, "a string is compared with ==, != or in", hint=_HINT)
    text, plain = (left, right) if is_text(scope, left) else (right, left)
    return tree.MatchText(BOOL, check_text(scope, text).address, exactly(_plain(scope, plain)), isinstance(op, ast.Eq))


def check_text_method(scope: Scope, node: ast.Call) -> tree.Expression | None:
    """A call such as string(r0).startswith("eth"); None for one of anything else."""
    function = node.func
    if not isinstance(function, ast.Attribute) or not is_text(scope, function.value):
        return None
    make = _METHODS.get(function.attr)
    if make is None or len(node.args) != 1 or node.keywords:
        raise scope.source.error(node, "a string has startswith(TEXT) and endswith(TEXT) here", hint=_HINT)
    return tree.MatchText(BOOL, check_text(scope, function.value).address, make(_plain(scope, node.args[0])), True)


def refuse_text(scope: Scope, node: ast.expr) -> None:
    """Raise UsageError for a string where a number is wanted."""
    if is_text(scope, node):
        raise scope.source.error(node, "a string is no value of its own", hint=_HINT)


def _plain(scope: Scope, node: ast.expr) -> bytes:
    value = node.value if isinstance(node, ast.Constant) else scope.lookup(node) if isinstance(node, ast.Name) and (
        node.id not in scope.local_names and node.id not in scope.parameters
    ) else None  # fmt: skip
    if not isinstance(value, str):
        raise scope.source.error(node, "a string is compared with plain text", hint=_HINT)
    text = value.encode()
    if len(text) > MAX_TEXT or 0 in text:
        raise scope.source.error(node, f"text to compare with has at most {MAX_TEXT} bytes, and none of them is 0")
    return text
