"""Whether a thread is, or may come back to, code that is about to be freed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence

from armprobe.errors import TargetFault
from armprobe.isa.branch import branch_word
from armprobe.patching.execute import execute
from armprobe.patching.plan import Write, plan_patch
from armprobe.targets.base import Registers, Stop, StopReason, Target
from armprobe.targets.stepping import mask_interrupts, unmask_interrupts, was_executed

#: bytes of each stack that are searched for return addresses and saved PCs
STACK_SEARCHED = 0x10000
#: instructions after which a thread must have left a slot
STEPS = 4096
#: instructions in which an interrupt that came instead of a step has to come back; a task that it switched from is
#: found by its PC in memory
INTERRUPT_STEPS = 512
_PAGE = 4096


def find_references(target: Target, ranges: Sequence[tuple[int, int]], *, but: Collection[int] = ()) -> set[int]:
    """The starts of those [start, end) ranges that a register or a word on a stack points into.

    Conservative: every word of up to 64 KiB above SP counts, whether it is an address or not, but for those in `but`.
    """
    ordered = sorted(ranges)
    starts = [start for start, _ in ordered]
    found: set[int] = set()
    for registers in _all_registers(target):
        for word in (*registers.values, *_stack_words(target, registers.sp)):
            index = bisect_right(starts, word) - 1
            if index >= 0 and word < ordered[index][1] and word not in but:
                found.add(starts[index])
    return found


def go_on_without_traps(target: Target, exits: Iterable[tuple[int, int]]) -> None:
    """Put branches in place of traps in slots, given as (trap, where a thread goes on): the code needs no host."""
    ways = [Write(trap, None, branch_word(trap, way).to_bytes(4, "little"), "go on") for trap, way in exits]
    if ways:
        execute(plan_patch([], new_code=ways), target)


def leave_slots(target: Target, slots: Sequence[tuple[int, int, int]], step: Callable[[], Stop]) -> bool:
    """Lead all threads out of the slots, given as (start, end, site); False if one stays there.

    Each executes one instruction after another. Where that faults, PC becomes that of the site: the fault is its own.
    """
    if not slots:
        return True
    if target.threads is None:
        return _leave(target, slots, step)
    stopped, *others = target.threads.ids()
    left = [_leave(target, slots, step)]
    for thread in others:
        pc = target.threads.read_registers(thread).pc
        if any(start <= pc < end for start, end, _ in slots):
            target.threads.select(thread)
            left.append(_leave(target, slots, step))
            target.threads.select(stopped)
    return all(left)


def _leave(target: Target, slots: Sequence[tuple[int, int, int]], step: Callable[[], Stop]) -> bool:
    def site_at(pc: int) -> int | None:
        return next((site for start, end, site in slots if start <= pc < end), None)

    away, put_off = 0, None
    for _ in range(STEPS):
        before = target.read_registers()
        site = site_at(before.pc)
        if site is None:
            if not away:
                return True
            step()
            away -= 1
            continue
        word = int.from_bytes(target.read_memory(before.pc, 4), "little") if before.pc == put_off else 0
        masked = before.pc == put_off and target.own_faults is None and mask_interrupts(waiting := before.copy(), word)
        if masked:
            target.write_registers(waiting)
        stop, after = step(), target.read_registers()
        if masked:
            unmask_interrupts(before, after, word)
            target.write_registers(after)
        away, put_off = 0, None
        if stop.reason is StopReason.FAULT:
            after.pc = site
            target.write_registers(after)
        elif site_at(after.pc) is None:
            word = int.from_bytes(target.read_memory(before.pc, 4), "little")
            if not was_executed(before, after, word):
                away, put_off = INTERRUPT_STEPS, before.pc
    return False


def _all_registers(target: Target) -> list[Registers]:
    if target.threads is None:
        return [target.read_registers()]
    return [target.threads.read_registers(thread) for thread in target.threads.ids()]


def _stack_words(target: Target, sp: int) -> tuple[int, ...]:
    region = next((region for region in target.regions if sp in region), None)
    if region is None or sp % 4:
        return ()
    size = min(region.end - sp, STACK_SEARCHED) & ~3
    try:
        data = target.read_memory(sp, size)
    except TargetFault:
        data = _readable(target, sp, sp + size)
    return tuple(memoryview(data).cast("I"))


def _readable(target: Target, start: int, end: int) -> bytes:
    """What can be read from `start` on: nobody may know where memory ends."""
    data = b""
    while start < end:
        size = min(end, (start | _PAGE - 1) + 1) - start
        try:
            data += target.read_memory(start, size)
        except TargetFault:
            break
        start += size
    return data
