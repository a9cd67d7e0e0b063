"""How an address is, or would be, probed, and why: the facts behind `armprobe explain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from armprobe.codegen.actions import BeginCall, Call, Count, EndCall, Record, Stop
from armprobe.codegen.aggregate import Aggregate
from armprobe.codegen.detour import SlotCode
from armprobe.errors import Refused
from armprobe.isa.insn import Insn
from armprobe.isa.steps import Relocation
from armprobe.patching.classify import Classification, classify
from armprobe.patching.plan import TRAPS_OF_THE_TARGET
from armprobe.probes.probe import Probe
from armprobe.probes.state import SiteState

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine
    from armprobe.probes.site import Site


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of a site. `refused` is the reason why there can be no probe; then what follows it is None.

    `probes` is 0 for an address without probes: then everything is what a probe that counts there would get.
    """

    address: int
    symbol: str
    original: bytes
    insn: Insn | None
    refused: str
    hint: str = ""
    probes: int = 0
    #: what runs at a hit, in order: `count`, `record EVENT`, `compiled FUNCTION() at FILE:LINE`, `host FUNCTION()`, and
    #: whether the host is asked for that while the program runs
    handlers: tuple[str, ...] = ()
    #: `trap`, `branch`, `parked` or `disabled` now; what it would become, for an address without probes
    state: str = ""
    #: why the site is not, and will not be, a branch
    reason: str = ""
    relocation: Relocation | None = None
    code: SlotCode | None = None
    #: what the site holds as a trap and as a branch; where the target sets traps by itself, nothing stands for them
    trap: bytes = b""
    branch: bytes = b""
    #: how the target may change between the original and the branch, and between the trap and the branch
    planting: Classification | None = None
    upgrading: Classification | None = None

    @property
    def window(self) -> int:
        """Bytes that a branch at the site replaces."""
        return len(self.branch or self.original)


def explain(engine: Engine, address: int) -> Explanation:
    """Explain the site at `address`; nothing of the program is written. Raises TargetFault for unreadable memory."""
    symbol = engine.program.describe(address)
    site = engine.sites.get(address)
    if site is not None:
        return _explain_site(engine, site, probes=len(site.probes))
    probe = Probe(engine, address, symbol, actions=(Count(),))
    try:
        with engine.trial(probe) as trial:
            return _explain_site(engine, trial, probes=0)
    except Refused as error:
        original = engine.program.read_memory(address & ~3, 4)
        return Explanation(address, symbol, original, None, error.message, error.hint)


def _explain_site(engine: Engine, site: Site, *, probes: int) -> Explanation:
    by_target = engine.target.breakpoints is not None
    trap = b"" if by_target else engine.planted(site, SiteState.ARMED)
    branch = b"" if site.reason else engine.planted(site, SiteState.OPTIMIZED)
    isa = site.insn.instruction_set
    if probes:
        state = engine.state_name(site)
    else:
        state = "trap" if site.reason else "branch"
    return Explanation(
        site.address,
        engine.program.describe(site.address),
        site.original,
        site.insn,
        "",
        probes=probes,
        handlers=tuple(text for probe in site.probes for text in _handlers(probe, site.code)) if probes else (),
        state=state,
        reason=site.reason,
        relocation=site.relocations[0],
        code=site.code,
        trap=trap,
        branch=branch,
        planting=classify(site.original, branch or trap, isa=isa) if branch or trap else TRAPS_OF_THE_TARGET,
        upgrading=None if not branch else TRAPS_OF_THE_TARGET if by_target else classify(trap, branch, isa=isa),
    )


def _handlers(probe: Probe, code: SlotCode) -> list[str]:
    """What a probe does at a hit."""
    texts, asked = [], ", asked while the program runs" if code.asks else ""
    for action in probe.actions:
        match action:
            case Count():
                texts.append("count")
            case Record():
                texts.append(f"record {probe.name}")
            case Call():
                texts.append(f"compiled {action.origin}")
            case Aggregate():
                texts.append(f"sum up {probe.name} by a field")
            case BeginCall() | EndCall():
                texts.append("measure how long calls take")
            case Stop():
                texts.append(f"{'ask' if code.asks else 'stop'} where the condition holds")
    for role, handler in (("host", probe.pre), ("host, after the instruction:", probe.post)):
        if handler is not None:
            texts.append(f"{role} {getattr(handler, '__name__', type(handler).__name__)}()" + asked)
    return texts
