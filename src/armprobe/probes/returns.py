"""Return probes: calls in progress, the pads they come back through, and where they really came from.

Each probe has a trampoline: one pad for each call that may be in progress at once. A call that is followed takes a
free pad; its return address is kept in a table (`armprobe.codegen.calls`) and the pad put into LR instead. Which call
comes back is told by the pad alone, so recursion, tail calls and many stacks need no search. docs/return-probes.md has
the whole story.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from armprobe.codegen.actions import kept_bytes
from armprobe.codegen.asking import Question
from armprobe.codegen.calls import ENTRY, MOST, SILENT, TAKEN
from armprobe.codegen.frame import Handler
from armprobe.codegen.requirements import can_compile
from armprobe.codegen.trampoline import LIVE_AT_RETURN, TrampolineCode, build_trampoline
from armprobe.errors import Refused
from armprobe.patching.execute import execute
from armprobe.patching.plan import Write, plan_patch
from armprobe.patching.slots import Pool, Slot
from armprobe.probes.asked_returns import AskedReturns
from armprobe.probes.callers import all_registers, go_to, put_back
from armprobe.probes.dispatch import call_handler
from armprobe.probes.probe import Hit, Probe
from armprobe.probes.quiescence import find_references
from armprobe.probes.word_search import can_search, find_words
from armprobe.targets.base import Registers
from armprobe.targets.journal import Pads, PadsGone, note

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine
    from armprobe.probes.site import Site

_WORD = 4
#: what the call of the routine that asks may take more elsewhere
_FAR_CALL = 8
#: the architecture that made a load to PC a BX
_INTERWORKING = 5


@dataclass(slots=True, eq=False)
class Trampoline:
    """The pads of one probe and the table of its calls in progress."""

    probe: Probe
    pads: Slot
    table: Slot
    size: int
    code: TrampolineCode
    #: what entry handlers returned, by number of the pad
    kept: dict[int, object] = field(default_factory=dict)
    #: calls missed since the last search for pads of calls that were left, and how many have to be until the next
    misses: int = 0
    patience: int = 0

    def pad(self, number: int) -> int:
        return self.pads.address + ENTRY * (number - 1)

    @property
    def traps(self) -> list[int]:
        if self.code.asks:
            return []
        if self.code.way_back is None:
            return [self.pad(number) for number in range(1, self.size + 1)]
        return [] if self.code.drain is None or self.code.stops_elsewhere else [self.code.drain]


class Returns:
    """The trampolines of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._trampolines: dict[Probe, Trampoline] = {}
        #: trampolines of probes that are gone, which calls may still come back through
        self.retired: list[Trampoline] = []
        self._pads: dict[int, tuple[Trampoline, int]] = {}
        #: traps in trampolines that say that the ring is nearly full
        self._drains: dict[int, Trampoline] = {}
        self.asked = AskedReturns(engine)
        #: what pads ask by
        self._questions: dict[Probe, Question | None] = {}

    @property
    def slots(self) -> list[tuple[int, int, int]]:
        """The (start, end, site) of all pads."""
        return [(item.pads.address, item.pads.end, item.probe.address) for item in self._all()]

    @property
    def pads(self) -> Collection[int]:
        """The addresses that calls come back to."""
        return self._pads.keys()

    @property
    def exits(self) -> list[tuple[int, int]]:
        """The traps in the code of trampolines, and where a thread goes on that stopped at one."""
        codes = [item.code for item in self._all()]
        return [(code.drain, code.way_back) for code in codes if code.drain is not None and code.way_back is not None]

    # --- life

    def add(self, probe: Probe) -> None:
        """Make the trampoline of a return probe, not yet reachable.

        Raises Refused when there is no memory, and where not all calls in progress could be found to give them their
        return addresses back.
        """
        if probe.returning is None:
            return
        threads = self._engine.target.threads
        if threads is not None and not threads.complete:
            raise Refused(
                f"the return of {probe.name} can't be probed: {self._engine.target.name} has tasks that sleep, and "
                "those asleep in the function could not be led back when the probe goes",
                hint="probe the instructions with which the function returns",
            )
        engine, size = self._engine, probe.returning.maxactive
        table = engine.slots.allocate((ENTRY + kept_bytes(probe.kept)) * (size + 1), align=8, pool=Pool.STATE)
        pads = None
        try:
            # The code is as long wherever it stands.
            engine.instruments.calls[probe] = {"calls": table.address, "pads": 0}
            if probe.returning.handler is not None and not probe.follows_on_host:
                self._questions[probe] = engine.asking.question([probe])
            pads = self._allocate(len(self._build(probe, 0).code.data) + _FAR_CALL, probe.address)
            engine.instruments.calls[probe]["pads"] = pads.address
            code = self._build(probe, pads.address)
        except BaseException:
            for slot in (table, pads):
                if slot is not None:
                    engine.slots.free(slot)
            raise
        trampoline = self._trampolines[probe] = Trampoline(probe, pads, table, size, code)
        self._pads |= {trampoline.pad(number): (trampoline, number) for number in range(1, size + 1)}
        if code.drain is not None:
            self._drains[code.drain] = trampoline
        free = [1, 0] + [word for number in range(1, size + 1) for word in (number + 1 if number < size else 0, 0)]
        engine.target.write_memory(table.address, b"".join(word.to_bytes(_WORD, "little") for word in free))
        write = Write(pads.address, None, code.code.data, f"trampoline of 0x{probe.address:08x}")
        traps = [] if engine.target.breakpoints is None else trampoline.traps
        drain = None if code.drain is None or code.way_back is None else (code.drain, code.way_back)
        note(engine.target.journal, Pads(pads.address, pads.end, size, table.address, code.way_back is not None, drain))
        execute(plan_patch([], new_code=[write], set_traps=traps), engine.target)

    @contextmanager
    def remade(self, probes: Iterable[Probe]) -> Iterator[None]:
        """Make trampolines of these probes once more, as their actions are now, for what is done within.

        Calls in progress come back by the old ones, and are handled there. Where anything raises, the old ones stay.
        """
        before: list[tuple[Trampoline, dict[str, int]]] = []
        instruments = self._engine.instruments
        try:
            for probe in probes:
                before.append((self._trampolines[probe], instruments.calls[probe]))
                self.add(probe)
            yield
        except BaseException:
            for old, calls in before:
                if self._trampolines[old.probe] is not old:
                    self.discard(old.probe)
                self._trampolines[old.probe], instruments.calls[old.probe] = old, calls
            raise
        self.retired += [old for old, _ in before]

    def _allocate(self, size: int, near: int) -> Slot:
        """Memory for pads: in reach of the function if there is any, as an MMU may not let other places be executed."""
        with suppress(Refused):
            return self._engine.slots.allocate(size, near=near)
        return self._engine.slots.allocate(size)

    def _build(self, probe: Probe, base: int) -> TrampolineCode:
        assert probe.returning is not None
        target, handler, unseen, question = self._engine.target, None, None, None
        if probe.returning.actions:
            if target.architecture < _INTERWORKING:
                raise Refused(
                    f"a compiled return goes back by a load to PC, which is no BX before architecture {_INTERWORKING}; "
                    f"this target has architecture {target.architecture}",
                    hint="use session.retprobe() with a host handler",
                )
            compiled = self._engine.instruments.compile_return(probe)
            handler = Handler(compiled.body, compiled.symbols, LIVE_AT_RETURN)
        elif target.shared_memory is not None and can_compile(architecture=target.architecture, atomic=True):
            # In a child that the program forks, pads are no traps: there, calls go back unseen.
            compiled = self._engine.instruments.compile_return(probe)
            unseen = Handler(compiled.body, compiled.symbols, LIVE_AT_RETURN)
            question = self._questions.get(probe)
        size, architecture = probe.returning.maxactive, target.architecture
        waiting = self._engine.instruments.waiting
        common_stop = self._engine.common_stop.place_for(handler)
        return build_trampoline(
            base, size, trap=target.trap, handler=handler, unseen=unseen, architecture=architecture, waiting=waiting,
            question=question, common_stop=common_stop,
        )  # fmt: skip

    def retire(self, probe: Probe) -> None:
        """The trampoline of a probe that is gone stays until all its calls came back."""
        self.silence(probe)
        trampoline = self._trampolines.pop(probe, None)
        if trampoline is not None:
            self.retired.append(trampoline)

    def silence(self, probe: Probe) -> None:
        """Let the calls in progress of a probe that was disabled come back without being handled."""
        for trampoline in self._of(probe):
            self._silence(trampoline)

    def _silence(self, trampoline: Trampoline) -> None:
        if self._engine.threads_run:
            return  # who goes through its pads changes its table; the host passes over probes that are not enabled
        for number in self.active(trampoline):
            self._write(trampoline, ENTRY * number, SILENT)
        trampoline.kept.clear()

    def discard(self, probe: Probe) -> None:
        """Free the trampoline of a probe that was never planted."""
        trampoline = self._trampolines.pop(probe, None)
        if trampoline is not None:
            self._free(trampoline)

    def idle(self) -> list[Trampoline]:
        """The retired trampolines that no call comes back through any more."""
        return [item for item in self.retired if not self.active(item)]

    def free_quiescent(self) -> None:
        """Free the retired trampolines that no call comes back through any more, and nobody is in.

        Where tasks may sleep in them, only their traps go: `Leaving.reclaim` does the rest.
        """
        if self._engine.threads_run:
            return  # nobody sees where they are
        traps, sleep = self._engine.target.breakpoints, self._engine.leaving.may_sleep
        idle = [item for item in self.idle() if not sleep or (traps and any(trap in traps for trap in item.traps))]
        used = find_references(self._engine.target, [(item.pads.address, item.pads.end) for item in idle])
        unused = [item for item in idle if item.pads.address not in used]
        if not sleep:
            self.free(unused)
        elif traps is not None and unused:
            traps.remove([trap for item in unused for trap in item.traps])

    def free(self, trampolines: Iterable[Trampoline]) -> None:
        """Give the memory of retired trampolines back."""
        for trampoline in trampolines:
            self.retired.remove(trampoline)
            self._free(trampoline)

    def _free(self, trampoline: Trampoline) -> None:
        engine = self._engine
        if engine.target.breakpoints is not None:
            engine.target.breakpoints.remove(trampoline.traps)
        for number in range(1, trampoline.size + 1):
            del self._pads[trampoline.pad(number)]
        if trampoline.code.drain is not None:
            del self._drains[trampoline.code.drain]
        self._questions.pop(trampoline.probe, None)
        note(engine.target.journal, PadsGone(trampoline.pads.address))
        engine.slots.free(trampoline.pads)
        engine.slots.free(trampoline.table)

    def remove_traps(self) -> None:
        """Take away the traps that the target has set for pads."""
        traps = [trap for trampoline in self._all() for trap in trampoline.traps]
        if self._engine.target.breakpoints is not None and traps:
            self._engine.target.breakpoints.remove(traps)

    def forget(self) -> None:
        """Forget all trampolines: their memory is about to be given back."""
        self._trampolines.clear()
        self.retired.clear()
        self._pads.clear()
        self._drains.clear()

    # --- calls

    def enter(self, probe: Probe, regs: Registers) -> None:
        """Follow the call that is about to begin, if a pad is free: `regs` get the pad as return address."""
        assert probe.returning is not None
        trampoline = self._trampolines[probe]
        found = self._pads.get(regs.lr)
        if found is not None and found[0] is trampoline:
            return  # the function jumped back to its first instruction, or calls itself in its tail: still one return
        number = self._first_free(trampoline) or self._reclaim(trampoline)
        if not number:
            probe.host_missed += 1
            return
        if probe.returning.entry is not None:
            hit = Hit(self._engine, probe, regs, self._engine.current_cpu())
            trampoline.kept[number] = call_handler(probe.returning.entry, hit)
        following, _ = self.entry(trampoline, number)
        self._write(trampoline, 0, following)
        self._write(trampoline, ENTRY * number, TAKEN, regs.lr)
        regs.lr = trampoline.pad(number)

    def on_trap(self, pc: int) -> bool:
        """Handle a stop in a trampoline; False if it is none. Raises HandlerError when a handler raised."""
        engine = self._engine
        if pc in self._drains:
            engine.instruments.drain()
            self._go_on(self._drains[pc])
            return True
        if pc not in self._pads:
            return False
        regs = engine.target.read_registers()
        address, came_back = pc, []
        while address in self._pads and self._pads[address][0].code.way_back is None:
            # In the tail of a function with a return probe, another one was called: both return now.
            trampoline, number = self._pads[address]
            pad = address
            state, address = self.entry(trampoline, number)
            if regs.lr == pad:
                regs.lr = address
            if state >= SILENT:
                self._give_back(trampoline, number)
            if state == TAKEN:
                came_back.append((trampoline, number))
        go_to(regs, address)
        returned = regs.copy()
        try:
            for trampoline, number in came_back:
                if self._run(trampoline, number, regs):
                    break
        except BaseException:
            # The call is over: whoever looks now sees it back at its caller.
            engine.target.write_registers(returned)
            raise
        engine.target.write_registers(regs)
        return True

    def on_question(self, pc: int) -> bool:
        """Answer a pad that asks; False: code at the pad deals with the rest of the return."""
        return pc in self._pads and self.asked.on_question(pc)

    def pad_at(self, pc: int) -> tuple[Trampoline, int]:
        """The trampoline and the number of the pad at `pc`."""
        return self._pads[pc]

    def pads_of(self, address: int) -> Iterator[tuple[Trampoline, int]]:
        """The pads that a call comes back through one after another, whose return address is `address`."""
        while (found := self._pads.get(address)) is not None:
            yield found
            address = self.entry(*found)[1]

    def set_state(self, trampoline: Trampoline, number: int, state: int) -> None:
        self._write(trampoline, ENTRY * number, state)

    def set_address(self, trampoline: Trampoline, number: int, address: int) -> None:
        self._write(trampoline, ENTRY * number + _WORD, address)

    def _run(self, trampoline: Trampoline, number: int, regs: Registers) -> bool:
        """Run the handler of a call that came back; True when it diverted control."""
        probe, kept = trampoline.probe, trampoline.kept.pop(number, None)
        assert probe.returning is not None
        handler = probe.returning.handler
        if handler is None:
            return False
        hit = Hit(self._engine, probe, regs, self._engine.current_cpu(), entry=kept, returned=True)
        return self._engine.dispatcher.run_return(probe, handler, hit)

    def active(self, trampoline: Trampoline) -> list[int]:
        """The numbers of the pads that calls in progress will come back through."""
        words = self._words(trampoline)
        return [number for number in range(1, trampoline.size + 1) if words[2 * number] >= SILENT]

    def active_calls(self, probe: Probe) -> int:
        return sum(len(self.active(item)) for item in self._of(probe))

    @property
    def in_use(self) -> bool:
        """Whether there is, or was, any return probe whose calls may still be in progress."""
        return bool(self._trampolines or self._pads)

    @contextmanager
    def unfollowed(self, site: Site, regs: Registers) -> Iterator[Callable[[], None]]:
        """Show handlers at an entry the call as it was made, if code in the detour has sent it on its way already.

        Gives a function to call when the function is not entered after all.
        """
        pad, pads = regs.lr, []
        while (found := self._pads.get(regs.lr)) is not None and found[0].probe in site.probes:
            pads.append(found)
            regs.lr = self.entry(*found)[1]
        skipped = False

        def skip() -> None:
            nonlocal skipped
            skipped = True

        back = regs.lr
        yield skip
        if skipped and pads and pads[0][0].code.asks:
            self.asked.leave(pads, regs)
        elif skipped:
            for trampoline, number in pads:
                self._give_back(trampoline, number)
        elif pads:
            if regs.lr != back:
                trampoline, number = pads[-1]
                self._write(trampoline, ENTRY * number + _WORD, regs.lr)
            regs.lr = pad

    def _go_on(self, trampoline: Trampoline) -> None:
        regs = self._engine.target.read_registers()
        assert trampoline.code.way_back is not None
        regs.pc = trampoline.code.way_back
        self._engine.target.write_registers(regs)

    def shown(self, registers: Registers) -> Registers:
        """The registers as they would be without return probes: with return addresses in place of pads."""
        registers.values[:15] = [self.real(value) for value in registers.values[:15]]
        return registers

    def real(self, value: int) -> int:
        while value in self._pads:
            value = self.entry(*self._pads[value])[1]
        return value

    # --- calls that do not come back

    def reclaim(self, probes: Iterable[Probe]) -> None:
        """Look for pads of calls that were left, where there is no free one."""
        if self._engine.dispatcher.running or self._engine.threads_run:
            return  # registers of a program that a handler interrupted are on the host; or threads go on meanwhile
        for trampoline in [self._trampolines[probe] for probe in probes if probe in self._trampolines]:
            if not self._first_free(trampoline):
                self._collect(trampoline)

    def _reclaim(self, trampoline: Trampoline) -> int:
        """Look for pads of calls that were left, and give a free one; 0 when there is none."""
        if trampoline.misses < trampoline.patience:
            trampoline.misses += 1
            return 0
        self._collect(trampoline)
        number = self._first_free(trampoline)
        # The search takes long: where it finds nothing, the next one is later.
        trampoline.misses, trampoline.patience = 0, 0 if number else 2 * trampoline.patience + 1
        return number

    def _collect(self, trampoline: Trampoline) -> None:
        """Take the pads back of calls that were left by longjmp: that no register and no word of memory points to."""
        if not can_search(self._engine.target):
            return
        lost = {trampoline.pad(number): number for number in self.active(trampoline)}
        for registers in all_registers(self._engine.target).values():
            for value in registers.values:
                lost.pop(value, None)
        for _, word in self._words_of_program(lost):
            lost.pop(word, None)
        for number in lost.values():
            self._give_back(trampoline, number)
            trampoline.kept.pop(number, None)

    def restore(self) -> list[str]:
        """Put the return addresses of all calls in progress back, in registers and memory; return what can't be."""
        real: dict[int, int] = {}
        for trampoline in self._all():
            words = self._words(trampoline)
            real |= {trampoline.pad(number): words[2 * number + 1] for number in self.active(trampoline)}
        return put_back(self._engine.target, real, self._engine.slots.__contains__)

    # --- memory and registers of the target

    def _of(self, probe: Probe) -> list[Trampoline]:
        """Those of a probe: the one that calls take, and those that some may still come back by."""
        return [item for item in self._all() if item.probe is probe]

    def _all(self) -> Iterable[Trampoline]:
        return (*self._trampolines.values(), *self.retired)

    def _words(self, trampoline: Trampoline) -> memoryview:
        table = trampoline.table
        return memoryview(self._engine.target.read_memory(table.address, table.size)).cast("I")

    def entry(self, trampoline: Trampoline, number: int) -> tuple[int, int]:
        data = self._engine.target.read_memory(trampoline.table.address + ENTRY * number, ENTRY)
        return int.from_bytes(data[:_WORD], "little"), int.from_bytes(data[_WORD:], "little")

    def _write(self, trampoline: Trampoline, offset: int, *words: int) -> None:
        data = b"".join(word.to_bytes(_WORD, "little") for word in words)
        self._engine.target.write_memory(trampoline.table.address + offset, data)

    def _first_free(self, trampoline: Trampoline) -> int:
        head = self._engine.target.read_memory(trampoline.table.address, _WORD)
        return int.from_bytes(head, "little") & MOST

    def _give_back(self, trampoline: Trampoline, number: int) -> None:
        # The return address stays in the entry: a function that returns a second time still finds its way.
        self._write(trampoline, ENTRY * number, self._first_free(trampoline))
        self._write(trampoline, 0, number)

    def _words_of_program(self, wanted: Collection[int]) -> Iterator[tuple[int, int]]:
        """Addresses and values of words that are in `wanted`, but for those in our own memory."""
        found = find_words(self._engine.target, wanted)
        return ((address, word) for address, word in found if address not in self._engine.slots)
