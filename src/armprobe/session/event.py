"""One record that a compiled handler left, as users see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from armprobe.events.timebase import TimeBase
from armprobe.events.values import show, show_common, unpack, unpack_common
from armprobe.probes.definition import format_record
from armprobe.probes.probe import Probe
from armprobe.symbols.table import SymbolTable


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """One record of a definition, or of `emit` in a compiled handler.

    `number` counts all events of the session from 0; `place` is `symbol+0x0/0xsize`.
    """

    number: int
    probe: Probe
    place: str
    record: bytes
    symbols: SymbolTable = field(compare=False)
    timebase: TimeBase | None = field(default=None, compare=False)

    @property
    def values(self) -> dict[str, Any]:
        """The arguments by name: numbers, strings, lists of them, None where memory could not be read."""
        assert self.probe.layout is not None
        return unpack(self.probe.layout, self.record, describe=self.symbols.place)

    @property
    def common(self) -> dict[str, Any]:
        """What every event of the target has, by name, as far as it is known: `time`, `cpu`, `pid`, `comm`.

        The time is in the unit of `session.clock`: nanoseconds, or in the embedded emulator instructions.
        """
        assert self.probe.layout is not None
        return unpack_common(self.probe.layout, self.record, self.timebase)

    @property
    def time(self) -> int | None:
        """When it happened, in the unit of `session.clock`; None where there is no clock."""
        return self.common.get("time")

    def __repr__(self) -> str:
        return f"<event {self.number}: {self}>"

    def __str__(self) -> str:
        """The line that the kernel's trace file would show."""
        layout, definition = self.probe.layout, self.probe.definition
        assert layout is not None
        if definition is None:
            kinds = {field.name: field.type for field in layout.fields}
            fields = (f"{name}={show(kinds[name], value)}" for name, value in self.values.items())
            text = " ".join([f"{self.probe.name}: ({self.place})", *fields])
        else:
            text = format_record(definition, layout, self.record, place=self.place, describe=self.symbols.place)
        return show_common(layout, self.record, self.timebase) + text
