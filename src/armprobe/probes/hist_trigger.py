"""The `hist` trigger of events: which fields are summed up by which key, in the language of the kernel.

    EVENT.hist:keys=FIELD[.MODIFIER][:vals=hitcount[,FIELD...]][:sort=FIELD[.descending]][:size=N] [if FILTER]

MODIFIER is hex, sym, log2 or buckets=N. The form is that of the boot parameter `trace_trigger`; what stands after the
first dot is written to the file `trigger` of an event there. Source: Linux Documentation/trace/histogram.rst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from armprobe.codegen.aggregate import Aggregate
from armprobe.codegen.filters import Filter
from armprobe.codegen.map_layout import MapKind
from armprobe.errors import UsageError
from armprobe.events.record import FieldType
from armprobe.events.source import Source
from armprobe.probes.fetch_parser import register_name
from armprobe.probes.filter_parser import parse_filter, point_at
from armprobe.probes.maps import map_shape

HITCOUNT = "hitcount"
DEFAULT_SIZE = 2048
_MODIFIERS = ("hex", "sym", "log2", "buckets")
_HEAD = re.compile(r"\s*(?P<event>[A-Za-z_]\w*(?:/[A-Za-z_]\w*)?)\.(?P<trigger>[A-Za-z_]\w*)")
_FORM = "a trigger is EVENT.hist:keys=FIELD, for example malloc.hist:keys=size.log2 if size > 4"
Fields = Mapping[str, tuple[Source, FieldType]]


@dataclass(frozen=True, slots=True)
class HistTrigger:
    """A parsed trigger. `condition` is the column of its filter in `text`, None without one."""

    text: str
    event: str
    key: str
    modifier: str = ""
    step: int = 1
    sums: tuple[str, ...] = ()
    sort: str = HITCOUNT
    descending: bool = False
    size: int = DEFAULT_SIZE
    condition: int | None = None

    def action(self, fields: Fields) -> Aggregate:
        """The action for a probe with these fields. Raises UsageError, with a caret, for fields that do not suit."""
        key = self._field(self.key, fields)
        log2 = self.modifier == "log2"
        if key[1].size == 8 and not log2 and self.step == 1:
            self._fail(self.key, f"a key has 32 bits, and {self.key} is {key[1].name}", "say .log2 or .buckets=N")
        if self.modifier in ("log2", "buckets") and key[1].signed:
            self._fail(self.key, f"{self.modifier} is for unsigned numbers, and {self.key} is {key[1].name}")
        if key[1].size == 8 and self.step & (self.step - 1):
            self._fail(self.key, f"64 bits are divided by powers of two only, and {self.key} is {key[1].name}")
        shape = map_shape(MapKind.HISTOGRAM, 64) if log2 else map_shape(MapKind.TABLE, self.size)
        return Aggregate(key, shape, self.step, tuple(self._field(name, fields) for name in self.sums))

    def filter(self, fields: Fields) -> Filter | None:
        """Its own condition."""
        if self.condition is None:
            return None
        return parse_filter(self.text, self.condition, fields=fields, register_name=register_name)

    def _field(self, name: str, fields: Fields) -> tuple[Source, FieldType]:
        if name not in fields:
            known = f"fields are {', '.join(fields)}" if fields else "it has none"
            self._fail(name, f"the event {self.event} has no field {name!r}", known)
        source, kind = fields[name]
        if kind.count or kind.is_text or kind.style == "symstr":
            self._fail(name, f"{name} is {kind.name}, and numbers are summed up")
        return source, kind

    def _fail(self, name: str, message: str, hint: str = "") -> NoReturn:
        found = re.search(rf"[=,]({re.escape(name)})\b", self.text)
        raise UsageError(message, evidence=point_at(self.text, found.start(1) if found else 0), hint=hint)


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
    key, modifier, step = _parse_key(text, *given["keys"])
    sums = [name for name in given.get("vals", (HITCOUNT, 0))[0].split(",") if name != HITCOUNT]
    if bad := next((name for name in sums if not re.fullmatch(r"[A-Za-z_]\w*", name)), None):
        _fail(text, given["vals"][1], f"{bad!r} is no field", "vals=hitcount,FIELD")
    sort, _, order = given.get("sort", (HITCOUNT, 0))[0].partition(".")
    if sort not in (key, HITCOUNT, *sums) or order not in ("", "ascending", "descending"):
        known = ", ".join((HITCOUNT, key, *sums))
        _fail(text, given["sort"][1], f"nothing is sorted by {given['sort'][0]!r}", f"by {known}, .descending or not")
    size = given.get("size", (str(DEFAULT_SIZE), 0))
    if not re.fullmatch(r"[0-9]{1,6}", size[0]) or not int(size[0]):
        _fail(text, size[1], f"a size is a number of entries, not {size[0]!r}")
    return HistTrigger(
        text, head["event"], key, modifier, step, tuple(sums), sort, order == "descending", int(size[0]),
        condition.end() if condition else None,
    )  # fmt: skip


def _parse_key(text: str, key: str, column: int) -> tuple[str, str, int]:
    """The field, the modifier, and what the field is divided by."""
    if "," in key:
        _fail(text, column + key.index(","), "there is one key", "use a table in a handler for more")
    name, _, modifier = key.partition(".")
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        _fail(text, column, f"{name!r} is no field", "keys=FIELD")
    modifier, _, step = modifier.partition("=")
    if modifier not in ("", *_MODIFIERS):
        _fail(text, column + len(name) + 1, f"there is no modifier {modifier!r}", f"there are {', '.join(_MODIFIERS)}")
    if (modifier == "buckets") is not bool(re.fullmatch(r"[1-9][0-9]{0,8}", step)):
        _fail(text, column + len(name) + 1, "buckets have a size, and nothing else has", "for example size.buckets=16")
    return name, modifier, int(step or 1)


def _fail(text: str, column: int, message: str, hint: str = "") -> NoReturn:
    raise UsageError(message, evidence=point_at(text, column), hint=hint)
