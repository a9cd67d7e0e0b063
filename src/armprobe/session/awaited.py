"""Those who wait for code that is loaded later, and plant probes in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from armprobe.probes.probe import Probe


@dataclass(slots=True, eq=False)
class Awaited:
    """What happens whenever a library or a module is loaded whose name matches `file`, a shell pattern.

    `loads` is how often that was, `probes` are all that were planted then, those of code that is gone included;
    `problem` says why none could be planted the last time.
    """

    file: str
    plant: Callable[[], object] = field(repr=False)
    loads: int = 0
    probes: list[Probe] = field(default_factory=list)
    problem: str = ""

    @property
    def hits(self) -> int:
        """How often the handlers of all these probes ran."""
        return sum(probe.hits for probe in self.probes)


class Planting:
    """Knows which probes are planted for whom."""

    def __init__(self) -> None:
        self.awaited: list[Awaited] = []
        #: who is planting
        self._now: Awaited | None = None

    def plant(self, awaited: Awaited) -> None:
        """Have probes planted in what was just loaded. Raises what that raises."""
        awaited.loads += 1
        awaited.problem = ""
        self._now = awaited
        try:
            awaited.plant()
        finally:
            self._now = None

    def planted(self, probes: list[Probe]) -> None:
        """Note probes that were just registered, whoever did it."""
        if self._now is not None:
            self._now.probes += probes
