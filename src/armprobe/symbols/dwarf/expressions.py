"""DWARF location expressions (DWARF 5, 2.5 and 2.6) to places: nothing is run, what registers hold stays a name.

What depends on the call (entry values, call sites) or has types of its own on the stack is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from armprobe.isa.insn import REGISTER_NAMES
from armprobe.symbols.places import (
    Absent,
    ConstantWord,
    InMemory,
    InWord,
    Load,
    Place,
    RegisterWord,
    Where,
    Word,
    absent,
    in_memory,
    offset_from,
    operation,
)

_MASK = 0xFFFFFFFF
_BINARY = {"plus": "+", "minus": "-", "mul": "*", "and": "&", "or": "|", "xor": "^"}
_SHIFTS = {"shl": "<<", "shr": ">>", "shra": ">>s"}
_CONSTANTS = frozenset(f"const{size}{sign}" for size in ("1", "2", "4", "") for sign in "us")
_VECTOR = range(64, 320)
OPTIMIZED_OUT = "optimized out here"
_REFUSED = {
    "entry_value": "known only by what {register} held when the function was called",
    "implicit_pointer": "a pointer that was optimized out; what it points to may have a name of its own",
    "parameter_ref": "an argument that the compiler took out of the function",
    "variable_value": "computed from another variable",
    "form_tls_address": "a variable of one thread, which only the system can find",
    "push_tls_address": "a variable of one thread, which only the system can find",
}
_TYPED = frozenset({"const_type", "regval_type", "deref_type", "convert", "reinterpret"})


class NoValue(Exception):
    """There is no place; the message completes "it is ..."."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an expression may refer to. Each function raises NoValue where it is not known."""

    #: the ops of an expression
    parse: Callable[[Iterable[int]], list[Any]]
    frame_base: Callable[[], Word]
    cfa: Callable[[], Word]
    #: how far the program was moved from where it is linked
    bias: int


def evaluate(code: Iterable[int], around: Surroundings) -> Place:
    """The place that an expression describes; one without value says why."""
    try:
        return _Evaluation(around).run(code)
    except NoValue as problem:
        return absent(str(problem))


def address_of(code: Iterable[int], around: Surroundings) -> Word:
    """The word that an expression leaves on its stack. Raises NoValue."""
    evaluation = _Evaluation(around)
    for op in around.parse(code):
        evaluation.step(_short(op.op_name), op.args)
    return evaluation.pop()


