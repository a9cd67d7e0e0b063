"""Checks what compiled handlers do with maps: they add, replace, observe, read and remove."""

from __future__ import annotations

import ast

from armprobe.codegen import python_tree as tree
from armprobe.codegen.map_layout import MapKind, MapShape
from armprobe.codegen.python_scope import Scope, check_number, typed
from armprobe.codegen.python_text import check_text, is_text
from armprobe.codegen.words import BOOL, U32, U64


def check_map_call(scope: Scope, call: ast.Call) -> list[tree.Statement] | None:
    """COUNTER.add(n) or HISTOGRAM.observe(value); None for any other call."""
    function = call.func
    assert isinstance(function, ast.Attribute)
    if function.attr == "add":
        number, shape = _map_to_change(scope, function.value)
        if shape.kind is not MapKind.COUNTER:
            raise scope.source.error(call, f"a {shape.kind.value} is added to by key", hint="write MAP[KEY] += 1")
        if call.keywords or len(call.args) > 1:
            raise scope.source.error(call, "add() takes one number, or none for 1")
        amount = _amount(scope, call.args[0]) if call.args else tree.Constant(U64, 1)
        return [tree.MapUpdate(number, None, amount)]
    if function.attr == "observe":
        number, shape = _map_to_change(scope, function.value)
        if shape.kind is not MapKind.HISTOGRAM:
            raise scope.source.error(call, f"a {shape.kind.value} observes no values", hint="a histogram does")
        if call.keywords or len(call.args) != 1:
            raise scope.source.error(call, "observe() takes one number")
        return _observe(scope, call, number, shape)
    return None


def check_map_read(scope: Scope, node: ast.Subscript | ast.Attribute) -> tree.MapRead | None:
    """MAP[KEY] or COUNTER.total as a value; None for what is none of a map."""
    if not is_map(scope, node.value):
        return None
    if isinstance(node, ast.Subscript):
        return tree.MapRead(U64, *_place(scope, node, node))
    number, shape = _map_of(scope, node.value)
    if node.attr != "total" or shape.kind is not MapKind.COUNTER:
        raise scope.source.error(node, f"a {shape.kind.value} has no {node.attr!r} in a handler",
                                 hint="MAP[KEY] reads a number, and COUNTER.total")  # fmt: skip
    return tree.MapRead(U64, number, None)


def check_map_add(
    scope: Scope, node: ast.AugAssign, target: ast.Subscript, op: ast.operator, value: ast.expr
) -> tree.Statement:
    """MAP[KEY] += n."""
    if not isinstance(op, ast.Add):
        _map_of(scope, target.value)
        raise scope.source.error(node, "a map is added to, or a value replaced", hint="write MAP[KEY] += 1")
    _map_to_change(scope, target.value)
    number, key = _place(scope, node, target)
    return tree.MapUpdate(number, key, _amount(scope, value))


def check_map_put(scope: Scope, node: ast.Assign, target: ast.Subscript, value: ast.expr) -> tree.Statement:
    """MAP[KEY] = n."""
    _, shape = _map_to_change(scope, target.value)
    number, key = _place(scope, node, target)
    if isinstance(key, tuple) and not shape.removable:
        raise scope.source.error(node, "a table whose keys are made of parts is added to",
                                 hint="write MAP[KEY] += 1, or make the table with removable=True")  # fmt: skip
    return tree.MapUpdate(number, key, _amount(scope, value), replace=True)


def check_map_delete(scope: Scope, node: ast.Delete) -> list[tree.Statement]:
    """del TABLE[KEY]."""
    removed: list[tree.Statement] = []
    for target in node.targets:
        if not isinstance(target, ast.Subscript):
            raise scope.source.error(target, "keys of tables are removed, and nothing else", hint="write del MAP[KEY]")
        removed.append(tree.Evaluate(_removal(scope, target, target)))
    return removed


