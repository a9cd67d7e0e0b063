"""Give callers their return addresses back, where pads of return probes stand for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from armprobe.probes.word_search import can_search, find_words
from armprobe.targets.base import CPSR_T, Registers, Target

_WORD = 4


def put_back(target: Target, real: Mapping[int, int], is_own: Callable[[int], bool]) -> list[str]:
    """Replace each pad in `real` by its return address, in registers and in memory; return what can't be.

    Words at addresses that are armprobe's own (`is_own`) stay.
    """
    if not real:
        return []
    found = {pad: _last(real, pad) for pad in real}
    for thread, registers in all_registers(target).items():
        changed = registers.copy()
        changed.values[:15] = [found.get(value, value) for value in registers.values[:15]]
        if registers.pc in found:
            go_to(changed, found[registers.pc])
        if changed != registers:
            if thread is None or target.threads is None:
                target.write_registers(changed)
            else:
                target.threads.write_registers(thread, changed)
    if not can_search(target):
        calls = "1 call is" if len(found) == 1 else f"{len(found)} calls are"
        return [f"{calls} in progress that a return probe follows, and it is not known where the stacks are"]
    for address, pad in list(find_words(target, found)):
        if not is_own(address):
            target.write_memory(address, found[pad].to_bytes(_WORD, "little"))
    return []


def all_registers(target: Target) -> dict[int | None, Registers]:
    """The registers of all threads, or of the only one."""
    if target.threads is None:
        return {None: target.read_registers()}
    return {thread: target.threads.read_registers(thread) for thread in target.threads.ids()}


def go_to(regs: Registers, address: int) -> None:
    """Set PC to a return address, and the instruction set to that of its bit 0, as BX does."""
    regs.cpsr = regs.cpsr | CPSR_T if address & 1 else regs.cpsr & ~CPSR_T
    regs.pc = address & ~1 if address & 1 else address & ~3


def _last(real: Mapping[int, int], pad: int) -> int:
    """Where a call really came from: a tail call comes back to another pad."""
    address = real[pad]
    while address in real:
        address = real[address]
    return address
