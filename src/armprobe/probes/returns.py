"""Return probes: calls in progress, the pads they come back through, and where they really came from.

Each probe has a trampoline: one pad, a trap, for each call that may be in progress at once. A call that is followed
takes a free pad; its return address is kept in a table and the pad put into LR instead. Which call comes back is told
by the pad alone, so recursion, tail calls and many stacks need no search. docs/return-probes.md has the whole story.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from armprobe.errors import Refused, TargetFault, UsageError
from armprobe.isa.decoder import decode
from armprobe.isa.flow import ReadWord
from armprobe.isa.insn import ALWAYS
from armprobe.isa.link import finds_out
from armprobe.patching.execute import execute
from armprobe.patching.plan import Write, plan_patch
from armprobe.patching.slots import Pool, Slot
from armprobe.probes.dispatch import call_handler
from armprobe.probes.probe import Hit, HostHandler, Probe
from armprobe.probes.quiescence import find_references
from armprobe.targets.base import CPSR_T, Registers

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine

#: calls of one function that are followed at once, unless the probe says otherwise; and the most it may say (Linux's)
MAXACTIVE, MOST_ACTIVE = 16, 4096
#: functions that return more often than they are called, as GCC knows them by name
_RETURN_TWICE = frozenset({"setjmp", "sigsetjmp", "savectx", "vfork", "getcontext"})
_WORD = 4
#: a table is its head and misses, then an entry of two words for each pad, numbered from 1: the next free one (0: none)
#: or _TAKEN, and the return address
_ENTRY = 8
_TAKEN = 0xFFFFFFFF
_CHUNK = 1 << 20
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Returning:
    """What makes a probe a return probe. `entry` is called at the entry; what it returns is `hit.entry` later."""

    handler: HostHandler | None
    entry: Callable[[Hit], object] | None = None
    maxactive: int = MAXACTIVE


@dataclass(slots=True, eq=False)
class Trampoline:
    """The pads of one probe and the table of its calls in progress."""

    probe: Probe
    pads: Slot
    table: Slot
    #: what entry handlers returned, by number of the pad
    kept: dict[int, object] = field(default_factory=dict)
    #: calls missed since the last search for pads of calls that were left, and how many have to be until the next
    misses: int = 0
    patience: int = 0

    @property
    def size(self) -> int:
        return self.pads.size // _WORD

    def pad(self, number: int) -> int:
        return self.pads.address + _WORD * (number - 1)


def check_returning(returning: Returning) -> None:
    """Raise UsageError for handlers that are no functions and for a maxactive that makes no sense."""
    for role, handler in (("handler", returning.handler), ("entry", returning.entry)):
        if handler is not None and not callable(handler):
            raise UsageError(f"{role} must be a function that takes the hit, not {handler!r}")
    if not 1 <= returning.maxactive <= MOST_ACTIVE:
        raise UsageError(f"maxactive is 1 to {MOST_ACTIVE} calls, not {returning.maxactive}")


def check_entry(address: int, name: str, *, bounds: tuple[int, int] | None, read_word: ReadWord) -> None:
    """Raise Refused unless the instruction at `address` may be the entry of a return probe."""
    if bounds is not None and bounds[0] != address:
        raise Refused(f"no return probe at {name}: that is not the first instruction of the function",
                      hint="name the function alone")  # fmt: skip
    if name.lstrip("_") in _RETURN_TWICE:
        raise Refused(f"no return probe at {name}: it returns more often than it is called")
    word = read_word(address)
    if word is not None and decode(word).cond != ALWAYS:
        raise Refused(f"no return probe at {name}: its first instruction is conditional, "
                      "and a call that does not execute it would not be seen")  # fmt: skip
    found = finds_out(read_word, address)
    if found is not None:
        raise Refused(
            f"no return probe at {name}: the function looks at its return address: "
            f"the instruction at 0x{found[0]:08x} {found[1]}",
            hint="put a probe on the instruction that returns",
        )


class Returns:
    """The trampolines of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._trampolines: dict[Probe, Trampoline] = {}
        #: trampolines of probes that are gone, which calls may still come back through
        self.retired: list[Trampoline] = []
        self._pads: dict[int, tuple[Trampoline, int]] = {}

    @property
    def slots(self) -> list[tuple[int, int, int]]:
        """The (start, end, site) of all pads."""
        return [(item.pads.address, item.pads.end, item.probe.address) for item in self._all()]

    # --- life

    def add(self, probe: Probe) -> None:
        """Make the trampoline of a return probe, not yet reachable. Raises Refused when there is no memory."""
        if probe.returning is None:
            return
        engine, number = self._engine, probe.returning.maxactive
        pads = engine.slots.allocate(_WORD * number)
        try:
            table = engine.slots.allocate(_ENTRY * (number + 1), align=8, pool=Pool.DATA)
        except BaseException:
            engine.slots.free(pads)
            raise
        trampoline = Trampoline(probe, pads, table)
        self._trampolines[probe] = trampoline
        self._pads |= {trampoline.pad(index): (trampoline, index) for index in range(1, number + 1)}
        free = [1, 0] + [word for index in range(1, number + 1) for word in (index + 1 if index < number else 0, 0)]
        engine.target.write_memory(table.address, b"".join(word.to_bytes(_WORD, "little") for word in free))
        code = engine.target.trap.to_bytes(_WORD, "little") * number
        traps = [] if engine.target.breakpoints is None else list(self._addresses(trampoline))
        purpose = f"trampoline of 0x{probe.address:08x}"
        execute(plan_patch([], new_code=[Write(pads.address, None, code, purpose)], set_traps=traps), engine.target)

    def retire(self, probe: Probe) -> None:
        """The trampoline of a probe that is gone stays until all its calls came back."""
        trampoline = self._trampolines.pop(probe, None)
        if trampoline is not None:
            self.retired.append(trampoline)

    def discard(self, probe: Probe) -> None:
        """Free the trampoline of a probe that was never planted."""
        trampoline = self._trampolines.pop(probe, None)
        if trampoline is not None:
            self._free(trampoline)

    def free_quiescent(self) -> None:
        """Free the retired trampolines that no call comes back through any more."""
        idle = [item for item in self.retired if not self.active(item)]
        used = find_references(self._engine.target, [(item.pads.address, item.pads.end) for item in idle])
        for trampoline in idle:
            if trampoline.pads.address not in used:
                self.retired.remove(trampoline)
                self._free(trampoline)

    def _free(self, trampoline: Trampoline) -> None:
        engine, addresses = self._engine, self._addresses(trampoline)
        if engine.target.breakpoints is not None:
            engine.target.breakpoints.remove(list(addresses))
        for address in addresses:
            del self._pads[address]
        engine.slots.free(trampoline.pads)
        engine.slots.free(trampoline.table)

    def remove_traps(self) -> None:
        """Take away the traps that the target has set for pads."""
        if self._engine.target.breakpoints is not None and self._pads:
            self._engine.target.breakpoints.remove(list(self._pads))

    def forget(self) -> None:
        """Forget all trampolines: their memory is about to be given back."""
        self._trampolines.clear()
        self.retired.clear()
        self._pads.clear()

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
            probe.missed += 1
            return
        if probe.returning.entry is not None:
            hit = Hit(self._engine, probe, regs, self._engine.current_cpu())
            trampoline.kept[number] = call_handler(probe.returning.entry, hit)
        following, _ = self._entry(trampoline, number)
        self._write(trampoline, 0, following)
        self._write(trampoline, _ENTRY * number, _TAKEN, regs.lr)
        regs.lr = trampoline.pad(number)

    def on_trap(self, pc: int) -> bool:
        """Handle a stop at a pad; False if it is none. Raises HandlerError when a handler raised."""
        if pc not in self._pads:
            return False
        engine = self._engine
        regs = engine.target.read_registers()
        address, came_back = pc, []
        while address in self._pads:
            # In the tail of a function with a return probe, another one was called: both return now.
            trampoline, number = self._pads[address]
            came_back.append((trampoline, number, address))
            state, address = self._entry(trampoline, number)
            if state == _TAKEN:
                self._give_back(trampoline, number)
        if any(regs.lr == pad for _, _, pad in came_back):
            regs.lr = address
        go_to(regs, address)
        returned = regs.copy()
        try:
            for trampoline, number, _ in came_back:
                if self._run(trampoline, number, regs):
                    break
        except BaseException:
            # The call is over: whoever looks now sees it back at its caller.
            engine.target.write_registers(returned)
            raise
        engine.target.write_registers(regs)
        return True

    def _run(self, trampoline: Trampoline, number: int, regs: Registers) -> bool:
        """Run the handler of a call that came back; True when it diverted control."""
        probe, kept = trampoline.probe, trampoline.kept.pop(number, None)
        assert probe.returning is not None
        handler = probe.returning.handler
        if handler is None or not probe.enabled:
            return False
        hit = Hit(self._engine, probe, regs, self._engine.current_cpu(), entry=kept)
        return self._engine.dispatcher.run_return(probe, handler, hit)

    def active(self, trampoline: Trampoline) -> list[int]:
        """The numbers of the pads that calls in progress will come back through."""
        words = self._words(trampoline)
        return [number for number in range(1, trampoline.size + 1) if words[2 * number] == _TAKEN]

    def active_calls(self, probe: Probe) -> int:
        trampoline = self._trampolines.get(probe)
        return len(self.active(trampoline)) if trampoline is not None else 0

    def shown(self, registers: Registers) -> Registers:
        """The registers as they would be without return probes: with return addresses in place of pads."""
        registers.values[:15] = [self._real(value) for value in registers.values[:15]]
        return registers

    def _real(self, value: int) -> int:
        while value in self._pads:
            value = self._entry(*self._pads[value])[1]
        return value

    # --- calls that do not come back

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
        if not self._engine.target.regions:
            return
        lost = {trampoline.pad(number): number for number in self.active(trampoline)}
        for registers in self._registers().values():
            for value in registers.values:
                lost.pop(value, None)
        for _, word in self._find_words(lost):
            lost.pop(word, None)
        for number in lost.values():
            self._give_back(trampoline, number)
            trampoline.kept.pop(number, None)

    def restore(self) -> list[str]:
        """Put the return addresses of all calls in progress back, in registers and memory; return what can't be."""
        target = self._engine.target
        real: dict[int, int] = {}
        for trampoline in self._all():
            words = self._words(trampoline)
            real |= {trampoline.pad(number): words[2 * number + 1] for number in self.active(trampoline)}
        if not real:
            return []
        for pad in real:
            while real[pad] in real:
                real[pad] = real[real[pad]]
        for thread, registers in self._registers().items():
            changed = registers.copy()
            changed.values[:15] = [real.get(value, value) for value in registers.values[:15]]
            if registers.pc in real:
                go_to(changed, real[registers.pc])
            if changed != registers:
                if thread is None or target.threads is None:
                    target.write_registers(changed)
                else:
                    target.threads.write_registers(thread, changed)
        if not target.regions:
            calls = "1 call is" if len(real) == 1 else f"{len(real)} calls are"
            return [f"{calls} in progress that a return probe follows, and it is not known where the stacks are"]
        for address, pad in list(self._find_words(real)):
            target.write_memory(address, real[pad].to_bytes(_WORD, "little"))
        return []

    # --- memory and registers of the target

    def _all(self) -> Iterable[Trampoline]:
        return (*self._trampolines.values(), *self.retired)

    def _addresses(self, trampoline: Trampoline) -> range:
        return range(trampoline.pads.address, trampoline.pads.end, _WORD)

    def _words(self, trampoline: Trampoline) -> memoryview:
        table = trampoline.table
        return memoryview(self._engine.target.read_memory(table.address, table.size)).cast("I")

    def _entry(self, trampoline: Trampoline, number: int) -> tuple[int, int]:
        data = self._engine.target.read_memory(trampoline.table.address + _ENTRY * number, _ENTRY)
        return int.from_bytes(data[:_WORD], "little"), int.from_bytes(data[_WORD:], "little")

    def _write(self, trampoline: Trampoline, offset: int, *words: int) -> None:
        data = b"".join(word.to_bytes(_WORD, "little") for word in words)
        self._engine.target.write_memory(trampoline.table.address + offset, data)

    def _first_free(self, trampoline: Trampoline) -> int:
        return int.from_bytes(self._engine.target.read_memory(trampoline.table.address, _WORD), "little")

    def _give_back(self, trampoline: Trampoline, number: int) -> None:
        # The return address stays in the entry: a function that returns a second time still finds its way.
        self._write(trampoline, _ENTRY * number, self._first_free(trampoline))
        self._write(trampoline, 0, number)

    def _registers(self) -> dict[int | None, Registers]:
        target = self._engine.target
        if target.threads is None:
            return {None: target.read_registers()}
        return {thread: target.threads.read_registers(thread) for thread in target.threads.ids()}

    def _find_words(self, wanted: Mapping[int, int]) -> Iterator[tuple[int, int]]:
        """Addresses and values of the aligned words of the program's memory whose value is a key of `wanted`."""
        target = self._engine.target
        halves = {word >> 16 for word in wanted}
        for region in target.regions:
            if not (region.readable and region.writable):
                continue
            for start in range(region.start & -_WORD, region.end, _CHUNK):
                for base, data in self._read(start, min(start + _CHUNK, region.end)):
                    for half in halves:
                        for at in _occurrences(data, half.to_bytes(2, "little")):
                            word = int.from_bytes(data[at - 2 : at + 2], "little")
                            if at % _WORD == 2 and word in wanted and base + at not in self._engine.slots:
                                yield base + at - 2, word

    def _read(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """What can be read of [start, end), in pieces."""
        try:
            yield start, self._engine.target.read_memory(start, end - start)
        except TargetFault:
            for page in range(start, end, _PAGE):
                with suppress(TargetFault):
                    yield page, self._engine.target.read_memory(page, min(_PAGE, end - page))


def go_to(regs: Registers, address: int) -> None:
    """Set PC to a return address, and the instruction set to that of its bit 0, as BX does."""
    regs.cpsr = regs.cpsr | CPSR_T if address & 1 else regs.cpsr & ~CPSR_T
    regs.pc = address & ~1 if address & 1 else address & ~3


def _occurrences(data: bytes, pattern: bytes) -> Iterator[int]:
    at = data.find(pattern)
    while at >= 0:
        yield at
        at = data.find(pattern, at + 1)
