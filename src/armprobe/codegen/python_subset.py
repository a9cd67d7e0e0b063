"""The Python subset of compiled handlers: a function to a checked tree, or a refusal that points at the line.

A handler takes registers (`r0` to `r12`, `sp`, `lr`, `pc`, `cpsr`), the hit (`hit.pc`, `hit.probe`, `hit.regs.r0`), and
arguments and variables of the program that debug information knows at its place.
docs/handlers.md is the reference of the language; tests/codegen/test_python_semantics.py holds both sides to it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from armprobe.codegen import python_tree as tree
from armprobe.codegen.map_layout import MapShape
from armprobe.codegen.python_calls import assigned_names, check_call, positional_parameters
from armprobe.codegen.python_expressions import check_operation, check_truth, check_value, register_named
from armprobe.codegen.python_maps import check_map_add, check_map_call, check_map_delete, check_map_pop, check_map_put
from armprobe.codegen.python_moments import is_task_name
from armprobe.codegen.python_objects import Names, find_object, is_same, read_object, variable_of
from armprobe.codegen.python_outcome import check_set_result, check_skip, is_result
from armprobe.codegen.python_scope import MAX_PASSES, Handler, Scope, check_number, typed
from armprobe.codegen.python_source import Source as Text
from armprobe.codegen.python_source import read_source
from armprobe.codegen.python_text import check_text, is_text
from armprobe.codegen.words import BOOL, TEXT, U32, Type, word_for
from armprobe.errors import UsageError
from armprobe.events.record import NAMED_TYPES, FieldType, make_layout
from armprobe.events.source import Computed, Source
from armprobe.symbols.data import Object

MAX_FIELDS = 31
_WORDS = {ast.While: "while", ast.Assert: "assert", ast.Raise: "raise", ast.Try: "try", ast.With: "with",
          ast.Import: "import", ast.ImportFrom: "import", ast.FunctionDef: "a function in a function",
          ast.ClassDef: "a class", ast.Global: "global", ast.Nonlocal: "nonlocal",
          ast.Match: "match", ast.AnnAssign: "an annotation"}  # fmt: skip
_HINTS = {ast.While: "for ... in range(N) is, with a plain number N: it ends", ast.AnnAssign: "write NAME = VALUE"}

#: for targets that know everything of a hit
NOTHING_LACKING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Checked:
    """A checked handler, and what the host needs to run the same function: its scope and the maps it adds to."""

    program: tree.Program
    scope: Scope
    maps: tuple[object, ...]


def check_handler(
    function: Callable[..., object],
    shape_of: Callable[[object], MapShape | None],
    names: Names | None = None,
    *,
    common: tuple[tuple[str, Source, FieldType], ...] = (),
    lacking: Mapping[str, str] = NOTHING_LACKING,
    at_return: bool | None = False,
) -> Checked:
    """Check a function; `shape_of` tells what map a value is, None for what is no map.

    `names` are those of the program at the place of the handler, `common` the fields that all records of the target
    have, `lacking` what the target does not know of a hit (`time`, `pid`...), and why. `at_return`: it runs when a
    function has returned; where that is None, what depends on it raises PlaceNeededError. Raises UsageError with the
    file and line, the source line and a caret as evidence.
    """
    try:
        return _check(function, shape_of, names, common, lacking, at_return)
    except RecursionError:
        raise UsageError(f"{function.__name__}() is nested too deeply to be compiled") from None


def check_condition(
    function: Callable[..., object],
    shape_of: Callable[[object], MapShape | None],
    names: Names | None = None,
    *,
    lacking: Mapping[str, str] = NOTHING_LACKING,
) -> tuple[tree.Condition, Scope]:
    """Check a function, or a lambda, that decides whether a hit counts; its scope is for the host.

    What it asks of the hit is in `scope.handler.moment`, and the maps that it reads in `scope.handler.maps`: both have
    yet to be put into the condition.

    Raises UsageError like `check_handler`.
    """
    try:
        scope, start = _begin(read_source(function, expression=True), shape_of, names)
        scope.condition, scope.handler.lacking = True, lacking
        body = (*start, *_check_body(scope))
    except RecursionError:
        raise UsageError(f"{function.__name__}() is nested too deeply to be compiled") from None
    source, handler = scope.source, scope.handler
    if scope.returns is None or scope.returns_nothing or scope.reachable:
        raise source.error(source.tree, "a condition returns whether it holds, on every way")
    if handler.fields is not None:
        raise source.error(source.tree, "a condition only looks: it emits nothing", hint="let the handler emit")
    return tree.Condition(tree.Inline(BOOL, body, scope.name("return")), handler.reads > 0), scope


def _check(
    function: Callable[..., object],
    shape_of: Callable[[object], MapShape | None],
    names: Names | None,
    common: tuple[tuple[str, Source, FieldType], ...],
    lacking: Mapping[str, str],
    at_return: bool | None,
) -> Checked:
    scope, start = _begin(read_source(function), shape_of, names)
    scope.handler.lacking, scope.handler.at_return = lacking, at_return
    body = (*start, *_check_body(scope))
    handler = scope.handler
    layout = None
    if handler.fields is not None:
        shared = {name: (source, kind) for name, source, kind in common}
        layout = make_layout(
            (
                (name, *shared["comm"])
                if name in handler.task_names
                else (name, Computed(name in handler.faults), _field_type(kind))
                for name, kind in handler.fields.items()
            ),
            common=common,
        )
    shapes = tuple(shape for shape in map(shape_of, handler.maps) if shape is not None)
    program = tree.Program(
        body, shapes, layout, handler.reads > 0, frozenset(handler.moment), frozenset(handler.entry), handler.results,
        handler.skips,
    )  # fmt: skip
    return Checked(program, scope, tuple(handler.maps))


def _field_type(kind: Type) -> FieldType:
    """How a value is stored in a record."""
    return NAMED_TYPES["string"] if kind == TEXT else FieldType(max(kind.bits // 8, 1), "s" if kind.signed else "u")


def _begin(
    source: Text, shape_of: Callable[[object], MapShape | None], names: Names | None
) -> tuple[Scope, list[tree.Statement]]:
    """The scope of a function with its parameters, and what it begins with."""
    scope = Scope(Handler(shape_of, check_value, _check_body, names), source)
    for name in positional_parameters(scope):
        register = register_named(name)
        if register is None and name != "hit":
            scope.objects[name] = scope.arguments[name] = _named(scope, name)
        else:
            scope.parameters[name] = register
    # A parameter that is assigned to becomes a variable that begins as the register.
    local_names = assigned_names(source.tree)
    start: list[tree.Statement] = []
    for name, value in scope.parameters.items():
        if name in local_names and isinstance(value, tree.Register):
            scope.types[name] = U32
            scope.assigned.add(name)
            start.append(tree.Assign(scope.name(name), value))
    for name, found in list(scope.objects.items()):
        if name in local_names:
            value = read_object(scope, source.tree, found)
            scope.types[name] = value.type
            scope.assigned.add(name)
            start.append(tree.Assign(scope.name(name), value))
            pointer = variable_of(found, name, tree.Local(U32, scope.name(name)))
            del scope.objects[name]
            if pointer is not None:
                scope.objects[name] = pointer
    if "hit" in local_names and "hit" in scope.parameters:
        raise source.error(source.tree, "the hit is not assigned to")
    scope.local_names = local_names
    return scope, start


def _named(scope: Scope, name: str) -> Object:
    """The argument or variable of the program that a parameter of the handler is called after."""
    source = scope.source
    if scope.handler.names is None:
        raise source.error(source.tree, f"the parameter {name!r} is no register",
                    hint="a compiled handler takes r0 to r12, sp, lr, pc, cpsr, or hit")  # fmt: skip
    try:
        return scope.handler.known_names().variable(name)
    except UsageError as error:
        raise source.error(source.tree, error.message, hint=error.hint) from None


def _check_body(scope: Scope) -> tuple[tree.Statement, ...]:
    body = scope.source.tree.body
    if (
        isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    ):
        body = body[1:]
    return _check_block(scope, body)


def _check_block(scope: Scope, nodes: list[ast.stmt]) -> tuple[tree.Statement, ...]:
    checked: list[tree.Statement] = []
    for node in nodes:
        if not scope.reachable:
            raise scope.source.error(node, "this is never reached")
        checked += _check_statement(scope, node)
    return tuple(checked)


def _check_statement(scope: Scope, node: ast.stmt) -> list[tree.Statement]:
    match node:
        case ast.Pass():
            return []
        case ast.Assign([ast.Attribute() as target], value) if is_result(scope, target):
            return [check_set_result(scope, target, value)]
        case ast.Assign([ast.Name(name)], value):
            return [_assign(scope, name, value, check_value(scope, value))]
        case ast.AugAssign(ast.Name(name) as target, op, value):
            if name in scope.objects:
                raise scope.source.error(node, f"{name!r} is {scope.objects[name].kind}, which is not computed with",
                                         hint=f"{name}[1] is what comes behind it")  # fmt: skip
            load = ast.copy_location(ast.Name(name, ast.Load()), target)
            result = check_operation(scope, node, op, (load, check_number(scope, load)), value)
            return [_assign(scope, name, target, result)]
        case ast.AugAssign(ast.Subscript() as target, op, value):
            return [check_map_add(scope, node, target, op, value)]
        case ast.Assign([ast.Subscript() as target], value):
            return [check_map_put(scope, node, target, value)]
        case ast.Delete():
            return check_map_delete(scope, node)
        case ast.Expr(ast.Call(ast.Attribute()) as call) if (update := check_map_call(scope, call)) is not None:
            return update
        case ast.Expr(ast.Call() as call):
            return [_check_call_statement(scope, call)]
        case ast.If(test, body, orelse):
            with scope.nested(node):
                return [_check_if(scope, check_truth(scope, test), body, orelse)]
        case ast.For():
            return [_check_for(scope, node)]
        case ast.Break() | ast.Continue():
            scope.reachable = False
            return [tree.Break() if isinstance(node, ast.Break) else tree.Continue()]
        case ast.Return(value):
            return [_check_return(scope, node, value)]
        case ast.Assign():
            raise scope.source.error(node, "only variables are assigned to, one at a time",
                              hint="a map is added to: map[KEY] += 1")  # fmt: skip
        case ast.Expr(value):
            check_value(scope, value)
            raise scope.source.error(node, "this has no effect")
    word = _WORDS.get(type(node), "this statement")
    raise scope.source.error(node, f"{word} is not there in compiled handlers", hint=_HINTS.get(type(node), ""))


def _assign(scope: Scope, name: str, where: ast.expr, value: int | tree.Expression) -> tree.Assign:
    kind = scope.types.get(name)
    _note_pointer(scope, name, where, value)
    checked = typed(scope, where, value) if kind is None else scope.adapt(where, value, kind)
    scope.types[name] = checked.type
    scope.assigned.add(name)
    return tree.Assign(scope.name(name), checked)


def _note_pointer(scope: Scope, name: str, where: ast.expr, value: int | tree.Expression) -> None:
    """Remember what a variable points to; it is the same type wherever it is assigned to."""
    known = scope.objects.get(name)
    found = find_object(scope, where)
    pointer = None if found is None else variable_of(found, name, tree.Local(U32, scope.name(name)))
    if known is None:
        if pointer is not None and name not in scope.types:
            scope.objects[name] = pointer
    elif not isinstance(value, int) and (pointer is None or not is_same(known.type, pointer.type)):
        other = pointer.kind if pointer is not None else f"a number, {value.type.name}"
        raise scope.source.error(
            where, f"{name!r} is {known.kind}, and this is {other}",
            hint=f'use another variable, or cast("{known.type.name}", ...)',
        )  # fmt: skip


def _check_if(scope: Scope, condition: tree.Expression, body: list[ast.stmt], orelse: list[ast.stmt]) -> tree.Statement:
    before = set(scope.assigned)
    then = _check_block(scope, body)
    then_assigned, then_reachable = scope.assigned, scope.reachable
    scope.assigned, scope.reachable = before, True
    other = _check_block(scope, orelse)
    if then_reachable:
        scope.assigned = then_assigned & scope.assigned if scope.reachable else then_assigned
        scope.reachable = True
    return tree.If(condition, then, other)


def _check_for(scope: Scope, node: ast.For) -> tree.Statement:
    source = scope.source
    if not isinstance(node.target, ast.Name):
        raise source.error(node.target, "a loop has one variable")
    if node.orelse:
        raise source.error(node.orelse[0], "else of a loop is not there in compiled handlers")
    values = _check_range(scope, node.iter)
    name, kind = node.target.id, scope.types.get(node.target.id)
    scope.objects.pop(name, None)
    ends = [values[0], values[-1]] if values else [0]
    kind = kind or word_for(*ends)
    if kind is None or not all(map(kind.holds, ends)):
        raise source.error(node.iter, f"no word holds all of {values!r}" if kind is None else
                           f"{name!r} is {kind.name}, which does not hold all of {values!r}")  # fmt: skip
    scope.types[name] = kind
    passes, assigned = scope.passes, set(scope.assigned)
    scope.passes *= max(len(values), 1)
    if scope.passes > MAX_PASSES:
        raise source.error(node, f"this loop runs up to {scope.passes} times for one hit, and {MAX_PASSES} is the most")
    scope.assigned.add(name)
    body = _check_block(scope, node.body)
    # Its last pass may have ended anywhere.
    scope.passes, scope.assigned, scope.reachable = passes, assigned, True
    return tree.For(kind, scope.name(name), values, body)


def _check_range(scope: Scope, node: ast.expr) -> range:
    is_range = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
    if not is_range or not isinstance(node, ast.Call) or not scope.is_helper("range"):
        raise scope.source.error(node, "a loop runs over range(...)", hint="for i in range(8):")
    arguments = []
    for argument in node.args:
        value = check_value(scope, argument)
        if not isinstance(value, int):
            raise scope.source.error(argument, "the ends of a range are plain numbers, so that the loop ends")
        arguments.append(value)
    if node.keywords or not 1 <= len(arguments) <= 3:
        raise scope.source.error(node, "range() takes one to three numbers")
    if len(arguments) == 3 and arguments[2] == 0:
        raise scope.source.error(node, "the step of a range is not 0")
    return range(*arguments)


def _check_return(scope: Scope, node: ast.Return, value: ast.expr | None) -> tree.Statement:
    scope.reachable = False
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        if scope.returns is not None:
            raise scope.source.error(node, f"{scope.source.name}() returns a value elsewhere")
        scope.returns_nothing = True
        return tree.Return()
    if scope.condition:
        scope.returns = BOOL
        return tree.Return(check_truth(scope, value))
    if not scope.callers:
        raise scope.source.error(value, "nobody takes what a handler returns",
                                 hint="return alone ends it; emit() records values")  # fmt: skip
    if scope.returns_nothing:
        raise scope.source.error(node, f"{scope.source.name}() returns without a value elsewhere")
    result = check_value(scope, value)
    checked = typed(scope, value, result) if scope.returns is None else scope.adapt(value, result, scope.returns)
    scope.returns = checked.type
    return tree.Return(checked)


def _check_call_statement(scope: Scope, call: ast.Call) -> tree.Statement:
    if isinstance(call.func, ast.Name) and call.func.id == "emit" and scope.is_helper("emit"):
        return _check_emit(scope, call)
    if isinstance(call.func, ast.Name) and call.func.id == "skip" and scope.is_helper("skip"):
        return check_skip(scope, call)
    value = check_map_pop(scope, call) or check_call(scope, call)
    return tree.Evaluate(typed(scope, call, value))


def _check_emit(scope: Scope, call: ast.Call) -> tree.Statement:
    if call.args:
        raise scope.source.error(call.args[0], "a field has a name", hint="write emit(NAME=VALUE)")
    handler, source = scope.handler, scope.source
    if len(call.keywords) > MAX_FIELDS:
        raise source.error(call, f"a record has at most {MAX_FIELDS} fields, not {len(call.keywords)}")
    names = [keyword.arg for keyword in call.keywords]
    if handler.fields is not None and list(handler.fields) != names:
        raise source.error(call, f"the handler emits the fields {', '.join(handler.fields)} elsewhere",
                    hint="a handler has one kind of record")  # fmt: skip
    kinds, values = {}, []
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg.startswith("__"):
            raise source.error(keyword.value, "a field is written NAME=VALUE, and its name does not begin with __")
        reads = handler.reads
        value = check_text(scope, keyword.value) if is_text(scope, keyword.value) else check_value(scope, keyword.value)
        known = handler.fields[keyword.arg] if handler.fields is not None else None
        if known is not None and (known == TEXT) is not isinstance(value, tree.ReadText):
            raise source.error(keyword.value, f"the field {keyword.arg!r} is {known.name} elsewhere")
        if is_task_name(scope, keyword.value):
            if known is not None and keyword.arg not in handler.task_names:
                raise source.error(keyword.value, f"the field {keyword.arg!r} is another string elsewhere")
            handler.task_names.add(keyword.arg)
        elif keyword.arg in handler.task_names:
            raise source.error(keyword.value, f"the field {keyword.arg!r} is the name of the task elsewhere")
        checked = typed(scope, keyword.value, value) if known is None else scope.adapt(keyword.value, value, known)
        if handler.reads > reads:
            handler.faults.add(keyword.arg)
        kinds[keyword.arg] = checked.type
        values.append(checked)
    handler.fields = kinds
    return tree.Emit(tuple(values))
