"""The probes of one target: registering, arming, parking, removing, always whole batches under one stop.

The target stands still whenever a method of the engine is called: before or after a run, or inside a trap handler.
Those that change the target let Ctrl-C wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import groupby
from operator import attrgetter

from armprobe.codegen.actions import Action
from armprobe.errors import ArmprobeError, NoMemory, Refused, UsageError
from armprobe.patching.execute import execute
from armprobe.patching.live import check_live
from armprobe.patching.plan import PatchPlan, Write, plan_patch
from armprobe.patching.slots import SlotAllocator
from armprobe.probes.asking import Asking
from armprobe.probes.common_stop import CommonStop
from armprobe.probes.dispatch import Dispatcher, traps_in_slots
from armprobe.probes.instruments import Instruments
from armprobe.probes.leaving import Leaving
from armprobe.probes.moments import Moments
from armprobe.probes.optimizer import Optimizer
from armprobe.probes.placement import Placement, planted_bytes
from armprobe.probes.probe import Probe
from armprobe.probes.program import CodeMap, Program
from armprobe.probes.returns import Returns
from armprobe.probes.site import Site
from armprobe.probes.state import SiteState, next_state
from armprobe.symbols.image import Image
from armprobe.symbols.imagecheck import ImageCheck
from armprobe.targets.base import LiveTarget, Region, Target
from armprobe.targets.interrupt import hold_interrupt
from armprobe.targets.journal import Unmapped, note

_STATE_NAMES = {
    SiteState.ARMED: "trap",
    SiteState.OPTIMIZED: "branch",
    SiteState.PARKED: "parked",
    SiteState.DISARMED: "disabled",
}


class Engine:
    """All probes of one target. `sites` is keyed by address; `leaving` knows the slots that nobody wants any more."""

    def __init__(
        self,
        target: Target,
        *,
        regions: Sequence[Region] = (),
        code_map: CodeMap | None = None,
        live: LiveTarget | None = None,
        image: Image | None = None,
    ) -> None:
        """Hold the probes of a target.

        `image` is compared with what runs on the target before a probe is placed in it. `live` is for a target that
        goes on with its own work, and may not show all of its threads.
        """
        self.target = target
        self._live = live
        self._runs_meanwhile = False
        self.slots = SlotAllocator(target, regions=regions)
        self.sites: dict[int, Site] = {}
        self.program = Program(target, self.sites, self.slots, code_map)
        self.dispatcher = Dispatcher(self)
        self.optimizer = Optimizer(self)
        self.moments = Moments(target, self.slots)
        self.instruments = Instruments(target, self.slots, self.moments)
        self.returns = Returns(self)
        self.asking = Asking(target, self.slots, self.instruments, self.dispatcher.on_question)
        self.common_stop = CommonStop(target, self.slots)
        self.leaving = Leaving(self, live, image)
        check = None if image is None else ImageCheck(image, self.program.read_possible)
        self.placement = Placement(self, code_map, check, known=(0, b"") if live is None else live.known_code)
        self._numbers = 0
        #: memory that the program is about to unmap, while other threads run: nothing is written there
        self.fleeting: list[tuple[int, int]] = []

    # --- registering

    @hold_interrupt()
    def register(self, probes: Iterable[Probe]) -> None:
        """Register and arm probes, all or none, under one stop.

        Raises Refused (with nothing changed) when one of them cannot be placed, with its address and the reason.
        """
        batch = sorted(probes, key=attrgetter("address"))
        if any(probe.runs_on_host for probe in batch):
            self.moments.start()
        self._with_memory(lambda: self._register(batch))
        self.optimizer.kick()

    @property
    def runs_meanwhile(self) -> bool:
        """Whether the target runs while new probes are prepared. Those that can be are planted as branches."""
        return self._runs_meanwhile

    @runs_meanwhile.setter
    def runs_meanwhile(self, value: bool) -> None:
        if value and self._live is None:
            raise UsageError(
                f"{self.target.name} stands still while probes are prepared: only a live kernel can run on"
            )
        self._runs_meanwhile = value

    def _register(self, batch: Sequence[Probe]) -> None:
        running = self._live is not None and self._runs_meanwhile and not self.dispatcher.handling
        fresh: list[Site] = []
        replaced: list[tuple[Site, Site]] = []
        try:
            with self._live.meanwhile() if self._live is not None and running else nullcontext():
                self._place(batch, fresh, replaced)
                new_code = self._note_code([*fresh, *(new for _, new in replaced)])
            self.instruments.clear(batch)
            try:
                self._exchange(fresh, replaced, new_code)
            except Refused:
                # The code is not what it was when it was read.
                self.placement.known = 0, b""
                raise
        except BaseException:
            for site in (*fresh, *(new for _, new in replaced)):
                self.placement.release(site)
            for probe in batch:
                self.instruments.discard(probe)
                self.returns.discard(probe)
            raise
        finally:
            self.placement.forget()

    def _place(self, batch: Sequence[Probe], fresh: list[Site], replaced: list[tuple[Site, Site]]) -> None:
        """Prepare everything that is new; nothing leads there yet."""
        self.placement.forget()
        self.placement.expect(probe.address for probe in batch)
        for address, group in groupby(batch, key=attrgetter("address")):
            added = list(group)
            for probe in added:
                self._numbers += 1
                probe.number = self._numbers
                self.instruments.add(probe)
                self.placement.check_entry(probe)
                self.returns.add(probe)
            old = self.sites.get(address)
            if old is None:
                fresh.append(self.placement.place(address, added))
            else:
                replaced.append((old, self.placement.rebuild(old, [*old.probes, *added])))
        for site in self.placement.dependents():
            replaced.append((site, self.placement.rebuild(site, site.probes)))

    @hold_interrupt()
    def unregister(self, probes: Iterable[Probe]) -> None:
        """Remove probes. Slots stay until no thread is in them. Raises UsageError if one is not registered."""
        batch = dict.fromkeys(member for probe in probes for member in (probe, *probe.companions))
        self._change({site: [probe for probe in site.probes if probe not in batch] for site in self._sites_of(batch)})
        # A thread may still be in the old detour, on its way to a trap there.
        for probe in batch:
            probe.enabled = False
            self.returns.retire(probe)
        self.instruments.freeze(batch)

    @hold_interrupt()
    def lose(self, spans: Sequence[tuple[int, int]]) -> list[Probe]:
        """Forget what is in memory that the program has unmapped: nothing is written there. Return its probes.

        Their counters keep what they came to; their slots stay until no thread is in them.
        """
        gone = [site for site in self.sites.values() if any(start <= site.address < end for start, end in spans)]
        probes = [probe for site in gone for probe in site.probes]
        note(self.target.journal, Unmapped(tuple(spans)))
        for probe in probes:
            probe.lost_place = self.program.describe(probe.address)
            probe.enabled = False
            self.returns.retire(probe)
        self.instruments.freeze(probes)
        for site in gone:
            site.state = SiteState.RETIRED
            del self.sites[site.address]
            self.leaving.retire(site)
        self.placement.forget()
        return probes

    @property
    def threads_run(self) -> bool:
        """Whether the target is looked at by way of a thread that asks, while others run that can't be stopped.

        Then sites change one instruction at a time (`patching.live`), and no slot is used again.
        """
        mailbox = self.target.mailbox
        return mailbox is not None and not mailbox.can_stop

    def enable(self, probes: Iterable[Probe]) -> None:
        self._switch(list(probes), on=True)

    def disable(self, probes: Iterable[Probe]) -> None:
        """No handler of the probes runs once this returned; the last one's site gets its original bytes."""
        self._switch(list(probes), on=False)

    @hold_interrupt()
    def _switch(self, probes: Sequence[Probe], *, on: bool) -> None:
        self._sites_of(probes)
        changed = [probe for probe in probes if probe.enabled is not on]
        for probe in changed:
            probe.enabled = on
        sites = self._sites_of(changed)
        # Their slots have what is wanted.
        ready = [site for site in sites if site.silent and site.handled and site.handled == _enabled(site.probes)]
        try:
            self.patch([(site, "unpark") for site in ready])
            try:
                self._change({site: site.probes for site in sites if site not in ready})
            except ArmprobeError:
                self.patch([(site, "park") for site in ready])
                for site in ready:
                    site.silent = True
                raise
        except BaseException:
            for probe in changed:
                probe.enabled = not on
            raise
        if not on:
            for probe in changed:
                self.returns.silence(probe)

    @hold_interrupt()
    def add_actions(self, actions: Mapping[Probe, Action]) -> None:
        """Give registered probes one more action each, those at returns in the target one there: all or none."""
        before = {probe: (probe.actions, probe.returning) for probe in actions}
        for probe, action in actions.items():
            probe.add_action(action)
        sites = {self._site_of(probe) for probe in actions}
        for site in sites:
            site.handled = ()  # what is in its slot is not all of it any more
        try:
            with self.returns.remade(probe for probe in actions if probe.returning is not None):
                self._change({site: site.probes for site in sorted(sites, key=attrgetter("address"))})
        except BaseException:
            for probe, old in before.items():
                probe.actions, probe.returning = old
            raise

    @hold_interrupt()
    def park(self, probes: Iterable[Probe]) -> None:
        """Raises UsageError unless all sites have branches."""
        sites = self._sites_of(probes)
        for site in sites:
            if site.state is not SiteState.OPTIMIZED:
                where = self.program.describe(site.address)
                raise UsageError(
                    f"only a branch can be parked, and {where} is a {_STATE_NAMES[site.state]}",
                    hint="optimize it first, or use disable()",
                )
        self.patch([(site, "park") for site in sites])

    @hold_interrupt()
    def unpark(self, probes: Iterable[Probe]) -> None:
        """Raises UsageError unless all sites are parked."""
        sites = self._sites_of(probes)
        for site in sites:
            if site.state is not SiteState.PARKED or site.silent:
                raise UsageError(f"{self.program.describe(site.address)} is not parked")
        self.patch([(site, "unpark") for site in sites])

    def _change(self, changes: Mapping[Site, Sequence[Probe]]) -> None:
        """Give sites other probes: rebuild their slots, or take them away where no probe is enabled."""
        gone = [site for site, probes in changes.items() if not probes]
        silent = [site for site, probes in changes.items() if probes and not any(probe.enabled for probe in probes)]
        others = {site: probes for site, probes in changes.items() if any(probe.enabled for probe in probes)}
        self._with_memory(lambda: self._rebuild(others))
        for site in silent:
            site.probes = list(changes[site])
        if self.threads_run:
            # A branch for a branch is what processors take at any time, and the slot is ready for the next change.
            self.patch([(site, "park") for site in silent if site.state is SiteState.OPTIMIZED])
            for site in silent:
                site.silent = site.state is SiteState.PARKED
            silent = [site for site in silent if not site.silent]
        self.patch([(site, "disarm") for site in (*gone, *silent) if site.state is not SiteState.DISARMED])
        self.patch([(site, "unregister") for site in gone])
        for site in gone:
            del self.sites[site.address]
            self.leaving.retire(site)
        self.optimizer.kick()

    def _rebuild(self, changes: Mapping[Site, Sequence[Probe]]) -> None:
        replaced: list[tuple[Site, Site]] = []
        self.placement.forget()
        try:
            for site, probes in changes.items():
                replaced.append((site, self.placement.rebuild(site, probes)))
            self._exchange([], replaced, self._note_code([new for _, new in replaced]))
        except BaseException:
            for _, new in replaced:
                self.placement.release(new)
            raise
        finally:
            self.placement.forget()

    def _note_code(self, sites: Sequence[Site]) -> list[Write]:
        """What has to be written to the slots of new sites, and the journal knows of."""
        if sites:
            self.leaving.know_memory()
            note(self.target.journal, *(code for site in sites for code in site.notes()))
        return [write for site in sites for write in self.placement.code_writes(site)]

    def _exchange(
        self, fresh: Sequence[Site], replaced: Sequence[tuple[Site, Site]], new_code: Sequence[Write]
    ) -> None:
        """Plant new sites, and let rebuilt ones take the place of old ones, in one patch. `new_code` fills slots."""
        moves = [(site, self.optimizer.planting_verb(site)) for site in fresh]
        for old, new in replaced:
            new.planted, new.state, new.false_conditions = old.planted, old.state, old.false_conditions
            if new.island == old.island:
                new.island_way = old.island_way
            if new.state is SiteState.PARKED and old.silent:
                moves.append((new, "unpark"))
            elif new.state is SiteState.DISARMED:
                moves.append((new, self.optimizer.planting_verb(new)))
            elif new.state in (SiteState.OPTIMIZED, SiteState.PARKED) and new.reason:
                new.state = SiteState.OPTIMIZED
                moves.append((new, "unoptimize"))
            else:
                moves.append((new, ""))
        self.dispatcher.enter([site for site, _ in moves])
        try:
            self.patch(moves, new_code=new_code, new_traps=traps_in_slots([site for site, _ in moves]))
        except BaseException:
            for site, _ in moves:
                self.dispatcher.leave(site)
            self.dispatcher.enter([old for old, _ in replaced])
            raise
        for site, _ in moves:
            self.sites[site.address] = site
        for old, new in replaced:
            if old.island == new.island:
                old.island = None
            self.leaving.retire(old)

    # --- patching

    def patch(
        self, moves: Sequence[tuple[Site, str]], *, new_code: Sequence[Write] = (), new_traps: Sequence[int] = ()
    ) -> PatchPlan | None:
        """Carry out the verbs on their sites in one plan under one stop; an empty verb keeps the state.

        `new_code` fills new slots, which have traps at `new_traps`.
        Raises Refused, with nothing written, when a site no longer holds what we put there.
        """
        if not moves:
            return None
        states = [next_state(site.state, verb) if verb else site.state for site, verb in moves]
        islands: list[Write] = []
        after = [self.planted(site, state, islands) for (site, _), state in zip(moves, states, strict=True)]
        # An island in use is part of the program's way: it changes as a site does.
        writes = [write for write in islands if write.before not in (None, write.after)]
        writes += [
            Write(site.address, site.planted, new, verb or "retarget")
            for (site, verb), new in zip(moves, after, strict=True)
            if new != site.planted
        ]
        armed: list[int] = []
        cleared: list[int] = []
        if self.target.breakpoints is not None:
            # The target sets the traps; what stands in memory is the program's own instruction.
            armed += new_traps
            for (site, _), state in zip(moves, states, strict=True):
                if (state is SiteState.ARMED) is not (site.state is SiteState.ARMED):
                    (armed if state is SiteState.ARMED else cleared).append(site.address)
        plan = plan_patch(
            writes,
            new_code=[*new_code, *(write for write in islands if write.before is None)],
            moves=self.placement.thread_moves(moves),
            clear_traps=cleared,
            set_traps=armed,
        )
        if self.threads_run:
            code = [part for part in self.target.regions if part.executable and not part.writable]
            check_live(
                plan,
                trap=self.target.trap,
                read_word=self.placement.read_word,
                stays=lambda address: address in self.slots or any(address in part for part in code),
                fleeting=self.fleeting,
            )
        execute(plan, self.target)
        for (site, _), state, new in zip(moves, states, after, strict=True):
            site.state, site.planted = state, new
            site.silent &= state is SiteState.PARKED
            if site.island is not None and state in (SiteState.OPTIMIZED, SiteState.PARKED):
                site.island_way = site.code.entry if state is SiteState.OPTIMIZED else site.code.copy
        return plan

    def planted(self, site: Site, state: SiteState, islands: list[Write] | None = None) -> bytes:
        """What stands at the site in `state`; `islands` gets the writes that the way there needs."""
        if state is SiteState.ARMED and self.target.breakpoints is not None:
            return site.original
        needed = islands if islands is not None else []
        return planted_bytes(site, state, self.target.trap, lambda place: self.placement.way_to(site, place, needed))

    @contextmanager
    def trial(self, probe: Probe) -> Iterator[Site]:
        """Place a probe without planting it, to see how it would be. Raises Refused like `register`.

        What was read for that is used for the next one, up to `forget_code`.
        """
        self.instruments.add(probe)
        try:
            site = self.placement.place(probe.address, [probe])
            try:
                yield site
            finally:
                self.placement.release(site)
        finally:
            if self.dispatcher.handling:
                self.placement.forget()
            self.instruments.discard(probe)

    def forget_code(self) -> None:
        """The target is about to run, or the user has changed memory: code that was read may be out of date."""
        self.placement.forget()

    def _with_memory(self, step: Callable[[], None]) -> None:
        """Do `step`; when it finds no memory for a slot, free the retired ones and do it again."""
        try:
            step()
        except NoMemory as error:
            if not self.leaving.reclaim():
                error.evidence = error.evidence or self.leaving.why_kept
                raise
            step()

    # --- looking and calling

    def hits(self, probe: Probe) -> int:
        return self.instruments.hits(probe)

    def false_conditions(self, probe: Probe) -> int:
        return self._site_of(probe).false_conditions

    def state_of(self, probe: Probe) -> str:
        site = self.sites.get(probe.address)
        if site is None or probe not in site.probes:
            return "unloaded" if probe.lost_place else "unregistered"
        return self.state_name(site) if probe.enabled else "disabled"

    def state_name(self, site: Site) -> str:
        return _STATE_NAMES[site.state]

    def reason(self, probe: Probe) -> str:
        site = self.sites.get(probe.address)
        return site.reason if site is not None and probe in site.probes else ""

    def current_cpu(self) -> int:
        return self.moments.cpu()

    def _sites_of(self, probes: Iterable[Probe]) -> list[Site]:
        """The sites of these probes, each once. Raises UsageError if one of them is not registered."""
        return list(dict.fromkeys(map(self._site_of, probes)))

    def _site_of(self, probe: Probe) -> Site:
        site = self.sites.get(probe.address)
        if site is None or probe not in site.probes:
            raise UsageError(f"the probe at {probe.location} is not registered any more")
        return site

    def keep_results(self) -> None:
        """Read the counters and the ring of a target that is gone, where they are in memory that is left."""
        if self.target.shared_memory is not None:
            self.instruments.close()


def _enabled(probes: Iterable[Probe]) -> tuple[Probe, ...]:
    return tuple(probe for probe in probes if probe.enabled)
