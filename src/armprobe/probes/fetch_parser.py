"""One argument of a definition, `[NAME=]FETCH[:TYPE]`: what is fetched, and as which type.

    %REG                register                        $stack      the stack pointer
    @ADDR  @SYM[+-OFF]  memory at an address            $stackN     the N-th word of the stack, from 0
    +-[u]OFF(FETCH)     memory at FETCH + OFF           $argN       the N-th argument word of a function, from 1
    $comm               the name of the task            $common_pid, $common_tgid, $common_cpu   and its numbers
    \\NUMBER  \\"TEXT"    constants                    NAME[->NAME|.NAME|[N]]...  variables, by debug information

With debug information, $argN is the N-th argument of the function, and $retval has the type of its result.
Types are those of `armprobe.events.record`, bit-fields `bWIDTH@OFFSET/SIZE`, and arrays TYPE[N].
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from armprobe.errors import UsageError
from armprobe.events.record import COMM_TYPE, DEFAULT_TYPE, MAX_COUNT, NAMED_TYPES, FieldType
from armprobe.events.source import AtEntry, KnownText, Memory, Number, Source, SymbolAddress, Text
from armprobe.isa.insn import REGISTER_NAMES, REGISTER_NUMBERS
from armprobe.probes.hit_fields import NO_TARGET, HitFields
from armprobe.probes.variables import PATH, Names, argument_object, field_of, follow, result_object, source_of
from armprobe.symbols.data import Object

MAX_DEPTH, MAX_STACK = 12, 2047
#: AAPCS: the first words of arguments are in registers
_IN_REGISTERS = 4
_REGISTERS = "there are %r0 to %r12, %sp, %lr, %pc, %cpsr"
FETCHES = "there are %r0, @ADDRESS, @SYMBOL, +4(%r0), $stack, $stack0, $arg1, \\5"
TYPES_HINT = f"types are {', '.join(NAMED_TYPES)}, b4@0/32, and arrays such as u8[4]"
_REGISTER = re.compile(r"%(\w*)")
_VARIABLE = re.compile(r"\$(\w*\*?)")
_PATH = re.compile(PATH)
#: an argument or the result, and what is reached from it
_TYPED = re.compile(r"\$(?:arg(?P<number>[1-9]\d{0,8})|retval)(?P<steps>(?:->|\.|\[)\S*?(?=[:)]|$)|)", re.ASCII)
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_SYMBOL = re.compile(r"@((?:[^\s:()+\-]|::)+)([+-](?:0[xX][0-9a-fA-F]+|[0-9]+))?")
_OFFSET = re.compile(r"([+-])u?(0[xX][0-9a-fA-F]+|[0-9]+)\(")
_CONSTANT = re.compile(r"\\(-?(?:0[xX][0-9a-fA-F]+|[0-9]+))")
_TEXT = re.compile(r'\\"([^"]*)"')
_BITS = re.compile(r"b(\d+)@(\d+)/(\d+)")
_ABSENT = {
    **{
        name: (f"${name} stands for several arguments", "write it alone, without a name or a type")
        for name in ("arg*", "params", "vars")
    },
    "retval": ("$retval is what a function returns, and this is no return probe", "write r in place of p"),
}  # fmt: skip

Result = TypeVar("Result")
#: Raises UsageError: column, message, hint.
Fail = Callable[[int, str, str], NoReturn]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an argument is; `entry` where it only makes sense at the entry of a function."""

    source: Source
    type: FieldType
    entry: bool


def register_name(spelling: str) -> str | None:
    """The one name of a register of definitions (`fp` is `r11`), None if there is no such register."""
    if spelling == "cpsr":
        return spelling
    number = REGISTER_NUMBERS.get(spelling)
    return None if number is None else REGISTER_NAMES[number]


def parse_fetch(
    text: str,
    column: int,
    fail: Fail,
    *,
    symbol_address: Callable[[str], int] | None = None,
    names: Names | None = None,
    at_return: bool = False,
    hit: HitFields = NO_TARGET,
) -> Fetched:
    """Parse `FETCH[:TYPE]`, which stands at `column` of the definition; mistakes go to `fail`.

    `symbol_address` raises UsageError for what is no symbol; without it, symbols are left as they are. `names` gives
    those that debug information knows at the place, None where it knows nothing; `hit` what is known of every hit.
    """
    return _Parser(text, column, fail, symbol_address, names, at_return, hit).parse()


