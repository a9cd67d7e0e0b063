"""What a `hist` trigger summed up, as the kernel's file `hist` shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from armprobe.codegen.aggregate import KeyField
from armprobe.codegen.filters import And
from armprobe.errors import UsageError
from armprobe.probes.hist_trigger import HITCOUNT, HistKey, HistTrigger, parse_trigger
from armprobe.probes.maps import Map

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine
    from armprobe.probes.probe import Probe


@dataclass(frozen=True, slots=True)
class Row:
    """The hits with one key, and the sums of fields over them, by name.

    The key of `log2` is the exponent, that of `buckets` the first number of the bucket, that of `execname` the number
    and the name. A key that is made of several fields is a tuple.
    """

    key: Any
    hitcount: int
    sums: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class EventHistogram:
    """The hits of an event by key, in target memory. After the session, the numbers are as they were last."""

    trigger: HistTrigger
    key: tuple[KeyField, ...] = field(repr=False)
    #: the hits, and the sums of the fields that the trigger names
    maps: tuple[Map, ...] = field(repr=False)
    describe: Callable[[int], str] = field(repr=False)

    def rows(self) -> list[Row]:
        """A row for each key, in the order that the trigger asks for."""
        trigger = self.trigger
        hits, *sums = (known.values() for known in self.maps)
        rows = [
            Row(
                self._key(key),
                hits.get(key, 0),
                {name: found.get(key, 0) for name, found in zip(trigger.sums, sums, strict=True)},
            )
            # What is taken while threads run may have a hit whose number comes with the next look.
            for key in dict.fromkeys(key for found in (hits, *sums) for key in found)
        ]

        names = [key.name for key in trigger.keys]

        def order(row: Row) -> tuple[Any, Any]:
            if trigger.sort in names:
                parts = self._fields(row.key)
                return parts[names.index(trigger.sort)], row.key
            return row.hitcount if trigger.sort == HITCOUNT else row.sums[trigger.sort], row.key

        return sorted(rows, key=order, reverse=trigger.descending)

    def take(self) -> EventHistogram:
        """What came since the last time: a histogram that stays as it is. See `Map.take`."""
        return replace(self, maps=tuple(known.take() for known in self.maps))

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
            shown = (
                f"{wanted.name}: {self._label(wanted, part)}"
                for wanted, part in zip(trigger.keys, self._fields(row.key), strict=True)
            )
            key = f"{{ {', '.join(shown)} }}"
            lines.append("  ".join([key, *(f"{name}: {number:>10}" for name, number in numbers.items())]))
        hits = sum(row.hitcount for row in rows) + self.dropped
        return "\n".join([
            *lines, "", "Totals:", f"    Hits: {hits}", f"    Entries: {len(rows)}", f"    Dropped: {self.dropped}",
        ])  # fmt: skip

    def _key(self, key: Any) -> Any:
        """The key of a row."""
        held = list(key) if isinstance(key, tuple) else [key]
        found = []
        for wanted in self.trigger.keys:
            part = self.key[len(self.key) - len(held)]
            value = held.pop(0)
            if wanted.modifier == "execname":
                found.append((value, held.pop(0)))
            elif wanted.modifier == "log2" or isinstance(value, str):
                found.append(value)
            else:
                found.append(value - (1 << 32) if part.type.signed and value >> 31 else value * wanted.step)
        return found[0] if len(found) == 1 else tuple(found)

    def _fields(self, key: Any) -> tuple[Any, ...]:
        """The values of the fields that the key of a row is made of."""
        return (key,) if len(self.trigger.keys) == 1 else key

    def _label(self, wanted: HistKey, value: Any) -> str:
        match wanted.modifier:
            case "execname":
                return f"{value[1]:<16} [{value[0]:>10}]"
            case "log2":
                return f"{f'~ 2^{value}':>10}"
            case "buckets":
                return f"{f'~ {value}-{value + wanted.step - 1}':>10}"
            case "sym":
                return f"[{value:08x}] {self.describe(value)}"
            case "hex":
                return f"{value & 0xFFFFFFFF:>10x}"
        return f"{value:<16}" if isinstance(value, str) else f"{value:>10}"


def sum_up(engine: Engine, probes: Iterable[Probe], text: str, describe: Callable[[int], str]) -> EventHistogram:
    """Let the probes of an event carry out a trigger, too: those of `probes` that the trigger names.

    Raises UsageError for a trigger that can't be read, an event that does not exist, and fields that it does not have.
    """
    trigger, hit = parse_trigger(text), engine.moments.fields
    actions = {}
    maps: tuple[Map, ...] = ()
    for probe in probes:
        definition = probe.definition
        if definition is None or trigger.event not in (definition.event, f"{definition.group}/{definition.event}"):
            continue
        fields = {argument.name: (argument.source, argument.type) for argument in definition.arguments}
        action = trigger.action(fields, hit)
        maps = maps or tuple(
            engine.instruments.add_map(f"{trigger.event}.{name}", action.shape) for name in ("hitcount", *trigger.sums)
        )
        wanted = [condition for condition in (definition.filter, trigger.filter(fields, hit)) if condition is not None]
        condition = And(*wanted) if len(wanted) == 2 else wanted[0] if wanted else None
        actions[probe] = replace(action, filter=condition, maps=tuple(known.address for known in maps))
    if not actions:
        raise UsageError(f"there is no event {trigger.event}", hint="define it first: p:EVENT LOCATION FIELD=...")
    engine.add_actions(actions)
    return EventHistogram(trigger, next(iter(actions.values())).key, maps, describe)
