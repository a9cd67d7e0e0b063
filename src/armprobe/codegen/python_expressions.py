"""Checks the expressions of compiled handlers: what is neither refused nor a plain number becomes a typed tree."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from enum import EnumType
from types import ModuleType
from typing import Any

from armprobe.codegen import python_tree as tree
from armprobe.codegen.python_calls import check_call
from armprobe.codegen.python_maps import check_map_pop, check_map_read
from armprobe.codegen.python_moments import check_moment
from armprobe.codegen.python_objects import find_object, read_object
from armprobe.codegen.python_outcome import check_result
from armprobe.codegen.python_scope import PlaceNeededError, Scope, Value, check_number, typed, unify
from armprobe.codegen.python_text import check_text_comparison, check_text_method, refuse_text
from armprobe.codegen.words import BOOL, U32, U64, Type
from armprobe.isa.insn import REGISTER_NAMES, REGISTER_NUMBERS

_OPERATORS: dict[type[ast.operator], tuple[str, Callable[[int, int], int]]] = {
    ast.Add: ("+", operator.add), ast.Sub: ("-", operator.sub), ast.Mult: ("*", operator.mul),
    ast.FloorDiv: ("//", operator.floordiv), ast.Mod: ("%", operator.mod),
    ast.LShift: ("<<", operator.lshift), ast.RShift: (">>", operator.rshift),
    ast.BitAnd: ("&", operator.and_), ast.BitOr: ("|", operator.or_), ast.BitXor: ("^", operator.xor),
    ast.Pow: ("**", operator.pow),
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[int, int], bool]]] = {
    ast.Eq: ("==", operator.eq), ast.NotEq: ("!=", operator.ne), ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le), ast.Gt: (">", operator.gt), ast.GtE: (">=", operator.ge),
}  # fmt: skip
_WORDS = {ast.List: "a list", ast.Tuple: "a tuple", ast.Dict: "a dictionary",
          ast.Set: "a set", ast.ListComp: "a comprehension", ast.GeneratorExp: "a comprehension",
          ast.Lambda: "a lambda", ast.JoinedStr: "text", ast.NamedExpr: "an assignment in an expression",
          ast.Await: "await", ast.Yield: "yield", ast.Starred: "*"}  # fmt: skip


def check_value(scope: Scope, node: ast.expr) -> Value:
    """The tree of an expression, or its plain number."""
    with scope.nested(node):
        return _check(scope, node)


def _check(scope: Scope, node: ast.expr) -> Value:
    if isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Name):
        found = find_object(scope, node)
        # A variable of the handler holds its number, whatever it points to.
        if found is not None and not (isinstance(node, ast.Name) and node.id in scope.local_names):
            return read_object(scope, node, found)
    if isinstance(node, ast.Attribute | ast.Subscript):
        read = check_map_read(scope, node)
        if read is not None:
            return read
    match node:
        case ast.Constant(value):
            return constant(scope, node, value)
        case ast.Name():
            return _check_name(scope, node)
        case ast.Attribute():
            return _check_attribute(scope, node)
        case ast.BinOp(left, op, right):
            return check_operation(scope, node, op, (left, check_number(scope, left)), right)
        case ast.UnaryOp(ast.Not(), operand):
            return tree.Not(BOOL, check_truth(scope, operand))
        case ast.UnaryOp(op, operand):
            return _check_unary(scope, node, op, check_number(scope, operand))
        case ast.BoolOp(op, values):
            checked = [scope.adapt(value, check_value(scope, value), BOOL) for value in values]
            return _join(op, checked)
        case ast.Compare():
            return check_text_comparison(scope, node) or _check_comparison(scope, node)
        case ast.IfExp(test, yes, no):
            condition = check_truth(scope, test)
            sides = ((yes, check_value(scope, yes)), (no, check_value(scope, no)))
            first, second = unify(scope, node, *sides)
            return tree.Choice(first.type, condition, first, second)
        case ast.Call():
            refuse_text(scope, node)
            result = check_text_method(scope, node) or check_map_pop(scope, node) or check_call(scope, node)
            if isinstance(result, tree.Inline) and result.result is None:
                raise scope.source.error(
                    node, "this call has no value", hint="let the function return one on every way"
                )
            return result
    if isinstance(node, ast.Subscript):
        raise scope.source.error(node, "this is an element of no map, and of no object of the program")
    raise scope.source.error(node, f"{_WORDS.get(type(node), 'this expression')} is not there in compiled handlers")


def check_truth(scope: Scope, node: ast.expr) -> tree.Expression:
    """The same where only the truth matters: a number is true unless it is 0."""
    if isinstance(node, ast.BoolOp):
        with scope.nested(node):
            return _join(node.op, [check_truth(scope, value) for value in node.values])
    value = check_value(scope, node)
    if isinstance(value, int):
        return tree.Constant(BOOL, int(value != 0))
    return value if value.type == BOOL else tree.Compare(BOOL, "!=", value, tree.Constant(value.type, 0))


def constant(scope: Scope, node: ast.AST, value: Any) -> Value:
    """A value of Python as a constant."""
    if isinstance(value, bool):
        return tree.Constant(BOOL, int(value))
    if isinstance(value, int):
        return int(value)
    shown = repr(value) if len(repr(value)) < 40 else f"a {type(value).__name__}"
    raise scope.source.error(node, f"{shown} is no whole number", hint="compiled handlers compute with whole numbers")


def check_operation(
    scope: Scope, node: ast.AST, op: ast.operator, first: tuple[ast.expr, Value], right_node: ast.expr
) -> Value:
    """`left op right`; `node` is the operation, or an augmented assignment."""
    left_node, left = first
    right = check_number(scope, right_node)
    symbol, function = _OPERATORS.get(type(op), ("", operator.add))
    if not symbol:
        raise scope.source.error(node, f"{'/' if isinstance(op, ast.Div) else '@'} is not there in compiled handlers",
                          hint="// divides whole numbers")  # fmt: skip
    if isinstance(left, int) and isinstance(right, int):
        if symbol in ("<<", "**") and not 0 <= right <= 64:
            raise scope.source.error(node, f"{left} {symbol} {right} does not fit in 64 bits")
        if symbol in ("//", "%") and right == 0:
            raise scope.source.error(node, "a division by 0")
        if symbol == ">>" and right < 0:
            raise scope.source.error(right_node, f"nothing is shifted by {right} bits")
        return int(function(left, right))
    if symbol == "**":
        raise scope.source.error(node, "** is there for plain numbers only")
    if symbol in ("<<", ">>"):
        value = typed(scope, left_node, left)
        scope.wraps[node] = value.type
        return tree.Binary(value.type, symbol, value, _check_distance(scope, right_node, right, value.type))
    if symbol in ("//", "%"):
        return _check_division(scope, node, symbol, typed(scope, left_node, left), right)
    sides = unify(scope, node, first, (right_node, right), modulo=True)
    scope.wraps[node] = sides[0].type
    return tree.Binary(sides[0].type, symbol, *sides)


def _check_distance(scope: Scope, node: ast.expr, distance: Value, kind: Type) -> tree.Expression:
    if isinstance(distance, int):
        if not 0 <= distance < kind.bits:
            raise scope.source.error(node, f"{kind.name} is shifted by 0 to {kind.bits - 1} bits, not by {distance}")
        return tree.Constant(U32, distance)
    if distance.type.signed:
        raise scope.source.error(
            node, f"the distance of a shift is unsigned, and this is {distance.type.name}", hint="as_u32() converts"
        )
    return distance


def _check_division(scope: Scope, node: ast.AST, symbol: str, left: tree.Expression, right: Value) -> tree.Expression:
    if not isinstance(right, int) or not 0 < right <= left.type.highest:
        raise scope.source.error(node, f"{symbol} needs a plain number of 1 to {left.type.highest} on its right side",
                          hint="a division by anything else takes a loop, which a handler has no time for")  # fmt: skip
    if left.type.bits == 64 and right & (right - 1):
        raise scope.source.error(node, f"a number of 64 bits is divided by powers of two only, not by {right}",
                          hint="as_u32() takes the lower half")  # fmt: skip
    return tree.Binary(left.type, symbol, left, tree.Constant(left.type, right))


def _check_unary(scope: Scope, node: ast.UnaryOp, op: ast.unaryop, operand: Value) -> Value:
    if isinstance(operand, int):
        return -operand if isinstance(op, ast.USub) else ~operand if isinstance(op, ast.Invert) else operand
    scope.wraps[node] = operand.type
    match op:
        case ast.USub():
            return tree.Binary(operand.type, "-", tree.Constant(operand.type, 0), operand)
        case ast.Invert():
            ones = tree.Constant(operand.type, operand.type.wrap(-1))
            return tree.Binary(operand.type, "^", operand, ones)
        case _:
            return operand


def _join(op: ast.boolop, values: list[tree.Expression]) -> tree.Expression:
    result = values[-1]
    for value in reversed(values[:-1]):
        result = tree.Logic(BOOL, "and" if isinstance(op, ast.And) else "or", value, result)
    return result


def _check_comparison(scope: Scope, node: ast.Compare) -> tree.Expression:
    operands = [node.left, *node.comparators]
    for op, operand in zip(node.ops, node.comparators, strict=True):
        if type(op) not in _COMPARISONS:
            raise scope.source.error(
                operand, "in and is are not there in compiled handlers", hint="compare with == or <"
            )
    values = [check_value(scope, operand) for operand in operands]
    sides = list(zip(operands, values, strict=True))
    if len(sides) == 2:
        return _compare(scope, node, node.ops[0], sides[0], sides[1])
    # A chain: each operand is evaluated once, and only until a comparison fails.
    body: list[tree.Statement] = []
    for index, (operand, value) in enumerate(sides):
        if not isinstance(value, int):
            name = scope.name(f"{node.lineno}:{node.col_offset}:{index}")
            body.append(tree.Assign(name, value))
            sides[index] = (operand, tree.Local(value.type, name))
        if index:
            holds = _compare(scope, node, node.ops[index - 1], sides[index - 1], sides[index])
            failed = tree.Return(tree.Constant(BOOL, 0))
            body.append(tree.If(tree.Not(BOOL, holds), (failed,), ()))
    body.append(tree.Return(tree.Constant(BOOL, 1)))
    return tree.Inline(BOOL, tuple(body), scope.name(f"{node.lineno}:{node.col_offset}"))


def _compare(
    scope: Scope, node: ast.AST, op: ast.cmpop, left: tuple[ast.expr, Value], right: tuple[ast.expr, Value]
) -> tree.Expression:
    symbol, function = _COMPARISONS[type(op)]
    if isinstance(left[1], int) and isinstance(right[1], int):
        return tree.Constant(BOOL, int(function(left[1], right[1])))
    return tree.Compare(BOOL, symbol, *unify(scope, node, left, right))


def _check_name(scope: Scope, node: ast.Name) -> Value:
    name = node.id
    if name in scope.local_names:
        if name not in scope.assigned:
            raise scope.source.error(
                node, f"{name!r} may have no value here", hint="give it one on every way that leads here"
            )
        return tree.Local(scope.types[name], scope.name(name))
    if name in scope.parameters:
        value = scope.parameters[name]
        if value is None:
            raise scope.source.error(
                node, f"{name!r} is no number", hint=f"write {name}.pc, {name}.probe or {name}.regs.r0"
            )
        return value
    outside = scope.lookup(node)
    if scope.handler.shape_of(outside) is not None:
        raise scope.source.error(node, f"the map {name!r} is no number", hint=f"write {name}[KEY], or COUNTER.total")
    return constant(scope, node, outside)


def _check_attribute(scope: Scope, node: ast.Attribute) -> Value:
    """A field of the hit, or a number that a module, a class or an enumeration holds."""
    base = node.value
    if isinstance(base, ast.Name) and base.id in scope.parameters and scope.parameters[base.id] is None:
        if node.attr == "pc":
            return tree.Register(U32, "pc")
        if node.attr == "probe" and scope.condition:
            raise scope.source.error(node, "a condition does not know the number of its probe")
        if node.attr == "probe":
            return tree.ProbeNumber(U32)
        if node.attr in ("time", "cpu", "pid", "tgid"):
            return check_moment(scope, node)
        if node.attr == "comm":
            raise scope.source.error(node, "a string is no value of its own",
                                     hint='compare it, hit.comm == "cat", or write emit(comm=hit.comm)')  # fmt: skip
        if node.attr == "retval":
            return check_result(scope, node)
        raise scope.source.error(
            node,
            f"a hit has no {node.attr!r} in a compiled handler",
            hint="it has pc, probe, time, cpu, pid, tgid, comm, regs, args and vars",
        )
    if isinstance(base, ast.Attribute) and base.attr == "entry" and isinstance(base.value, ast.Name):
        if scope.parameters.get(base.value.id, 0) is None:
            return _entry_value(scope, node)
    if isinstance(base, ast.Attribute) and base.attr == "regs" and isinstance(base.value, ast.Name):
        if scope.parameters.get(base.value.id, 0) is None:
            register = register_named(node.attr)
            if register is None:
                raise scope.source.error(
                    node, f"there is no register {node.attr!r}", hint="there are r0 to r12, sp, lr, pc, cpsr"
                )
            return register
    if isinstance(base, ast.Name) and base.id not in scope.local_names and base.id not in scope.parameters:
        holder = scope.lookup(base)
        if isinstance(holder, ModuleType | EnumType):
            try:
                return constant(scope, node, getattr(holder, node.attr))
            except AttributeError:
                raise scope.source.error(node, f"{base.id!r} has no {node.attr!r}") from None
    raise scope.source.error(
        node, "attributes are those of the hit, of modules, of enumerations, and members of the program's objects"
    )


def _entry_value(scope: Scope, node: ast.Attribute) -> Value:
    """What was kept of the entry of the call."""
    handler = scope.handler
    if handler.at_return is None:
        raise PlaceNeededError
    if not handler.at_return:
        raise scope.source.error(node, "only a handler at a return knows of an entry before")
    if node.attr in handler.lacking:
        raise scope.source.error(node, handler.lacking[node.attr])
    register = register_named(node.attr)
    if node.attr != "time" and (register is None or register.name == "pc"):
        raise scope.source.error(
            node, f"of the entry, {node.attr!r} is not known", hint="there are time, r0 to r12, sp, lr, cpsr"
        )
    name = node.attr if register is None else register.name
    handler.entry.add(name)
    return tree.EntryValue(U64 if name == "time" else U32, name)


def register_named(name: str) -> tree.Register | None:
    """The register of that name (`fp` is `r11`), None if there is none."""
    if name == "cpsr":
        return tree.Register(U32, name)
    number = REGISTER_NUMBERS.get(name)
    return None if number is None else tree.Register(U32, REGISTER_NAMES[number])
