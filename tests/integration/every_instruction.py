"""For tests that put a probe on every instruction of a program.

Where its instructions are, and what the emulator itself has to say about each of their executions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from unicorn import arm_const

from armprobe.isa.decoder import decode
from armprobe.isa.flow import flow
from armprobe.isa.insn import condition_holds
from armprobe.targets.base import Target
from armprobe.targets.unicorn import UnicornTarget

_HOOK_CODE = 4  # UC_HOOK_CODE
_CPSR = arm_const.UC_ARM_REG_CPSR
#: r0 to lr, in order
_REGISTERS = [getattr(arm_const, f"UC_ARM_REG_R{number}") for number in range(15)]


class Executions:
    """The emulator's own count: `reached` for each address, `hits` without those whose condition was false.

    For the sampled addresses `frames` has the registers at each of these hits: r0 to pc, and cpsr.
    """

    def __init__(self) -> None:
        self.reached: Counter[int] = Counter()
        self.hits: Counter[int] = Counter()
        self.frames: defaultdict[int, list[tuple[int, ...]]] = defaultdict(list)


@contextmanager
def executions(target: UnicornTarget, ranges: Sequence[tuple[int, int]], *, sample: int = 0) -> Iterator[Executions]:
    """Count every A32 instruction executed in the [start, end) ranges; sample one address in `sample`."""
    counted = Executions()
    reached, hits, frames = counted.reached, counted.hits, counted.frames
    conditions: dict[int, int] = {}

    def on_code(engine, address, _size, _data):
        reached[address] += 1
        condition = conditions.get(address)
        if condition is None:
            condition = conditions[address] = _insn(target, address).cond
        if condition_holds(condition, engine.reg_read(_CPSR)):
            hits[address] += 1
            if sample and address // 4 % sample == 0:
                registers = engine.reg_read_batch([*_REGISTERS, _CPSR])
                frames[address].append((*registers[:15], address, registers[15]))

    hooks = [target.engine.hook_add(_HOOK_CODE, on_code, begin=start, end=end - 1) for start, end in ranges]
    # A hook is compiled into the code: what was translated before knows nothing of it.
    target.code_sync.synchronize(ranges)
    try:
        yield counted
    finally:
        for hook in hooks:
            target.engine.hook_del(hook)
        target.code_sync.synchronize(ranges)


def instructions(target: UnicornTarget, executed: Iterable[int]) -> list[int]:
    """The addresses of the instructions that were executed, and of those that control can reach from them.

    Behind a call that was not seen to come back there may be data, as there may be behind an indirect branch.
    """
    known = set(executed)
    seen: set[int] = set()
    waiting = list(known)
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        way = flow(_insn(target, address), address)
        if way.next is not None and (not way.call or way.next in known):
            waiting.append(way.next)
        if way.target is not None and not way.call:
            waiting.append(way.target)
    return sorted(seen)


def memory(target: Target, read: Callable[[int, int], bytes], *, unused: Iterable[tuple[int, int]]) -> dict[str, bytes]:
    """All memory but our slots, as `read` (of a session or a target) shows it, with zeros in the `unused` ranges.

    Unused is what lies below the stack pointer of the program.
    """
    found = {}
    for region in target.regions:
        if region.name == "slots":
            continue
        data = bytearray(read(region.start, region.end - region.start))
        for start, end in unused:
            first, last = max(start, region.start) - region.start, min(end, region.end) - region.start
            if first < last:
                data[first:last] = bytes(last - first)
        found[f"{region.name} from 0x{region.start:08x}"] = bytes(data)
    return found


def stack_of(target: Target) -> tuple[int, int]:
    """The region that the emulator gives a program for its stack."""
    return next((region.start, region.end) for region in target.regions if region.name == "stack")


def different_bytes(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """Where two results of `memory` differ."""
    found = [f"only one has {name}" for name in sorted(before.keys() ^ after.keys())]
    for name in before.keys() & after.keys():
        if before[name] != after[name]:
            at = [n for n, (old, new) in enumerate(zip(before[name], after[name], strict=True)) if old != new]
            found.append(f"{name}: {len(at)} bytes, the first at offset {at[0]:#x}")
    return found


def _insn(target: UnicornTarget, address: int):
    return decode(int.from_bytes(target.read_memory(address, 4), "little"))