def check_map_pop(scope: Scope, call: ast.Call) -> tree.MapPop | None:
    """TABLE.pop(KEY) as a value; None for any other call."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr != "pop":
        return None
    if call.keywords or len(call.args) != 1:
        raise scope.source.error(call, "pop() takes one key", hint="it gives 0 where the key is not there")
    where = ast.copy_location(ast.Subscript(function.value, call.args[0], ast.Load()), call)
    return _removal(scope, call, where)


def _removal(scope: Scope, node: ast.AST, target: ast.Subscript) -> tree.MapPop:
    _, shape = _map_to_change(scope, target.value)
    if shape.kind is not MapKind.TABLE:
        raise scope.source.error(node, f"a {shape.kind.value} has no keys that could be removed", hint="a table has")
    if not shape.removable:
        raise scope.source.error(node, "the keys of this table are there for good",
                                 hint="make it with session.table(..., removable=True)")  # fmt: skip
    number, key = _place(scope, node, target)
    return tree.MapPop(U64, number, key)


def _place(
    scope: Scope, node: ast.AST, target: ast.Subscript
) -> tuple[int, tree.Expression | tuple[tree.Expression, ...]]:
    """The number of the map, and the key."""
    number, shape = _map_of(scope, target.value)
    if shape.kind is MapKind.COUNTER:
        raise scope.source.error(node, "a counter has no keys", hint="write COUNTER.add(1), or COUNTER.total")
    if shape.key:
        return number, _parts(scope, target.slice, shape)
    if shape.kind is MapKind.TABLE and (isinstance(target.slice, ast.Tuple) or is_text(scope, target.slice)):
        raise scope.source.error(target.slice, "the keys of this table are u32",
                                 hint='others are made with session.table(..., key=("char[16]", "u32"))')  # fmt: skip
    key = typed(scope, target.slice, check_number(scope, target.slice))
    if key.type.signed:
        raise scope.source.error(
            target.slice, f"a key is unsigned, and this is {key.type.name}", hint="as_u32() converts"
        )
    if shape.kind is MapKind.TABLE and key.type != U32:
        raise scope.source.error(target.slice, f"the keys of a table are u32, and this is {key.type.name}",
                          hint="as_u32() takes the lower half")  # fmt: skip
    return number, key


def _parts(scope: Scope, node: ast.expr, shape: MapShape) -> tuple[tree.Expression, ...]:
    """The parts of a key."""
    given = node.elts if isinstance(node, ast.Tuple) else [node]
    if len(given) != len(shape.key):
        raise scope.source.error(node, f"a key of this table has {_many_parts(shape)}, not {len(given)}")
    checked: list[tree.Expression] = []
    for part, one in zip(shape.key, given, strict=True):
        if part.text is not is_text(scope, one):
            wanted = "a string, string(r0) or hit.comm" if part.text else "a number"
            raise scope.source.error(one, f"this part of the key is {wanted}")
        if part.text:
            checked.append(check_text(scope, one))
            continue
        value = typed(scope, one, check_number(scope, one))
        if value.type != U32:
            raise scope.source.error(one, f"a number in a key is u32, and this is {value.type.name}",
                                     hint="as_u32() takes the lower half")  # fmt: skip
        checked.append(value)
    return tuple(checked)


def _many_parts(shape: MapShape) -> str:
    """How many parts a key has."""
    return "one part" if len(shape.key) == 1 else f"{len(shape.key)} parts"


def _observe(scope: Scope, call: ast.Call, number: int, shape: MapShape) -> list[tree.Statement]:
    """Add 1 to the bucket of a value: `map_layout.bucket_of`."""
    argument = call.args[0]
    value = typed(scope, argument, check_number(scope, argument))
    kind = value.type
    if kind.signed:
        raise scope.source.error(argument, f"an observed value is unsigned, and this is {kind.name}",
                                 hint=f"as_u{kind.bits}() converts")  # fmt: skip
    one = tree.Constant(U64, 1)
    if not shape.step:
        return [tree.MapUpdate(number, tree.Log2(U32, value), one)]
    if kind.bits == 64 and shape.step & (shape.step - 1):
        raise scope.source.error(argument, f"a number of 64 bits is observed by powers of two, not by {shape.step}",
                                 hint="as_u32() takes the lower half")  # fmt: skip
    name = scope.name(f"{call.lineno}:{call.col_offset}:observed")
    local, base = tree.Local(kind, name), tree.Constant(kind, shape.base)
    bucket = tree.Binary(kind, "//", tree.Binary(kind, "-", local, base), tree.Constant(kind, shape.step))
    below = tree.Compare(BOOL, "<", local, base)
    key = tree.Choice(kind, below, tree.Constant(kind, shape.size), bucket)
    return [tree.Assign(name, value), tree.MapUpdate(number, key, one)]


def _amount(scope: Scope, node: ast.expr) -> tree.Expression:
    value = check_number(scope, node)
    if value < 0 if isinstance(value, int) else value.type.signed:
        raise scope.source.error(node, "a map holds unsigned numbers, and this has a sign", hint="as_u64() converts")
    return scope.adapt(node, value, U64)


def is_map(scope: Scope, node: ast.expr) -> bool:
    """Whether an expression names a map."""
    own = (scope.local_names, scope.parameters, scope.objects, scope.arguments)
    if not isinstance(node, ast.Name) or any(node.id in names for names in own):
        return False
    return scope.handler.shape_of(scope.lookup(node)) is not None


def _map_to_change(scope: Scope, node: ast.expr) -> tuple[int, MapShape]:
    """The same where it is changed: a condition only looks."""
    found = _map_of(scope, node)
    if scope.in_condition:
        raise scope.source.error(node, "a condition only looks: it changes no map", hint="let the handler do it")
    return found


def _map_of(scope: Scope, node: ast.expr) -> tuple[int, MapShape]:
    """The number and the shape of the map that an expression names."""
    if isinstance(node, ast.Name) and is_map(scope, node):
        value, maps = scope.lookup(node), scope.handler.maps
        number = next((number for number, known in enumerate(maps) if known is value), len(maps))
        if number == len(maps):
            maps.append(value)
        shape = scope.handler.shape_of(value)
        assert shape is not None
        return number, shape
    raise scope.source.error(node, "this is no map", hint="session.counter(), histogram() and table() make maps")
