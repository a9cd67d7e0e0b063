"""Random definitions, and what their fields are, said once more in Python.

A definition is made together with closures that compute its values from registers and memory: nothing of the parser,
the layout or the compiler is used.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from dataclasses import dataclass

from armprobe.targets.base import Region

PAGE = 0x1000
#: Memory of the program, with nothing around it; the third and the fourth touch.
REGIONS = (
    Region(0, PAGE),
    Region(0x1000_0000, 0x1000_0000 + PAGE),
    Region(0x4000_0000, 0x4000_0000 + PAGE),
    Region(0x4000_0000 + PAGE, 0x4000_0000 + 2 * PAGE),
    Region(0xFFFF_F000, 1 << 32),
)
STACK = Region(0x2000_0000, 0x2000_0000 + PAGE)
WORD = 0xFFFFFFFF
REGISTERS = ("r0", "r1", "r2", "r3", "r4", "r9", "r12", "lr", "sp")

#: what a field needs: the registers, and bytes at an address or None
Registers = dict[str, int]
Read = Callable[[int, int], bytes | None]
Element = int | str | None
Value = Element | list[Element]
Word = Callable[[Registers, Read], int | None]


@dataclass(frozen=True)
class Fetch:
    """The text of a source, its word, and the address where it is memory that an array or a string can be at."""

    text: str
    word: Word
    address: Word | None = None
    #: it is a word of the stack
    stack: bool = False


@dataclass(frozen=True)
class Field:
    """One argument: its text, and its value given the most bytes of a string."""

    name: str
    text: str
    value: Callable[[Registers, Read, int], Value]
    kind: str
    #: the lowest and the highest value of a number
    limits: tuple[int, int] = (0, 0)

    @property
    def number(self) -> bool:
        return self.kind in ("number", "bit-field")


def interesting_address(chance: random.Random) -> int:
    """Somewhere in memory, or near an end of it."""
    region = chance.choice(REGIONS)
    if chance.random() < 0.3:
        return chance.choice((region.start, region.end)) + chance.randrange(-9, 10) & WORD
    return chance.randrange(region.start, region.end)


def random_memory(chance: random.Random, size: int) -> bytes:
    """Pointers, strings and noise."""
    data = bytearray()
    while len(data) < size:
        kind = chance.random()
        if kind < 0.5:
            data += interesting_address(chance).to_bytes(4, "little")
        elif kind < 0.8:
            length = chance.choice((0, 1, 2, 3, 4, 5, 7, 8, 30, 300))
            data += bytes(chance.choices(b"abc xyz\xc3\xa9\n", k=length)) + b"\0" * chance.randrange(3)
        else:
            data += chance.randbytes(chance.randrange(1, 5))
    return bytes(data[:size])


def random_fetch(chance: random.Random, symbols: dict[str, int], depth: int = 0) -> Fetch:
    """A source of any kind, through up to four pointers."""
    kind = chance.random()
    if depth < 4 and kind < 0.55:
        inner = random_fetch(chance, symbols, depth + 1)
        # Below SP is memory that no program looks at: there a detour saves registers.
        lowest = 0 if inner.text in ("%sp", "$stack") else -40
        offset = chance.choice((0, 0, 4, chance.randrange(lowest, 40), chance.randrange(0, 2000)))

        def address(regs: Registers, read: Read) -> int | None:
            base = inner.word(regs, read)
            return None if base is None else base + offset & WORD

        sign = chance.choice(("+", "+u")) if offset >= 0 else "-"
        return _memory(f"{sign}{chance.choice((str, hex))(abs(offset))}({inner.text})", address)
    if kind < 0.8 or depth >= 4:
        name = chance.choice(REGISTERS)
        if name == "sp" and chance.random() < 0.5:
            return Fetch("$stack", lambda regs, _: regs["sp"])
        return Fetch(f"%{name}", lambda regs, _: regs[name])
    if kind < 0.85:
        place = interesting_address(chance)
        return _memory(f"@{place:#x}", lambda _regs, _read: place)
    if kind < 0.9:
        symbol, offset = chance.choice(list(symbols)), chance.randrange(-8, 9)
        return _memory(f"@{symbol}{offset:+d}", lambda _regs, _read: symbols[symbol] + offset & WORD)
    if kind < 0.95:
        number = chance.randrange(1, 9)
        if number <= 4:
            return Fetch(f"$arg{number}", lambda regs, _: regs[f"r{number - 1}"], stack=True)
        return _stack_word(f"$arg{number}", number - 5)
    if kind < 0.98:
        number = chance.randrange(0, 12)
        return _stack_word(f"$stack{number}", number)
    constant = interesting_address(chance)
    return Fetch(f"\\{constant:#x}", lambda _regs, _read: constant)


def random_field(chance: random.Random, name: str, symbols: dict[str, int]) -> Field:
    """An argument of any type that suits its source."""
    if chance.random() < 0.05:
        return Field(name, rf'{name}=\"some:text=%r0"', lambda _regs, _read, _most: "some:text=%r0", "constant string")
    fetch = random_fetch(chance, symbols)
    kind, size, signed, bits = _random_type(chance, small=fetch.stack)
    place = fetch.address
    if place is None or chance.random() < 0.6:
        width = bits[0] if bits else 8 * size
        limits = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
        value = _number(fetch, size, signed, bits)
        return Field(name, f"{name}={fetch.text}:{kind}", value, "bit-field" if bits else "number", limits)
    style = chance.random()
    if style < 0.4:
        return Field(name, f"{name}={fetch.text}:{chance.choice(('string', 'ustring'))}",
                     lambda regs, read, most: _string(place(regs, read), read, most), "string")  # fmt: skip
    if style < 0.6:
        if chance.random() < 0.5:
            fetch = _memory("@texts", lambda _regs, _read: symbols["texts"])
            place = fetch.address
        count = chance.choice((1, 1, 2, 3))

        def strings(regs: Registers, read: Read, most: int) -> Value:
            start = place(regs, read)
            pointers = [None if start is None else read(start + 4 * n & WORD, 4) for n in range(count)]
            return [_string(None if p is None else int.from_bytes(p, "little"), read, most) for p in pointers]

        return Field(name, f"{name}={fetch.text}:string[{count}]", strings, "array of strings")
    count = chance.choice((1, 2, 3, 5, 8, 13))

    def array(regs: Registers, read: Read, _most: int) -> Value:
        start = place(regs, read)
        data = None if start is None else read(start, size * count)
        if data is None:
            return None
        return [_convert(data[at : at + size], signed, bits) for at in range(0, len(data), size)]

    return Field(name, f"{name}={fetch.text}:{kind}[{count}]", array, "array")


def random_filter(chance: random.Random, fields: list[Field]) -> tuple[str, Callable[[Registers, Read], bool]]:
    """A condition over the fields that are numbers or strings, and whether it holds.

    Of a string so many bytes are looked at as the constant has, with its zero.
    """
    numbers = [field for field in fields if field.number or field.kind == "string"]
    if not numbers or chance.random() < 0.3:
        return "", lambda _regs, _read: True
    tests = []
    for _ in range(chance.randrange(1, 4)):
        field = chance.choice(numbers)
        operators = [("==", operator.eq), ("!=", operator.ne)]
        if field.number:
            operators += [("<", operator.lt), (">=", operator.ge), ("&", operator.and_)]
            constant = chance.choice((0, *field.limits, chance.randint(*field.limits)))
            shown = str(constant)
        else:
            constant = chance.choice(("", "a", " x", "abc xyz"))
            shown = f'"{constant}"'
        op, holds = chance.choice(operators)
        tests.append((f"{field.name} {op} {shown}", field, holds, constant, chance.random() < 0.3))
    word = chance.choice(("&&", "||"))
    text = f" {word} ".join(f"!({test})" if negated else test for test, _, _, _, negated in tests)

    def condition(regs: Registers, read: Read) -> bool:
        results = []
        for _, field, holds, constant, negated in tests:
            value = field.value(regs, read, 0 if field.number else len(constant) + 1)
            results.append((value is not None and bool(holds(value, constant))) != negated)
        return all(results) if word == "&&" else any(results)

    return f" if {text}", condition


def _memory(text: str, address: Word) -> Fetch:
    def word(regs: Registers, read: Read) -> int | None:
        place = address(regs, read)
        data = None if place is None else read(place, 4)
        return None if data is None else int.from_bytes(data, "little")

    return Fetch(text, word, address)


def _stack_word(text: str, number: int) -> Fetch:
    fetch = _memory(text, lambda regs, _: regs["sp"] + 4 * number & WORD)
    return Fetch(text, fetch.word, stack=True)


def _random_type(chance: random.Random, *, small: bool) -> tuple[str, int, bool, tuple[int, int] | None]:
    """(name, bytes, signed, bit-field) of a type of numbers."""
    size = chance.choice((1, 2, 4) if small else (1, 2, 4, 8))
    style = chance.choice(("u", "s", "x", "bits", "other"))
    if style == "bits":
        width = chance.randrange(1, 8 * size + 1)
        low = chance.randrange(0, 8 * size - width + 1)
        return f"b{width}@{low}/{8 * size}", size, False, (width, low)
    if style == "other":
        name, size = chance.choice((("char", 1), ("symbol", 4)))
        return name, size, False, None
    return f"{style}{8 * size}", size, style == "s", None


def _number(
    fetch: Fetch, size: int, signed: bool, bits: tuple[int, int] | None
) -> Callable[[Registers, Read, int], Value]:
    def value(regs: Registers, read: Read, _most: int) -> Value:
        if fetch.address is not None:
            place = fetch.address(regs, read)
            data = None if place is None else read(place, size)
        else:
            word = fetch.word(regs, read)
            data = None if word is None else word.to_bytes(8, "little")[:size]
        return None if data is None else _convert(data, signed, bits)

    return value


def _convert(data: bytes, signed: bool, bits: tuple[int, int] | None) -> int:
    number = int.from_bytes(data, "little", signed=signed)
    return number if bits is None else (number >> bits[1]) % (1 << bits[0])


def _string(address: int | None, read: Read, most: int) -> str | None:
    data = bytearray()
    while address is not None and len(data) < most:
        byte = read(address + len(data), 1)  # beyond 2**32 there is nothing
        if byte is None:
            return None
        if byte == b"\0":
            return data.decode("utf-8", "backslashreplace")
        data += byte
    return None if address is None else data.decode("utf-8", "backslashreplace") + "…"
