"""Places of -e in libraries and modules that may be loaded while the program runs: --pending."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from armprobe.cli.places import Skipped, expand, plant
from armprobe.errors import Refused, UsageError
from armprobe.probes.definition import location_of, parse_definition
from armprobe.probes.probe import Probe
from armprobe.session import Awaited, Session

#: how the messages about names begin that nobody knows
_NAMES = ("there is no debug information", "there is no field")
_FILE = re.compile(r".*\.so(\..*)?|.*[*?\[].*")
_MODULE = re.compile(r"[^\s./]+")

pending_option = click.option(
    "--pending", is_flag=True,
    help="With a Linux program or a kernel: places `FILE.so:...` or `MODULE:...` in libraries or modules that are not "
    "loaded wait until they are.",
)  # fmt: skip


@dataclass(slots=True)
class AwaitedPlace:
    """A definition whose library is awaited. `planted` are its probes of all times.

    `added` is how many instructions each of them adds.
    """

    text: str
    awaited: Awaited
    planted: list[Probe] = field(default_factory=list)
    added: dict[Probe, int] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """Why it has no probe; "" where it had one."""
        if self.planted:
            return ""
        never = f"{self.awaited.file} was never loaded"
        return (self.awaited.problem or "it has no place there") if self.awaited.loads else never


def set_apart(
    definitions: Iterable[tuple[str, str]], session: Session, *, pending: bool
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The definitions, and those of them whose libraries are not loaded, if they may be `pending`.

    Raises UsageError for one of the latter that is malformed.
    """
    now: list[tuple[str, str]] = []
    later: list[tuple[str, str]] = []
    for text, origin in definitions:
        if not pending or not _file_to_come(text, session):
            now.append((text, origin))
            continue
        try:
            parse_definition(text, hit=session.hit_fields)
        except UsageError as error:
            # What names stand for is known when the library is there.
            if not error.message.startswith(_NAMES):
                raise
        later.append((text, origin))
    return now, later


def await_places(
    definitions: Iterable[tuple[str, str]],
    session: Session,
    skipped: list[Skipped],
    *,
    record: bool,
    summed: Collection[str] = (),
) -> list[AwaitedPlace]:
    """Have probes planted when the libraries come; what can't be probed then is added to `skipped`."""
    return [_await(definition, session, skipped, record, summed) for definition in definitions]


def _await(
    definition: tuple[str, str], session: Session, skipped: list[Skipped], record: bool, summed: Collection[str]
) -> AwaitedPlace:
    def plant_now() -> None:
        try:
            wishes, left_out = expand([definition], session, record=record, summed=summed)
            probes = plant(session, wishes, left_out, records=record)
        except (UsageError, Refused) as error:
            # The program is under way: it goes on without.
            skipped.append(Skipped(location_of(place.text), error.message))
            return
        skipped.extend(left_out)
        for probe in probes:
            place.planted.append(probe)
            code = session.explain(probe.address).code
            place.added[probe] = code.added if code is not None else 0

    place = AwaitedPlace(definition[0], Awaited("", plant_now))
    place.awaited = session.on_load(_file_to_come(place.text, session), plant_now)
    return place


def awaited_rows(
    places: Sequence[AwaitedPlace], facts: Callable[[AwaitedPlace, Probe], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of the places, by their `facts`: one for each, with the sum of what all its probes came to."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for place in places:
        for probe in place.planted:
            row = facts(place, probe)
            key = place.text, probe.place, row.get("event", "")
            before = rows.get(key)
            if before is not None:
                row |= {total: row[total] + before[total] for total in _TOTALS if total in row}
            rows[key] = row
    return list(rows.values())


_TOTALS = ("hits", "recorded", "lost", "missed")


def missing(places: Iterable[AwaitedPlace], skipped: Sequence[Skipped]) -> list[Skipped]:
    """Those that had no probe, with the reason, unless that is told already."""
    told = {known.name for known in skipped}
    return [
        Skipped(location_of(place.text), place.missing)
        for place in places
        if place.missing and location_of(place.text) not in told
    ]


def _file_to_come(text: str, session: Session) -> str:
    """The file, or the module of a kernel, that a definition names, if none of that name is loaded; else ""."""
    file, colon, rest = location_of(text).partition(":")
    known = _FILE if session.modules is None else _MODULE
    named = colon and not rest.startswith(":") and known.fullmatch(file)
    return file.rpartition("/")[2] if named and not session.symbols.split_object(location_of(text))[0] else ""