class _Evaluation:
    """The stack, and the place that is being put together."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._stack: list[Word] = []
        #: of a place that is not an address on the stack; None: it is
        self._where: list[Where] | None = None

    def run(self, code: Iterable[int]) -> Place:
        parts: list[tuple[int, Where]] = []
        ops = self._around.parse(code)
        if not ops:
            return absent(OPTIMIZED_OUT)
        for op in ops:
            name = _short(op.op_name)
            if name in ("piece", "bit_piece"):
                if name == "bit_piece" and (op.args[0] % 8 or op.args[1]):
                    raise NoValue("in pieces that are no whole bytes")
                size = op.args[0] if name == "piece" else op.args[0] // 8
                parts += self._sized(size)
                self._stack, self._where = [], None
            else:
                self.step(name, op.args)
        if parts:
            return Place(tuple(parts))
        if self._where is None:
            return in_memory(_checked(self.pop()))
        if len(self._where) == 1 and isinstance(self._where[0], Absent):
            return absent(self._where[0].reason)
        return Place(tuple((4, where) for where in self._where))

    def _sized(self, size: int) -> list[tuple[int, Where]]:
        """A piece of `size` bytes."""
        if self._where is None:
            if not self._stack:
                return [(size, Absent("optimized out here, in a part"))]
            return [(size, InMemory(_checked(self.pop())))]
        return list(Place(tuple((4, where) for where in self._where)).part(0, size).parts)

    def step(self, name: str, args: list[Any]) -> None:
        """One operation other than a piece."""
        push = self._stack.append
        if name.startswith("lit"):
            push(ConstantWord(int(name[3:])))
        elif name in _CONSTANTS:
            push(ConstantWord(args[0] & _MASK))
        elif name == "addr":
            push(ConstantWord(args[0] + self._around.bias & _MASK))
        elif name.startswith("breg"):
            push(_plus(_register(args[0] if name == "bregx" else int(name[4:])), args[-1]))
        elif name == "fbreg":
            push(_plus(self._around.frame_base(), args[0]))
        elif name == "call_frame_cfa":
            push(self._around.cfa())
        elif name in _BINARY:
            right, left = self.pop(), self.pop()
            push(operation(_BINARY[name], left, right))
        elif name in _SHIFTS:
            self._shift(_SHIFTS[name])
        elif name == "plus_uconst":
            push(_plus(self.pop(), args[0]))
        elif name == "neg":
            push(operation("-", ConstantWord(0), self.pop()))
        elif name == "not":
            push(operation("^", self.pop(), ConstantWord(_MASK)))
        elif name in ("deref", "deref_size"):
            push(Load(_checked(self.pop()), args[0] if args else 4))
        elif name in ("dup", "over", "pick"):
            depth = {"dup": 0, "over": 1}.get(name, args[0] if args else 0)
            if depth >= len(self._stack):
                raise NoValue("described by an expression that is damaged")
            push(self._stack[-1 - depth])
        elif name == "drop":
            self.pop()
        elif name == "swap":
            first, second = self.pop(), self.pop()
            self._stack += [first, second]
        elif name == "stack_value":
            self._where = [InWord(self.pop())]
        elif name == "implicit_value":
            data = bytes(args[0])
            words = range(0, len(data), 4)
            self._where = [InWord(ConstantWord(int.from_bytes(data[at : at + 4], "little"))) for at in words]
        elif name == "regx" or (name.startswith("reg") and name[3:].isdigit()):
            self._where = [InWord(_register(args[0] if name == "regx" else int(name[3:])))]
        elif name not in ("nop", "uninit"):
            raise NoValue(self._reason(name, args))

    def pop(self) -> Word:
        if not self._stack:
            raise NoValue("described by an expression that is damaged")
        return self._stack.pop()

    def _shift(self, op: str) -> None:
        distance, word = self.pop(), self.pop()
        if not isinstance(distance, ConstantWord):
            raise NoValue("computed by a shift that is not constant")
        if distance.value < 32:
            self._stack.append(operation(op, word, distance))
        else:
            self._stack.append(operation(op, word, ConstantWord(31)) if op == ">>s" else ConstantWord(0))

    def _reason(self, name: str, args: list[Any]) -> str:
        if name == "entry_value":
            inner = args[0][0]
            number = _short(inner.op_name).removeprefix("reg")
            number = str(inner.args[0]) if number == "val_type" else number
            register = REGISTER_NAMES[int(number)] if number.isdigit() and int(number) < 16 else "a register"
            return _REFUSED[name].format(register=register)
        if name in _TYPED:
            return "computed in a way that is not followed (in numbers of other sizes)"
        return _REFUSED.get(name, f"computed in a way that is not followed (DW_OP_{name})")


def _short(name: str) -> str:
    return name.removeprefix("DW_OP_").removeprefix("GNU_")


def _register(number: int) -> Word:
    """The register with a number of "DWARF for the Arm Architecture" (AADWARF32 3.1)."""
    if 0 <= number < 16:
        return RegisterWord(REGISTER_NAMES[number])
    raise NoValue("in a floating-point register" if number in _VECTOR else f"in a register that is not read ({number})")


def _plus(word: Word, number: int) -> Word:
    return operation("+", word, ConstantWord(number & _MASK))


def _checked(address: Word) -> Word:
    """The address, unless it is below the stack: what was there is gone, or has yet to come."""
    distance = offset_from(address, "sp")
    if distance is not None and distance < 0:
        raise NoValue("not on the stack here: its place is below the stack pointer")
    return address
