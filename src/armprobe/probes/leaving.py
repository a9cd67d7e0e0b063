"""Slots that are not wanted any more: whoever is in one is led out of it before its memory is given back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from armprobe.errors import Refused, TargetError, TargetLost
from armprobe.patching.plan import show
from armprobe.probes.dispatch import traps_in_slots
from armprobe.probes.quiescence import find_references, go_on_without_traps, leave_slots
from armprobe.probes.site import Site
from armprobe.probes.sleepers import find_sleepers, writable_memory
from armprobe.probes.state import SiteState
from armprobe.symbols.image import Image
from armprobe.targets.base import ASKING_SIZE, AskedKernel, LiveTarget, Stop
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
        self._writable: tuple[tuple[int, int], ...] | None = None

    def retire(self, site: Site) -> None:
        self.retired.append(site)
        self._engine.optimizer.kick()

    def quiescent(self) -> list[Site]:
        """The retired sites whose slot no PC, return address or stacked word of any thread points into."""
        target = self._engine.target
        if not self.retired or (target.threads is not None and not target.threads.complete):
            return []
        used = find_references(target, [(site.slot.address, site.slot.end) for site in self.retired])
        handling = self._engine.dispatcher.handling
        return [site for site in self.retired if site.slot.address not in used and site not in handling]

    @property
    def _sites(self) -> list[Site]:
        return [*self._engine.sites.values(), *self.retired]

    def _slots(self) -> list[tuple[int, int, int]]:
        """Start, end, and the address that it is for, of all code of ours."""
        slots = [(place.address, place.end, site.address) for site in self._sites for place in site.places]
        return [*slots, *self._engine.returns.slots]

    def leave_slots(self, step: Callable[[], Stop]) -> bool:
        """Lead all threads out of all slots; `step` executes one instruction. False if one stays there."""
        target = self._engine.target
        slots = self._slots()
        if slots and isinstance(target.translation, AskedKernel):
            # Who is in the routine comes back to a slot.
            routine = target.translation.routine
            slots.append((routine, routine + ASKING_SIZE, routine))
        asking = self._engine.asking.slot
        if asking is not None:
            slots.append((asking.address, asking.end, asking.address))
        return leave_slots(target, slots, step)

    def know_memory(self) -> None:
        """Find out, once, where tasks may sleep that are in slots: before there is anything in a slot."""
        if self._writable is None:
            target = self._engine.target
            self._writable = writable_memory(target, self._image) if self._may_sleep else ()
            if self._writable:
                note(target.journal, Writable(self._writable))

    @property
    def _may_sleep(self) -> bool:
        """Whether the program may switch between tasks of its own. Linux and its processes have ways of their own."""
        target = self._engine.target
        linux = self._live is not None or target.own_faults is not None
        return target.concurrent and not linux and (target.threads is None or target.threads.complete)

    def _keep_sleepers(self) -> list[str]:
        """Find the slots that a task sleeps in, and let their code go on by itself where there are any."""
        if not self._may_sleep:
            return []
        engine = self._engine
        found = find_sleepers(
            engine.target, self._slots(), self._writable or (), engine.slots.__contains__, engine.returns.pads
        )
        if found and engine.target.breakpoints is None:
            exits = [way for site in self._sites for code in site.notes() for way in code.exits]
            go_on_without_traps(engine.target, [*exits, *engine.returns.exits])
        return found

    def reclaim(self) -> bool:
        """Free all retired slots where the target has to run until no thread is in them; False when it can't.

        Host handlers do not run meanwhile: a hit that wants one counts as missed. Raises what `LiveTarget.settle` does.
        """
        retired, dispatcher = list(self.retired), self._engine.dispatcher
        if self._live is None or not retired or dispatcher.handling:
            return False
        with dispatcher.deaf():
            self._live.settle(dispatcher.on_trap)
        self.free(retired)
        return True

    def free(self, sites: Sequence[Site]) -> None:
        """Give the memory of retired sites back, in which no thread is."""
        engine = self._engine
        if engine.target.breakpoints is not None and sites:
            engine.target.breakpoints.remove(traps_in_slots(sites))
        for site in sites:
            self.retired.remove(site)
            engine.dispatcher.leave(site)
            engine.placement.release(site)

    @hold_interrupt()
    def close(self, run: Callable[[], Stop]) -> None:
        """Restore every byte and give all memory back.

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
        sleepers = self._keep_sleepers() if left_slots else []
        left += [f"{line}; it stays, and goes on by itself" for line in sleepers]
        if left_slots and not unreturned and not sleepers:
            engine.returns.forget()
            engine.sites.clear()
            self.retired.clear()
            engine.dispatcher.points.clear()
            engine.slots.close()
        return left

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
