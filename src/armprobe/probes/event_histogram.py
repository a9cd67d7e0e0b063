"""What a `hist` trigger summed up, as the kernel's file `hist` shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from armprobe.codegen.filters import And
from armprobe.errors import UsageError
from armprobe.events.record import FieldType
from armprobe.probes.definition import Kind
from armprobe.probes.hist_trigger import HITCOUNT, HistTrigger, parse_trigger
from armprobe.probes.maps import Map

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine
    from armprobe.probes.probe import Probe


@dataclass(frozen=True, slots=True)
class Row:
    """The hits with one key, and the sums of fields over them, by name.

    The key of `log2` is the exponent, that of `buckets` the first number of the bucket.
    """

    key: int
    hitcount: int
    sums: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class EventHistogram:
    """The hits of an event by key, in target memory. After the session, the numbers are as they were last."""

    trigger: HistTrigger
    kind: FieldType
    #: the hits, and the sums of the fields that the trigger names
    maps: tuple[Map, ...] = field(repr=False)
    describe: Callable[[int], str] = field(repr=False)

    def rows(self) -> list[Row]:
        """A row for each key, in the order that the trigger asks for."""
        trigger = self.trigger
        hits, *sums = (known.values() for known in self.maps)
        rows = [
            Row(
                self._key(key), count, {name: found.get(key, 0) for name, found in zip(trigger.sums, sums, strict=True)}
            )
            for key, count in hits.items()
        ]

        def order(row: Row) -> tuple[int, int]:
            by = row.hitcount if trigger.sort == HITCOUNT else row.sums.get(trigger.sort, row.key)
            return by, row.key

        return sorted(rows, key=order, reverse=trigger.descending)

    @property
    def dropped(self) -> int:
        """Hits that are in no row: there was no place for the key, or memory could not be read."""
        return self.maps[0].overflow

    def __str__(self) -> str:
        """The text of the kernel's file."""
        trigger = self.trigger
        rows = self.rows()
        lines = ["# event histogram", "#", f"# trigger info: {trigger.text.strip()} [active]", "#", ""]
        for row in rows:
            numbers = {HITCOUNT: row.hitcount} | row.sums
            key = f"{{ {trigger.key}: {self._label(row.key):>10} }}"
            lines.append("  ".join([key, *(f"{name}: {number:>10}" for name, number in numbers.items())]))
        hits = sum(row.hitcount for row in rows) + self.dropped
        return "\n".join([
            *lines, "", "Totals:", f"    Hits: {hits}", f"    Entries: {len(rows)}", f"    Dropped: {self.dropped}",
        ])  # fmt: skip

    def _key(self, key: int) -> int:
        if self.trigger.modifier == "log2":
            return key
        if self.kind.signed and key >> 31:
            return key - (1 << 32)
        return key * self.trigger.step

    def _label(self, key: int) -> str:
        match self.trigger.modifier:
            case "log2":
                return f"~ 2^{key}"
            case "buckets":
                return f"~ {key}-{key + self.trigger.step - 1}"
            case "sym":
                return f"[{key:08x}] {self.describe(key)}"
            case "hex":
                return f"{key & 0xFFFFFFFF:x}"
        return str(key)


def sum_up(engine: Engine, probes: Iterable[Probe], text: str, describe: Callable[[int], str]) -> EventHistogram:
    """Let the probes of an event carry out a trigger, too: those of `probes` that the trigger names.

    Raises UsageError for a trigger that can't be read, an event that does not exist, and fields that it does not have.
    """
    trigger = parse_trigger(text)
    actions = {}
    maps: tuple[Map, ...] = ()
    for probe in probes:
        definition = probe.definition
        if definition is None or trigger.event not in (definition.event, f"{definition.group}/{definition.event}"):
            continue
        if definition.kind is Kind.RETURN:
            raise UsageError(f"the event {trigger.event} is one of returns, which have no hist trigger yet",
                             hint="emit() and maps in a handler can do it")  # fmt: skip
        fields = {argument.name: (argument.source, argument.type) for argument in definition.arguments}
        action = trigger.action(fields)
        maps = maps or tuple(
            engine.instruments.add_map(f"{trigger.event}.{name}", action.shape) for name in ("hitcount", *trigger.sums)
        )
        wanted = [condition for condition in (definition.filter, trigger.filter(fields)) if condition is not None]
        condition = And(*wanted) if len(wanted) == 2 else wanted[0] if wanted else None
        actions[probe] = replace(action, filter=condition, maps=tuple(known.address for known in maps))
    if not actions:
        raise UsageError(f"there is no event {trigger.event}", hint="define it first: p:EVENT LOCATION FIELD=...")
    engine.add_actions(actions)
    return EventHistogram(trigger, next(iter(actions.values())).key[1], maps, describe)
