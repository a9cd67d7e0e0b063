"""The source of a Python function, and errors that point into it."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from armprobe.errors import UsageError


@dataclass(frozen=True, slots=True)
class Source:
    """A function and a syntax tree of its own, whose line and column numbers are those of the file."""

    function: FunctionType
    tree: ast.FunctionDef

    @property
    def filename(self) -> str:
        return self.function.__code__.co_filename

    @property
    def name(self) -> str:
        return self.tree.name

    def lookup(self, name: str) -> Any:
        """The value of a name outside of the function: of an enclosing function, or of the module.

        Raises KeyError when there is none, ValueError when it has no value yet.
        """
        free = self.function.__code__.co_freevars
        if name in free:
            assert self.function.__closure__ is not None
            return self.function.__closure__[free.index(name)].cell_contents
        return self.function.__globals__[name]

    def error(self, node: ast.AST, message: str, *, hint: str = "") -> UsageError:
        """The error to raise, with the place of `node` as evidence: `file:line`, the line, a caret."""
        line, column = getattr(node, "lineno", self.tree.lineno), getattr(node, "col_offset", 0)
        text = linecache.getline(self.filename, line).rstrip("\n")
        before = text.encode()[:column].decode()
        caret = "".join("\t" if character == "\t" else " " for character in before) + "^"
        return UsageError(message, evidence=f"{self.filename}:{line}\n{text}\n{caret}", hint=hint)


def read_source(function: Callable[..., object], *, expression: bool = False) -> Source:
    """Find the source of a function; with `expression`, a lambda too, as a function that returns its value.

    Raises UsageError when it is no function written with `def`, or when its file does not hold it (any more).
    """
    if not isinstance(function, FunctionType) or (function.__name__ == "<lambda>" and not expression):
        raise UsageError(
            f"a compiled handler is a Python function, not {function!r}", hint="write it with def, and give its name"
        )
    code = function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno}"
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename, function.__globals__))
    parsed = _parse(text, code.co_filename)
    if parsed is not None and function.__name__ == "<lambda>" and code in parsed[1]:
        return Source(function, _lambda(parsed[0], code))
    if parsed is not None:
        for node in ast.walk(parsed[0]):
            if isinstance(node, ast.FunctionDef) and node.name == code.co_name and code in parsed[1]:
                if min([node.lineno, *(item.lineno for item in node.decorator_list)]) == code.co_firstlineno:
                    return Source(function, deepcopy(node))
    raise UsageError(
        f"the source of {function.__name__}() is not at {where}, and a handler is compiled from its source",
        hint="put the function into a file, and start again when the file was changed",
    )


def _lambda(module: ast.Module, code: CodeType) -> ast.FunctionDef:
    """The lambda with that code as a function. Raises UsageError where several begin at one line and look alike."""
    found = [node for node in ast.walk(module) if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno]
    if len(found) > 1:
        places = [place for place in code.co_positions() if None not in place]
        found = [node for node in found if any(_is_at(node.body, place) for place in places)]
        widest = max((node.end_col_offset or 0) - node.col_offset for node in found)
        found = [node for node in found if (node.end_col_offset or 0) - node.col_offset == widest]
    if len(found) != 1:
        where = f"{code.co_filename}:{code.co_firstlineno}"
        raise UsageError(f"there are several lambdas at {where}", hint="write each on a line of its own")
    node = deepcopy(found[0])
    value = ast.copy_location(ast.Return(node.body), node.body)
    return ast.copy_location(ast.FunctionDef("_lambda_", node.args, [value], [], None), node)


def _is_at(node: ast.expr, place: tuple[int | None, ...]) -> bool:
    """Whether an instruction of that place computes the value of the node."""
    return place == (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset)


@lru_cache(maxsize=32)
def _parse(text: str, filename: str) -> tuple[ast.Module, frozenset[CodeType]] | None:
    """The tree of a file, and the code of all its functions: a file that was changed has other code."""
    try:
        tree = ast.parse(text, filename)
        return tree, frozenset(_functions(compile(tree, filename, "exec", dont_inherit=True)))
    except SyntaxError:
        return None


def _functions(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _functions(constant)