class _Parser:
    """Parses one argument; positions are columns of it."""

    def __init__(
        self,
        text: str,
        column: int,
        fail: Fail,
        symbol_address: Callable[[str], int] | None,
        names: Names | None,
        at_return: bool,
        hit: HitFields,
    ) -> None:
        self.text = text
        self.column = column
        self.fail_at = fail
        self.symbol_address = symbol_address
        self.names = names
        self.at_return = at_return
        self.hit = hit
        #: the type of a value that has one of its own
        self.own_type: FieldType | None = None
        self.entry = False

    def parse(self) -> Fetched:
        named = self._named(0)
        if named is not None:
            found, end = named
            asked = None
            if end < len(self.text):
                if self.text[end] != ":":
                    self._fail(end, f"expected :TYPE or the end of the argument, not {self.text[end:]!r}")
                asked = self._type(end + 1)
            return Fetched(*self._reporting(0, lambda: field_of(found, asked)), False)
        source, end = self._fetch(0, 0)
        if end == len(self.text):
            kind = NAMED_TYPES["string"] if isinstance(source, Text) else self.own_type or DEFAULT_TYPE
        elif self.text[end] == ":":
            kind = self._type(end + 1)
        else:
            self._fail(end, f"expected :TYPE or the end of the argument, not {self.text[end:]!r}")
        if isinstance(source, KnownText):
            if kind.name != "string":
                self._fail(end + 1, f"the name of a task is a string, not {kind.name}")
            kind = COMM_TYPE
        self._check(source, kind, end + 1)
        return Fetched(source, kind, self.entry)

    def _fetch(self, at: int, depth: int) -> tuple[Source, int]:
        """A source from the position `at` on, and the position after it."""
        readers = {
            "%": self._register,
            "$": self._variable,
            "@": self._memory,
            "+": self._dereference,
            "-": self._dereference,
            "\\": self._constant,
        }
        named = self._named(at)
        if named is not None:
            found, end = named
            return self._reporting(at, lambda: source_of(found.value())), end
        reader = readers.get(self.text[at : at + 1])
        if reader is None:
            wanted = "an address is made of" if depth else "an argument is"
            self._fail(at, f"{wanted} %REGISTER, memory or a constant, not {self.text[at:]!r}", FETCHES)
        return reader(at, depth)

    def _named(self, at: int) -> tuple[Object, int] | None:
        """What a name, or an argument that debug information knows, stands for, and the position after it."""
        path = _PATH.match(self.text, at)
        typed = _TYPED.match(self.text, at)
        scope = self.names() if self.names is not None and (path or typed) else None
        if path is not None:
            if self.at_return:
                self._fail(at, f"{path[0]!r} is a variable, and those are gone when the function has returned",
                           "$retval is the result; write p in place of r for the arguments")  # fmt: skip
            register = register_name(path[0])
            hint = f"the register is %{path[0]}" if register is not None else ""
            if scope is None:
                missing = f"there is no debug information here, which would know the name {path[0]!r}"
                self._fail(at, missing, hint or f"build the program with -g; {FETCHES}")
            return self._reporting(at, lambda: follow(path[0], scope), hint), path.end()
        if typed is None or scope is None or self.at_return is (typed["number"] is not None):
            return None
        if typed["number"] is None:
            start: Object | None = result_object(scope)
        else:
            start = self._reporting(at, lambda: argument_object(scope, int(typed["number"])))
        if start is None:
            return None
        return self._reporting(at, lambda: follow(typed["steps"], start)), typed.end()

    def _reporting(self, at: int, look: Callable[[], Result], hint: str = "") -> Result:
        """Point at `at` where something is not there."""
        try:
            return look()
        except UsageError as error:
            self._fail(at, error.message, hint or error.hint)

    def _register(self, at: int, _depth: int) -> tuple[Source, int]:
        match = self._match(_REGISTER, at, "")
        name = register_name(match[1])
        if name is None:
            self._fail(at, f"there is no register %{match[1]}", _REGISTERS)
        return name, match.end()

    def _variable(self, at: int, depth: int) -> tuple[Source, int]:
        match = self._match(_VARIABLE, at, "")
        name, end = match[1], match.end()
        if name == "retval" and self.at_return:
            return "r0", end
        if name in _ABSENT:
            self._fail(at, *_ABSENT[name])
        if name == "stack":
            return "sp", end
        found = self._reporting(at, lambda: self.hit.find(name))
        if found is not None:
            source, kind = found
            if depth and isinstance(source, KnownText):
                self._fail(at, f"${name} is a string, and no address")
            self.own_type = None if depth else kind
            return source, end
        number = re.fullmatch(r"(stack|arg)(\d{1,9})", name, re.ASCII)
        if number is None:
            self._fail(
                at,
                f"there is no variable ${name}",
                "there are $stack, $stack0, ..., $arg1, $arg2, ..., $comm, $common_pid, $common_tgid, $common_cpu",
            )
        index = int(number[2])
        if number[1] == "stack":
            if index > MAX_STACK:
                self._fail(at, f"${name} is too far: $stack0 to $stack{MAX_STACK} are the words that can be read")
            return Memory("sp", 4 * index), end
        if not 1 <= index <= MAX_STACK:
            self._fail(at, f"there is no argument ${name}: $arg1 is the first word")
        # A return probe is at the entry of a function anyway.
        self.entry = not self.at_return
        if self.at_return and index > _IN_REGISTERS:
            self._fail(at, f"${name} is on the stack, which is another at the return", "write p in place of r")
        if self.at_return:
            return AtEntry(f"r{index - 1}"), end
        return (f"r{index - 1}" if index <= _IN_REGISTERS else Memory("sp", 4 * (index - 1 - _IN_REGISTERS))), end

    def _memory(self, at: int, _depth: int) -> tuple[Source, int]:
        number = _NUMBER.match(self.text, at + 1)
        if number is not None:
            return Memory(Number(self._word(at, number[0])), 0), number.end()
        match = self._match(_SYMBOL, at, f"@ needs an address or a symbol, not {self.text[at + 1 :]!r}")
        offset = self._word(at, match[2]) if match[2] else 0
        if self.symbol_address is None:
            return Memory(SymbolAddress(match[1], offset), 0), match.end()
        try:
            address = self.symbol_address(match[1])
        except UsageError as error:
            self._fail(at + 1, error.message, error.hint)
        return Memory(Number(address + offset & 0xFFFFFFFF), 0), match.end()

    def _dereference(self, at: int, depth: int) -> tuple[Source, int]:
        match = self._match(_OFFSET, at, f"memory is +OFFSET(ADDRESS) or -OFFSET(ADDRESS), not {self.text[at:]!r}")
        if depth == MAX_DEPTH:
            self._fail(at, f"memory is read through at most {MAX_DEPTH} pointers")
        base, end = self._fetch(match.end(), depth + 1)
        if self.text[end : end + 1] != ")":
            self._fail(match.end() - 1, "this parenthesis is not closed")
        return Memory(base, self._word(at, match[1] + match[2])), end + 1

    def _constant(self, at: int, depth: int) -> tuple[Source, int]:
        text = _TEXT.match(self.text, at)
        if text is not None:
            if depth:
                self._fail(at, "a constant string is no address")
            return Text(text[1]), text.end()
        match = self._match(_CONSTANT, at, f'a constant is \\NUMBER or \\"TEXT", not {self.text[at:]!r}')
        return Number(self._word(at, match[1])), match.end()

    def _type(self, at: int) -> FieldType:
        text = self.text[at:]
        name, bracket, count = text.partition("[")
        kind = NAMED_TYPES.get({"ustring": "string"}.get(name, name))
        if kind is None and (bits := _BITS.fullmatch(name)):
            kind = self._bit_field(at, *map(int, bits.groups()))
        if name in ("%pd", "%pD"):
            self._fail(at, f"the type {name!r} is a file name in the kernel's structures, which no other program has")
        if kind is None:
            self._fail(at, f"there is no type {name!r}", TYPES_HINT)
        if not bracket:
            return kind
        if not re.fullmatch(r"\d{1,9}\]", count, re.ASCII):
            self._fail(at + len(name), f"an array is TYPE[NUMBER], not {text!r}")
        if not 1 <= int(count[:-1]) <= MAX_COUNT:
            self._fail(at + len(name), f"an array has 1 to {MAX_COUNT} elements, not {count[:-1]}")
        return FieldType(kind.size, kind.style, kind.bits, int(count[:-1]))

    def _bit_field(self, at: int, width: int, low: int, size: int) -> FieldType:
        if size not in (8, 16, 32, 64):
            self._fail(at, f"a bit-field lies in 8, 16, 32 or 64 bits, not in {size}")
        if not width or width + low > size:
            self._fail(at, f"{width} bits from bit {low} on are not within {size} bits")
        return FieldType(size // 8, "u", (width, low))

    def _check(self, source: Source, kind: FieldType, at: int) -> None:
        """The type must suit where the value comes from. (A word of the stack is a value, as a register is.)"""
        in_memory = isinstance(source, Memory) and not self.text.startswith("$")
        if isinstance(source, KnownText):
            return
        if isinstance(source, Text):
            if not kind.is_text or kind.count:
                self._fail(at, f"a constant string has the type string, not {kind.name}")
        elif kind.count and not in_memory:
            self._fail(at, "an array is in memory", f"write +0({self.text[: at - 1]}):{kind.name}")
        elif kind.is_text and not in_memory:
            self._fail(at, "a string is in memory", f"write +0({self.text[: at - 1]}):{kind.name}")
        elif isinstance(source, Memory) and not in_memory and kind.size > 4:
            hint = f"write +{source.offset}($stack):{kind.name} for two words"
            self._fail(at, f"{self.text[: at - 1]} is a word, and {kind.name} has 64 bits", hint)

    def _word(self, at: int, text: str) -> int:
        value = int(text, 16 if "x" in text.lower() else 10)
        if not -(1 << 31) <= value < 1 << 32:
            self._fail(at, f"{text} does not fit in 32 bits")
        return value

    def _match(self, pattern: re.Pattern[str], at: int, message: str) -> re.Match[str]:
        match = pattern.match(self.text, at)
        if match is None:
            self._fail(at, message, FETCHES)
        return match

    def _fail(self, at: int, message: str, hint: str = "") -> NoReturn:
        self.fail_at(self.column + at, message, hint)
