"""Compiled handlers: built-in actions to LLVM IR to the Body of a detour.

All actions of a site become one function. Its parameters are the registers that the actions read; the addresses of
counters, rings and the numbers of probes are symbols, so that one compilation serves every site of the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import count, groupby
from typing import Any

from armprobe.codegen.body import END, Body, make_body
from armprobe.codegen.filters import And, Compare, Constant, Filter, Not, Register, sources
from armprobe.codegen.llvm import compile_module
from armprobe.codegen.object_file import read_object
from armprobe.errors import Refused, UsageError
from armprobe.events.record import FieldType, Layout
from armprobe.events.ring import BUFFER, LOST, READ, WRITE

#: the symbol that stands for the address of the site
SITE = "site"
#: what r0 tells at the end of a Body with `returns`: the ring should be emptied, host handlers are wanted
DRAIN, STOP = 1, 2
_PREDICATES = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


@dataclass(frozen=True, slots=True)
class Count:
    """Add one to the word at the symbol `counter`, where `filter` holds."""

    counter: str = "counter"
    filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """Write a record to the ring at the symbol `ring`, where `filter` holds.

    `capacity` is the ring's, in words. `header` is a symbol whose *value* is the header word (`make_header`), `lost`
    one for the address of the probe's own count of lost records. With `stops`, DRAIN is returned when the ring is more
    than three quarters full, so that nothing need be lost.
    """

    layout: Layout
    capacity: int
    filter: Filter | None = None
    stops: bool = False
    ring: str = "ring"
    header: str = "header"
    lost: str = "lost"


@dataclass(frozen=True, slots=True)
class Stop:
    """Return STOP, where `filter` holds."""

    filter: Filter | None = None


Action = Count | Record | Stop


@lru_cache(maxsize=1024)
def compile_actions(actions: tuple[Action, ...], *, architecture: int = 7, atomic: bool = False) -> Body:
    """Compile all actions of a site into one Body; they happen in their order, those of one filter together.

    `atomic`: several CPUs, or interrupt handlers, may run it at once. Raises MissingDependency without llvmlite, and
    Refused for atomic actions on an architecture without load-exclusive.
    """
    if not actions:
        raise UsageError("there are no actions to compile")
    if atomic and architecture < 6:
        raise Refused(
            f"counting exactly on several CPUs or in interrupts needs load-exclusive, which came with architecture 6; "
            f"this target has architecture {architecture}",
            hint="use a host handler",
        )
    function = _Function(atomic)
    for condition, group in groupby(sorted(actions, key=_filter_order(actions)), key=lambda action: action.filter):
        function.group(condition, list(group))
    arguments = _place(frozenset(function.read) - {"pc"})
    returns = any(isinstance(action, Stop) or (isinstance(action, Record) and action.stops) for action in actions)
    code = read_object(compile_module(function.module(arguments, returns), architecture=architecture))
    return make_body(code, arguments=arguments, returns=returns, atomic=atomic)


def _filter_order(actions: tuple[Action, ...]) -> Any:
    """A key that brings actions of one filter together and otherwise keeps the order."""
    first: dict[Filter | None, int] = {}
    for index, action in enumerate(actions):
        first.setdefault(action.filter, index)
    return lambda action: first[action.filter]


def _place(read: frozenset[str]) -> tuple[tuple[int, str], ...]:
    """Argument positions: r0 to r3 are their own; the others take what is free of these, then the stack."""
    natural = [(number, f"r{number}") for number in range(4) if f"r{number}" in read]
    free = (number for number in count() if number > 3 or f"r{number}" not in read)
    others = sorted(read - {"r0", "r1", "r2", "r3"}, key=_source_order)
    return tuple(sorted([*natural, *zip(free, others, strict=False)]))


def _source_order(name: str) -> tuple[int, str]:
    return (int(name[1:]), "") if name[1:].isdigit() else (16, name)


class _Function:
    """Collects the lines of an IR function. Methods that return a string return the name of a value."""

    def __init__(self, atomic: bool) -> None:
        self.read: set[str] = set()
        self._atomic = atomic
        self._lines: list[str] = []
        self._names = count()
        self._globals: dict[str, str] = {}

    def module(self, arguments: tuple[tuple[int, str], ...], returns: bool) -> str:
        """The text of the module; the parameters are at the positions of `arguments`."""
        sources_by_position = dict(arguments)
        parameters = ", ".join(
            f"i32 %{sources_by_position.get(position, f'unused{position}')}"
            for position in range(max(sources_by_position, default=-1) + 1)
        )
        result = ["%result = load i32, ptr %wanted"] if returns else []
        body = [
            "%wanted = alloca i32",
            "store i32 0, ptr %wanted",
            *self._lines,
            *result,
            f"tail call void @{END}({'i32 %result' if returns else ''})",
            "ret void",
        ]
        return "\n".join(
            [
                *(f"@{name} = {kind}" for name, kind in self._globals.items()),
                f"declare void @{END}({'i32' if returns else ''}) nounwind",
                f'define void @handler({parameters}) nounwind "no-jump-tables"="true" {{',
                *body,
                "}",
                '!0 = !{!"branch_weights", i32 1, i32 2000}',
            ]
        )

    def group(self, condition: Filter | None, actions: list[Action]) -> None:
        """Do `actions` where `condition` holds."""
        if condition is not None:
            self.read |= sources(condition)
            yes, out = self._label(), self._label()
            self._line(f"br i1 {self._condition(condition)}, label %{yes}, label %{out}")
            self._line(f"{yes}:")
        for action in actions:
            match action:
                case Count(counter):
                    self._increment(self._global(counter))
                case Record():
                    self._record(action)
                case Stop():
                    self._want(str(STOP))
        if condition is not None:
            self._line(f"br label %{out}")
            self._line(f"{out}:")

    def _condition(self, condition: Filter) -> str:
        match condition:
            case Not(operand):
                return self._value(f"xor i1 {self._condition(operand)}, true")
            case Compare(op, left, right):
                sides = f"{self._operand(left)}, {self._operand(right)}"
                if op == "&":
                    return self._value(f"icmp ne i32 {self._value(f'and i32 {sides}')}, 0")
                sign = "" if op in ("==", "!=") else "s" if condition.signed else "u"
                return self._value(f"icmp {sign}{_PREDICATES[op]} i32 {sides}")
            case _:
                word = "and" if isinstance(condition, And) else "or"
                return self._value(f"{word} i1 {self._condition(condition.left)}, {self._condition(condition.right)}")

    def _operand(self, operand: Register | Constant) -> str:
        if isinstance(operand, Constant):
            return str(operand.value & 0xFFFFFFFF)
        value, kind = self._register(operand.name), operand.type
        if kind.size == 4:
            return value
        narrow = self._narrow(value, kind)
        return self._value(f"{'sext' if kind.signed else 'zext'} i{kind.size * 8} {narrow} to i32")

    def _register(self, name: str) -> str:
        """The register as it was at the site; `pc` is the address of the site, known when the body is linked."""
        self.read.add(name)
        return self._address(SITE) if name == "pc" else f"%{name}"

    def _narrow(self, value: str, kind: FieldType) -> str:
        return value if kind.size == 4 else self._value(f"trunc i32 {value} to i{kind.size * 8}")

    def _record(self, record: Record) -> None:
        """Reserve, fill, commit: the rules are those of `armprobe.events.ring`."""
        ring, words, capacity = self._global(record.ring, "[4 x i32]", 8), record.layout.words, record.capacity
        if capacity & (capacity - 1) or capacity < 4 * words:
            raise UsageError(f"a ring of {capacity} words is no ring for records of {words} words")
        full, room, out = self._label(), self._label(), self._label()
        write, used = self._reserve(ring, words, capacity, full, room)
        self._line(f"{full}:")
        self._increment(self._offset(ring, LOST))
        self._increment(self._global(record.lost))
        if record.stops:
            self._want(str(DRAIN))
        self._line(f"br label %{out}")
        self._line(f"{room}:")
        start = self._value(f"and i32 {write}, {capacity - 1}")
        buffer = self._offset(ring, BUFFER)
        place = self._value(f"getelementptr i32, ptr {buffer}, i32 {start}")
        # Volatile, so that the header stays last. (It also keeps LLVM from moving fields about to pair their stores.)
        for field in record.layout.fields:
            value = self._narrow(self._register(field.source), field.type)
            size = field.type.size
            self._line(f"store volatile i{size * 8} {value}, ptr {self._offset(place, field.offset)}, align {size}")
        header = self._address(record.header)
        if self._atomic:
            self._line("fence release")
        self._line(f"store volatile i32 {header}, ptr {place}")
        if record.stops:
            many = self._value(f"icmp ugt i32 {used}, {capacity * 3 // 4}")
            self._want(self._value(f"select i1 {many}, i32 {DRAIN}, i32 0"))
        self._line(f"br label %{out}")
        self._line(f"{out}:")

    def _reserve(self, ring: str, words: int, capacity: int, full: str, room: str) -> tuple[str, str]:
        """Move `write` on and go to `room`, or go to `full`; give the old `write` and the words in use with the record.

        `read` is loaded first: it is never ahead of a `write` loaded later, so a ring with room never looks full.
        """
        again, free = self._label(), self._label()
        self._line(f"br label %{again}")
        self._line(f"{again}:")
        consumed = self._value(f"load volatile i32, ptr {self._offset(ring, READ)}")
        write = self._value(f"load volatile i32, ptr {self._offset(ring, WRITE)}")
        new = self._value(f"add i32 {write}, {words}")
        used = self._value(f"sub i32 {new}, {consumed}")
        many = self._value(f"icmp ugt i32 {used}, {capacity}")
        self._line(f"br i1 {many}, label %{full}, label %{free}, !prof !0")
        self._line(f"{free}:")
        if self._atomic:
            pair = self._value(f"cmpxchg weak ptr {ring}, i32 {write}, i32 {new} monotonic monotonic")
            done = self._value(f"extractvalue {{ i32, i1 }} {pair}, 1")
            self._line(f"br i1 {done}, label %{room}, label %{again}")
        else:
            self._line(f"store i32 {new}, ptr {ring}")
            self._line(f"br label %{room}")
        return write, used

    def _want(self, bits: str) -> None:
        """Add bits to the result."""
        old = self._value("load i32, ptr %wanted")
        self._line(f"store i32 {self._value(f'or i32 {old}, {bits}')}, ptr %wanted")

    def _increment(self, pointer: str) -> None:
        if self._atomic:
            self._value(f"atomicrmw add ptr {pointer}, i32 1 monotonic")
        else:
            old = self._value(f"load i32, ptr {pointer}")
            self._line(f"store i32 {self._value(f'add i32 {old}, 1')}, ptr {pointer}")

    def _offset(self, pointer: str, offset: int) -> str:
        return self._value(f"getelementptr i8, ptr {pointer}, i32 {offset}")

    def _global(self, symbol: str, kind: str = "i32", align: int = 4) -> str:
        self._globals[symbol] = f"external global {kind}, align {align}"
        return f"@{symbol}"

    def _address(self, symbol: str) -> str:
        """A symbol as a number: weak, because the compiler takes any other to be no zero."""
        self._globals[symbol] = "extern_weak global i8, align 1"
        return self._value(f"ptrtoint ptr @{symbol} to i32")

    def _value(self, expression: str) -> str:
        name = f"%v{next(self._names)}"
        self._line(f"{name} = {expression}")
        return name

    def _label(self) -> str:
        return f"l{next(self._names)}"

    def _line(self, line: str) -> None:
        self._lines.append(line)
