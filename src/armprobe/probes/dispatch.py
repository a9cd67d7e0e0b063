"""What happens at a stop: from the PC of a trap to the handlers and on.

The probe is found by PC in a table of our own, never by reading the instruction back: by then another CPU may have
removed the trap (patching.md 4.4). A trap that was removed stays in the table as a tombstone until its slot is freed.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from armprobe.errors import ArmprobeError, HandlerError, UsageError
from armprobe.isa.insn import condition_holds
from armprobe.probes.probe import Hit, HostHandler, Probe
from armprobe.probes.state import SiteState
from armprobe.targets.base import Registers

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine
    from armprobe.probes.site import Site


_WITHOUT_TRAP = (SiteState.DISARMED, SiteState.PARKED, SiteState.RETIRED)


class PointKind(Enum):
    """What a trap of ours stands for."""

    SITE = "the site of a probe"
    STOP = "in a detour, after the compiled part: host handlers want to run"
    DRAIN = "in a detour, after the compiled part: the ring is nearly full"
    DRAIN_AND_SKIP = "the same, on the way to the caller of a function that is skipped"
    POST = "behind an out-of-line copy: post handlers want to run"


class Point(NamedTuple):
    """One trap instruction of ours, or a place where code asks the host."""

    kind: PointKind
    site: Site


def points_of(site: Site) -> dict[int, Point]:
    """The addresses of all traps of a site, in its slot and at the site itself."""
    code = site.code
    places = (
        (site.address, PointKind.SITE),
        (code.stop, PointKind.STOP),
        (code.drain, PointKind.DRAIN),
        (code.drain_and_skip, PointKind.DRAIN_AND_SKIP),
        (code.post, PointKind.POST),
    )
    return {address: Point(kind, site) for address, kind in places if address is not None}


def traps_in_slots(sites: Iterable[Site]) -> list[int]:
    """The addresses of the traps of these sites, but for those at the sites themselves."""
    return [
        address
        for site in sites
        if not site.code.asks
        for address in points_of(site)
        if address != site.address and (address == site.code.post or not site.code.stops_elsewhere)
    ]


class Dispatcher:
    """Handles the traps of one target. `running` is the control block: which CPU is in whose handler."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.points: dict[int, Point] = {}
        #: where traps of ours stood; a thread may have been stopped by one before it went
        self.gone: set[int] = set()
        self.running: dict[int, Probe] = {}
        #: sites whose traps are being handled: threads are about to go on in their slots
        self.handling: list[Site] = []
        self._deaf = False

    def enter(self, sites: Iterable[Site]) -> None:
        """Know the traps of these sites, before one of them is planted."""
        for site in sites:
            self.points.update(points_of(site))

    def leave(self, site: Site) -> None:
        """The traps of this site are gone; a thread may have been stopped by one before."""
        for address, point in points_of(site).items():
            if self.points.get(address) == point:
                del self.points[address]
                self.gone.add(address)

    def on_trap(self, pc: int) -> bool:
        """Handle a stop at `pc`; False if the trap is none of ours. Raises HandlerError when a handler raised."""
        pc = self._engine.common_stop.way_back(pc)
        point = self.points.get(pc)
        if point is None:
            if pc in self.gone and not self._holds_trap(pc):
                return True  # the thread executes again what stands there now
            if not self._engine.returns.on_trap(pc):
                return False
            self._engine.optimizer.at_stop()
            return True
        self.handling.append(point.site)
        try:
            self._handle(point)
        finally:
            self.handling.pop()
        self._engine.optimizer.at_stop()
        return True

    def on_question(self, pc: int) -> bool:
        """Answer a thread that asks at `pc`, while the target runs; False if it is none of ours."""
        point = self.points.get(pc)
        if point is None:
            return self._engine.returns.on_question(pc)
        # Whoever looks at the target meanwhile sees the program, not our code.
        regs = self._engine.target.read_registers()
        regs.pc = point.site.next_address if point.kind is PointKind.POST else point.site.address
        self._engine.target.write_registers(regs)
        self.handling.append(point.site)
        try:
            self._handle(point)
        finally:
            self.handling.pop()
        return True

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Run no handler within the block: a hit that wants one counts as missed."""
        self._deaf = True
        try:
            yield
        finally:
            self._deaf = False

    def _holds_trap(self, pc: int) -> bool:
        target = self._engine.target
        return target.read_memory(pc, 4) == target.trap.to_bytes(4, "little")

    def _handle(self, point: Point) -> None:
        engine = self._engine
        site = point.site
        target = engine.target
        regs = target.read_registers()
        if point.kind is PointKind.SITE and not condition_holds(site.condition, regs.cpsr):
            site.false_conditions += site.state not in _WITHOUT_TRAP
            regs.pc = site.next_address
        elif point.kind is PointKind.SITE and site.state in _WITHOUT_TRAP:
            # A tombstone: the trap was taken before it was removed. The hit came after the promise: it does not count.
            regs.pc = site.code.copy
        elif point.kind is PointKind.SITE and site.code.entry is not None:
            # The compiled part runs in the detour, whether a branch or a trap leads there.
            regs.pc = site.code.entry
        elif point.kind in (PointKind.DRAIN, PointKind.DRAIN_AND_SKIP):
            engine.instruments.drain()
            engine.returns.reclaim(site.probes)
            regs.pc = site.code.copy
            if point.kind is PointKind.DRAIN_AND_SKIP:
                assert site.code.skip is not None
                regs.pc = site.code.skip
        elif point.kind is PointKind.POST:
            regs.pc = site.next_address
            self._run(site, regs, post=True)
        else:
            regs.pc = site.address
            if not engine.returns.in_use:
                diverted = self._run(site, regs, post=False)
            else:
                with engine.returns.unfollowed(site, regs) as skip:
                    diverted = self._run(site, regs, post=False)
                    if diverted:
                        skip()
            if not diverted:
                if regs.pc != site.address:
                    raise UsageError(
                        f"a handler at {engine.program.describe(site.address)} changed pc to 0x{regs.pc:08x} "
                        "but did not return True",
                        hint="return True to divert control, or leave pc alone",
                    )
                regs.pc = site.code.post_copy if site.code.post_copy is not None else site.code.copy
                if engine.returns.in_use:
                    self._follow_calls(site, regs)
        target.write_registers(regs)

    def _run(self, site: Site, regs: Registers, *, post: bool) -> bool:
        """Run the enabled pre (post) handlers in the order of registration; True when one diverted control."""
        cpu = self._engine.current_cpu()
        for probe, handler in self._wanted(site, regs, cpu, post=post):
            hit = Hit(self._engine, probe, regs, cpu, returned=post)
            interrupted = self.running.get(cpu)
            if not self._begin(probe, cpu):
                continue
            try:
                if not post or probe.pre is None:
                    probe.host_hits += 1
                if call_handler(handler, hit) is True and not post:
                    return True
            finally:
                del self.running[cpu]
                if interrupted is not None:
                    self.running[cpu] = interrupted
        return False

    def _wanted(self, site: Site, regs: Registers, cpu: int, *, post: bool) -> list[tuple[Probe, HostHandler]]:
        """The handlers to run; the target knows only that the condition of one of them holds."""
        found = []
        shared = not post and len(site.probes) > 1
        for probe in site.probes:
            handler = probe.post if post else probe.pre
            if handler is None or not probe.enabled:
                continue
            if shared and probe.condition is not None and not probe.condition(Hit(self._engine, probe, regs, cpu)):
                continue
            found.append((probe, handler))
        return found

    def _follow_calls(self, site: Site, regs: Registers) -> None:
        """Let the return probes at a site follow the call that begins."""
        for probe in tuple(site.probes):
            asks = probe.returning is not None and probe.returning.entry is not None
            if (probe.follows_on_host or asks) and probe.enabled:
                cpu = self._engine.current_cpu()
                if self._begin(probe, cpu):
                    returns = self._engine.returns
                    try:
                        (returns.enter if probe.follows_on_host else returns.asked.enter)(probe, regs)
                    finally:
                        del self.running[cpu]

    def run_return(self, probe: Probe, handler: HostHandler, hit: Hit) -> bool:
        """Run the handler of a return probe; True when it diverted control."""
        pc = hit.regs.pc
        cpu = self._engine.current_cpu()
        if not self._begin(probe, cpu):
            return False
        try:
            probe.host_hits += 1
            diverted = call_handler(handler, hit) is True
        finally:
            del self.running[cpu]
        if not diverted and hit.regs.pc != pc:
            raise UsageError(
                f"the return handler of {hit.symbol} changed pc to 0x{hit.regs.pc:08x} but did not return True",
                hint="return True to divert control, or leave pc alone",
            )
        return diverted

    def _begin(self, probe: Probe, cpu: int) -> bool:
        """Take the control block of a CPU for a probe; False, and a miss, while another handler runs on it."""
        if (self._deaf or cpu in self.running) and not probe.always:
            probe.host_missed += 1
            return False
        self.running[cpu] = probe
        return True


class _AtPlace(Protocol):
    @property
    def symbol(self) -> str: ...


_Seen = TypeVar("_Seen", bound=_AtPlace)


def call_handler(handler: Callable[[_Seen], object], hit: _Seen) -> object:
    """Call a user's handler; whatever it raises becomes a HandlerError that shows the user's own line."""
    try:
        return handler(hit)
    except ArmprobeError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]
        where = frames[-1] if frames else None
        evidence = f"{where.filename}:{where.lineno}: {where.line}" if where else ""
        raise HandlerError(
            f"the handler at {hit.symbol} raised {type(error).__name__}: {error}",
            evidence=evidence,
            hint="the target is restored; mend the handler and run again",
        ) from error
