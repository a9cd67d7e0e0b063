"""Undo a session that was killed, by what its journal says it left in the target.

1. Take its traps away.
2. Put words of the program back where ours stand; where neither ours nor the program's stands, change nothing. Let the
   code in slots go on without us where it would stop.
3. Give threads that were made to call a function their registers back.
4. Lead threads out of slots, and callers to where they called from.
5. Give memory back that no thread can be in any more; where a task may sleep in it, it stays in place.

The target stands still meanwhile, but for the threads that are led.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from armprobe.codegen.calls import ENTRY, SILENT
from armprobe.errors import ArmprobeError, Refused, TargetError, TargetFault, TargetLost
from armprobe.isa.branch import far_jump
from armprobe.patching.execute import PatchedBytes, execute, plan_restore
from armprobe.patching.plan import Write, plan_patch, show
from armprobe.probes.callers import all_registers, go_to, put_back
from armprobe.probes.in_place import give_back, note_in_place
from armprobe.probes.quiescence import find_references, go_on_without_traps, leave_slots
from armprobe.probes.recovery_runs import ProgramEnded, RecoveryRuns
from armprobe.probes.sleepers import SlotInUse, find_sleepers
from armprobe.probes.word_search import can_search
from armprobe.targets.base import StopReason, Target, read_all
from armprobe.targets.journal import Call, CallEnded, Code, Left, Memory, Pads, Settled, TargetGone, note

_WORD = 4
#: how long the program runs on, in seconds, that it may leave slots: a second in all, if need be
_STRETCHES = tuple(0.001 * 2**step for step in range(10))
_MOMENT = 0.02
#: seconds to wait for the end of a call
PATIENCE = 30.0


@dataclass(slots=True)
class Recovery:
    """What was done. `unknown` are places that hold what nobody noted; `kept` says what was not undone, and why.

    `in_place` are slots in which a task may sleep: they stay, unused by anybody else, and do no harm.
    """

    #: addresses of words that were put back, and how many were the program's already
    restored: list[int] = field(default_factory=list)
    intact: int = 0
    traps: int = 0
    unknown: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    in_place: list[SlotInUse] = field(default_factory=list)
    #: what functions returned whose call was interrupted, by their addresses
    returned: dict[int, int] = field(default_factory=dict)
    #: bytes of memory for slots that were given back
    memory: int = 0
    #: the memory for slots is not there any more
    restarted: bool = False
    #: the program came to its end while it was led out of slots
    ended: bool = False

    @property
    def complete(self) -> bool:
        return not self.unknown and not self.kept


def recover(target: Target, left: Left) -> Recovery:
    """Undo what is left; what can't be is told, and stays as it is.

    Nothing is written before everything was read. Raises TargetLost when the connection to the target breaks; it can be
    tried again then.
    """
    done = Recovery()
    try:
        _recover(target, left, done)
    except ProgramEnded:
        done.ended = True
        done.unknown.clear()
        done.kept.clear()
        done.in_place.clear()
        note(target.journal, TargetGone())
    return done


def _recover(target: Target, left: Left, done: Recovery) -> None:
    runs = RecoveryRuns(target)
    ours = [memory for memory in left.memory if is_marked(target, memory)]
    left_in_place = list(left.in_place)  # the list may be that of a journal, which changes
    done.restarted = bool(left.memory) and not ours
    _remove_traps(target, left, done)
    codes = list(_newest(code for code in left.code if _lies_in(code, ours)))
    pads = [item for item in left.pads if _lies_in(item, ours)]
    _restore_words(target, left, _exits(codes, pads), done)
    if left.ended is not None:
        call, result = left.ended
        _came_back(target, call, done)  # perhaps it was not told to go on
        done.returned[call.function] = result
    for call in reversed(left.calls):
        if not done.restarted and not _end_call(target, runs, call, done):
            break
        note(target.journal, CallEnded(done.returned.get(call.function, 0)))
    _leave(target, runs, codes, pads, ours, left.writable, done)
    if done.complete and done.in_place:
        used = {slot.site for slot in done.in_place}
        # What code in slots calls is noted as its own site.
        slots = [(code.start, code.end, code.site) for code in codes if code.site in used or code.site == code.start]
        slots += [(item.start, item.end, item.start) for item in pads if item.start in used]
        note_in_place(target, ours, slots, left.writable)
    elif done.complete:
        if target.executable_memory is not None and target.own_faults is not None:
            # Who stopped in a system call can't be made to make one that gives memory back.
            runs.run(_MOMENT)
        _give_back(target, ours, done)
    if done.complete:
        note(target.journal, Settled())
    in_place, size = give_back(target, left_in_place)
    done.in_place += in_place
    done.memory += size


def is_marked(target: Target, memory: Memory) -> bool:
    """Whether memory is still that which was noted: its mark is there."""
    try:
        return target.read_memory(memory.start, len(memory.mark)) == memory.mark
    except TargetFault:
        return False


def _lies_in(part: Code | Pads, memory: Sequence[Memory]) -> bool:
    return any(known.start <= part.start < known.end for known in memory)


def _newest(codes: Iterable[Code]) -> Iterator[Code]:
    """The codes that were not overwritten by later ones."""
    taken: set[int] = set()
    for code in reversed(list(codes)):
        words = range(code.start, code.end, _WORD)
        if taken.isdisjoint(words):
            yield code
        taken.update(words)


def _exits(codes: Sequence[Code], pads: Sequence[Pads]) -> list[tuple[int, int]]:
    """The traps in slots, and where a thread goes on that comes to one."""
    drains = [item.drain for item in pads if item.drain is not None]
    return [*(way for code in codes for way in code.exits), *drains]


def _remove_traps(target: Target, left: Left, done: Recovery) -> None:
    if left.traps and target.breakpoints is not None:
        target.breakpoints.adopt(left.traps)
        try:
            target.breakpoints.remove(list(left.traps))
        except TargetLost:
            raise
        except TargetError as error:
            done.kept.append(str(error))
        done.traps = len(left.traps)


def _restore_words(target: Target, left: Left, exits: Sequence[tuple[int, int]], done: Recovery) -> None:
    """Put words of the program back, and branches in place of traps in slots."""
    inside = {word for memory in left.memory for word in left.words if memory.start <= word < memory.end}
    places = sorted(word for word in left.words if word not in inside)
    patched, intact = [], []
    for address, found in zip(places, _read_words(target, places), strict=True):
        original, ours = left.words[address]
        if found == original:
            done.intact += 1
            intact.append((address, address + _WORD))
        elif found in ours:
            patched.append(PatchedBytes(address, original, found, "left by a session"))
        elif found is None and not any(address in region for region in target.regions):
            done.intact += 1  # the program has unmapped it
        elif found is None:
            done.unknown.append(f"0x{address:08x} held {show(original)}, and can't be read")
        else:
            done.unknown.append(f"0x{address:08x} held {show(original)}, and holds {show(found)}, which is not ours")
    if intact and target.code_sync is not None:
        target.code_sync.synchronize(intact)  # the session may have come no further than to write them
    go_on_without_traps(target, exits)
    try:
        if patched:
            execute(plan_restore(patched), target)
            done.restored += [site.address for site in patched]
    except TargetLost:
        raise
    except (Refused, TargetError):
        # One of them can't be written: restore all others.
        for site in patched:
            try:
                execute(plan_restore([site]), target)
                done.restored.append(site.address)
            except TargetLost:
                raise
            except (Refused, TargetError) as error:
                done.kept.append(f"0x{site.address:08x} held {show(site.original)}: {error}")


def _read_words(target: Target, places: Sequence[int]) -> list[bytes | None]:
    try:
        return list(read_all(target, [(place, _WORD) for place in places]))
    except TargetFault:
        return [_read_word(target, place) for place in places]


def _read_word(target: Target, place: int) -> bytes | None:
    try:
        return target.read_memory(place, _WORD)
    except TargetFault:
        return None


def _end_call(target: Target, runs: RecoveryRuns, call: Call, done: Recovery) -> bool:
    """Give a thread its registers back that was made to call a function, when it has come back from there."""
    if _came_back(target, call, done):
        return True
    if any(regs.values == list(call.values) for regs in all_registers(target).values()):
        return True  # the call had not begun
    if runs.run(PATIENCE, until=call.back) is StopReason.ADDRESS and _came_back(target, call, done):
        return True
    done.kept.append(f"a thread was made to call 0x{call.function:08x}, and did not come back from there")
    return False


def _came_back(target: Target, call: Call, done: Recovery) -> bool:
    for thread, regs in all_registers(target).items():
        if regs.pc == call.back and regs.sp == call.sp:
            done.returned[call.function] = regs.r0
            kept = regs.r12
            regs.values[:], regs.cpsr = call.values, call.cpsr
            if call.back == call.function + _WORD:
                regs.values[12] = kept  # a system call keeps it, and what was noted may have been ptrace's own
            if thread is None or target.threads is None:
                target.write_registers(regs)
            else:
                target.threads.write_registers(thread, regs)
            return True
    return False


def _leave(
    target: Target,
    runs: RecoveryRuns,
    codes: Sequence[Code],
    pads: Sequence[Pads],
    ours: Sequence[Memory],
    writable: Sequence[tuple[int, int]],
    done: Recovery,
) -> None:
    """See to it that no thread is in a slot or comes back to one, as far as that can be known."""
    slots = [(code.start, code.end, code.site) for code in codes]
    slots += [(item.start, item.end, item.start) for item in pads if item.code]
    left = leave_slots(target, slots, lambda: target.run(lambda _: False, limit=1))
    in_progress = _calls_in_progress(target, pads)
    if in_progress and not can_search(target):
        in_progress = _await_returns(target, runs, pads, in_progress)

    def is_own(address: int) -> bool:
        return any(memory.start <= address < memory.end for memory in ours)

    done.kept += put_back(target, in_progress, is_own)
    if target.threads is None or target.threads.complete:
        # Elsewhere tasks sleep in memory only: who gives the memory back waits for them.
        ranges = [(start, end) for start, end, _ in slots]
        for seconds in _STRETCHES:
            if left and not find_references(target, ranges):
                break
            if runs.run(seconds) is not StopReason.INTERRUPT:
                break
            left = leave_slots(target, slots, lambda: target.run(lambda _: False, limit=1))
        ways_back = {pad for item in pads for pad in range(item.start, item.start + ENTRY * item.size, ENTRY)}
        found = find_sleepers(target, slots, writable, is_own, ways_back)
        if all(memory.original is not None for memory in ours):
            done.in_place += found
        else:
            # What an operating system has given is to go back to it.
            done.kept += map(str, found)
    elif not left:
        done.kept.append("a thread stays in a slot: its memory was not given back")


def _calls_in_progress(target: Target, pads: Sequence[Pads]) -> dict[int, int]:
    """The return addresses of calls that return probes follow, by the pads they come back to."""
    real: dict[int, int] = {}
    for item in pads:
        words = memoryview(target.read_memory(item.table, ENTRY * (item.size + 1))).cast("I")
        active = [number for number in range(1, item.size + 1) if words[2 * number] >= SILENT]
        real |= {item.start + ENTRY * (number - 1): words[2 * number + 1] for number in active}
    return real


def _await_returns(
    target: Target, runs: RecoveryRuns, pads: Sequence[Pads], in_progress: dict[int, int]
) -> dict[int, int]:
    """Let the program run until all calls came back that are followed, and return those that did not.

    Their pads become jumps to where they were called from.
    """
    came_back: set[int] = set()

    def at_pad(pc: int) -> bool:
        if pc not in in_progress:
            return False
        registers = target.read_registers()
        go_to(registers, in_progress[pc])
        target.write_registers(registers)
        came_back.add(pc)
        return True

    with_traps = [pad for item in pads if not item.code for pad in in_progress if item.start <= pad < item.end]
    if target.breakpoints is not None:
        target.breakpoints.insert(with_traps)
    left = in_progress
    for seconds in _STRETCHES:
        left = {pad: back for pad, back in _calls_in_progress(target, pads).items() if pad not in came_back}
        if not left or runs.run(seconds, on_trap=at_pad) is not StopReason.INTERRUPT:
            break
    if target.breakpoints is not None:
        target.breakpoints.remove(with_traps)
    jumps = [Write(pad, None, far_jump(left[pad]), "return") for pad in with_traps if pad in left]
    if jumps:
        execute(plan_patch([], new_code=jumps), target)
    return left


def _give_back(target: Target, ours: Sequence[Memory], done: Recovery) -> None:
    pcs = [registers.pc for registers in all_registers(target).values()]
    for memory in ours:
        if any(whole.start <= memory.start and memory.end <= whole.end for whole in ours if whole != memory):
            continue
        try:
            if any(memory.start <= pc < memory.end for pc in pcs):
                raise Refused("a thread is in it")
            if memory.original is not None:
                target.write_memory(memory.start, memory.original)
            elif target.executable_memory is not None:
                target.executable_memory.free(memory.start, memory.end - memory.start)
            else:
                continue
            done.memory += memory.end - memory.start
        except TargetLost:
            raise
        except ArmprobeError as error:
            done.kept.append(f"0x{memory.start:08x}..0x{memory.end:08x}: {error}")
