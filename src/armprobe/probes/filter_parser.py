"""The filter of a definition: text to the tree of `armprobe.codegen.filters`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from armprobe.codegen.filters import (
    COMPARISONS,
    And,
    Compare,
    CompareText,
    Constant,
    Fetch,
    Filter,
    Not,
    Operand,
    Or,
    Register,
)
from armprobe.codegen.text_pattern import exactly, parse_glob
from armprobe.errors import UsageError
from armprobe.events.record import TYPES, FieldType
from armprobe.events.source import KnownText, Memory, Source
from armprobe.probes.hit_fields import COMMON_WORDS, NAMES, NO_TARGET, HitFields
from armprobe.probes.variables import PATH, Names, field_of, follow

#: Filters are compiled and decided recursively; nobody writes longer ones by hand.
MAX_DEPTH, MAX_COMPARISONS, MAX_TEXT = 32, 64, 64
_TOKEN = re.compile(
    r"(?P<operator>\|\||&&|==|!=|<=|>=|[<>&!()~])|(?P<text>\"[^\"]*\")|(?P<number>-?(?:0[xX][0-9a-fA-F]+|[0-9]+)\b)"
    rf"|%(?P<register>\w+)(?::(?P<type>\w+))?|(?P<name>{PATH})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class _Token:
    """A word of a filter; `kind` is its group in _TOKEN, or `end`."""

    kind: str
    text: str
    column: int
    type: str | None = None


def parse_filter(
    text: str,
    start: int,
    *,
    fields: Mapping[str, tuple[Source, FieldType]],
    register_name: Callable[[str], str | None],
    names: Names = lambda: None,
    hit: HitFields = NO_TARGET,
) -> Filter:
    """Parse `text` from the column `start` to its end.

    `fields` maps names to sources and types; what is no field may be one of `names`, or of `hit`. Raises UsageError
    with `text` and a caret as evidence.
    """
    return _Parser(text, start, fields, register_name, names, hit).parse()


def point_at(text: str, column: int) -> str:
    """The text and below it a caret under the column."""
    return re.sub(r"\s", " ", text) + "\n" + " " * column + "^"


class _Parser:
    """Recursive descent: `||` binds weaker than `&&`, that weaker than `!` and comparisons."""

    def __init__(
        self,
        text: str,
        start: int,
        fields: Mapping[str, tuple[Source, FieldType]],
        register_name: Callable[[str], str | None],
        names: Names,
        hit: HitFields,
    ) -> None:
        self._text = text
        self._fields = fields
        self._register_name = register_name
        self._names = names
        self._hit = hit
        self._tokens = list(self._split(start))
        self._next = 0
        self._comparisons = 0

    def parse(self) -> Filter:
        condition = self._either(0)
        token = self._token
        if token.text == ")":
            self._fail(token, "this parenthesis closes nothing")
        if token.kind != "end":
            self._fail(token, f"expected && or ||, not {token.text!r}")
        return condition

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _split(self, column: int) -> list[_Token]:
        tokens: list[_Token] = []
        while column < len(self._text):
            if self._text[column].isspace():
                column += 1
                continue
            match = _TOKEN.match(self._text, column)
            if match is None:
                self._fail_at(column, f"a filter has no {self._text[column]!r}", _HINT)
            kind = "register" if match["register"] else str(match.lastgroup)
            tokens.append(_Token(kind, match[kind], column, match["type"]))
            column = match.end()
        return [*tokens, _Token("end", "the end", len(self._text))]

    def _either(self, depth: int) -> Filter:
        condition = self._both(depth)
        while self._token.text == "||":
            self._next += 1
            condition = Or(condition, self._both(depth))
        return condition

    def _both(self, depth: int) -> Filter:
        condition = self._one(depth)
        while self._token.text == "&&":
            self._next += 1
            condition = And(condition, self._one(depth))
        return condition

    def _one(self, depth: int) -> Filter:
        token = self._token
        if depth > MAX_DEPTH:
            self._fail(token, f"parentheses nest at most {MAX_DEPTH} deep")
        if token.text == "!":
            self._next += 1
            if self._token.text not in ("(", "!"):
                self._fail(self._token, "! stands before parentheses", "write !(a == 1)")
            return Not(self._one(depth + 1))
        if token.text != "(":
            return self._comparison()
        self._next += 1
        condition = self._either(depth + 1)
        if self._token.text != ")":
            self._fail(token, "this parenthesis is not closed")
        self._next += 1
        return condition

    def _comparison(self) -> Filter:
        first = self._token
        left = self._operand()
        operator = self._token
        if operator.kind != "operator" or operator.text not in COMPARISONS | {"~"}:
            self._fail(operator, f"expected a comparison, not {operator.text!r}", "== != < <= > >= & ~")
        self._next += 1
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            self._fail(first, f"a filter has at most {MAX_COMPARISONS} comparisons")
        if self._token.kind == "text":
            return self._text_comparison(left, operator)
        if operator.text == "~":
            self._fail(self._token, "~ compares a string with a pattern", 'for example name ~ "eth*"')
        right = self._label_of(left) or self._operand()
        try:
            return Compare(operator.text, left, right)
        except UsageError as error:
            self._fail(first, error.message, error.hint)

    def _text_comparison(self, left: Operand, operator: _Token) -> Filter:
        token, text = self._token, self._token.text[1:-1].encode()
        if not (isinstance(left, Fetch) and isinstance(left.source, Memory | KnownText) and left.type.name == "string"):
            self._fail(token, "only a field of type string in memory is compared with a string")
        if operator.text not in ("==", "!=", "~"):
            self._fail(operator, f"strings are compared with ==, != and ~, not {operator.text}")
        if len(text) > MAX_TEXT:
            self._fail(token, f"a string in a filter has at most {MAX_TEXT} bytes, not {len(text)}")
        try:
            pattern = parse_glob(text) if operator.text == "~" else exactly(text)
        except UsageError as error:
            self._fail(token, error.message, error.hint)
        if isinstance(left.source, KnownText) and pattern.shortest >= left.source.size:
            self._fail(
                token,
                f"the name of a task has at most {left.source.size - 1} bytes, and this needs {pattern.shortest}",
                "Linux cuts longer names",
            )
        self._next += 1
        return CompareText(left.source, pattern, operator.text != "!=")

    def _operand(self) -> Operand:
        token = self._token
        self._next += token.kind != "end"
        if token.kind == "number":
            return Constant(int(token.text, 16 if "x" in token.text.lower() else 10))
        if token.kind == "name":
            source, kind = self._fields.get(token.text) or self._variable(token)
            return Register(source, kind) if isinstance(source, str) else Fetch(source, kind)
        if token.kind != "register":
            self._fail(token, f"expected a field, a %register or a number, not {token.text!r}", _HINT)
        name = self._register_name(token.text)
        if name is None:
            self._fail(token, f"there is no register %{token.text}", "there are %r0 to %r12, %sp, %lr, %pc, %cpsr")
        if token.type is not None and token.type not in TYPES:
            self._fail(token, f"there is no type {token.type!r}", "types are " + ", ".join(TYPES))
        return Register(name, TYPES[token.type or "u32"])

    def _variable(self, token: _Token) -> tuple[Source, FieldType]:
        """What is no field of the event: the address of the probe, the task, a variable of the program."""
        if token.text == "__probe_ip":
            return "pc", TYPES["x32"]
        scope = self._names()
        if scope is not None and token.text in COMMON_WORDS:
            with suppress(UsageError):
                return field_of(follow(token.text, scope), None)
        try:
            found = self._hit.find(token.text)
        except UsageError as error:
            self._fail(token, error.message, error.hint)
        if found is not None:
            return found
        if token.text.startswith("common_"):
            self._fail(token, f"there is no field {token.text!r}", f"of every hit there are {', '.join(NAMES)}")
        if token.text in ("pid", "tid"):
            self._fail(token, f"there is no field {token.text!r}",
                       "common_pid is the number of the task (thread), common_tgid that of its process")  # fmt: skip
        if scope is None:
            known = ", ".join(self._fields)
            hint = f"fields are {known}; registers are %r0, ..." if known else "registers are %r0, ..."
            self._fail(token, f"there is no field {token.text!r}", hint)
        try:
            return field_of(follow(token.text, scope), None)
        except UsageError as error:
            self._fail(token, error.message, error.hint)

    def _label_of(self, other: Operand) -> Constant | None:
        """The number that a word stands for in an enumeration, which the other side is of."""
        labels = () if isinstance(other, Constant) else other.type.labels
        number = next((number for number, word in labels if word == self._token.text), None)
        if number is None or self._token.kind != "name":
            return None
        self._next += 1
        return Constant(number)

    def _fail(self, token: _Token, message: str, hint: str = "") -> NoReturn:
        self._fail_at(token.column, message, hint)

    def _fail_at(self, column: int, message: str, hint: str) -> NoReturn:
        raise UsageError(message, evidence=point_at(self._text, column), hint=hint)


_HINT = "an example: if (len > 64 && %r2:s16 < 0) || flags & 0x10"
