"""Checks what compiled handlers ask of the hit itself: its time, its processor, its task."""

from __future__ import annotations

import ast

from armprobe.codegen import python_tree as tree
from armprobe.codegen.python_scope import Scope
from armprobe.codegen.words import U32, U64


def check_moment(scope: Scope, node: ast.Attribute) -> tree.Moment:
    """The time, the processor or the task of the hit."""
    handler = scope.handler
    if node.attr == "time" and scope.condition:
        raise scope.source.error(node, "a condition does not know the time of the hit")
    if node.attr in handler.lacking:
        hint = "" if node.attr == "time" else "a live kernel has them"
        raise scope.source.error(node, handler.lacking[node.attr], hint=hint)
    handler.moment.add(node.attr)
    return tree.Moment(U64 if node.attr == "time" else U32, node.attr)


def is_task_name(scope: Scope, node: ast.expr) -> bool:
    """Whether an expression is `hit.comm`."""
    return (
        isinstance(node, ast.Attribute) and node.attr == "comm" and isinstance(node.value, ast.Name)
        and node.value.id in scope.parameters and scope.parameters[node.value.id] is None
    )  # fmt: skip
