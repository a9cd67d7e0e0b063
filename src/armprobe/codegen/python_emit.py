"""Checked trees of compiled handlers to LLVM's language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from armprobe.codegen import memory
from armprobe.codegen import python_tree as tree
from armprobe.codegen.ir import Lines
from armprobe.codegen.map_key import known_text_words, text_words
from armprobe.codegen.map_layout import KeyPart, MapShape
from armprobe.codegen.memory import Readable
from armprobe.codegen.text_matcher import match_known_text, match_text
from armprobe.codegen.words import BOOL, Type
from armprobe.errors import InternalError
from armprobe.events.record import COMM_TYPE, Layout

_OPERATORS = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}
_PREDICATES = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


@dataclass(slots=True, eq=False)
class Emitter:
    """Emits one handler. `register`, `probe`, `update_map`, `record` and so on are what the surroundings know to do."""

    ir: Lines
    #: how its records and its maps are
    layout: Layout | None
    maps: Sequence[MapShape]
    readable: Readable
    #: has CLZ, which came with architecture 5
    has_clz: bool
    register: Callable[[str], str]
    probe: Callable[[], str]
    #: what of the hit is known by a name: the time, the address of the task's name
    moment: Callable[[str], str]
    #: of a name, in so many bytes
    at_entry: Callable[[str, int], str]
    #: number of the map, key and its type, or the words of one, amount, and whether it replaces what is there
    update_map: Callable[[int, str | list[str] | None, Type | None, str, bool], None]
    #: the same, but for the amount
    read_map: Callable[[int, str | list[str] | None, Type | None], str]
    #: the same, and remove the key
    pop_key: Callable[[int, str | list[str]], str]
    #: values of fields, (address, length) for strings; and the bits of those that could not be read
    record: Callable[[list[str | tuple[str, str]], str], None]
    #: leave the function with a value of that type, or with its registers as they are; control does not come back
    skip: Callable[[str | None, Type | None], None]
    #: what the function returned, and let it have returned something else
    result_word: Callable[[], str]
    set_result: Callable[[str], None]
    #: where a read goes that may not be done
    fault: str
    #: where `return` goes, and the variable that takes its value
    out: str
    result: str | None = None
    #: (`break`, `continue`) of the loop at hand
    loop: tuple[str, str] = ("", "")
    variables: dict[str, str] = field(default_factory=dict)

    def block(self, statements: Sequence[tree.Statement]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, statement: tree.Statement) -> None:
        ir = self.ir
        match statement:
            case tree.Assign(name, value):
                self._store(name, value.type, self.value(value))
            case tree.If(condition, then, orelse):
                yes, no, end = ir.label(), ir.label(), ir.label()
                ir.branch(self.value(condition), yes, no)
                for label, body in ((yes, then), (no, orelse)):
                    ir.begin(label)
                    self.block(body)
                    ir.jump(end)
                ir.begin(end)
            case tree.For():
                self._loop(statement)
            case tree.Break():
                self._leave(self.loop[0])
            case tree.Continue():
                self._leave(self.loop[1])
            case tree.Return(value):
                if value is not None:
                    text = self.value(value)
                    assert self.result is not None
                    ir.line(f"store {_kind(value.type)} {text}, ptr {self.result}")
                self._leave(self.out)
            case tree.Evaluate(value):
                self.value(value)
            case tree.MapUpdate(number, key, amount, replace):
                self.update_map(number, *self._key(number, key), self.value(amount), replace)
            case tree.Emit(values):
                self._emit(values)
            case tree.Skip(value):
                self.skip(*((None, None) if value is None else (self.value(value), value.type)))
                ir.begin(ir.label())
            case tree.SetResult(value):
                self.set_result(self.value(value))

    def _leave(self, label: str) -> None:
        """Go elsewhere; what is emitted next is never reached."""
        self.ir.jump(label)
        self.ir.begin(self.ir.label())

    def _store(self, name: str, kind: Type, value: str) -> None:
        if name not in self.variables:
            self.variables[name] = self.ir.variable(_kind(kind))
        self.ir.line(f"store {_kind(kind)} {value}, ptr {self.variables[name]}")

    def _loop(self, loop: tree.For) -> None:
        """A loop over the index, so that the variable may be assigned to in the body."""
        ir, values = self.ir, loop.values
        if not values:
            return
        kind = _kind(loop.type)
        index = ir.variable("i32")
        body, onward, end = ir.label(), ir.label(), ir.label()
        ir.line(f"store i32 0, ptr {index}")
        ir.jump(body)
        ir.begin(body)
        position = ir.value(f"load i32, ptr {index}")
        wide = position if loop.type.bits == 32 else ir.value(f"zext i32 {position} to {kind}")
        scaled = ir.value(f"mul {kind} {wide}, {values.step}")
        self._store(loop.name, loop.type, ir.value(f"add {kind} {scaled}, {values.start}"))
        outer, self.loop = self.loop, (end, onward)
        self.block(loop.body)
        self.loop = outer
        ir.jump(onward)
        ir.begin(onward)
        following = ir.value(f"add i32 {ir.value(f'load i32, ptr {index}')}, 1")
        ir.line(f"store i32 {following}, ptr {index}")
        ir.branch(ir.value(f"icmp ult i32 {following}, {len(values)}"), body, end)
        ir.begin(end)

    def _emit(self, values: Sequence[tree.Expression]) -> None:
        """A read that faults in one field leaves the others alone."""
        ir, outer = self.ir, self.fault
        faults = ir.variable("i32")
        ir.line(f"store i32 0, ptr {faults}")
        texts: list[str | tuple[str, str]] = []
        assert self.layout is not None
        own = {field.name for field in self.layout.own}
        for stored, value in zip(self.layout.fields, values, strict=True):
            if stored.name not in own:
                continue  # the name of the task, which all records have
            if isinstance(value, tree.ReadText):
                texts.append(self._measure(value, self.layout.text))
                continue
            kind = _kind(value.type)
            place = ir.variable(kind)
            ir.line(f"store {kind} 0, ptr {place}")
            self.fault, end = ir.label(), ir.label()
            ir.line(f"store {kind} {self.value(value)}, ptr {place}")
            ir.jump(end)
            ir.begin(self.fault)
            bit = ir.value(f"or i32 {ir.value(f'load i32, ptr {faults}')}, {1 << (stored.fault or 0)}")
            ir.line(f"store i32 {bit}, ptr {faults}")
            ir.jump(end)
            ir.begin(end)
            text = ir.value(f"load {kind}, ptr {place}")
            texts.append(ir.value(f"zext i1 {text} to i8") if value.type == BOOL else text)
        self.fault = outer
        self.record(texts, ir.value(f"load i32, ptr {faults}"))

    def _measure(self, node: tree.ReadText, most: int) -> tuple[str, str]:
        """The address of a string and its length, 0 where it can't be read."""
        ir = self.ir
        place, length, end = ir.variable("i32"), ir.variable("i32"), ir.label()
        for variable in (place, length):
            ir.line(f"store i32 0, ptr {variable}")
        self.fault = ir.label()
        address = self.value(node.address)
        count = memory.measure(ir, address, self.readable, most, self.fault)
        ir.line(f"store i32 {address}, ptr {place}")
        ir.line(f"store i32 {count}, ptr {length}")
        ir.jump(end)
        ir.begin(self.fault)
        ir.jump(end)
        ir.begin(end)
        return ir.value(f"load i32, ptr {place}"), ir.value(f"load i32, ptr {length}")

    def _key(
        self, number: int, key: tree.Expression | tuple[tree.Expression, ...] | None
    ) -> tuple[str | list[str] | None, Type | None]:
        """A key of a map, and its type; the words of one that is made of parts."""
        if key is None:
            return None, None
        if not isinstance(key, tuple):
            return self.value(key), key.type
        parts = zip(self.maps[number].key, key, strict=True)
        return [word for part, one in parts for word in self._key_words(part, one)], None

    def _key_words(self, part: KeyPart, node: tree.Expression) -> list[str]:
        """The words of a part of a key."""
        if not isinstance(node, tree.ReadText):
            return [self.value(node)]
        address = self.value(node.address)
        if isinstance(node.address, tree.Moment):
            return known_text_words(self.ir, address, COMM_TYPE.size, part.words)
        return text_words(self.ir, address, self.readable, part.words, self.fault)

    def _match(self, node: tree.MatchText) -> str:
        ir, address = self.ir, self.value(node.address)
        if isinstance(node.address, tree.Moment):
            same = match_known_text(ir, address, COMM_TYPE.size, node.pattern)
            return same if node.equal else ir.value(f"xor i1 {same}, true")
        length = memory.measure(ir, address, self.readable, node.pattern.most, self.fault)
        same = match_text(ir, address, length, node.pattern, self.readable, self.fault)
        return same if node.equal else ir.value(f"xor i1 {same}, true")

    def value(self, node: tree.Expression) -> str:
        """The text of a value, after the lines that compute it."""
        ir, kind = self.ir, _kind(node.type)
        match node:
            case tree.Constant(_, value):
                return str(value)
            case tree.Local(_, name):
                return ir.value(f"load {kind}, ptr {self.variables[name]}")
            case tree.Register(_, name):
                return self.register(name)
            case tree.Moment(_, name):
                return self.moment(name)
            case tree.EntryValue(kept, name):
                return self.at_entry(name, kept.bits // 8)
            case tree.ProbeNumber():
                return self.probe()
            case tree.Result():
                return self.result_word()
            case tree.Convert(_, operand, bits, signed):
                return self._extend(
                    self._truncate(self.value(operand), operand.type.bits, bits), bits, node.type, signed
                )
            case tree.Binary():
                return self._binary(node)
            case tree.Compare(_, op, left, right):
                sides = f"{_kind(left.type)} {self.value(left)}, {self.value(right)}"
                sign = "" if op in ("==", "!=") else "s" if left.type.signed else "u"
                return ir.value(f"icmp {sign}{_PREDICATES[op]} {sides}")
            case tree.Not(_, operand):
                return ir.value(f"xor i1 {self.value(operand)}, true")
            case tree.Logic(_, op, left, right):
                first = self.value(left)
                if op == "and":
                    return self._choose(first, lambda: self.value(right), lambda: "0", kind)
                return self._choose(first, lambda: "1", lambda: self.value(right), kind)
            case tree.Choice(_, condition, yes, no):
                return self._choose(self.value(condition), lambda: self.value(yes), lambda: self.value(no), kind)
            case tree.Log2(_, operand):
                return emit_log2(ir, self.value(operand), operand.type.bits, has_clz=self.has_clz)
            case tree.Read():
                return self._read(node)
            case tree.Bounded(_, operand, count):
                onward, index = ir.label(), self.value(operand)
                ir.branch(ir.value(f"icmp ult i32 {index}, {count}"), onward, self.fault)
                ir.begin(onward)
                return index
            case tree.MatchText():
                return self._match(node)
            case tree.MapRead(_, number, key):
                return self.read_map(number, *self._key(number, key))
            case tree.MapPop(_, number, key):
                text, _ = self._key(number, key)
                assert text is not None
                return self.pop_key(number, text)
            case tree.Inline():
                return self._inline(node)
            case tree.ReadText():
                raise InternalError("a string is no value of its own")

    def _choose(self, condition: str, yes: Callable[[], str], no: Callable[[], str], kind: str) -> str:
        """The value of one of two sides, of which only one is computed."""
        ir = self.ir
        place = ir.variable(kind)
        labels, end = (ir.label(), ir.label()), ir.label()
        ir.branch(condition, *labels)
        for label, side in zip(labels, (yes, no), strict=True):
            ir.begin(label)
            ir.line(f"store {kind} {side()}, ptr {place}")
            ir.jump(end)
        ir.begin(end)
        return ir.value(f"load {kind}, ptr {place}")

    def _binary(self, node: tree.Binary) -> str:
        ir, kind, op = self.ir, _kind(node.type), node.op
        left, right = self.value(node.left), self.value(node.right)
        if op in _OPERATORS:
            return ir.value(f"{_OPERATORS[op]} {kind} {left}, {right}")
        if op in ("min", "max"):
            order = f"{'s' if node.type.signed else 'u'}{'lt' if op == 'min' else 'gt'}"
            return ir.value(
                f"select i1 {ir.value(f'icmp {order} {kind} {left}, {right}')}, {kind} {left}, {kind} {right}"
            )
        if op in ("<<", ">>"):
            return self._shift(node, left, right)
        if not node.type.signed:
            return ir.value(f"{'udiv' if op == '//' else 'urem'} {kind} {left}, {right}")
        # Towards minus infinity, as in Python: the machine's way is towards zero. The divisor is positive.
        rest = ir.value(f"srem {kind} {left}, {right}")
        negative = ir.value(f"icmp slt {kind} {rest}, 0")
        if op == "%":
            return ir.value(f"select i1 {negative}, {kind} {ir.value(f'add {kind} {rest}, {right}')}, {kind} {rest}")
        quotient = ir.value(f"sdiv {kind} {left}, {right}")
        return ir.value(f"sub {kind} {quotient}, {ir.value(f'zext i1 {negative} to {kind}')}")

    def _shift(self, node: tree.Binary, left: str, right: str) -> str:
        """As in Python once the distance is the width or more: nothing is left, but for the sign."""
        ir, kind, bits = self.ir, _kind(node.type), node.type.bits
        wide = _kind(node.right.type)
        inside = ir.value(f"icmp ult {wide} {right}, {bits}")
        most = bits - 1 if node.op == ">>" and node.type.signed else 0
        distance = ir.value(f"select i1 {inside}, {wide} {right}, {wide} {most}")
        if node.right.type.bits != bits:
            distance = ir.value(f"{'zext' if bits == 64 else 'trunc'} {wide} {distance} to {kind}")
        name = "shl" if node.op == "<<" else "ashr" if node.type.signed else "lshr"
        shifted = ir.value(f"{name} {kind} {left}, {distance}")
        return shifted if most else ir.value(f"select i1 {inside}, {kind} {shifted}, {kind} 0")

    def _read(self, node: tree.Read) -> str:
        address, size = self.value(node.address), node.bits // 8
        value = memory.read(self.ir, address, size, self.readable, self.fault)
        return self._extend(value, node.bits, node.type, node.signed)

    def _inline(self, node: tree.Inline) -> str:
        ir, outer = self.ir, (self.out, self.result)
        kind = _kind(node.type)
        self.out, self.result = ir.label(), ir.variable(kind) if node.result is not None else None
        self.block(node.body)
        ir.jump(self.out)
        ir.begin(self.out)
        value = ir.value(f"load {kind}, ptr {self.result}") if self.result is not None else "0"
        self.out, self.result = outer
        return value

    def _truncate(self, value: str, bits: int, wanted: int) -> str:
        return value if wanted >= bits else self.ir.value(f"trunc i{bits} {value} to i{wanted}")

    def _extend(self, value: str, bits: int, kind: Type, signed: bool) -> str:
        if bits == kind.bits:
            return value
        return self.ir.value(f"{'sext' if signed else 'zext'} i{bits} {value} to i{kind.bits}")


def emit_log2(ir: Lines, value: str, bits: int, *, has_clz: bool) -> str:
    """The position of the highest bit of a number of `bits` bits, an i32; 0 for 0."""
    kind = f"i{bits}"
    odd = ir.value(f"or {kind} {value}, 1")
    if has_clz:
        ir.declare(f"{kind} @llvm.ctlz.{kind}({kind}, i1)")
        zeros = ir.value(f"call {kind} @llvm.ctlz.{kind}({kind} {odd}, i1 true)")
        position = ir.value(f"xor {kind} {zeros}, {bits - 1}")
        return position if bits == 32 else ir.value(f"trunc {kind} {position} to i32")
    result, rest, step = "0", odd, bits // 2
    while step:
        upper = ir.value(f"lshr {kind} {rest}, {step}")
        high = ir.value(f"icmp ne {kind} {upper}, 0")
        rest = ir.value(f"select i1 {high}, {kind} {upper}, {kind} {rest}")
        result = ir.value(f"add i32 {result}, {ir.value(f'select i1 {high}, i32 {step}, i32 0')}")
        step //= 2
    return result


def emit_condition(
    ir: Lines,
    condition: tree.Condition,
    *,
    readable: Readable,
    has_clz: bool,
    register: Callable[[str], str],
    moment: Callable[[str], str],
    read_map: Callable[[int, str | list[str] | None, Type | None], str],
) -> str:
    """The i1 that a condition is."""
    holds, fault, end = ir.variable("i1"), ir.label(), ir.label()
    emitter = Emitter(
        ir, layout=None, maps=[shape for shape, _ in condition.maps],
        readable=readable, has_clz=has_clz, register=register, probe=_never, moment=moment,
        at_entry=_never, update_map=_never, read_map=read_map, pop_key=_never, record=_never, skip=_never,
        result_word=_never, set_result=_never, fault=fault, out=end,
    )  # fmt: skip
    ir.line(f"store i1 {emitter.value(condition.value)}, ptr {holds}")
    ir.jump(end)
    ir.begin(fault)
    ir.line(f"store i1 false, ptr {holds}")
    ir.jump(end)
    ir.begin(end)
    return ir.value(f"load i1, ptr {holds}")


def _never(*_: object) -> NoReturn:
    raise InternalError("a condition does what only handlers do")


def _kind(kind: Type) -> str:
    return f"i{kind.bits}"
