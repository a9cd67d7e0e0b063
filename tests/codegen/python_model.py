"""Random expressions of compiled handlers, each with the number that it should have: the semantics, written once more.

A word is an integer and a kind, (bits, signed). Nothing here is shared with the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import add, and_, eq, ge, gt, le, lt, mul, ne, or_, sub, xor

from hypothesis import strategies as st
from tests.codegen.python_functions import MEMORY, PROBE, READ, READ_SIZE

Kind = tuple[int, bool]
Environment = Mapping[str, int]
KINDS: list[Kind] = [(32, False), (32, True), (64, False), (64, True)]
REGISTERS = ("r0", "r1", "r3", "r4", "lr", "sp")
NUMBERS = (0, 1, 2, 3, 7, 8, 10, 31, 32, 63, 100, 255, 256, 1000, 0x7FFF, 0xFFFF, 0x7FFFFFFF)
_ARITHMETIC = {"+": add, "-": sub, "*": mul, "&": and_, "|": or_, "^": xor}
_COMPARISONS = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


class ModelFault(Exception):
    """A read outside of the memory."""


@dataclass(frozen=True)
class Expr:
    """A text, its kind (1 bit: a truth value) and what it is for given registers."""

    text: str
    kind: Kind
    value: Callable[[Environment], int]

    def __repr__(self) -> str:
        return self.text


def wrap(kind: Kind, number: int) -> int:
    bits, signed = kind
    number %= 1 << bits
    return number - (1 << bits) if signed and number >= 1 << bits - 1 else number


def name(kind: Kind) -> str:
    return f"{'s' if kind[1] else 'u'}{kind[0]}"


def converted(kind: Kind, inner: Expr) -> Expr:
    result = (max(kind[0], 32), kind[1])
    return Expr(f"as_{name(kind)}({inner.text})", result, lambda env: wrap(kind, inner.value(env)))


@st.composite
def leaves(draw: st.DrawFn) -> Expr:
    choice = draw(st.integers(0, 9))
    if choice < 6:
        register = draw(st.sampled_from(REGISTERS))
        return Expr(register, (32, False), lambda env: env[register])
    if choice < 7:
        return Expr("hit.pc", (32, False), lambda env: env["pc"])
    if choice < 8:
        return Expr("hit.probe", (32, False), lambda _: PROBE)
    kind, number = draw(st.sampled_from(KINDS)), draw(st.sampled_from(NUMBERS))
    return converted(kind, Expr(str(number), kind, lambda _: number))


@st.composite
def numbers(draw: st.DrawFn, depth: int = 4) -> Expr:
    """An expression that is a word."""
    if depth == 0:
        return draw(leaves())
    inner = numbers(depth - 1)
    match draw(st.integers(0, 11)):
        case 0:
            return draw(leaves())
        case 1:
            bits, signed = draw(st.sampled_from([8, 16, 32, 64])), draw(st.booleans())
            return converted((bits, signed), draw(inner))
        case 2 | 3:
            left, right = draw(inner), draw(inner)
            right = right if right.kind == left.kind else converted(left.kind, right)
            return arithmetic(draw(st.sampled_from(sorted(_ARITHMETIC))), left, right)
        case 4:
            left, number = draw(inner), draw(st.sampled_from([*NUMBERS, -1, -4, -256]))
            plain = Expr(f"({number})", left.kind, lambda _: number)
            sides = (left, plain) if draw(st.booleans()) else (plain, left)
            op = draw(st.sampled_from(sorted(_ARITHMETIC)))
            return arithmetic(op, *sides)
        case 5:
            return shift(draw(st.sampled_from(["<<", ">>"])), draw(inner), draw(distances(depth - 1)))
        case 6:
            left = draw(inner)
            divisors = [1 << n for n in (0, 1, 5, 30)] if left.kind[0] == 64 else [1, 2, 3, 7, 10, 641, 1 << 30]
            return division(draw(st.sampled_from(["//", "%"])), left, draw(st.sampled_from(divisors)))
        case 7:
            operand = draw(inner)
            if draw(st.booleans()):
                return Expr(f"(-{operand.text})", operand.kind, lambda env: wrap(operand.kind, -operand.value(env)))
            return Expr(f"(~{operand.text})", operand.kind, lambda env: wrap(operand.kind, ~operand.value(env)))
        case 8:
            function, left, right = draw(st.sampled_from([min, max])), draw(inner), draw(inner)
            right = right if right.kind == left.kind else converted(left.kind, right)
            return Expr(f"{function.__name__}({left.text}, {right.text})", left.kind,
                        lambda env: function(left.value(env), right.value(env)))  # fmt: skip
        case 9:
            operand = draw(inner)
            operand = converted((operand.kind[0], False), operand) if operand.kind[1] else operand
            return Expr(f"log2({operand.text})", (32, False), lambda env: len(bin(operand.value(env) | 1)) - 3)
        case 10:
            test, yes, no = draw(truths(depth - 1)), draw(inner), draw(inner)
            no = no if no.kind == yes.kind else converted(yes.kind, no)
            return Expr(f"({yes.text} if {test.text} else {no.text})", yes.kind,
                        lambda env: (yes if test.value(env) else no).value(env))  # fmt: skip
        case _:
            return read(draw(st.sampled_from([8, 16, 32, 64])), draw(st.booleans()), draw(inner), draw(st.booleans()))


def arithmetic(op: str, left: Expr, right: Expr) -> Expr:
    """Both sides are of one kind."""
    return Expr(f"({left.text} {op} {right.text})", left.kind,
                lambda env: wrap(left.kind, _ARITHMETIC[op](left.value(env), right.value(env))))  # fmt: skip


@st.composite
def distances(draw: st.DrawFn, depth: int) -> Expr:
    if draw(st.booleans()):
        distance = draw(st.sampled_from([0, 1, 5, 31]))
        return Expr(str(distance), (32, False), lambda _: distance)
    inner = draw(numbers(depth))
    inner = converted((inner.kind[0], False), inner) if inner.kind[1] else inner
    return arithmetic("&", inner, Expr("127", inner.kind, lambda _: 127)) if draw(st.booleans()) else inner


def shift(op: str, left: Expr, distance: Expr) -> Expr:
    def value(env: Environment) -> int:
        number, places = left.value(env), min(distance.value(env), 1000)
        return wrap(left.kind, number * 2**places if op == "<<" else number // 2**places)

    return Expr(f"({left.text} {op} {distance.text})", left.kind, value)


def division(op: str, left: Expr, divisor: int) -> Expr:
    def value(env: Environment) -> int:
        number = left.value(env)
        quotient = abs(number) // divisor
        if number < 0:  # towards minus infinity
            quotient = -quotient - (abs(number) % divisor != 0)
        return quotient if op == "//" else number - quotient * divisor

    return Expr(f"({left.text} {op} {divisor})", left.kind, value)


def read(bits: int, signed: bool, inner: Expr, safe: bool) -> Expr:
    """Of memory that is there; unless `safe`, near its ends, where it may not be."""
    inner = inner if inner.kind == (32, False) else converted((32, False), inner)
    start, mask = (READ, 31) if safe else (READ - 8, 127)

    def value(env: Environment) -> int:
        offset = start - READ + inner.value(env) % (mask + 1)
        if not 0 <= offset <= READ_SIZE - bits // 8:
            raise ModelFault
        return wrap((bits, signed), sum(MEMORY[offset + n] << 8 * n for n in range(bits // 8)))

    return Expr(f"{name((bits, signed))}({start:#x} + ({inner.text} & {mask}))", (max(bits, 32), signed), value)


@st.composite
def truths(draw: st.DrawFn, depth: int) -> Expr:
    """An expression that is a truth value."""
    kind = (1, False)
    match draw(st.integers(0, 5)) if depth else 0:
        case 0 | 1:
            left, right = draw(numbers(max(depth - 1, 0))), draw(numbers(0))
            right = right if right.kind == left.kind else converted(left.kind, right)
            op = draw(st.sampled_from(sorted(_COMPARISONS)))
            return Expr(f"({left.text} {op} {right.text})", kind,
                        lambda env: _COMPARISONS[op](left.value(env), right.value(env)))  # fmt: skip
        case 2:
            low, middle, number = draw(numbers(depth - 1)), draw(numbers(depth - 1)), draw(st.sampled_from(NUMBERS))
            middle = middle if middle.kind == low.kind else converted(low.kind, middle)

            def chain(env: Environment) -> bool:
                first, second = low.value(env), middle.value(env)
                return first < second <= number

            return Expr(f"({low.text} < {middle.text} <= {number})", kind, chain)
        case 3:
            operand = draw(truths(depth - 1))
            return Expr(f"(not {operand.text})", kind, lambda env: not operand.value(env))
        case 4:
            left, right = draw(truths(depth - 1)), draw(truths(depth - 1))
            if draw(st.booleans()):
                return Expr(f"({left.text} and {right.text})", kind, lambda env: left.value(env) and right.value(env))
            return Expr(f"({left.text} or {right.text})", kind, lambda env: left.value(env) or right.value(env))
        case _:
            operand = draw(numbers(depth - 1))
            return Expr(f"(not not {operand.text})", kind, lambda env: operand.value(env) != 0)
