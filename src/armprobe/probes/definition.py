"""Probe definitions in the language of the kernel's `kprobe_events`, and records as its trace file shows them.

    p[:[GRP/][EVENT]] LOCATION [[NAME=]FETCH[:TYPE] ...] [if FILTER]      record registers and memory at each hit
    p[:[GRP/][EVENT]] FUNCTION%return ...                                 an r: of another spelling
    r[MAXACTIVE][:[GRP/][EVENT]] FUNCTION [[NAME=]FETCH[:TYPE] ...] ...   the same at each return; $retval is the result
    -:[GRP/][EVENT]                                                       remove the probes of an event, or of a group
    LOCATION [if FILTER]                                                  count hits

What FETCH and TYPE are stands in `fetch_parser`. A filter compares fields and registers with numbers and with one
another: `==` `!=` `<` `<=` `>` `>=`, `&` (shares a bit), joined by `&&`, `||`, `!` and parentheses.
Source: Linux Documentation/trace/kprobetrace.rst.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from armprobe.codegen.filters import Filter
from armprobe.errors import UsageError
from armprobe.events.record import DEFAULT_TYPE, FieldType, Layout, make_layout
from armprobe.events.source import Source
from armprobe.events.values import Describe, show, unpack
from armprobe.probes.fetch_parser import parse_fetch, register_name
from armprobe.probes.filter_parser import parse_filter, point_at
from armprobe.probes.hit_fields import NO_TARGET, HitFields
from armprobe.probes.variables import PATH, all_fields, last_name

if TYPE_CHECKING:
    from armprobe.symbols.dwarf.scopes import Scope

DEFAULT_GROUP = "kprobes"
MAX_DEFINITION, MAX_NAME, MAX_ARGUMENTS, MAX_ARGUMENT, MAX_ARGUMENT_NAME = 4096, 64, 128, 63, 32
RETURN_ADDRESS = "__probe_ret_ip"
#: after the location: the other spelling of a return probe
AT_RETURN = "%return"
#: calls of one function whose returns are followed at once, unless the probe says otherwise; and the most (Linux's)
MAXACTIVE, MOST_ACTIVE = 16, 4096
_RESERVED = frozenset({"__probe_ip", RETURN_ADDRESS, "__probe_func"})
_COMMAND = re.compile(r"(?P<letter>[pr])(?P<maxactive>(?<=r)\d{1,9})?(:(?P<name>.*))?", re.ASCII)
#: what the fetch of an argument begins with: there may be a = in it
_FETCHES = frozenset("%@$+-\\")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: what stands for all arguments of a function (perf's name, and the kernel's), and for all variables (perf's)
_VARIABLES = "$vars"
_ALL = ("$params", "$arg*", _VARIABLES)
_REMOVAL = re.compile(r"\s*-:(?:(?P<group>[^\s/.]+)[/.])?(?P<event>[^\s/.]*)\s*")


class Kind(Enum):
    """What a definition asks for at each hit."""

    RECORD = "p"
    RETURN = "r"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Argument:
    """One field of the event: `source` as `type`."""

    name: str
    source: Source
    type: FieldType = DEFAULT_TYPE
    #: where it stands in the definition
    column: int = field(default=0, compare=False)
    #: it is an argument of a function, which is where it is at the function's entry only
    entry: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class ProbeDefinition:
    """A parsed definition. `location` is as it was written; `symbols` knows what it means."""

    kind: Kind
    group: str
    event: str
    location: str
    arguments: tuple[Argument, ...] = ()
    filter: Filter | None = None
    #: calls whose returns a return probe follows at once
    maxactive: int = MAXACTIVE
    #: the definition as it was written
    text: str = field(default="", compare=False)

    def layout(self, common: tuple[tuple[str, Source, FieldType], ...] = ()) -> Layout:
        """How the record of the event stands in the ring; `common` are the fields that all records have."""
        return _layout(self.arguments, self.kind is Kind.RETURN, common)


@dataclass(frozen=True, slots=True)
class Removal:
    """A line that removes events: those called `event` (empty: all) of `group` (empty: of any)."""

    group: str
    event: str

    def matches(self, group: str, event: str) -> bool:
        """Whether it removes that event."""
        return self.event in ("", event) and self.group in ("", group)

    def __str__(self) -> str:
        return f"{self.group}/{self.event}" if self.group else self.event


def parse_definition(
    text: str,
    *,
    symbol_address: Callable[[str], int] | None = None,
    names: Callable[[str], Scope | None] | None = None,
    hit: HitFields = NO_TARGET,
) -> ProbeDefinition:
    """Parse one definition. Raises UsageError with the definition and a caret under the spot as evidence.

    `symbol_address` gives the address of a variable, and raises UsageError when there is none; without it, symbols in
    arguments are left as they are, and the definition can't be compiled. `names` gives what debug information knows at
    a location, None where it knows nothing; `hit` is what the target knows of every hit.
    """
    if len(text) > MAX_DEFINITION:
        raise UsageError(f"a definition has at most {MAX_DEFINITION} characters, not {len(text)}")
    return _Parser(text, symbol_address, names, hit).parse()


def location_of(text: str) -> str:
    """The location that a definition names, as it is written there; "" where there is none."""
    words = text.split()
    if not words or not _COMMAND.fullmatch(words[0]):
        return re.split(r"\sif\s", text, maxsplit=1)[0].strip()
    return words[1].removesuffix(AT_RETURN) if len(words) > 1 else ""


def parse_removal(text: str) -> Removal | None:
    """Parse `-:[GRP/][EVENT]`; None for a line that begins otherwise. Raises UsageError like `parse_definition`."""
    if not text.lstrip().startswith("-:"):
        return None
    match = _REMOVAL.fullmatch(text)
    if match is None or not (match["group"] or match["event"]):
        evidence = point_at(text, text.index("-:") + 2)
        raise UsageError("a removal is -:EVENT, -:GROUP/EVENT or -:GROUP/", evidence=evidence)
    return Removal(match["group"] or "", match["event"])


def format_record(
    definition: ProbeDefinition, layout: Layout, record: bytes | memoryview, *, place: str, describe: Describe = hex
) -> str:
    """The line of the kernel's trace file for a record, from the name of the event on: `EVENT: (place) name=value ...`.

    At a return it is `EVENT: (return address <- function) ...`. `place` is `symbol+0x0/0xsize`, or an address;
    `describe` makes the same of any address.
    """
    values = unpack(layout, record, describe=describe)
    fields = (
        f"{argument.name}={show(argument.type, values[argument.name], describe)}" for argument in definition.arguments
    )
    if definition.kind is Kind.RETURN:
        back = values[RETURN_ADDRESS]
        assert isinstance(back, int)
        place = f"{describe(back)} <- {place.partition('+')[0]}"
    return " ".join([f"{definition.event}: ({place})", *fields])


def default_event(location: str, *, letter: str = "p") -> str:
    """The name of an event that has none: `p_SYMBOL_OFFSET` (decimal, as in the kernel) or `p_0xADDRESS`."""
    symbol, plus, offset = location.rpartition("+")
    if re.match(r"0[xX]|\d", location):
        name = f"{letter}_0x{_number(location):x}" if _number(location) is not None else f"{letter}_{location}"
    elif plus and _number(offset) is not None:
        name = f"{letter}_{symbol}_{_number(offset)}"
    else:
        name = f"{letter}_{location}_0"
    return re.sub(r"\W", "_", name, flags=re.ASCII)[:MAX_NAME]


@lru_cache(maxsize=1024)
def _layout(
    arguments: tuple[Argument, ...], at_return: bool, common: tuple[tuple[str, Source, FieldType], ...]
) -> Layout:
    fields = [(argument.name, argument.source, argument.type) for argument in arguments]
    # At a return, PC is where the function comes back to.
    return make_layout([(RETURN_ADDRESS, "pc", DEFAULT_TYPE), *fields] if at_return else fields, common=common)


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


class _Parser:
    """Parses one definition; positions are columns of the text."""

    def __init__(
        self,
        text: str,
        symbol_address: Callable[[str], int] | None,
        names: Callable[[str], Scope | None] | None,
        hit: HitFields,
    ) -> None:
        self.text = text
        self.symbol_address = symbol_address
        self.names = names
        self.hit = hit
        self.location = ""

    def _scope(self) -> Scope | None:
        return None if self.names is None else self.names(self.location)

    def parse(self) -> ProbeDefinition:
        tokens = [(match.start(), match[0]) for match in re.finditer(r"\S+", self.text)]
        if not tokens:
            self._fail(0, "a definition is empty", hint="write a location, or p LOCATION %REGISTER ...")
        command = tokens[0][1]
        if command.startswith("-:"):
            self._fail(tokens[0][0], "this removes an event, and a definition is wanted")
        if match := _COMMAND.fullmatch(command):
            return self._parse_record(tokens, match)
        return self._parse_count(tokens)

    def _parse_count(self, tokens: list[tuple[int, str]]) -> ProbeDefinition:
        head, condition = self._split_filter(tokens)
        for column, token in head[1:]:
            if re.match(r"(\w+=)?[%@$\\]", token):
                self._fail(column, "a location alone counts hits and takes no arguments",
                           hint=f"to record them, write p {self.text.strip()}")  # fmt: skip
        end = head[-1][0] + len(head[-1][1])
        location = self.location = self.text[head[0][0] : end]
        return ProbeDefinition(
            Kind.COUNT, DEFAULT_GROUP, default_event(location), location, (), self._filter(condition, ()),
            text=self.text,
        )  # fmt: skip

    def _parse_record(self, tokens: list[tuple[int, str]], match: re.Match[str]) -> ProbeDefinition:
        head, condition = self._split_filter(tokens)
        column, command = head[0]
        letter, name = match["letter"], match["name"]
        kind = Kind(letter)
        if len(head) < 2:
            hint = "write p[:EVENT] SYMBOL+OFFSET ..." if kind is Kind.RECORD else "write r[:EVENT] FUNCTION ..."
            self._fail(column + len(command), "the location is missing", hint=hint)
        location = self.location = head[1][1].removesuffix(AT_RETURN)
        if location != head[1][1]:
            kind = Kind.RETURN
        at = column + len(command) - len(name or "")
        group, event = self._parse_event(at, name or "")
        if name == "":
            self._fail(at, "the name of the event is missing", hint=f"write {letter}:EVENT, or {letter} alone")
        maxactive = int(match["maxactive"] or MAXACTIVE)
        if not 1 <= maxactive <= MOST_ACTIVE:
            self._fail(column + 1, f"a return probe follows 1 to {MOST_ACTIVE} calls at once, not {maxactive}")
        if len(head) - 2 > MAX_ARGUMENTS:
            self._fail(head[2 + MAX_ARGUMENTS][0], f"an event has at most {MAX_ARGUMENTS} arguments")
        arguments: list[Argument] = []
        for column, token in head[2:]:
            if token in _ALL:
                added = self._parse_all(column, token, at_return=kind is Kind.RETURN)
            else:
                added = [self._parse_argument(column, token, len(arguments) + 1, at_return=kind is Kind.RETURN)]
            for argument in added:
                if any(argument.name == other.name for other in arguments):
                    self._fail(column, f"the argument name {argument.name!r} is used twice")
                arguments.append(argument)
        if len(arguments) > MAX_ARGUMENTS:
            self._fail(head[2][0], f"an event has at most {MAX_ARGUMENTS} arguments, and these are {len(arguments)}")
        return ProbeDefinition(
            kind,
            group or DEFAULT_GROUP,
            event or default_event(location, letter=letter),
            location,
            tuple(arguments),
            self._filter(condition, tuple(arguments)),
            maxactive,
            self.text,
        )

    def _split_filter(self, tokens: list[tuple[int, str]]) -> tuple[list[tuple[int, str]], int | None]:
        """The tokens before `if`, and the column after it."""
        for index, (column, word) in enumerate(tokens):
            if word == "if" and index:
                return tokens[:index], column + 2
        return tokens, None

    def _filter(self, column: int | None, arguments: tuple[Argument, ...]) -> Filter | None:
        if column is None:
            return None
        fields = {argument.name: (argument.source, argument.type) for argument in arguments}
        return parse_filter(
            self.text, column, fields=fields, register_name=register_name, names=self._scope, hit=self.hit
        )

    def _parse_event(self, column: int, text: str) -> tuple[str, str]:
        parts = re.split(r"[/.]", text)
        if len(parts) > 2:
            self._fail(column, f"an event is named GROUP/EVENT, not {text!r}")
        group, event = parts if len(parts) == 2 else ["", parts[0]]
        if len(parts) == 2 and not group:
            self._fail(column, "the name of the group is missing", hint="write p:GROUP/EVENT, or p:EVENT")
        if group:
            self._check_name(column, "group", group, MAX_NAME)
        if event:
            self._check_name(column + len(text) - len(event), "event", event, MAX_NAME)
        return group, event

    def _parse_all(self, column: int, token: str, *, at_return: bool) -> list[Argument]:
        """All arguments of the function, or all variables, that have a value."""
        scope = None if at_return else self._scope()
        if at_return:
            self._fail(column, f"{token} are gone when the function has returned", hint="write p in place of r")
        if scope is None:
            self._fail(column, f"there is no debug information here, which {token} needs",
                       hint="build the program with -g, or write $arg1 $arg2 ...")  # fmt: skip
        return [
            Argument(name, source, kind, column)
            for name, source, kind in all_fields(scope, locals_too=token == _VARIABLES)
        ]

    def _parse_argument(self, column: int, token: str, number: int, *, at_return: bool) -> Argument:
        if len(token) > MAX_ARGUMENT:
            self._fail(column, f"an argument has at most {MAX_ARGUMENT} characters, not {len(token)}")
        name, equals, fetch = ("", "", token) if token[0] in _FETCHES else token.partition("=")
        if not equals:
            name, fetch = "", token
        if equals:
            self._check_name(column, "argument", name, MAX_ARGUMENT_NAME)
            if name in _RESERVED or name.startswith("common_"):
                self._fail(
                    column, f"the argument name {name!r} is reserved", hint="every event has a field of that name"
                )
        at = column + len(token) - len(fetch)
        found = parse_fetch(
            fetch, at, self._fail_at, symbol_address=self.symbol_address, names=self._scope, at_return=at_return,
            hit=self.hit,
        )  # fmt: skip
        path = re.match(PATH, fetch)
        name = name or (last_name(path[0]) if path else f"arg{number}")
        return Argument(name, found.source, found.type, column, found.entry)

    def _check_name(self, column: int, what: str, name: str, longest: int) -> None:
        if not _NAME.fullmatch(name):
            self._fail(column, f"the {what} name {name!r} is not made of letters, digits and _")
        if len(name) > longest:
            self._fail(column, f"the {what} name has {len(name)} characters, and {longest} is the most")

    def _fail(self, column: int, message: str, *, hint: str = "") -> NoReturn:
        raise UsageError(message, evidence=point_at(self.text, column), hint=hint)

    def _fail_at(self, column: int, message: str, hint: str) -> NoReturn:
        self._fail(column, message, hint=hint)
