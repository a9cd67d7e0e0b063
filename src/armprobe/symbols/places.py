"""Where values are when the program stands at one instruction: registers, memory, constants, and what is made of them.

A word is a number of 32 bits. Registers are named as everywhere: `r0` to `r12`, `sp`, `lr`, `pc`.
"""

from __future__ import annotations

from dataclasses import dataclass

_MASK = 0xFFFFFFFF
#: parts of objects whose end is not known reach as far as memory
ENDLESS = 1 << 32


@dataclass(frozen=True, slots=True)
class RegisterWord:
    """What is in a register."""

    name: str


@dataclass(frozen=True, slots=True)
class ConstantWord:
    value: int


@dataclass(frozen=True, slots=True)
class Load:
    """The `size` bytes (1, 2, 4 or 8) at an address, at any alignment, as a number without a sign."""

    address: Word
    size: int


@dataclass(frozen=True, slots=True)
class Operation:
    """`op` is + - * & | ^ << >> (>>s with the sign), modulo 2^32; words are shifted by constants below 32."""

    op: str
    left: Word
    right: Word


@dataclass(frozen=True, slots=True)
class Pair:
    """A number of 64 bits in two words."""

    low: Word
    high: Word


@dataclass(frozen=True, slots=True)
class GivenWord:
    """A word that whoever asks has computed, in a form of his own."""

    what: object


Word = RegisterWord | ConstantWord | Load | Operation | GivenWord
#: a number of up to 64 bits
Value = Word | Pair


@dataclass(frozen=True, slots=True)
class InMemory:
    """An object, or a part of it, in memory."""

    address: Word


@dataclass(frozen=True, slots=True)
class InWord:
    """A part of an object that is the lowest bytes of `word` shifted right by `shift` bits."""

    word: Word
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no value; `reason` completes "it is ..."."""

    reason: str


Where = InMemory | InWord | Absent


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is: its parts in order, each with its size in bytes."""

    parts: tuple[tuple[int, Where], ...]

    @property
    def where(self) -> Where | None:
        """Where the object is if it is in one place."""
        return self.parts[0][1] if len(self.parts) == 1 else None

    @property
    def reason(self) -> str:
        """Why there is no value, where there is none at all."""
        if all(isinstance(where, Absent) for _, where in self.parts):
            where = self.parts[0][1]
            assert isinstance(where, Absent)
            return where.reason
        return ""

    def part(self, offset: int, size: int) -> Place:
        """The place of the `size` bytes at `offset` of the object."""
        found: list[tuple[int, Where]] = []
        start = 0
        for length, where in self.parts:
            low, high = max(offset, start), min(offset + size, start + length)
            if low < high:
                found.append((high - low, _shifted(where, low - start)))
            start += length
        missing = size - sum(length for length, _ in found)
        if missing > 0:
            found.append((missing, Absent("not described by the debug information")))
        return Place(tuple(found))

    def value(self, size: int) -> Value | Absent:
        """The lowest `size` bytes (up to 8) as a number; the bits above in its words are arbitrary."""
        where = self.where
        if isinstance(where, InMemory) and size in (1, 2, 4, 8):
            return Load(where.address, size)
        low = self._word(0, min(size, 4))
        if size <= 4 or isinstance(low, Absent):
            return low
        high = self._word(4, size - 4)
        return high if isinstance(high, Absent) else Pair(low, high)

    def _word(self, offset: int, size: int) -> Word | Absent:
        """Up to four bytes from the parts that they are in."""
        word: Word | None = None
        done = 0
        for length, where in self.part(offset, size).parts:
            if isinstance(where, Absent):
                return where
            piece = _bytes_of(where, length)
            if 8 * length < 32 and done + length < size:
                piece = operation("&", piece, ConstantWord((1 << 8 * length) - 1))
            piece = operation("<<", piece, ConstantWord(8 * done))
            word = piece if word is None else operation("|", word, piece)
            done += length
        assert word is not None
        return word


def in_memory(address: Word) -> Place:
    """The place of an object of any size at `address`."""
    return Place(((ENDLESS, InMemory(address)),))


def in_words(*words: Word) -> Place:
    """The place of an object in words, the lowest first."""
    return Place(tuple((4, InWord(word)) for word in words))


def absent(reason: str) -> Place:
    """The place of an object that has no value here."""
    return Place(((ENDLESS, Absent(reason)),))


def operation(op: str, left: Word, right: Word) -> Word:
    """`left op right`, computed where both are known; sums keep one constant, as the right side."""
    if isinstance(left, ConstantWord) and isinstance(right, ConstantWord):
        return ConstantWord(compute(op, left.value, right.value))
    if op == "-" and isinstance(right, ConstantWord):
        op, right = "+", ConstantWord(-right.value & _MASK)
    if op == "+" and isinstance(left, ConstantWord):
        left, right = right, left
    if isinstance(right, ConstantWord):
        if right.value & _MASK == 0 and op in ("+", "|", "^", "<<", ">>", ">>s"):
            return left
        if op == "+" and isinstance(left, Operation) and left.op == "+" and isinstance(left.right, ConstantWord):
            return operation("+", left.left, ConstantWord(left.right.value + right.value & _MASK))
    return Operation(op, left, right)


def compute(op: str, left: int, right: int) -> int:
    """The result of an operation on numbers of 32 bits."""
    match op:
        case "+":
            result = left + right
        case "-":
            result = left - right
        case "*":
            result = left * right
        case "&":
            result = left & right
        case "|":
            result = left | right
        case "^":
            result = left ^ right
        case "<<":
            result = left << right
        case ">>":
            result = (left & _MASK) >> right
        case _:
            result = ((left & _MASK ^ 1 << 31) - (1 << 31)) >> right
    return result & _MASK


def split_sum(word: Word) -> tuple[Word, int]:
    """(base, number with its sign) of what is base + number."""
    if isinstance(word, Operation) and word.op == "+" and isinstance(word.right, ConstantWord):
        return word.left, (word.right.value & _MASK ^ 1 << 31) - (1 << 31)
    return word, 0


def offset_from(word: Word, register: str) -> int | None:
    """N for what is REGISTER + N, with its sign; None for anything else."""
    base, offset = split_sum(word)
    return offset if base == RegisterWord(register) else None


def _shifted(where: Where, offset: int) -> Where:
    match where:
        case InMemory(address):
            return InMemory(operation("+", address, ConstantWord(offset)))
        case InWord(word, shift):
            return InWord(word, shift + 8 * offset)
        case Absent():
            return where


def _bytes_of(where: InMemory | InWord, size: int) -> Word:
    if isinstance(where, InWord):
        return operation(">>", where.word, ConstantWord(where.shift)) if where.shift < 32 else ConstantWord(0)
    if size == 3:
        low, high = Load(where.address, 2), Load(operation("+", where.address, ConstantWord(2)), 1)
        return operation("|", low, operation("<<", high, ConstantWord(16)))
    return Load(where.address, size)
