"""A site: an address, the bytes a probe replaces there, and all probes on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from armprobe.codegen.detour import SlotCode
from armprobe.isa.insn import Insn
from armprobe.isa.steps import Relocation
from armprobe.patching.slots import Slot
from armprobe.probes.probe import Probe
from armprobe.probes.state import SiteState
from armprobe.targets.journal import Code


@dataclass(slots=True, eq=False)
class Site:
    """All probes at one address share its slot, its patch and its state."""

    address: int
    original: bytes
    insn: Insn
    #: the displaced instructions: one, or two where only a two-word window reaches the detour
    relocations: tuple[Relocation, ...]
    code: SlotCode
    slot: Slot
    probes: list[Probe] = field(default_factory=list)
    #: the probes whose handlers the code in the slot has, and those of them that are handled there
    built_for: tuple[Probe, ...] = ()
    handled: tuple[Probe, ...] = ()
    state: SiteState = SiteState.DISARMED
    #: the bytes that stand at the site now
    planted: bytes = b""
    #: it is parked, as none of its probes is enabled and the branch could not be taken away
    silent: bool = False
    #: times a trap found the condition of the displaced instruction false: neither hits nor missed
    false_conditions: int = 0
    #: why the site cannot have a branch; empty when it can
    reason: str = ""
    #: two words within reach of the site that go on to a slot beyond it
    island: Slot | None = None
    #: where the island leads now; None: it is not written yet
    island_way: int | None = None

    @property
    def condition(self) -> int:
        return self.insn.cond

    @property
    def places(self) -> list[Slot]:
        """The memory for slots in which code of the site is."""
        return [self.slot] if self.island is None else [self.slot, self.island]

    @property
    def next_address(self) -> int:
        return self.address + self.insn.length

    def notes(self) -> list[Code]:
        """What the journal is told of the code of the site: the way out of it without us."""
        code = self.code
        ways = ((code.stop, code.copy), (code.drain, code.copy), (code.drain_and_skip, code.skip),
                (code.post, code.way_back))  # fmt: skip
        exits = tuple((trap, way) for trap, way in ways if trap is not None and way is not None)
        return [
            Code(place.address, place.end, self.address, exits if place is self.slot else ()) for place in self.places
        ]
