"""The probes of one target: registering, arming, parking, removing, always whole batches under one stop.

The target stands still whenever a method of the engine is called: before or after a run, or inside a trap handler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter

from armprobe.errors import Refused, TargetError, UsageError
from armprobe.patching.execute import execute
from armprobe.patching.plan import PatchPlan, Write, plan_patch
from armprobe.patching.slots import Slot, SlotAllocator
from armprobe.probes.copies import find_copy
from armprobe.probes.dispatch import Dispatcher, Point, PointKind
from armprobe.probes.instruments import Instruments
from armprobe.probes.optimizer import Optimizer
from armprobe.probes.placement import CodeMap, Placement, planted_bytes
from armprobe.probes.probe import Probe
from armprobe.probes.quiescence import find_references, leave_slots
from armprobe.probes.site import Site
from armprobe.probes.state import SiteState, next_state
from armprobe.targets.base import Region, Stop, StopReason, Target

_STATE_NAMES = {
    SiteState.ARMED: "trap",
    SiteState.OPTIMIZED: "branch",
    SiteState.PARKED: "parked",
    SiteState.DISARMED: "disabled",
}


class Engine:
    """All probes of one target. `sites` is keyed by address; `retired` are slots that some thread may still be in."""

    def __init__(self, target: Target, *, regions: Sequence[Region] = (), code_map: CodeMap | None = None) -> None:
        self.target = target
        self.slots = SlotAllocator(target, regions=regions)
        self.sites: dict[int, Site] = {}
        self.retired: list[Site] = []
        self.dispatcher = Dispatcher(self)
        self.optimizer = Optimizer(self)
        self.instruments = Instruments(target, self.slots)
        self._placement = Placement(self, code_map)
        self._code_map = code_map
        self._numbers = 0
        #: where called functions return to; nothing is executed there
        self._return_slot: Slot | None = None

    # --- registering

    def register(self, probes: Iterable[Probe]) -> None:
        """Register and arm probes, all or none, under one stop.

        Raises Refused (with nothing changed) when one of them cannot be placed, with its address and the reason.
        """
        batch = sorted(probes, key=attrgetter("address"))
        self._placement.batch.update(probe.address for probe in batch)
        fresh: list[Site] = []
        replaced: list[tuple[Site, Site]] = []
        try:
            for address, group in groupby(batch, key=attrgetter("address")):
                added = list(group)
                for probe in added:
                    self._numbers += 1
                    probe.number = self._numbers
                    self.instruments.add(probe)
                old = self.sites.get(address)
                if old is None:
                    fresh.append(self._placement.place(address, added))
                else:
                    replaced.append((old, self._placement.rebuild(old, [*old.probes, *added])))
            self._exchange(fresh, replaced)
        except BaseException:
            for site in (*fresh, *(new for _, new in replaced)):
                self._placement.release(site)
            for probe in batch:
                self.instruments.remove(probe)
            raise
        finally:
            dependents = self._placement.dependents(probe.address for probe in batch)
            self._placement.forget()
        for site in dependents:
            self._change(site, site.probes)
        self.optimizer.kick()

    def unregister(self, probe: Probe) -> None:
        """Remove a probe. The slot stays until no thread is in it. Raises UsageError if it is not registered."""
        site = self._site_of(probe)
        remaining = [other for other in site.probes if other is not probe]
        self._change(site, remaining)
        self.instruments.remove(probe)

    def enable(self, probe: Probe) -> None:
        site = self._site_of(probe)
        if not probe.enabled:
            probe.enabled = True
            self._change(site, site.probes)

    def disable(self, probe: Probe) -> None:
        """The probe's handlers no longer run once this returned; the last one's site gets its original bytes."""
        site = self._site_of(probe)
        if probe.enabled:
            probe.enabled = False
            self._change(site, site.probes)

    def park(self, probe: Probe) -> None:
        """Raises UsageError unless the site has a branch."""
        site = self._site_of(probe)
        if site.state is not SiteState.OPTIMIZED:
            raise UsageError(
                f"only a branch can be parked, and {self.describe(site.address)} is a {_STATE_NAMES[site.state]}",
                hint="optimize it first, or use disable()",
            )
        self.patch([(site, "park")])

    def unpark(self, probe: Probe) -> None:
        site = self._site_of(probe)
        if site.state is not SiteState.PARKED:
            raise UsageError(f"{self.describe(site.address)} is not parked")
        self.patch([(site, "unpark")])

    def _change(self, site: Site, probes: Sequence[Probe]) -> None:
        """Give a site the probes `probes`: rebuild its slot, or take it away when none is enabled."""
        if not probes:
            verbs = ["disarm"] if site.state is not SiteState.DISARMED else []
            for verb in (*verbs, "unregister"):
                self.patch([(site, verb)])
            del self.sites[site.address]
            self._retire(site)
        elif not any(probe.enabled for probe in probes):
            site.probes = list(probes)
            if site.state is not SiteState.DISARMED:
                self.patch([(site, "disarm")])
        else:
            new = self._placement.rebuild(site, probes)
            try:
                self._exchange([], [(site, new)])
            except BaseException:
                self._placement.release(new)
                raise
        self.optimizer.kick()

    def _exchange(self, fresh: Sequence[Site], replaced: Sequence[tuple[Site, Site]]) -> None:
        """Arm new sites, and let rebuilt ones take the place of old ones, in one patch."""
        moves = [(site, "arm") for site in fresh]
        for old, new in replaced:
            new.planted, new.state, new.false_conditions = old.planted, old.state, old.false_conditions
            if new.state is SiteState.DISARMED:
                moves.append((new, "arm"))
            elif new.state is SiteState.OPTIMIZED and new.reason:
                moves.append((new, "unoptimize"))
            else:
                moves.append((new, ""))
        new_code = [write for site, _ in moves for write in self._placement.code_writes(site)]
        self._enter_points([site for site, _ in moves])
        try:
            self.patch(moves, new_code=new_code)
        except BaseException:
            for site in fresh:
                self._leave_points(site)
            self._enter_points([old for old, _ in replaced])
            raise
        for site, _ in moves:
            self.sites[site.address] = site
        for old, _ in replaced:
            self._retire(old)

    # --- patching

    def patch(self, moves: Sequence[tuple[Site, str]], *, new_code: Sequence[Write] = ()) -> PatchPlan | None:
        """Carry out the verbs on their sites in one plan under one stop; an empty verb keeps the state.

        Raises Refused, with nothing written, when a site no longer holds what we put there.
        """
        if not moves:
            return None
        states = [next_state(site.state, verb) if verb else site.state for site, verb in moves]
        islands: list[Write] = []
        after = [self.planted(site, state, islands) for (site, _), state in zip(moves, states, strict=True)]
        writes = [
            Write(site.address, site.planted, new, verb or "retarget")
            for (site, verb), new in zip(moves, after, strict=True)
            if new != site.planted
        ]
        plan = plan_patch(writes, new_code=[*new_code, *islands], moves=self._placement.thread_moves(moves))
        execute(plan, self.target)
        for (site, _), state, new in zip(moves, states, after, strict=True):
            site.state, site.planted = state, new
        return plan

    def planted(self, site: Site, state: SiteState, islands: list[Write] | None = None) -> bytes:
        """What stands at the site in `state`; `islands` gets the writes that the way there needs."""
        needed = islands if islands is not None else []
        return planted_bytes(site, state, self.target.trap, lambda place: self._placement.way_to(site, place, needed))

    @contextmanager
    def trial(self, probe: Probe) -> Iterator[Site]:
        """Place a probe without planting it, to see how it would be. Raises Refused like `register`."""
        self.instruments.add(probe)
        try:
            site = self._placement.place(probe.address, [probe])
            try:
                yield site
            finally:
                self._placement.release(site)
        finally:
            self._placement.forget()
            self.instruments.remove(probe)

    def _enter_points(self, sites: Iterable[Site]) -> None:
        """Tell the dispatcher of the traps of these sites, before one of them is planted."""
        points = self.dispatcher.points
        for site in sites:
            points[site.address] = Point(PointKind.SITE, site)
            code = site.code
            for address, kind in (
                (code.stop, PointKind.STOP),
                (code.drain, PointKind.DRAIN),
                (code.post, PointKind.POST),
            ):
                if address is not None:
                    points[address] = Point(kind, site)

    def _leave_points(self, site: Site) -> None:
        points = self.dispatcher.points
        for address in [address for address, point in points.items() if point.site is site]:
            del points[address]

    # --- quiescence

    def _retire(self, site: Site) -> None:
        self.retired.append(site)
        self.optimizer.kick()

    def quiescent_slots(self) -> list[Site]:
        """The retired sites whose slot no PC, return address or stacked word points into."""
        if not self.retired:
            return []
        used = find_references(self.target, [(site.slot.address, site.slot.end) for site in self.retired])
        return [site for site in self.retired if site.slot.address not in used]

    def free_slots(self, sites: Iterable[Site]) -> None:
        for site in sites:
            self.retired.remove(site)
            self._leave_points(site)
            self._placement.release(site)

    # --- looking and calling

    def call(self, function: int, arguments: Sequence[int]) -> int:
        """Call a function of the program and return its r0; registers are as before. See `Hit.call`."""
        if len(arguments) > 4:
            raise UsageError(f"a function is called with at most 4 words in registers, not {len(arguments)}")
        if self._return_slot is None:
            self._return_slot = self.slots.allocate(4)
        saved = self.target.read_registers()
        regs = saved.copy()
        regs.values[: len(arguments)] = [argument & 0xFFFFFFFF for argument in arguments]
        regs.sp = saved.sp & ~7
        regs.lr = self._return_slot.address
        regs.pc = function
        self.target.write_registers(regs)
        try:
            stop = self.target.run(self.dispatcher.on_trap, until=self._return_slot.address)
            if stop.reason is not StopReason.ADDRESS:
                raise TargetError(f"the call of {self.describe(function)} did not come back: {stop.reason.value}")
            return self.target.read_registers().r0
        finally:
            self.target.write_registers(saved)

    def hits(self, probe: Probe) -> int:
        return self.instruments.hits(probe)

    def false_conditions(self, probe: Probe) -> int:
        return self._site_of(probe).false_conditions

    def state_of(self, probe: Probe) -> str:
        site = self.sites.get(probe.address)
        if site is None or probe not in site.probes:
            return "unregistered"
        return self.state_name(site) if probe.enabled else "disabled"

    def state_name(self, site: Site) -> str:
        return _STATE_NAMES[site.state]

    def reason(self, probe: Probe) -> str:
        return self._site_of(probe).reason

    def describe(self, address: int) -> str:
        """`name+0x10`, or the address where there is no symbol."""
        return self._code_map.describe(address) if self._code_map is not None else f"0x{address:08x}"

    def current_cpu(self) -> int:
        return 0

    def program_address(self, pc: int) -> int:
        """Where the program is when a thread's PC is `pc`: a PC in a slot stands for its site."""
        for site in (*self.sites.values(), *self.retired):
            if site.slot.address <= pc < site.slot.end:
                return site.address
        return pc

    def explain_copy(self, stop: Stop) -> str:
        """Why a run ended at a copy that the program made of one of our patches; empty when it did not."""
        found = find_copy(self.target, self.sites.values(), stop)
        if found is None:
            return ""
        site, place = found
        return (
            f"the program copied code while probes were in it: 0x{place:08x} holds a copy of the "
            f"{self.state_name(site)} at 0x{site.address:08x}; probe code that moves itself after it has moved"
        )

    def read_memory(self, address: int, size: int) -> bytes:
        """Memory as the program would see it without probes. Raises TargetFault."""
        data = bytearray(self.target.read_memory(address, size))
        for site in self._sites_in(address, size):
            for offset, byte in enumerate(site.original):
                if 0 <= site.address + offset - address < size:
                    data[site.address + offset - address] = byte
        return bytes(data)

    def write_memory(self, address: int, data: bytes) -> None:
        """Raises Refused where armprobe has changed code or keeps its own."""
        for site in self._sites_in(address, len(data)):
            raise Refused(
                f"0x{address:08x} to 0x{address + len(data) - 1:08x} holds a probe at {self.describe(site.address)}",
                hint="unregister it before you change the code under it",
            )
        self.target.write_memory(address, data)
        if self.target.code_sync is not None:
            self.target.code_sync.synchronize([(address, address + len(data))])

    def _sites_in(self, address: int, size: int) -> list[Site]:
        if size > 4 * len(self.sites):
            return [site for site in self.sites.values() if address - 8 < site.address < address + size]
        first = (address & ~3) - 4
        found = (self.sites.get(place) for place in range(first, address + size, 4))
        return [site for site in found if site is not None]

    def _site_of(self, probe: Probe) -> Site:
        site = self.sites.get(probe.address)
        if site is None or probe not in site.probes:
            raise UsageError(f"the probe at {probe.location} is not registered any more")
        return site

    # --- the end

    def close(self, run: Callable[[], Stop]) -> None:
        """Restore every byte and give all memory back.

        `run` executes one instruction, to lead a thread out of a slot. Raises TargetError when something could not be
        restored; `evidence` lists it, and everything else is restored.
        """
        left: list[str] = []
        armed = [site for site in self.sites.values() if site.state is not SiteState.DISARMED]
        try:
            self.patch([(site, "disarm") for site in armed])
        except Refused:
            # One of them was changed by someone else: restore all others.
            for site in armed:
                try:
                    self.patch([(site, "disarm")])
                except (Refused, TargetError) as error:
                    left.append(f"{self.describe(site.address)}: {error}")
        every = [*self.sites.values(), *self.retired]
        left_slots = leave_slots(self.target, [(site.slot.address, site.slot.end) for site in every], run)
        self.instruments.close()
        if left_slots:
            self.sites.clear()
            self.retired.clear()
            self.dispatcher.points.clear()
            self.slots.close()
        else:
            left.append("a thread stays in a slot: its memory was not given back")
        if left:
            raise TargetError(f"{len(left)} things could not be restored", evidence="\n".join(left))
