"""One record that a compiled handler left, as users see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from armprobe.events.values import show, unpack
from armprobe.probes.definition import format_record
from armprobe.probes.probe import Probe
from armprobe.symbols.table import SymbolTable


@dataclass(frozen=True, slots=True)
class Event:
    """One record of a definition, or of `emit` in a compiled handler.

    `number` counts all events of the session from 0; `place` is `symbol+0x0/0xsize`.
    """

    number: int
    probe: Probe
    place: str
    record: bytes
    symbols: SymbolTable = field(repr=False, compare=False)

    @property
    def values(self) -> dict[str, Any]:
        """The arguments by name: numbers, strings, lists of them, None where memory could not be read."""
        layout = self.probe.definition.layout if self.probe.definition else self.probe.layout
        assert layout is not None
        return unpack(layout, self.record, describe=self.symbols.place)

    def __str__(self) -> str:
        """The line that the kernel's trace file would show."""
        if self.probe.definition is None:
            assert self.probe.layout is not None
            kinds = {field.name: field.type for field in self.probe.layout.fields}
            fields = (f"{name}={show(kinds[name], value)}" for name, value in self.values.items())
            return " ".join([f"{self.probe.name}: ({self.place})", *fields])
        return format_record(self.probe.definition, self.record, place=self.place, describe=self.symbols.place)
