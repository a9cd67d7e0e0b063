"""The `hist` trigger of events: which fields are summed up by which key, in the language of the kernel.

    EVENT.hist:keys=FIELD[.MODIFIER][,...][:vals=hitcount[,FIELD...]][:sort=FIELD[.descending]][:size=N] [if FILTER]

MODIFIER is hex, sym, log2, buckets=N or, of common_pid, execname. FIELD may be one of every hit (`hit_fields`). The
form is that of the boot parameter `trace_trigger`; what stands after the first dot is written to the file `trigger` of
an event there. Source: Linux Documentation/trace/histogram.rst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from armprobe.codegen.aggregate import Aggregate, KeyField
from armprobe.codegen.filters import Filter
from armprobe.codegen.map_layout import KeyPart, MapKind
from armprobe.errors import UsageError
from armprobe.events.record import FieldType
from armprobe.events.source import KnownText, Source
from armprobe.probes.fetch_parser import register_name
from armprobe.probes.filter_parser import parse_filter, point_at
from armprobe.probes.hit_fields import NAMES, HitFields
from armprobe.probes.maps import map_shape

HITCOUNT = "hitcount"
DEFAULT_SIZE = 2048
_TASK = "common_pid"
_MODIFIERS = ("hex", "sym", "log2", "buckets", "execname")
MOST_KEYS = 3
#: bytes of a string that a key keeps, where it is not the name of a task
_TEXT_BYTES = 64
_HEAD = re.compile(r"\s*(?P<event>[A-Za-z_]\w*(?:/[A-Za-z_]\w*)?)\.(?P<trigger>[A-Za-z_]\w*)")
_FORM = "a trigger is EVENT.hist:keys=FIELD, for example malloc.hist:keys=size.log2 if size > 4"
Fields = Mapping[str, tuple[Source, FieldType]]


@dataclass(frozen=True, slots=True)
class HistKey:
    """A field that hits are told apart by."""

    name: str
    modifier: str = ""
    step: int = 1


@dataclass(frozen=True, slots=True)
class HistTrigger:
    """A parsed trigger. `condition` is the column of its filter in `text`, None without one."""

    text: str
    event: str
    keys: tuple[HistKey, ...]
    sums: tuple[str, ...] = ()
    sort: str = HITCOUNT
    descending: bool = False
    size: int = DEFAULT_SIZE
    condition: int | None = None

    def action(self, fields: Fields, hit: HitFields) -> Aggregate:
        """The action for a probe with these fields. Raises UsageError, with a caret, for fields that do not suit."""
        parts = [part for key in self.keys for part in self._parts(key, fields, hit)]
        sums = tuple(self._number(name, fields, hit) for name in self.sums)
        if len(parts) == 1 and not parts[0].is_text:
            log2 = parts[0].log2
            shape = map_shape(MapKind.HISTOGRAM, 64) if log2 else map_shape(MapKind.TABLE, self.size)
        else:
            shape = map_shape(MapKind.TABLE, self.size, key=tuple(map(_layout, parts)))
        return Aggregate(tuple(parts), shape, sums)

    def filter(self, fields: Fields, hit: HitFields) -> Filter | None:
        """Its own condition."""
        if self.condition is None:
            return None
        return parse_filter(self.text, self.condition, fields=fields, register_name=register_name, hit=hit)

    def _parts(self, key: HistKey, fields: Fields, hit: HitFields) -> list[KeyField]:
        """The parts that one field adds to the key."""
        name = key.name
        source, kind = self._field(name, fields, hit)
        if kind.name == "string":
            if key.modifier:
                self._fail(name, f".{key.modifier} is for numbers, and {name} is a string")
            return [KeyField(source, kind)]
        self._number(name, fields, hit)
        log2 = key.modifier == "log2"
        if kind.size == 8 and not log2 and key.step == 1:
            self._fail(name, f"a key has 32 bits, and {name} is {kind.name}", "say .log2 or .buckets=N")
        if key.modifier in ("log2", "buckets") and kind.signed:
            self._fail(name, f"{key.modifier} is for unsigned numbers, and {name} is {kind.name}")
        if kind.size == 8 and key.step & (key.step - 1):
            self._fail(name, f"64 bits are divided by powers of two only, and {name} is {kind.name}")
        if key.modifier == "execname":
            if name != _TASK:
                self._fail(name, f"execname is the name of the task that {_TASK} is the number of")
            return [KeyField(source, kind), KeyField(*self._field("comm", {}, hit))]
        return [KeyField(source, kind, key.step, log2)]

    def _number(self, name: str, fields: Fields, hit: HitFields) -> tuple[Source, FieldType]:
        source, kind = self._field(name, fields, hit)
        if kind.count or kind.name in ("string", "symstr"):
            self._fail(name, f"{name} is {kind.name}, and numbers are summed up")
        return source, kind

    def _field(self, name: str, fields: Fields, hit: HitFields) -> tuple[Source, FieldType]:
        if name in fields:
            return fields[name]
        try:
            found = hit.find(name)
        except UsageError as error:
            self._fail(name, error.message, error.hint)
        if found is None:
            known = f"fields are {', '.join(fields)}" if fields else f"every event has {', '.join(NAMES)}"
            self._fail(name, f"the event {self.event} has no field {name!r}", known)
        return found

    def _fail(self, name: str, message: str, hint: str = "") -> NoReturn:
        found = re.search(rf"[=,]({re.escape(name)})\b", self.text)
        raise UsageError(message, evidence=point_at(self.text, found.start(1) if found else 0), hint=hint)


def _layout(part: KeyField) -> KeyPart:
    """How a part of a key is kept."""
    if isinstance(part.source, KnownText):
        return KeyPart(part.source.size // 4, text=True)
    return KeyPart(_TEXT_BYTES // 4, text=True) if part.is_text else KeyPart()


def parse_trigger(text: str) -> HistTrigger:
    """Parse a trigger. Raises UsageError with a caret."""
    head = _HEAD.match(text)
    if head is None:
        _fail(text, 0, _FORM)
    if head["trigger"] != "hist":
        _fail(text, head.start("trigger"), f"there is no trigger {head['trigger']!r} here", "hist is the one that is")
    condition = re.search(r"\sif\s", text)
    end = condition.start() if condition else len(text)
    given: dict[str, tuple[str, int]] = {}
    at = head.end()
    while at < end:
        part = re.compile(r":([a-z]+)=([^:\s]*)").match(text, at, end)
        if part is None:
            if not text[at:end].strip():
                break
            _fail(text, at, f"expected :NAME=VALUE, not {text[at:end]!r}", "keys, vals, sort and size")
        name = {"values": "vals"}.get(part[1], part[1])
        if name not in ("keys", "vals", "sort", "size"):
            _fail(text, part.start(1), f"a hist trigger has no {part[1]!r} here", "it has keys, vals, sort and size")
        if name in given:
            _fail(text, part.start(1), f"{part[1]} is there twice")
        given[name] = part[2], part.start(2)
        at = part.end()
    if "keys" not in given:
        _fail(text, head.end(), "the keys are missing", _FORM)
    keys = _parse_keys(text, *given["keys"])
    names = [key.name for key in keys]
    sums = [name for name in given.get("vals", (HITCOUNT, 0))[0].split(",") if name != HITCOUNT]
    if bad := next((name for name in sums if not re.fullmatch(r"[A-Za-z_]\w*", name)), None):
        _fail(text, given["vals"][1], f"{bad!r} is no field", "vals=hitcount,FIELD")
    sort, _, order = given.get("sort", (HITCOUNT, 0))[0].partition(".")
    if sort not in (*names, HITCOUNT, *sums) or order not in ("", "ascending", "descending"):
        known = ", ".join((HITCOUNT, *names, *sums))
        _fail(text, given["sort"][1], f"nothing is sorted by {given['sort'][0]!r}", f"by {known}, .descending or not")
    size = given.get("size", (str(DEFAULT_SIZE), 0))
    if not re.fullmatch(r"[0-9]{1,6}", size[0]) or not int(size[0]):
        _fail(text, size[1], f"a size is a number of entries, not {size[0]!r}")
    return HistTrigger(
        text, head["event"], keys, tuple(sums), sort, order == "descending", int(size[0]),
        condition.end() if condition else None,
    )  # fmt: skip


def _parse_keys(text: str, keys: str, column: int) -> tuple[HistKey, ...]:
    """The fields, with their modifiers, and what they are divided by."""
    found: list[HistKey] = []
    for key in keys.split(","):
        name, _, modifier = key.partition(".")
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            _fail(text, column, f"{name!r} is no field", "keys=FIELD")
        if any(name == other.name for other in found):
            _fail(text, column, f"{name} is there twice")
        modifier, _, step = modifier.partition("=")
        if modifier not in ("", *_MODIFIERS):
            known = f"there are {', '.join(_MODIFIERS)}"
            _fail(text, column + len(name) + 1, f"there is no modifier {modifier!r}", known)
        if (modifier == "buckets") is not bool(re.fullmatch(r"[1-9][0-9]{0,8}", step)):
            hint = "for example size.buckets=16"
            _fail(text, column + len(name) + 1, "buckets have a size, and nothing else has", hint)
        if len(found) == MOST_KEYS:
            _fail(text, column, f"there are at most {MOST_KEYS} keys")
        found.append(HistKey(name, modifier, int(step or 1)))
        column += len(key) + 1
    return tuple(found)


def _fail(text: str, column: int, message: str, hint: str = "") -> NoReturn:
    raise UsageError(message, evidence=point_at(text, column), hint=hint)
