"""Slots that are not wanted any more: whoever is in one is led out of it before its memory is given back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from armprobe.errors import Refused, TargetError, TargetFault, TargetLost
from armprobe.patching.plan import show
from armprobe.probes.dispatch import traps_in_slots
from armprobe.probes.in_place import note_in_place
from armprobe.probes.quiescence import find_references, go_on_without_traps, leave_slots
from armprobe.probes.site import Site
from armprobe.probes.sleepers import Searched, SlotInUse, find_sleepers, writable_memory
from armprobe.probes.state import SiteState
from armprobe.symbols.image import Image
from armprobe.targets.base import LiveTarget, Stop
from armprobe.targets.capabilities import AskedKernel
from armprobe.targets.interrupt import hold_interrupt
from armprobe.targets.journal import Settled, Writable, note

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine


class Leaving:
    """The slots of one engine that some thread may still be in, `retired`, and the end of all of them."""

    def __init__(self, engine: Engine, live: LiveTarget | None, image: Image | None) -> None:
        self._engine = engine
        self._live = live
        self._image = image
        self.retired: list[Site] = []
        #: where tasks that sleep in slots have their PCs; None: none has come there yet
        self._searched: Searched | None = None
        #: slots that the end of the session left in place, as a task may sleep in them
        self.in_place: tuple[SlotInUse, ...] = ()

    def retire(self, site: Site) -> None:
        self.retired.append(site)
        self._engine.optimizer.kick()

    def quiescent(self) -> list[Site]:
        """The retired sites whose slot no PC, return address or stacked word of any thread points into.

        Where tasks may sleep in slots, only those that have traps: `free` takes them away.
        """
        if self._engine.threads_run:
            return []  # nobody sees where they are
        target = self._engine.target
        sites = [site for site in self.retired if self._has_traps(site)] if self.may_sleep else self.retired
        if not sites or (target.threads is not None and not target.threads.complete):
            return []
        used = find_references(target, [(site.slot.address, site.slot.end) for site in sites])
        handling = self._engine.dispatcher.handling
        return [site for site in sites if site.slot.address not in used and site not in handling]

    def _has_traps(self, site: Site) -> bool:
        breakpoints = self._engine.target.breakpoints
        return breakpoints is not None and any(trap in breakpoints for trap in traps_in_slots([site]))

    @property
    def _sites(self) -> list[Site]:
        return [*self._engine.sites.values(), *self.retired]

    def _slots(self) -> list[tuple[int, int, int]]:
        """Start, end, and the address that it is for, of all code of ours."""
        slots = [(place.address, place.end, site.address) for site in self._sites for place in site.places]
        return [*slots, *self._engine.returns.slots, *self._routines]

    @property
    def _routines(self) -> list[tuple[int, int, int]]:
        """The code that slots call: whoever is in it comes back to one."""
        routines = [*self._engine.instruments.memory.code, *self._engine.common_stop.code]
        return [(code.address, code.end, code.address) for code in routines]

    def leave_slots(self, step: Callable[[], Stop]) -> bool:
        """Lead all threads out of all slots; `step` executes one instruction. False if one stays there."""
        target = self._engine.target
        slots = self._slots()
        if slots and isinstance(target.translation, AskedKernel):
            # Who is in a routine comes back to a slot.
            slots += [(code.start, code.end, code.start) for code in target.translation.code]
        asking = self._engine.asking.slot
        if asking is not None:
            slots.append((asking.address, asking.end, asking.address))
        return leave_slots(target, slots, step)

    def know_memory(self) -> None:
        """Find out, once, where tasks may sleep that are in slots: before there is anything in a slot."""
        if self._searched is None:
            self._searched = Searched()
            self._look_for_memory()

    def _look_for_memory(self) -> None:
        """Find out where tasks may sleep now: the program may have set up its MMU since."""
        target = self._engine.target
        if self._searched is None or not self.may_sleep:
            return
        found = writable_memory(target, self._image)
        if found.spans != self._searched.spans:
            note(target.journal, Writable(found.spans))
        self._searched = found

    @property
    def may_sleep(self) -> bool:
        """Whether the program may switch between tasks of its own. Linux and its processes have ways of their own."""
        target = self._engine.target
        linux = self._live is not None or target.own_faults is not None
        return target.concurrent and not linux and (target.threads is None or target.threads.complete)

    def _find_sleepers(self, slots: Sequence[tuple[int, int, int]], pads: Collection[int]) -> list[SlotInUse]:
        """Those of the slots that a task may sleep in, or a thread be in. See `find_sleepers`."""
        spans = self._searched.spans if self._searched is not None else ()
        return find_sleepers(self._engine.target, slots, spans, self._engine.slots.__contains__, pads, self._image)

    def _keep_sleepers(self) -> list[SlotInUse]:
        """Find the slots that a task sleeps in, and let their code go on by itself where there are any."""
        if not self.may_sleep:
            return []
        engine = self._engine
        self._look_for_memory()
        found = self._find_sleepers(self._slots(), engine.returns.pads)
        if found and engine.target.breakpoints is None:
            exits = [way for site in self._sites for code in site.notes() for way in code.exits]
            go_on_without_traps(engine.target, [*exits, *engine.returns.exits])
        return found

    def reclaim(self) -> bool:
        """Free retired slots that `quiescent` knows nothing of; False when there are none.

        A live target runs until no thread is in them. Host handlers do not run meanwhile: a hit that wants one counts
        as missed. Elsewhere memory is searched for tasks that sleep in them. Raises what `LiveTarget.settle` does.
        """
        if self.may_sleep:
            return self._reclaim_unused()
        retired, dispatcher = list(self.retired), self._engine.dispatcher
        if self._live is None or not retired or dispatcher.handling:
            return False
        with dispatcher.deaf():
            self._live.settle(dispatcher.on_trap)
        self.free(retired)
        return True

    def _reclaim_unused(self) -> bool:
        """Free those retired slots that no word of the program's memory points into, if all of it can be searched."""
        self._look_for_memory()
        if self._searched is None or not self._searched.complete:
            return False
        engine = self._engine
        sites = [site for site in self.retired if site not in engine.dispatcher.handling]
        trampolines = engine.returns.idle()
        slots = [(place.address, place.end, site.address) for site in sites for place in site.places]
        slots += [(item.pads.address, item.pads.end, item.probe.address) for item in trampolines]
        used = {slot.start for slot in self._find_sleepers(slots, ())}
        unused = [site for site in sites if used.isdisjoint(place.address for place in site.places)]
        self._clear_traps(unused)
        self._release(unused)
        ended = [item for item in trampolines if item.pads.address not in used]
        engine.returns.free(ended)
        return bool(unused or ended)

    @property
    def why_kept(self) -> str:
        """Why memory of probes that are gone is not used again; empty where it is."""
        kept = len(self.retired) + len(self._engine.returns.retired)
        if kept and self._engine.threads_run:
            return f"memory of {kept:,} changes stays in use: nobody can tell when all threads have left it"
        if not kept or not self.may_sleep or (self._searched is not None and self._searched.complete):
            return ""
        return (
            f"memory of {kept:,} probe{'' if kept == 1 else 's'} that {'is' if kept == 1 else 'are'} gone stays in use "
            f"up to the end of the session: a task may sleep there, and {self._engine.target.name} does not tell all "
            "the memory in which its PC may be, or has more than can be searched"
        )

    def free(self, sites: Sequence[Site]) -> None:
        """Take the traps of retired sites away, in whose slots no thread is, and give their memory back.

        Where tasks may sleep in it, memory waits for `reclaim`: without traps, code in it goes on by itself.
        """
        self._clear_traps(sites)
        if not self.may_sleep:
            self._release(sites)

    def _clear_traps(self, sites: Sequence[Site]) -> None:
        breakpoints = self._engine.target.breakpoints
        if breakpoints is not None and sites:
            breakpoints.remove(traps_in_slots(sites))

    def _release(self, sites: Sequence[Site]) -> None:
        engine = self._engine
        for site in sites:
            self.retired.remove(site)
            engine.dispatcher.leave(site)
            engine.placement.release(site)

    @hold_interrupt()
    def close(self, run: Callable[[], Stop]) -> None:
        """Restore every byte and give all memory back, but for slots in which a task may sleep: they are `in_place`.

        `run` executes one instruction, to lead a thread out of a slot. Raises TargetError when something could not be
        restored; `evidence` lists it, and everything else is restored. Raises TargetLost when nothing could be.
        """
        engine = self._engine
        try:
            left = self._close(run)
        except TargetLost as error:
            changed = [site for site in engine.sites.values() if site.planted != site.original]
            lines = [f"{engine.program.describe(site.address)} held {show(site.original)}" for site in changed]
            raise TargetLost(error.message, evidence="\n".join(lines), hint=error.hint) from error
        if left:
            changes = "1 change" if len(left) == 1 else f"{len(left)} changes"
            raise TargetError(f"{changes} could not be undone", evidence="\n".join(left))
        if engine.slots.touched:
            note(engine.target.journal, Settled())

    def _close(self, run: Callable[[], Stop]) -> list[str]:
        """Restore what can be; returns what could not."""
        engine, target = self._engine, self._engine.target
        left = self._disarm_all()
        left_slots = self.leave_slots(run)
        if target.breakpoints is not None:
            try:
                target.breakpoints.remove(traps_in_slots(self._sites))
                engine.common_stop.remove_trap()
                engine.returns.remove_traps()
            except TargetLost:
                raise
            except TargetError as error:
                left.append(str(error))
        engine.instruments.close()
        if not left_slots:
            left.append("a thread stays in a slot: its memory was not given back")
        unreturned = engine.returns.restore()
        left += unreturned
        self.in_place = tuple(self._keep_sleepers()) if left_slots else ()
        unsafe = not left_slots or unreturned or any(map(self._leads_to_slot, engine.sites.values()))
        if not unsafe and not (left and self.in_place):
            self._give_memory_back()
        return left

    def _leads_to_slot(self, site: Site) -> bool:
        """Whether a branch is at the site that could not be taken away."""
        if site.state not in (SiteState.OPTIMIZED, SiteState.PARKED):
            return False
        try:
            return self._engine.target.read_memory(site.address, len(site.planted)) == site.planted
        except TargetFault:
            return True

    def _give_memory_back(self) -> None:
        """All of it, but for what a task in a slot may need."""
        engine = self._engine
        used = {slot.start for slot in self.in_place}
        sites = [site for site in self._sites if not used.isdisjoint(place.address for place in site.places)]
        pads = [slot for slot in engine.returns.slots if slot[0] in used]
        slots = [*((place.address, place.end, site.address) for site in sites for place in site.places), *pads]
        slots += self._routines if self.in_place else []
        counts = bool(pads) or any(site.code.entry is not None for site in sites)
        parts = engine.slots.parts([(start, end) for start, end, _ in slots], data=counts) if slots else []
        note_in_place(engine.target, parts, slots, self._searched.spans if self._searched is not None else ())
        engine.returns.forget()
        engine.sites.clear()
        self.retired.clear()
        engine.dispatcher.points.clear()
        engine.slots.close(but=parts)

    def _disarm_all(self) -> list[str]:
        """Give all sites their bytes back, one by one where it can't be done at once; returns what could not be."""
        engine = self._engine
        armed = [site for site in engine.sites.values() if site.state is not SiteState.DISARMED]
        left: list[str] = []
        try:
            engine.patch([(site, "disarm") for site in armed])
        except TargetLost:
            raise
        except (Refused, TargetError):
            # One of them was changed by someone else, or can't be written: restore all others.
            for site in armed:
                try:
                    engine.patch([(site, "disarm")])
                except (Refused, TargetError) as error:
                    left.append(f"{engine.program.describe(site.address)}: {error}")
        return left
