"""From what -e says to probes: patterns are expanded, and what cannot be probed is left out with a line each."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from armprobe.cli.text import notice
from armprobe.errors import Refused, UsageError
from armprobe.probes.binding import check_entry, pointing_at, read_definition
from armprobe.probes.definition import AT_RETURN, MAX_NAME, Kind, ProbeDefinition, Removal, location_of, parse_removal
from armprobe.probes.probe import Probe
from armprobe.session import Session
from armprobe.symbols.location import Location, check, is_pattern, resolve
from armprobe.symbols.table import SymbolTable, demangled


@dataclass(frozen=True, slots=True)
class Wish:
    """A probe at one place: its definition, and whether it may be left out because a pattern named it."""

    address: int
    name: str
    definition: str
    optional: bool
    #: its group and event
    event: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A place that a pattern named, and why it has no probe."""

    name: str
    reason: str

    @property
    def facts(self) -> dict[str, str]:
        """The JSON object."""
        return {"location": self.name, "reason": self.reason}


def read_definitions(path: Path) -> list[tuple[str, str]]:
    """The definitions of a file, one a line, each with the place it comes from; `#` begins a comment."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    texts = [(re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip(), number) for number, line in enumerate(lines, 1)]
    found = [(text, f"{path}:{number}") for text, number in texts if text]
    if not found:
        raise UsageError(
            f"{path} has no definition", hint="write one a line, for example p:packet parse_packet len=%r1"
        )
    return found


def expand(
    definitions: Iterable[tuple[str, str]], session: Session, *, record: bool, summed: Collection[str] = ()
) -> tuple[list[Wish], list[Skipped]]:
    """Make one wish for each place of each definition (a text and the file it comes from, or "").

    With `record`, a location alone becomes an event without arguments; without, a definition of an event is an error
    unless the event is one of `summed`, which triggers sum up.
    A line `-:[GROUP/]EVENT` takes the events of lines above away. Raises UsageError for what is malformed, with a
    caret, and for places that do not exist; Refused where a single place, or every place of a pattern, is no A32 code.
    """
    wishes: dict[tuple[int, str], Wish] = {}
    skipped: list[Skipped] = []
    for text, origin in definitions:
        try:
            removal = parse_removal(text)
            if removal is not None:
                _remove(removal, wishes)
                continue
            for wish in _expand_one(text, session, record, skipped, summed):
                key = wish.address, wish.definition
                if key not in wishes or not wish.optional:
                    wishes[key] = wish
        except UsageError as error:
            if not origin:
                raise
            evidence = f"{origin}\n{error.evidence or text}"
            raise UsageError(error.message, evidence=evidence, hint=error.hint) from None
    return list(wishes.values()), skipped


def _remove(removal: Removal, wishes: dict[tuple[int, str], Wish]) -> None:
    gone = [key for key, wish in wishes.items() if removal.matches(*wish.event)]
    if not gone:
        raise UsageError(f"there is no event {removal} in the lines above", hint="it removes what stands above it")
    for key in gone:
        del wishes[key]


def _expand_one(
    text: str, session: Session, record: bool, skipped: list[Skipped], summed: Collection[str]
) -> list[Wish]:
    table = session.symbols
    definitions = _at_each_place(text, session, skipped)
    wishes = []
    for place, parsed in definitions:
        known = parsed.event in summed or f"{parsed.group}/{parsed.event}" in summed
        if parsed.kind is not Kind.COUNT and not record and not known:
            raise UsageError(
                f"{text!r} records events, and only hits are counted here",
                hint=f"write -e {parsed.location!r}, or use `armprobe trace`",
            )
        head = re.match(r"\s*" if parsed.kind is Kind.COUNT else r"\s*\S+\s+", text)
        assert head is not None
        rest = text[head.end() + len(parsed.location) :].removeprefix(AT_RETURN)
        named = parsed.kind is not Kind.COUNT and re.match(r"\s*[pr]\d*:([^\s/.]+[/.])?[^\s/.]", text)
        letter = f"r{parsed.maxactive}" if parsed.kind is Kind.RETURN else "p"
        check_entry(parsed, place.address, table)
        name = place.name.removeprefix(table.object_prefix(place.address))
        event = parsed.event if named else re.sub(r"\W", "_", name, flags=re.ASCII)[:MAX_NAME]
        if not re.match(r"[A-Za-z_]", event):
            event = f"p_{event}"[:MAX_NAME]
        names = (parsed.group, event)
        command = f"{letter}:{parsed.group}/{event} " if record or known else ""
        optional = len(definitions) > 1 or is_pattern(parsed.location, table)
        wishes.append(Wish(place.address, place.name, f"{command}0x{place.address:08x}{rest}", optional, names))
    return wishes


def _at_each_place(text: str, session: Session, skipped: list[Skipped]) -> list[tuple[Location, ProbeDefinition]]:
    """The definition as it is at each of its places. Of several, those where a name is not known are left out."""
    location, table, hit = location_of(text), session.symbols, session.hit_fields
    try:
        places = resolve(location, table)
    except UsageError as error:
        read_definition(text, table, hit)  # what is malformed comes first
        raise pointing_at(error, text, location) from None
    found: list[tuple[Location, ProbeDefinition]] = []
    problems: list[tuple[Location, UsageError]] = []
    for place in places:
        try:
            found.append((place, read_definition(text, table, hit, address=place.address)))
        except UsageError as error:
            problems.append((place, error))
    if not found:
        raise problems[0][1]
    if is_pattern(location, table):
        skipped += _skipped(location, table)
    skipped += [Skipped(place.name, error.message) for place, error in problems]
    return found


def _skipped(pattern: str, table: SymbolTable) -> list[Skipped]:
    """The functions that match but are no A32 code: `resolve` leaves them out."""
    found = []
    for symbol in table.matching(pattern):
        name = demangled(symbol.name)
        try:
            check(symbol.address, table, what=name, symbol=symbol)
        except Refused as refusal:
            found.append(Skipped(name, refusal.message))
    return found


def plant(session: Session, wishes: Sequence[Wish], skipped: list[Skipped], *, records: bool = True) -> list[Probe]:
    """Register probes and turn them into branches; add to `skipped` what a pattern named and is refused.

    Raises Refused, with nothing planted, when a place that was named itself is refused, or nothing is left.
    """
    try:
        probes = session.define_all((wish.definition for wish in wishes), records=records)
    except Refused:
        left = []
        for wish in wishes:
            explanation = session.explain(wish.address)
            if not explanation.refused:
                left.append(wish)
            elif wish.optional:
                skipped.append(Skipped(wish.name, explanation.refused))
            else:
                raise
        if not left or len(left) == len(wishes):
            raise
        probes = session.define_all((wish.definition for wish in left), records=records)
    session.optimize_now()
    return probes


def report_skipped(skipped: Iterable[Skipped]) -> None:
    """Tell people what has no probe."""
    for place in skipped:
        notice(f"skipped: {place.reason if place.name in place.reason else f'{place.name}: {place.reason}'}")
